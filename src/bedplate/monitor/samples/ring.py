"""The ring: a day of a service's own samples in little memory, ready for PromQL.

The latest rows lie as they are (:mod:`.head`); older ones are sealed, a few columns at a time (:mod:`.blocks`). What
PromQL reads of the last minutes are views that cost nothing, what it reads of yesterday is decoded.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import defaultdict, deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bedplate.monitor.samples.blocks import GROUP, ROWS, Chunk, Decoder
from bedplate.monitor.samples.head import Head
from bedplate.monitor.samples.index import Index, Selection
from bedplate.problems import BedplateError
from bedplate.promql.selectors import Matcher
from bedplate.promql.source import MISSING, STALE, Labels, Window

__all__ = ["Loaded", "Ring", "TooManySamplesError", "Wanted"]

#: Rows that may not be overwritten while somebody still reads them as a view.
_MARGIN = 32

#: Rows within which a chunk is sealed, once it is complete.
_SEALING = 64

#: Seconds of decoding before the event loop gets its turn.
_TURN = 0.002

#: Bytes of decoded groups to remember, at most a quarter of what the ring may take.
_DECODED = 16 * 2**20


_Key = tuple[str, tuple[tuple[str, str, str], ...]]


class TooManySamplesError(BedplateError):
    """A query wants more samples than it may have."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What one selector of a query reads; times in Unix milliseconds, both included."""

    name: str
    matchers: tuple[Matcher, ...]
    start: int
    end: int

    @property
    def key(self) -> _Key:
        """The same for selectors that mean the same series."""
        return _key(self.name, self.matchers)


