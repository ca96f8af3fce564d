"""Sessions that were ended, remembered: so that none comes back with a store that has forgotten it."""

from __future__ import annotations

from collections import OrderedDict

__all__ = ["ALL", "Deed", "Revoked"]

#: Stands for all sessions of a user.
ALL = "*"
#: A user's tag and a session, or :data:`ALL`.
Deed = tuple[str, str]
#: Deeds that may wait for the store; beyond it they are refused and not remembered.
_MOST_WAITING = 10_000


class Revoked:
    """What was ended, by whichever instance, for as long as a session can live; the latest are kept.

    :param most: deeds that are remembered. :param lifetime: seconds for which each is.
    """

    def __init__(self, most: int, lifetime: float) -> None:
        self._most, self._lifetime = most, lifetime
        self._deeds: OrderedDict[Deed, tuple[int, float]] = OrderedDict()
        #: What was wanted while the store was away, in that order.
        self.waiting: dict[Deed, None] = {}
        #: ms of the store's clock: whoever's session began no later is signed out.
        self.everyone = 0

    def __len__(self) -> int:
        return len(self._deeds)

    def add(self, tag: str, field: str, at: int, monotonic: float) -> None:
        """Remember the end of a session, or of all sessions of a user that began up to ``at``."""
        old, _ = self._deeds.pop((tag, field), (0, 0.0))
        self._deeds[tag, field] = (max(old, at), monotonic + self._lifetime)
        while len(self._deeds) > self._most or next(iter(self._deeds.values()))[1] < monotonic:
            self._deeds.popitem(last=False)

    def wait(self, tag: str, field: str) -> None:
        """Remember what the store has still to be told of; it holds here at once."""
        if len(self.waiting) < _MOST_WAITING:
            self.waiting[tag, field] = None

    def covers(self, tag: str, field: str, created: int) -> bool:
        """Whether a session was ended that began at ``created``, in ms of the store's clock."""
        deed, every = (tag, field), (tag, ALL)
        if created <= self.everyone or deed in self._deeds:
            return True
        if self.waiting and (deed in self.waiting or every in self.waiting):
            return True
        found = self._deeds.get(every)
        return found is not None and created <= found[0]

    def all(self) -> list[tuple[str, str, int]]:
        """Return user, session and time of each, the latest first."""
        return [(tag, field, at) for (tag, field), (at, _) in reversed(self._deeds.items())]
