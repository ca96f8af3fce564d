"""What makes entries invalid without touching them: versions of tags, and the log of what was dropped as a whole.

A tag has a version in the store. An entry names the versions that its tags had before its value was computed; when one
has moved on, the entry is as good as gone. So dropping a tag is one write, whether it has a hundred entries or a
million. The log does the same for patterns: it numbers what was dropped, and an entry that was born before the number
of a pattern that its key matches is gone. Dropping all raises the log's floor.

Versions and numbers come from the store's clock, in µs, and grow by at least 1. A version that the store lost (it may
evict) comes back as a number that no entry has: that costs misses, and never brings back what was dropped.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from bedplate.state.cache.entries import Versions
from bedplate.state.cache.keys import matcher

__all__ = ["Book", "Log"]

#: Versions kept near; beyond them all are asked for again.
_MOST = 20_000
#: The version of a tag that has moved on to one that is not known.
_MOVED = (-1, -math.inf)


class Log:
    """The log as it was read: ``floor``, the last ``number`` given out, and the number of each pattern."""

    __slots__ = ("floor", "number", "patterns", "read_at")

    def __init__(self, fields: Mapping[bytes, bytes], read_at: float) -> None:
        self.floor = int(fields[b"floor"])
        self.number = int(fields[b"number"])
        self.read_at = read_at
        self.patterns = [
            (int(number), field[2:].decode("utf-8", "replace"))
            for field, number in fields.items()
            if field.startswith(b"p:")
        ]

    def allows(self, key: str, born: int) -> bool:
        """Return whether an entry that was born then is still there."""
        if born >= self.number:
            return True
        if born < self.floor:
            return False
        return not any(number > born and matcher(pattern)(key) for number, pattern in self.patterns)


class Book:
    """What is known near of tags and of the log; what is not known must be asked for.

    :param lasting: seconds for which something that was read is relied upon.
    """

    __slots__ = ("_numbers", "lasting", "log", "tags")

    def __init__(self, lasting: float) -> None:
        self.lasting = lasting
        self.tags: dict[str, tuple[int, float]] = {}
        self.log: Log | None = None
        self._numbers = -1

    def judge(self, key: str, born: int, tags: Versions, now: float) -> bool | None:
        """Return whether what was born then, and stands on these tags, is valid; None when that is not known."""
        log = self.log
        if log is None or now - log.read_at > self.lasting:
            return None
        if not log.allows(key, born):
            return False
        unknown = False
        for tag, version in tags:
            known = self.version(tag, now)
            if known is None:
                unknown = True
            elif known != version:
                return False
        return None if unknown else True

    def version(self, tag: str, now: float) -> int | None:
        """Return the version of a tag, None when it is not known."""
        known = self.tags.get(tag)
        return None if known is None or now - known[1] > self.lasting else known[0]

    def missing(self, tags: Sequence[str], now: float) -> list[str]:
        """Return the tags whose version is not known."""
        return [tag for tag in tags if self.version(tag, now) is None]

    def aged(self, tag: str) -> bool:
        """Return whether a tag's version was known once, and for too long."""
        return self.tags.get(tag, _MOVED) is not _MOVED

    def learn(self, tag: str, version: int, now: float) -> None:
        """Take a version that the store said."""
        if len(self.tags) >= _MOST:
            self.tags.clear()
        self.tags[tag] = (version, now)

    def forget(self, tag: str) -> None:
        """Know a tag's version no longer, but that it is another one."""
        if len(self.tags) >= _MOST:
            self.tags.clear()
        self.tags[tag] = _MOVED

    def clear(self) -> None:
        """Know nothing any more."""
        self.tags.clear()
        self.log = None

    # While the store is away, versions of our own tell what was dropped here.

    def away_version(self, tag: str, now: float) -> int:
        """Return the version of a tag for an entry that is computed while the store is away."""
        known = self.tags.get(tag)
        if known is None:
            self.learn(tag, 0, now)
            return 0
        return known[0]

    def away_drop(self, tag: str, now: float) -> None:
        """Give a tag a version that nothing has."""
        self._numbers -= 1
        self.learn(tag, self._numbers, now)

    def away_valid(self, tags: Versions) -> bool:
        """Return whether none of the tags was dropped, as far as is known here."""
        for tag, version in tags:
            known = self.tags.get(tag)
            if known is not None and known[0] != version:
                return False
        return True
