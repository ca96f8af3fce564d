"""Sessions held near: read without asking the store, as long as it tells of changes, and known while it is away."""

from __future__ import annotations

from collections import OrderedDict

from bedplate.state.sessions.record import Entry

__all__ = ["Near"]

#: Gaps whose time is remembered; what was read before older ones is known from when it was read.
_GAPS = 256


class Near:
    """The sessions that this process has read lately, by user; those of the users seen longest ago make room.

    :param most: users of whom sessions are held. :param fresh: seconds after which one is read again, however quiet
        the store is: no lost notice is believed for longer. :param known: seconds for which what was right when the
        store went away is served.
    """

    def __init__(self, most: int, fresh: float, known: float) -> None:
        self._most, self._fresh, self._known = most, fresh, known
        self._kept: OrderedDict[str, dict[str, Entry]] = OrderedDict()
        #: Users of whom a session was held lately, and may be no more.
        self._real: OrderedDict[str, None] = OrderedDict()
        #: Numbers the times in which all changes were told of; a gap ends one and begins the next.
        self.coherent = 0
        self._ended: dict[int, float] = {}
        self._read = False

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, tag: str, field: str, monotonic: float) -> Entry | None:
        """Return a session that is right as far as the store has told, None when it must be asked."""
        fields = self._kept.get(tag)
        if fields is None:
            return None
        entry = fields.get(field)
        if entry is None or entry.coherent != self.coherent or monotonic > entry.over:
            return None
        if monotonic - entry.read > self._fresh:
            return None
        self._kept.move_to_end(tag)
        return entry

    def known(self, tag: str, field: str, monotonic: float) -> Entry | None:
        """Return a session that was right when the store was there last, not long ago, and is not over."""
        entry = self._kept.get(tag, {}).get(field)
        if entry is None or monotonic > entry.over:
            return None
        sound = max(entry.read, self._ended.get(entry.coherent, 0.0))
        return entry if monotonic - sound <= self._known else None

    def put(self, tag: str, field: str, entry: Entry) -> None:
        """Hold a session."""
        fields = self._kept.get(tag)
        if fields is None:
            fields = self._kept[tag] = {}
            if len(self._kept) > self._most:
                self._kept.popitem(last=False)
            self._real[tag] = None
            self._real.move_to_end(tag)
            if len(self._real) > self._most:
                self._real.popitem(last=False)
        fields[field] = entry
        self._read = True

    def is_real(self, tag: str) -> bool:
        """Whether a session of this user was held lately: its cookie is not made up."""
        return tag in self._real

    def drop(self, tag: str, field: str | None = None) -> None:
        """Forget a session, or all of a user."""
        if field is None:
            self._kept.pop(tag, None)
        elif tag in self._kept:
            self._kept[tag].pop(field, None)

    def clear(self) -> None:
        """Forget all."""
        self._kept.clear()

    def lost(self, monotonic: float) -> None:
        """Trust nothing without asking: changes may have been missed. What was right until now is known from now on.

        It is not forgotten: while the store is away it is what is known.
        """
        if not self._read:
            return  # since the last gap nothing was read that could be wrong
        self._read = False
        self._ended[self.coherent] = monotonic
        self.coherent += 1
        if len(self._ended) > _GAPS:
            del self._ended[next(iter(self._ended))]
