"""How far a database has been written: positions in the write-ahead log, and what each piece of work must see.

A position is an int, PostgreSQL's LSN in bytes. Who has written gets the position of the primary's log after the
commit; who reads gets it from a replica that has come that far, or from the primary.
"""

from __future__ import annotations

import re

from bedplate.telemetry.context import current

__all__ = ["UNKNOWN", "Written", "parsed", "token"]

#: Further than any log: only the primary has come that far.
UNKNOWN = 1 << 64

_TOKEN = re.compile(r"([0-9A-F]{1,8})/([0-9A-F]{1,8})\Z", re.IGNORECASE)
_PRIMARY = "primary"


def token(position: int) -> str:
    """Return a position as PostgreSQL writes it, ``16/B374D848``; empty for none, ``primary`` for an unknown one."""
    if position >= UNKNOWN:
        return _PRIMARY
    return f"{position >> 32:X}/{position & 0xFFFFFFFF:X}" if position else ""


def parsed(text: str) -> int:
    """Return the position that a token names. What is none counts as unknown: it comes from clients, who may err."""
    if not text:
        return 0
    match = _TOKEN.match(text)
    return int(match[1], 16) << 32 | int(match[2], 16) if match is not None else UNKNOWN


class Written:
    """How far the work at hand must see: at least what it has written itself.

    A request's or job's position is kept in its :class:`~bedplate.telemetry.context.WorkContext`, which all its tasks
    share. Outside of any it is that of everything that this process has written.
    """

    __slots__ = ("_doubts", "_latest")

    def __init__(self) -> None:
        self._latest = 0
        self._doubts = 0

    @property
    def doubts(self) -> int:
        """How often it became unknown; to be read before a position is asked for."""
        return self._doubts

    @property
    def position(self) -> int:
        """What a read must see; 0 for anything."""
        work = current.get()
        if work is None:
            return self._latest
        return 0 if work.positions is None else work.positions.get(self, 0)

    def written(self, position: int, doubts: int) -> None:
        """Note a position of the primary that was asked for after a commit, and covers all that was committed before.

        :param doubts: those of before it was asked for; a later one is not answered by it.
        """
        settled = doubts == self._doubts
        self._latest = position if settled and self._latest == UNKNOWN else max(self._latest, position)
        before = self.position
        self._keep(position if settled and before == UNKNOWN else max(before, position))

    def corrected(self, position: int) -> None:
        """Note that the primary itself has only come this far: what was asked for beyond cannot be had anywhere."""
        if current.get() is None:
            self._latest = position
        else:
            self._keep(position)

    def unknown(self) -> None:
        """Note that something may have been written, and nobody knows where."""
        self._doubts += 1
        self._latest = UNKNOWN
        self._keep(UNKNOWN)

    def must_see(self, position: int) -> None:
        """Let the reads of this work see at least this."""
        self._keep(max(self.position, position))

    def _keep(self, position: int) -> None:
        work = current.get()
        if work is None:
            self._latest = position
        elif work.positions is None:
            work.positions = {self: position}
        else:
            work.positions[self] = position
