"""Commands on streams and their consumer groups."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Mapping
from itertools import islice

from bedplate.state.memory.space import Space
from bedplate.state.memory.stream import FIRST, LAST, OWED, Group, Id, Owed, Stream, id_text, parse_id
from bedplate.state.memory.values import encoded, refused
from bedplate.state.store import Argument

__all__ = ["Streams"]

Entry = list[object]


class Streams(Space):
    """``XADD``, ``XREADGROUP`` and their like. An entry is ``[id, [field, value, …]]``; nothing here waits."""

    def xadd(  # Redis has these options
        self,
        key: str,
        fields: Mapping[Argument, Argument],
        id: Argument = "*",
        *,
        maxlen: int | None = None,
        minid: Argument | None = None,
        nomkstream: bool = False,
    ) -> bytes | None:
        """Append an entry; return its id, or None when ``nomkstream`` and there is no stream.

        :param id: ``*`` for the next one of the clock. :param maxlen: entries that are kept, exactly.
        :param minid: the oldest id that is kept. :param nomkstream: do not make a new stream.
        """
        wanted = _wanted_id(encoded(id))
        self._room()
        stream = self._find(key, Stream)
        if stream is None and nomkstream:
            return None
        last = FIRST if stream is None else stream.last
        new = _next_id(wanted, last, self.now_ms)
        if stream is None:
            stream = self._make(key, Stream)
        flat = [encoded(part) for pair in fields.items() for part in pair]
        grown = stream.append(new, flat)
        grown -= stream.trimmed(maxlen=maxlen, minid=None if minid is None else parse_id(encoded(minid)))[1]
        stream.size += grown
        self._changed(key, grown)
        return id_text(new)

    def xlen(self, key: str) -> int:
        """Return how many entries there are."""
        stream = self._find(key, Stream)
        return 0 if stream is None else len(stream)

    def xrange(self, key: str, start: Argument = "-", end: Argument = "+", count: int | None = None) -> list[Entry]:
        """Return entries by id, both ends included; a ``(`` before one leaves it out."""
        return self._between(key, start, end, count, newest=False)

    def xrevrange(self, key: str, end: Argument = "+", start: Argument = "-", count: int | None = None) -> list[Entry]:
        """Return entries by id, the newest first."""
        return self._between(key, start, end, count, newest=True)

    def xread(self, streams: Mapping[str, Argument], count: int | None = None) -> dict[bytes, list[Entry]] | None:
        """Return what came after an id, by stream; ``$`` is the last one. None when nothing did."""
        found = {}
        wanted = []
        for key, after in streams.items():
            stream = self._find(key, Stream)
            wanted.append((key, stream, LAST if encoded(after) == b"$" else parse_id(encoded(after))))
        for key, stream, start in wanted:
            if stream is not None and (ids := stream.after(start, count)):
                found[encoded(key)] = [stream.entry(id) for id in ids]
        return found or None

    def xdel(self, key: str, *names: Argument) -> int:
        """Remove entries; return how many there were. Whoever owes an answer for one still owes it."""
        stream = self._find(key, Stream)
        if stream is None:
            return 0
        found, freed = stream.remove([parse_id(encoded(name)) for name in names])
        if found:
            stream.size -= freed
            self._changed(key, -freed)
        return found

    def xtrim(self, key: str, *, maxlen: int | None = None, minid: Argument | None = None) -> int:
        """Remove the oldest entries, exactly; return how many."""
        least = None if minid is None else parse_id(encoded(minid))
        stream = self._find(key, Stream)
        if stream is None:
            return 0
        found, freed = stream.trimmed(maxlen=maxlen, minid=least)
        if found:
            stream.size -= freed
            self._changed(key, -freed)
        return found

    # Groups.

    def xgroup_create(self, key: str, group: Argument, id: Argument = "$", *, mkstream: bool = False) -> bytes:
        """Make a group that reads what comes after ``id``.

        :raises StoreReplyError: ``BUSYGROUP`` when there is one already, ``ERR`` without a stream.
        """
        name, after = encoded(group), encoded(id)
        self._room()
        stream = self._find(key, Stream)
        if stream is None and not mkstream:
            raise refused("The XGROUP subcommand requires the key to exist.")
        at = (FIRST if stream is None else stream.last) if after == b"$" else parse_id(after)
        if stream is None:
            stream = self._make(key, Stream)
        if name in stream.groups:
            raise refused("Consumer Group name already exists", "BUSYGROUP")
        stream.groups[name] = Group(at)
        self._settled(key)
        return b"OK"

    def xgroup_setid(self, key: str, group: Argument, id: Argument) -> bytes:
        """Let a group go on after another id."""
        stream, found = self._group(key, group, "XGROUP")
        found.last = stream.last if encoded(id) == b"$" else parse_id(encoded(id))
        self._settled(key)
        return b"OK"

    def xgroup_destroy(self, key: str, group: Argument) -> int:
        """Remove a group, with what its consumers owe."""
        stream = self._find(key, Stream)
        if stream is None:
            raise refused("The XGROUP subcommand requires the key to exist.")
        if stream.groups.pop(encoded(group), None) is None:
            return 0
        self._settled(key)
        return 1

    def xgroup_createconsumer(self, key: str, group: Argument, consumer: Argument) -> int:
        """Make a consumer; return 1, or 0 when there is one."""
        _, found = self._group(key, group, "XGROUP")
        if encoded(consumer) in found.consumers:
            return 0
        found.consumer(encoded(consumer))
        self._settled(key)
        return 1

    def xgroup_delconsumer(self, key: str, group: Argument, consumer: Argument) -> int:
        """Remove a consumer with all that it owes; return how many that were. Nobody will answer for them."""
        _, found = self._group(key, group, "XGROUP")
        owed = found.consumers.pop(encoded(consumer), {})
        for id in owed:
            del found.owed[id]
        self._settled(key)
        return len(owed)

    def xreadgroup(  # Redis has these options
        self,
        group: Argument,
        consumer: Argument,
        streams: Mapping[str, Argument],
        *,
        count: int | None = None,
        noack: bool = False,
    ) -> dict[bytes, list[Entry]] | None:
        """Return entries by stream, None when there are none.

        :param streams: the id after which to read in each: ``>`` for what nobody in the group has been given; another
            for what this consumer was given and still owes, where the fields of a removed entry are None.
        :param noack: nobody owes an answer.
        """
        found: dict[bytes, list[Entry]] = {}
        wanted = []
        for key, after in streams.items():
            stream, its = self._group(key, group, "XREADGROUP")
            wanted.append((key, stream, its, None if encoded(after) == b">" else parse_id(encoded(after))))
        for key, stream, its, start in wanted:
            owed = its.consumer(encoded(consumer))
            if start is None:
                entries = self._given(stream, its, encoded(consumer), count, noack)
                if entries:
                    found[encoded(key)] = entries
                    self._settled(key)
                continue
            ids = [id for id in sorted(owed) if id > start][:count]
            found[encoded(key)] = [stream.entry(id) for id in ids]
            for id in ids:
                owed[id].at = self.now_ms
                owed[id].times += 1
        return found or None

    def xack(self, key: str, group: Argument, *names: Argument) -> int:
        """Answer for entries; return for how many an answer was owed."""
        stream = self._find(key, Stream)
        found = None if stream is None else stream.groups.get(encoded(group))
        if found is None:
            return 0
        ids = [parse_id(encoded(name)) for name in names]
        count = sum(found.answer(id) for id in ids)
        if count:
            self._settled(key)
        return count

    def xpending(self, key: str, group: Argument) -> list[object]:
        """Return ``[how many are owed, least id, greatest id, [[consumer, how many], …]]``."""
        _, found = self._group(key, group, "XPENDING")
        if not found.owed:
            return [0, None, None, None]
        owing = [[name, b"%d" % len(owed)] for name, owed in sorted(found.consumers.items()) if owed]
        return [len(found.owed), id_text(min(found.owed)), id_text(max(found.owed)), owing]

    def xpending_range(  # Redis has these options
        self,
        key: str,
        group: Argument,
        start: Argument,
        end: Argument,
        count: int,
        *,
        consumer: Argument | None = None,
        idle: int = 0,
    ) -> list[list[object]]:
        """Return what is owed, in the order of ids: ``[[id, consumer, ms since it was given, how often], …]``."""
        low, high = _bounds(encoded(start), encoded(end))
        _, found = self._group(key, group, "XPENDING")
        of = None if consumer is None else encoded(consumer)
        wanted = (
            [id_text(id), owed.consumer, self.now_ms - owed.at, owed.times]
            for id, owed in sorted(found.owed.items())
            if low <= id <= high and (of is None or owed.consumer == of) and self.now_ms - owed.at >= idle
        )
        return list(islice(wanted, count))

    def xclaim(  # Redis has these options
        self, key: str, group: Argument, consumer: Argument, idle: int, *names: Argument, justid: bool = False
    ) -> list[object]:
        """Take over what others owe for at least ``idle`` ms; return the entries. Removed ones are forgotten."""
        stream, found = self._group(key, group, "XCLAIM")
        taken: list[object] = []
        for id in [parse_id(encoded(name)) for name in names]:
            owed = found.owed.get(id)
            if owed is None or (id in stream and self.now_ms - owed.at < idle):
                continue
            if id not in stream:
                found.answer(id)
                continue
            taken.append(self._taken(stream, found, id, encoded(consumer), justid))
        self._settled(key)
        return taken

    def xautoclaim(  # Redis has these options
        self,
        key: str,
        group: Argument,
        consumer: Argument,
        idle: int,
        start: Argument = "0-0",
        *,
        count: int = 100,
        justid: bool = False,
    ) -> list[object]:
        """Take over what others owe for at least ``idle`` ms, from an id on.

        Return ``[id to go on with, 0-0 at the end; entries; ids that were owed and are removed]``.
        """
        low, _ = _bounds(encoded(start), b"+")
        stream, found = self._group(key, group, "XAUTOCLAIM")
        found.consumer(encoded(consumer))
        taken: list[object] = []
        removed: list[bytes] = []
        attempts, left = 10 * count, count
        ids = [id for id in sorted(found.owed) if id >= low]
        place = 0
        while place < len(ids) and attempts and left:
            id = ids[place]
            place += 1
            attempts -= 1
            if id not in stream:
                found.answer(id)
                removed.append(id_text(id))
                left -= 1
            elif self.now_ms - found.owed[id].at >= idle:
                taken.append(self._taken(stream, found, id, encoded(consumer), justid))
                left -= 1
        self._settled(key)
        return [id_text(ids[place]) if place < len(ids) else b"0-0", taken, removed]

    def xinfo_groups(self, key: str) -> list[dict[bytes, object]]:
        """Return name, consumers, pending and last-delivered-id of every group."""
        stream = self._find(key, Stream)
        if stream is None:
            raise refused("no such key")
        return [
            {
                b"name": name,
                b"consumers": len(group.consumers),
                b"pending": len(group.owed),
                b"last-delivered-id": id_text(group.last),
            }
            for name, group in sorted(stream.groups.items())
        ]

    def _settled(self, key: str) -> None:
        """Note that something about a stream's groups changed: what is owed takes room, too."""
        stream = self._data[key]
        owed = sum(len(group.owed) for group in stream.groups.values())
        grown = (owed - stream.owed) * OWED
        stream.owed = owed
        stream.size += grown
        self._changed(key, grown)

    def _between(self, key: str, start: Argument, end: Argument, count: int | None, *, newest: bool) -> list[Entry]:
        low, high = _bounds(encoded(start), encoded(end))
        stream = self._find(key, Stream)
        if stream is None or low > high:
            return []
        order = stream.order
        ids = order[bisect_left(order, low) : bisect_right(order, high)]
        if newest:
            ids.reverse()
        return [stream.entry(id) for id in ids[: None if count is None or count < 0 else count]]

    def _group(self, key: str, group: Argument, command: str) -> tuple[Stream, Group]:
        stream = self._find(key, Stream)
        found = None if stream is None else stream.groups.get(encoded(group))
        if stream is None and command == "XGROUP":
            raise refused("The XGROUP subcommand requires the key to exist.")
        if stream is None or found is None:
            name = encoded(group).decode("utf-8", "replace")
            raise refused(f"No such key '{key}' or consumer group '{name}'", "NOGROUP")
        return stream, found

    def _given(self, stream: Stream, group: Group, consumer: bytes, count: int | None, noack: bool) -> list[Entry]:
        ids = stream.after(group.last, count)
        for id in ids:
            if not noack:
                group.owe(id, Owed(consumer, self.now_ms, 1))
            group.last = id
        return [stream.entry(id) for id in ids]

    def _taken(self, stream: Stream, group: Group, id: Id, consumer: bytes, justid: bool) -> object:
        before = group.owed[id]
        group.owe(id, Owed(consumer, self.now_ms, before.times + (not justid)))
        return id_text(id) if justid else stream.entry(id)


def _bounds(start: bytes, end: bytes) -> tuple[Id, Id]:
    """Return the first and the last id of a range; a lone time stands for all of its millisecond."""
    signs = {b"-": FIRST, b"+": LAST}
    low = signs.get(start) or parse_id(start.removeprefix(b"("))
    high = signs.get(end) or parse_id(end.removeprefix(b"("), missing=LAST[1])
    if start.startswith(b"("):
        if low == LAST:
            raise refused("invalid start ID for the interval")
        low = (low[0], low[1] + 1) if low[1] < LAST[1] else (low[0] + 1, 0)
    if end.startswith(b"("):
        if high == FIRST:
            raise refused("invalid end ID for the interval")
        high = (high[0], high[1] - 1) if high[1] else (high[0] - 1, LAST[1])
    return low, high


def _wanted_id(text: bytes) -> tuple[int | None, int | None]:
    """Return the milliseconds and the number that a new entry shall have, None for what the stream chooses."""
    if text == b"*":
        return None, None
    ms, number = parse_id(text.removesuffix(b"-*"))
    if text.endswith(b"-*"):
        return ms, None
    if (ms, number) == FIRST:
        raise refused("The ID specified in XADD must be greater than 0-0")
    return ms, number


def _next_id(wanted: tuple[int | None, int | None], last: Id, now_ms: int) -> Id:
    ms, number = wanted
    if ms is None:
        return (now_ms, 0) if now_ms > last[0] else (last[0], last[1] + 1)
    if number is None:
        number = last[1] + 1 if ms == last[0] else 0
    if (ms, number) <= last:
        raise refused("The ID specified in XADD is equal or smaller than the target stream top item")
    return ms, number
