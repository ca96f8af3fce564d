"""What a stream holds: entries in the order of their ids, and what each group was given and still owes."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable

from bedplate.state.memory.values import ELEMENT, refused

__all__ = ["FIRST", "LAST", "OWED", "Group", "Id", "Owed", "Stream", "id_text", "parse_id"]

#: Milliseconds and a number within them.
Id = tuple[int, int]
FIRST: Id = (0, 0)
LAST: Id = (2**64 - 1, 2**64 - 1)
#: Bytes that an entry costs in the memory of a group.
OWED = 3 * ELEMENT


def id_text(id: Id) -> bytes:
    """Return an id as Redis writes it."""
    return b"%d-%d" % id


def parse_id(text: bytes, missing: int = 0) -> Id:
    """Return an id.

    :param missing: the number when the text has only milliseconds.
    :raises StoreReplyError: when it is none.
    """
    ms, dash, number = text.partition(b"-")
    if not ms.isdigit() or (dash and not number.isdigit()):
        raise refused("Invalid stream ID specified as stream command argument")
    return int(ms), int(number) if dash else missing


class Owed:
    """An entry that a consumer was given and has not answered for."""

    __slots__ = ("at", "consumer", "times")

    def __init__(self, consumer: bytes, at: int, times: int) -> None:
        self.consumer = consumer
        self.at = at
        self.times = times


class Group:
    """Where a group has read to, and what its consumers owe."""

    __slots__ = ("consumers", "last", "owed")

    def __init__(self, last: Id) -> None:
        self.last = last
        self.owed: dict[Id, Owed] = {}
        self.consumers: dict[bytes, dict[Id, Owed]] = {}

    def consumer(self, name: bytes) -> dict[Id, Owed]:
        """Return what a consumer owes; it comes to be when it is first named."""
        return self.consumers.setdefault(name, {})

    def owe(self, id: Id, owed: Owed) -> None:
        """Note who owes an entry from now on."""
        self.answer(id)
        self.owed[id] = self.consumer(owed.consumer)[id] = owed

    def answer(self, id: Id) -> bool:
        """Note that nobody owes an entry any more; return whether somebody did."""
        owed = self.owed.pop(id, None)
        if owed is not None:
            del self.consumers[owed.consumer][id]
        return owed is not None


class Stream:
    """Entries by id. It stays when it has none."""

    __slots__ = ("entries", "groups", "last", "order", "owed", "size")

    def __init__(self) -> None:
        self.entries: dict[Id, list[bytes]] = {}
        self.order: list[Id] = []
        self.last = FIRST
        self.groups: dict[bytes, Group] = {}
        self.owed = 0
        self.size = 0

    def __len__(self) -> int:
        return len(self.order)

    def __contains__(self, id: Id) -> bool:
        return id in self.entries

    def entry(self, id: Id) -> list[object]:
        """Return an entry; the fields of a removed one are None."""
        fields = self.entries.get(id)
        return [id_text(id), None if fields is None else list(fields)]

    def after(self, id: Id, count: int | None) -> list[Id]:
        """Return the ids after one, so many of them."""
        start = bisect_right(self.order, id)
        return self.order[start : None if count is None or count <= 0 else start + count]

    def append(self, id: Id, fields: list[bytes]) -> int:
        """Append an entry; return the bytes that it takes."""
        self.entries[id] = fields
        self.order.append(id)
        self.last = id
        return _size(fields)

    def remove(self, ids: Iterable[Id]) -> tuple[int, int]:
        """Remove entries; return how many there were, and their bytes."""
        found = freed = 0
        for id in ids:
            fields = self.entries.pop(id, None)
            if fields is not None:
                del self.order[bisect_left(self.order, id)]
                found += 1
                freed += _size(fields)
        return found, freed

    def trimmed(self, *, maxlen: int | None = None, minid: Id | None = None) -> tuple[int, int]:
        """Remove the oldest entries; return how many, and their bytes."""
        gone = 0
        if maxlen is not None:
            gone = max(len(self.order) - maxlen, 0)
        if minid is not None:
            gone = max(gone, bisect_left(self.order, minid))
        ids = self.order[:gone]
        del self.order[:gone]
        return gone, sum(_size(self.entries.pop(id)) for id in ids)


def _size(fields: list[bytes]) -> int:
    return 2 * ELEMENT + sum(map(len, fields))
