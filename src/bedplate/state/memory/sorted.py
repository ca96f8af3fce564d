"""Commands on sorted sets."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Mapping

from bedplate.state.memory.lists import span
from bedplate.state.memory.space import Space
from bedplate.state.memory.values import ELEMENT, encoded, integer, number, refused
from bedplate.state.store import Argument

__all__ = ["Sorted", "SortedSets"]

Pairs = list[list[bytes | float]]


class Sorted:
    """Members with scores, ordered by score and, where it is equal, by name."""

    __slots__ = ("order", "scores", "size")

    def __init__(self) -> None:
        self.scores: dict[bytes, float] = {}
        self.order: list[tuple[float, bytes]] = []
        self.size = 0

    def put(self, member: bytes, score: float) -> None:
        """Set a member's score."""
        old = self.scores.get(member)
        if old is not None:
            del self.order[bisect_left(self.order, (old, member))]
        self.scores[member] = score
        insort(self.order, (score, member))

    def remove(self, member: bytes) -> bool:
        """Remove a member; return whether there was one."""
        score = self.scores.pop(member, None)
        if score is None:
            return False
        del self.order[bisect_left(self.order, (score, member))]
        return True

    def between(self, least: Argument, most: Argument) -> tuple[int, int]:
        """Return where the members of these scores begin and end; a ``(`` before a bound leaves it out."""
        low, low_out = _bound(least)
        high, high_out = _bound(most)
        start = _after(self.order, low) if low_out else bisect_left(self.order, (low, b""))
        stop = bisect_left(self.order, (high, b"")) if high_out else _after(self.order, high)
        return start, max(start, stop)


