"""Which series has which column, and which columns a selector means; asked again, without comparing labels again."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from bedplate.monitor.samples.head import Columns
from bedplate.promql.matching import compiled_matcher
from bedplate.promql.selectors import Matcher
from bedplate.promql.source import Labels

__all__ = ["Index", "Selection"]

#: Selections that are remembered; what dashboards and rules ask fits well within.
_REMEMBERED = 4096

#: Series that are compared before the event loop gets its turn.
_SLICE = 250

#: Columns that are given free at a time.
_FREED = 1000

_ALIVE = np.iinfo(np.int64).max
_FREE = np.iinfo(np.int64).min

#: Bytes of a series besides its samples, roughly: its labels, mostly shared texts, and its places in the tables.
SERIES_COST = 700


@dataclass(frozen=True, slots=True)
class Selection:
    """The columns of some series, ascending, with their labels; the same object for as long as it holds."""

    columns: Columns
    labels: tuple[Labels, ...]

    def taken(self) -> NDArray[np.intp]:
        """Return the columns as numbers."""
        if isinstance(self.columns, slice):
            return np.arange(self.columns.start, self.columns.stop, dtype=np.intp)
        return self.columns


@dataclass(slots=True)
class _Name:
    """The series of one metric name."""

    columns: set[int] = field(default_factory=set)
    #: Another number after every change, never one that was there before.
    version: int = 0
    #: When the last of them ended, Unix milliseconds.
    ended: int = _FREE


@dataclass(slots=True)
class _Known:
    """What was found for one selector: among all series, and among those that have not ended."""

    version: int
    all: Selection
    living: Selection


class Index:
    """The columns of a ring.

    :param most: columns that there may be.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self._columns: dict[Labels, int] = {}
        self._labels: list[Labels | None] = []
        self._ends = np.empty(0, np.int64)
        self._names: dict[str, _Name] = {}
        self._every = _Name()
        self._changes = 0
        self._free: list[int] = []
        self._known: OrderedDict[tuple[str, tuple[tuple[str, str, str], ...]], _Known] = OrderedDict()

    def __len__(self) -> int:
        """Return the number of series that have a column."""
        return len(self._columns)

    @property
    def width(self) -> int:
        """The number of columns, free ones included."""
        return len(self._labels)

    @property
    def size(self) -> int:
        """Bytes that it takes, estimated."""
        return len(self._columns) * SERIES_COST

    def column(self, labels: Labels) -> int | None:
        """Return the column of a series, a new one if need be, which begins or goes on; None when there is no room."""
        column = self._columns.get(labels)
        if column is None:
            if len(self._columns) >= self.most:
                return None
            column = self._add(labels)
        elif self._ends[column] == _ALIVE:
            return column
        self._ends[column] = _ALIVE
        self._touch(labels)
        return column

    def end(self, column: int, at: int) -> None:
        """Note that a series has ended."""
        labels = self._labels[column]
        assert labels is not None
        self._ends[column] = at
        for name in self._touch(labels):
            name.ended = max(name.ended, at)

    def free(self, before: int) -> None:
        """Give free columns of series that ended before a time: no row that is kept has samples of them.

        Some at a time: the rest waits for the next call.
        """
        for column in np.flatnonzero((self._ends < before) & (self._ends != _FREE))[:_FREED].tolist():
            labels = self._labels[column]
            assert labels is not None
            names = self._touch(labels)
            for name in names:
                name.columns.discard(column)
            if not names[0].columns:
                del self._names[labels[0][1] if labels[0][0] == "__name__" else ""]
            del self._columns[labels]
            self._labels[column] = None
            self._ends[column] = _FREE
            self._free.append(column)

    def labels(self) -> list[Labels]:
        """Return the labels of all series."""
        return list(self._columns)

    def selecting(self, name: str, matchers: Sequence[Matcher], since: int) -> Iterator[Selection | None]:
        """Yield None now and then while comparing, and at last the series that meet the conditions.

        Those that have ended before ``since`` may be among them.

        :raises PromqlSyntaxError: when a pattern is none.
        """
        place = self._names.get(name) if name else self._every
        if place is None:
            yield _NOTHING
            return
        key = (name, tuple((item.label, item.operator, item.value) for item in matchers))
        known = self._known.get(key)
        while known is None or known.version != place.version:
            # Series may come and go while somebody else has the event loop: then it is done again.
            version, columns = place.version, list[int]()
            for part in self._matching(place, matchers):
                columns += part
                yield None
            if version == place.version:
                known = self._remember(key, version, columns)
        self._known[key] = known
        self._known.move_to_end(key)
        yield known.living if since > place.ended else known.all

    def _matching(self, place: _Name, matchers: Sequence[Matcher]) -> Iterator[list[int]]:
        # Many series share a value: each is tried once.
        tests = [(item.label, compiled_matcher(item, ""), dict[str, bool]()) for item in matchers]
        candidates = sorted(place.columns)
        for start in range(0, len(candidates), _SLICE):
            part: list[int] = []
            for column in candidates[start : start + _SLICE]:
                labels = self._labels[column]
                if labels is None:
                    continue
                values = dict(labels)
                for label, test, tried in tests:
                    value = values.get(label, "")
                    verdict = tried.get(value)
                    if verdict is None:
                        verdict = tried[value] = test(value)
                    if not verdict:
                        break
                else:
                    part.append(column)
            yield part

    def _remember(self, key: tuple[str, tuple[tuple[str, str, str], ...]], version: int, columns: list[int]) -> _Known:
        living = [column for column in columns if self._ends[column] == _ALIVE]
        before = self._known.get(key)
        every = self._selection(columns, before.all if before else None)
        found = every if len(living) == len(columns) else self._selection(living, before.living if before else None)
        known = self._known[key] = _Known(version, every, found)
        while len(self._known) > _REMEMBERED:
            self._known.popitem(last=False)
        return known

    def _selection(self, columns: list[int], before: Selection | None) -> Selection:
        labels = tuple(labels for column in columns if (labels := self._labels[column]) is not None)
        if before is not None and before.labels == labels:
            labels = before.labels  # the evaluator knows them again by their identity
        if columns and columns[-1] - columns[0] + 1 == len(columns):
            return Selection(slice(columns[0], columns[-1] + 1), labels)
        return Selection(np.array(columns, np.intp), labels)

    def _add(self, labels: Labels) -> int:
        if self._free:
            column = self._free.pop()
            self._labels[column] = labels
        else:
            column = len(self._labels)
            self._labels.append(labels)
            if column >= len(self._ends):
                grown = np.full(max(256, 2 * len(self._ends)), _FREE)
                grown[: len(self._ends)] = self._ends
                self._ends = grown
        self._columns[labels] = column
        name = labels[0][1] if labels[0][0] == "__name__" else ""
        self._names.setdefault(name, _Name()).columns.add(column)
        self._every.columns.add(column)
        return column

    def _touch(self, labels: Labels) -> tuple[_Name, _Name]:
        """Make what was found among the series of this name void."""
        place = self._names[labels[0][1] if labels[0][0] == "__name__" else ""]
        self._changes += 1
        place.version = self._every.version = self._changes
        return place, self._every


_NOTHING = Selection(slice(0, 0), ())