class Ring:
    """Samples of many series at common times; a :class:`~bedplate.promql.source.Source`.

    A row has one time and a cell a series. Times ascend: :meth:`put` refuses what is not later than the last row. A
    window of recent rows is a view: it holds for :data:`_MARGIN` further rows, longer than any evaluation takes.

    :param retention: seconds that rows are kept. :param reach: seconds that are kept uncompressed, for rules.
    :param interval: the usual seconds between rows. :param most_series: series beyond are not kept.
    :param most_bytes: with more, the oldest rows go before their time.
    """

    def __init__(
        self,
        *,
        retention: float = 86_400.0,
        reach: float = 900.0,
        interval: float = 5.0,
        most_series: int = 50_000,
        most_bytes: int = 256 * 2**20,
    ) -> None:
        self._retention = int(retention * 1000)
        self._most_bytes = most_bytes
        reached = min(1000, math.ceil(reach / interval) + 1)
        self._index = Index(most_series)
        self._head = Head(max(reached, ROWS + _SEALING) + _MARGIN)
        self._chunks: deque[Chunk] = deque()
        self._chunks_size = 0
        self._sealing: tuple[Chunk, int] | None = None
        self._sealed = 0
        self._decoder = Decoder(min(_DECODED, most_bytes // 4))
        #: Whether rows went before their time, because of their memory.
        self.shortened = False

    @property
    def series(self) -> int:
        """Series with samples in the rows that are kept."""
        return len(self._index)

    @property
    def width(self) -> int:
        """Columns that there are; every one that :meth:`column` returns is smaller."""
        return self._index.width

    @property
    def rows(self) -> int:
        """Rows that are kept."""
        return self._head.stop - self._first

    @property
    def size(self) -> int:
        """Bytes that it takes, without what the interpreter adds."""
        return self._chunks_size + self._head.size + self._decoder.size + self._index.size

    @property
    def sealed_size(self) -> int:
        """Bytes of the rows that are sealed."""
        return self._chunks_size

    @property
    def since(self) -> int | None:
        """The time of the oldest row in Unix milliseconds; None without any."""
        if self._chunks:
            return int(self._chunks[0].times[0])
        return int(self._head.times(self._first, self._first + 1)[0]) if self.rows else None

    @property
    def last(self) -> int | None:
        """The time of the newest row in Unix milliseconds; None without any."""
        stop = self._head.stop
        return int(self._head.times(stop - 1, stop)[0]) if self.rows else None

    @property
    def _first(self) -> int:
        return self._chunks[0].first if self._chunks else max(self._sealed, self._head.first)

    def column(self, labels: Labels) -> int | None:
        """Return where the samples of a series go; None when there are too many series."""
        return self._index.column(labels)

    def labels(self) -> list[Labels]:
        """Return the labels of all series that are kept."""
        return self._index.labels()

    def put(
        self,
        at: int,
        columns: NDArray[np.intp],
        values: NDArray[np.float64],
        ended: Sequence[int] = (),
    ) -> bool:
        """Add a row; return False, without adding any, when its time is not later than the last row's.

        :param at: Unix milliseconds. :param columns: from :meth:`column`, with a value each.
        :param ended: columns of series that are gone: they get a staleness marker.
        """
        last = self.last
        if last is not None and at <= last:
            return False
        while self._head.stop - self._sealed >= self._head.rows - _MARGIN:
            self.seal()  # nobody has sealed for long; normally that is done in slices, between rows
        row, twin = self._head.append(at, self._index.width)
        row.fill(MISSING)
        row[columns] = values
        if ended:
            row[list(ended)] = STALE
            for column in ended:
                self._index.end(column, at)
        twin[:] = row
        return True

    def seal(self) -> bool:
        """Seal one group of columns if there is one to seal; return whether there may be more to do at once."""
        if self._sealing is None:
            if self._head.stop - self._sealed < ROWS:
                return False
            times = self._head.times(self._sealed, self._sealed + ROWS).copy()
            self._sealing = (Chunk(self._sealed, times), math.ceil(self._index.width / GROUP))
        chunk, groups = self._sealing
        if len(chunk.groups) < groups:
            start = len(chunk.groups) * GROUP
            columns = slice(start, min(start + GROUP, self._index.width))
            chunk.add(self._head.cells(chunk.first, chunk.stop, columns))
        if len(chunk.groups) == groups:
            self._sealing = None
            self._sealed = chunk.stop
            self._chunks.append(chunk)
            self._chunks_size += chunk.size
            self._expire(int(chunk.times[-1]))
        return True

    @property
    def sealing_share(self) -> int:
        """How many groups to seal after each row, so that a chunk is done long before its rows are overwritten."""
        return math.ceil(self._index.width / GROUP / (_SEALING // 2))

    def _expire(self, now: int) -> None:
        expired = False
        while self._chunks and self._chunks[0].times[-1] < now - self._retention:
            self._drop()
            expired = True
        if expired:
            self.shortened = False
        fixed = self._head.size + self._index.size + self._decoder.most
        while len(self._chunks) > 1 and self._chunks_size + fixed > self._most_bytes:
            self._drop()
            self.shortened = expired = True
        if expired and self.since is not None:
            self._index.free(self.since)

    def _drop(self) -> None:
        self._chunks_size -= self._chunks.popleft().size

    def clear(self) -> None:
        """Forget all samples; series keep their columns until they are seen no more."""
        self._head.clear()
        self._chunks.clear()
        self._chunks_size = 0
        self._sealing = None
        self._sealed = self._head.stop
        self._decoder.forget()

    def window(self, name: str, matchers: Sequence[Matcher], start: int, end: int) -> Window:
        """Return all samples of the series that match, from ``start`` to ``end`` Unix milliseconds, both included.

        What is older than the reach is decoded here and now; :meth:`load` does that in slices.
        """
        for window in self._reading(name, matchers, start, end, None):
            if window is not None:
                return window
        raise AssertionError

    async def matching(self, name: str, matchers: Sequence[Matcher], since: int) -> tuple[Labels, ...]:
        """Return the labels of the series that match and have not ended before ``since``, in slices."""
        for found in self._index.selecting(name, matchers, since):
            if found is not None:
                return found.labels
            await asyncio.sleep(0)
        raise AssertionError

    async def load(self, wanted: Sequence[Wanted], most: int | None = None) -> Loaded:
        """Read what a query will ask for, in slices that leave the event loop its turn.

        :param most: samples that it may have.
        :raises TooManySamplesError: when it wants more.
        """
        loaded: dict[_Key, list[tuple[Wanted, Window]]] = defaultdict(list)
        left = most
        for span in _joined(wanted):
            began = time.perf_counter()
            for window in self._reading(span.name, span.matchers, span.start, span.end, left):
                if window is not None:
                    loaded[span.key].append((span, window))
                    left = None if left is None else left - window.values.size
                elif time.perf_counter() - began > _TURN:
                    await asyncio.sleep(0)
                    began = time.perf_counter()
        return Loaded(self, loaded)

    def _reading(
        self, name: str, matchers: Sequence[Matcher], start: int, end: int, most: int | None
    ) -> Iterator[Window | None]:
        """Yield None between steps, and the window at last."""
        selection: Selection | None = None
        for selection in self._index.selecting(name, matchers, start):
            if selection is None:
                yield None
        assert selection is not None
        # What is still in the head, with a margin, is read there; what only the chunks have, is decoded.
        border = max(self._head.first + (_MARGIN if self._head.first else 0), self._first)
        stop = self._head.stop
        times = self._head.times(border, stop)
        if border < stop and (start >= times[0] or border == self._first):
            low, high = np.searchsorted(times, (start, end + 1))
            _check(int(high - low), selection, most)
            yield self._recent(selection, border + int(low), border + int(high))
            return
        yield from self._old(selection, start, end, border, most)

    def _recent(self, selection: Selection, first: int, stop: int) -> Window:
        cells = self._head.cells(first, stop, selection.columns)
        return Window(selection.labels, self._head.times(first, stop), cells)

    def _old(
        self, selection: Selection, start: int, end: int, border: int, most: int | None
    ) -> Iterator[Window | None]:
        parts: list[tuple[Chunk, int, int]] = []
        count = 0
        for chunk in self._chunks:
            low, high = (int(place) for place in np.searchsorted(chunk.times, (start, end + 1)))
            high = min(high, border - chunk.first)
            if low < high:
                parts.append((chunk, low, high))
                count += high - low
        recent_times = self._head.times(border, self._head.stop)
        low, high = (int(place) for place in np.searchsorted(recent_times, (start, end + 1)))
        _check(count + high - low, selection, most)
        values = np.empty((count + high - low, len(selection.labels)))
        times = np.empty(count + high - low, np.int64)
        # The newest rows first: they are what may be overwritten while the old ones are decoded.
        recent = self._recent(selection, border + low, border + high)
        values[count:], times[count:] = recent.values, recent.times
        columns = selection.taken()
        groups, places = np.unique(columns // GROUP, return_index=True)
        bounds = [*places.tolist(), len(columns)]
        at = 0
        for chunk, low, high in parts:
            rows = slice(at, at + high - low)
            times[rows] = chunk.times[low:high]
            for group, place, next_place in zip(groups.tolist(), bounds, bounds[1:], strict=False):
                cells = self._decoder.decoded(chunk, group)
                within = columns[place:next_place] - group * GROUP
                if cells is None:
                    values[rows, place:next_place] = MISSING
                elif within[-1] < len(cells):
                    values[rows, place:next_place] = cells[within, low:high].T
                else:
                    known = int(np.searchsorted(within, len(cells)))
                    values[rows, place : place + known] = cells[within[:known], low:high].T
                    values[rows, place + known : next_place] = MISSING
                yield None
            at += high - low
        yield Window(selection.labels, times, values)


class Loaded:
    """What a query reads, read beforehand; whatever else it asks for comes from the ring."""

    def __init__(self, ring: Ring, windows: Mapping[_Key, Sequence[tuple[Wanted, Window]]]) -> None:
        self._ring = ring
        self._windows = windows

    def window(self, name: str, matchers: Sequence[Matcher], start: int, end: int) -> Window:
        """Return the samples of the series that match."""
        for span, window in self._windows.get(_key(name, matchers), ()):
            if span.start <= start and end <= span.end:
                low, high = np.searchsorted(window.times, (start, end + 1))
                if low == 0 and high == len(window.times):
                    return window
                return Window(window.labels, window.times[low:high], window.values[low:high])
        return self._ring.window(name, matchers, start, end)


def _joined(wanted: Sequence[Wanted]) -> list[Wanted]:
    """Return the same stretches, those of the same series that overlap as one."""
    joined: list[Wanted] = []
    for one in sorted(wanted, key=lambda each: (each.key, each.start)):
        last = joined[-1] if joined else None
        if last is not None and last.key == one.key and one.start <= last.end:
            joined[-1] = Wanted(one.name, one.matchers, last.start, max(last.end, one.end))
        else:
            joined.append(one)
    return joined


def _key(name: str, matchers: Sequence[Matcher]) -> _Key:
    return name, tuple((item.label, item.operator, item.value) for item in matchers)


def _check(rows: int, selection: Selection, most: int | None) -> None:
    if most is not None and rows * len(selection.labels) > most:
        raise TooManySamplesError(
            "The query would load too many samples into memory.", "Ask for less time, or for fewer series."
        )
