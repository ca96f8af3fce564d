"""One replica: how to reach it, how it is, and whether it may be read from."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from bedplate.database.address import Address

if TYPE_CHECKING:
    from bedplate.database.engine import Opened

__all__ = ["Look", "Replica", "ReplicaState"]

#: ``new`` until it is first seen; ``behind`` by more than the limit; ``away``; ``foreign`` when it follows
#: another.
ReplicaState = Literal["new", "healthy", "behind", "away", "foreign"]

#: Good looks in a row after which an ejected replica is read from again, and failed ones after which it no longer is.
_RETURN = 2
_EJECT = 2
#: The share of the lag limit below which one that was behind may return, so that it does not come and go.
_CALM = 0.5


@dataclass(frozen=True, slots=True)
class Look:
    """What a replica, or the primary, says of itself.

    :ivar replica: whether it replays another's log. :ivar position: how far. :ivar system: whose log it is.
    """

    replica: bool
    position: int
    system: int


@dataclass(slots=True)
class Replica:
    """A replica and what is known of it.

    :ivar name: ``replica1``. :ivar lag: seconds that it is behind, None while unknown. :ivar lag_bytes: of the log.
    :ivar seen: the clock's monotonic time of the last look.
    """

    name: str
    address: Address
    opened: Opened | None = field(default=None, repr=False)
    state: ReplicaState = "new"
    reason: str = "not yet looked at"
    lag: float | None = None
    lag_bytes: int | None = None
    position: int = 0
    seen: float | None = None
    good: int = 0
    failed: int = 0
    #: When the primary already had what this one lacks, and up to where that is.
    lacks: tuple[float, int] | None = field(default=None, repr=False)

    @property
    def usable(self) -> bool:
        """Whether it is read from."""
        return self.state == "healthy"

    def answered(self, look: Look, system: int | None, limit: float) -> None:
        """Take in a look at it.

        :param system: the primary's log, None while unknown. :param limit: seconds of lag beyond which it is ejected.
        """
        self.position, self.failed = look.position, 0
        if not look.replica:
            self._out("foreign", "it is no replica: it accepts writes")
        elif system is not None and look.system != system:
            self._out("foreign", "it is a replica of another server")
        elif self.lag is not None and self.lag > limit:
            self._out("behind", f"it is {self.lag:.0f} s behind, and more than {limit:g} s are not accepted")
        elif self.state == "behind" and self.lag is not None and self.lag > limit * _CALM:
            self.good = 0
        else:
            self.good += 1
            if self.state == "new" or self.good >= _RETURN:
                self.state, self.reason = "healthy", ""

    def unanswered(self, reason: str, *, at_once: bool = False) -> None:
        """Take in that it did not answer; :param at_once: somebody who read from it has met that."""
        self.good = 0
        self.failed += 1
        if at_once or not self.usable or self.failed >= _EJECT:
            self._out("away", reason)

    def _out(self, state: ReplicaState, reason: str) -> None:
        self.state, self.reason, self.good = state, reason, 0