class SortedSets(Space):
    """``ZADD``, ``ZRANGE`` and their like. Scores are floats; with scores, members come as ``[member, score]``."""

    def zadd(  # Redis has these options
        self,
        key: str,
        scores: Mapping[Argument, Argument],
        *,
        nx: bool = False,
        xx: bool = False,
        gt: bool = False,
        lt: bool = False,
        ch: bool = False,
    ) -> int:
        """Set the scores of members, ``{member: score}``; return how many are new.

        :param nx: only new members. :param xx: only those that are there. :param gt: those that are there only to a
            higher score. :param lt: only to a lower one. :param ch: count those whose score changed, too.
        """
        if (nx and xx) or (nx and (gt or lt)) or (gt and lt):
            raise refused("GT, LT, and/or NX options at the same time are not compatible")
        wanted = [(encoded(member), number(score)) for member, score in scores.items()]
        self._room()
        members = self._find(key, Sorted)
        new = changed = grown = 0
        for member, score in wanted:
            old = None if members is None else members.scores.get(member)
            if (xx and old is None) or (old is not None and (nx or score == old)):
                continue
            if old is not None and ((gt and score < old) or (lt and score > old)):
                continue
            if members is None:
                members = self._make(key, Sorted)
            members.put(member, score)
            if old is None:
                new += 1
                grown += ELEMENT + len(member)
            else:
                changed += 1
        if members is not None and (new or changed):
            members.size += grown
            self._changed(key, grown)
        return new + changed if ch else new

    def zincrby(self, key: str, by: Argument, member: Argument) -> float:
        """Add to a member's score, 0 when there is no such member; return the sum."""
        total = (self.zscore(key, member) or 0.0) + number(by)
        self.zadd(key, {member: number(total, "resulting score is not a number (NaN)")})
        return total

    def zrem(self, key: str, *names: Argument) -> int:
        """Remove members; return how many there were."""
        members = self._find(key, Sorted)
        if members is None:
            return 0
        return self._gone(key, members, [name for name in map(encoded, names) if members.remove(name)])

    def zscore(self, key: str, member: Argument) -> float | None:
        """Return a member's score, None when there is no such member."""
        members = self._find(key, Sorted)
        return None if members is None else members.scores.get(encoded(member))

    def zmscore(self, key: str, *names: Argument) -> list[float | None]:
        """Return the scores of several members."""
        return [self.zscore(key, name) for name in names]

    def zcard(self, key: str) -> int:
        """Return how many members there are."""
        members = self._find(key, Sorted)
        return 0 if members is None else len(members.order)

    def zcount(self, key: str, least: Argument, most: Argument) -> int:
        """Return how many members have a score within these bounds."""
        members = self._find(key, Sorted)
        start, stop = (0, 0) if members is None else members.between(least, most)
        return stop - start

    def zrank(self, key: str, member: Argument) -> int | None:
        """Return how many members come before this one, None when there is no such member."""
        members, name = self._find(key, Sorted), encoded(member)
        score = None if members is None else members.scores.get(name)
        return None if members is None or score is None else bisect_left(members.order, (score, name))

    def zrevrank(self, key: str, member: Argument) -> int | None:
        """Return how many members come after this one."""
        rank = self.zrank(key, member)
        return None if rank is None else self.zcard(key) - 1 - rank

    def zrange(
        self, key: str, start: Argument, stop: Argument, *, withscores: bool = False, rev: bool = False
    ) -> list[bytes] | Pairs:
        """Return members by rank, both ends included; negative ones count from the end."""
        first, last = integer(start), integer(stop)
        members = self._find(key, Sorted)
        if members is None:
            return []
        order = members.order[::-1] if rev else members.order
        return _shown(order[slice(*span(first, last, len(order)))], withscores)

    def zrangebyscore(  # Redis has these options
        self,
        key: str,
        least: Argument,
        most: Argument,
        *,
        start: int = 0,
        count: int | None = None,
        withscores: bool = False,
        rev: bool = False,
    ) -> list[bytes] | Pairs:
        """Return members by score: ``zrangebyscore(key, "-inf", "(5")``.

        :param start: how many to leave out, and ``count``: how many to return then (``LIMIT``).
        :param rev: the highest first (``ZREVRANGEBYSCORE``, with the bounds in the same order as without).
        """
        members = self._find(key, Sorted)
        if members is None:
            _bound(least), _bound(most)
            return []
        found = members.order[slice(*members.between(least, most))]
        if rev:
            found.reverse()
        found = found[start:] if count is None or count < 0 else found[start : start + count]
        return _shown(found, withscores)

    def zremrangebyscore(self, key: str, least: Argument, most: Argument) -> int:
        """Remove members by score; return how many there were."""
        members = self._find(key, Sorted)
        if members is None:
            _bound(least), _bound(most)
            return 0
        return self._cut(key, members, *members.between(least, most))

    def zremrangebyrank(self, key: str, start: Argument, stop: Argument) -> int:
        """Remove members by rank; return how many there were."""
        members = self._find(key, Sorted)
        if members is None:
            return 0
        return self._cut(key, members, *span(integer(start), integer(stop), len(members.order)))

    def zpopmin(self, key: str, count: Argument | None = None) -> list[bytes | float] | Pairs:
        """Remove and return the lowest: ``[member, score]``, or with a count a list of them."""
        return self._popped_pair(key, count, highest=False)

    def zpopmax(self, key: str, count: Argument | None = None) -> list[bytes | float] | Pairs:
        """Remove and return the highest."""
        return self._popped_pair(key, count, highest=True)

    def _popped_pair(self, key: str, count: Argument | None, *, highest: bool) -> list[bytes | float] | Pairs:
        most = 1 if count is None else integer(count)
        if most < 0:
            raise refused("value is out of range, must be positive")
        members = self._find(key, Sorted)
        if members is None or not most:
            return []
        found = members.order[: -most - 1 : -1] if highest else members.order[:most]
        start = max(len(members.order) - most, 0) if highest else 0
        self._cut(key, members, start, start + len(found))
        pairs: Pairs = [[member, score] for score, member in found]
        return pairs if count is not None else pairs[0]

    def _cut(self, key: str, members: Sorted, start: int, stop: int) -> int:
        gone = [member for _, member in members.order[start:stop]]
        del members.order[start:stop]
        for member in gone:
            del members.scores[member]
        return self._gone(key, members, gone)

    def _gone(self, key: str, members: Sorted, gone: list[bytes]) -> int:
        if gone:
            freed = sum(map(len, gone)) + ELEMENT * len(gone)
            members.size -= freed
            self._changed(key, -freed)
            if not members.order:
                self._drop(key)
        return len(gone)


def _shown(order: list[tuple[float, bytes]], withscores: bool) -> list[bytes] | Pairs:
    if withscores:
        pairs: Pairs = [[member, score] for score, member in order]
        return pairs
    return [member for _, member in order]


def _bound(bound: Argument) -> tuple[float, bool]:
    """Return a score and whether it is left out."""
    text = bound if isinstance(bound, int | float) else encoded(bound)
    if isinstance(text, bytes) and text.startswith(b"("):
        return number(text[1:], "min or max is not a float"), True
    return number(text, "min or max is not a float"), False


def _after(order: list[tuple[float, bytes]], score: float) -> int:
    """Return the place after all of a score."""
    low, high = 0, len(order)
    while low < high:
        middle = (low + high) // 2
        if order[middle][0] <= score:
            low = middle + 1
        else:
            high = middle
    return low
