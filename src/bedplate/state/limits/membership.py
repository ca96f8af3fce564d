"""How many instances count together, as they learn it through the store."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from contextlib import suppress

from bedplate.state.limits.operations import BEAT, LEAVE, MEMBERS
from bedplate.state.store import Store, StoreError

__all__ = ["BEATS", "Membership"]

#: Seconds between two signs of life.
BEATS = 5.0
#: Seconds for which a sign of life counts.
_LASTS = 15.0


class Membership:
    """One instance among the others.

    :param key: of the set of all. :param least: how many there are at least, known or not.
    :param counts: whether this one takes part; one that only watches takes no part of a quota.
    :ivar known: how many there are, as far as is known.
    """

    def __init__(self, store: Store, key: str, *, least: int, counts: bool, timeout: float | None) -> None:
        self._store, self._keys, self._timeout = store, (key,), timeout
        self._least = max(1, least)
        self._me = uuid.uuid4().hex
        self._counts = counts
        self._found: list[tuple[float, int]] = []
        self.known = self._least

    async def beat(self, now: float) -> bool:
        """Say that this one is there, and learn how many there are; return whether the others do not know of it yet.

        The most that were found lately count: a store that has lost its data, or whose clock was set, knows of few for
        some seconds, and if it goes away again then, nobody shall let more through than their part.

        :raises StoreError: when the store does not answer.
        """
        lasts: Sequence[str | int] = (self._me, int(_LASTS * 1e6))
        if self._counts:
            new, found = await self._store.run(BEAT, self._keys, lasts, timeout=self._timeout)
        else:
            new, found = 0, await self._store.run(MEMBERS, self._keys, timeout=self._timeout)
        self._found = [(at, count) for at, count in self._found if at > now - _LASTS] + [(now, int(found))]
        self.known = max(self._least, *(count for _, count in self._found))
        return bool(new)

    async def leave(self) -> bool:
        """Say that this one is there no more; if it cannot be said, the others find out by themselves."""
        if self._counts and self._store.available:
            with suppress(StoreError):
                return bool(await self._store.run(LEAVE, self._keys, (self._me,), timeout=self._timeout))
        return False
