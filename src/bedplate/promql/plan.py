"""What a compiled expression is made of: steps of a plan, the tables of values between them, and who runs them.

A table holds all moments of a query at once, time-major: a row a moment, a column a series; an instant query has one
row. Whether a series has a value at a moment is a mask of its own, for every float is a good value, NaN too. So what
depends on labels alone is the same from one evaluation to the next and is kept, and the rest is numpy.

Every step is a generator that yields between slices of its work. :func:`drained` runs one to its end, and
:func:`cooperative` lets the event loop run in between.
"""

from __future__ import annotations

import asyncio
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from bedplate.promql.errors import EvaluationError
from bedplate.promql.source import Labels, Source

__all__ = [
    "MAX_CELLS",
    "SLICE",
    "Floats",
    "Frame",
    "Groups",
    "Mask",
    "Memo",
    "Plan",
    "Run",
    "Scalars",
    "Site",
    "Steps",
    "Tables",
    "Times",
    "combined",
    "cooperative",
    "drained",
    "grouped",
    "row_slices",
]

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]
Times = NDArray[np.int64]
#: A scalar: a value a moment.
Scalars = Floats

T = TypeVar("T")
#: Work in slices: yields between them, returns what it is worth.
Steps = Generator[None, None, T]

#: Cells that a slice of simple arithmetic may touch: some 100 µs.
SLICE = 65_536
#: Label sets that a slice of plain Python may handle.
_LABELS_SLICE = 400
#: Cells of the greatest table.
MAX_CELLS = 10_000_000
#: Seconds of work after which the event loop gets its turn.
_TURN = 0.001


@dataclass(frozen=True, slots=True)
class Site:
    """A place in an expression, for the message of what goes wrong there."""

    expr: str
    position: int

    def fault(self, what: str, mend: str = "") -> EvaluationError:
        """Return the error to raise."""
        return EvaluationError(self.expr, self.position, what, mend)


@dataclass(frozen=True, slots=True)
class Run:
    """One evaluation.

    :ivar times: the moments, Unix milliseconds. :ivar start: the query's own first moment, :ivar end: and last; inside
        a sub-query the moments differ from these.
    """

    source: Source
    times: Times
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Frame:
    """Instant vectors: one a row.

    :ivar labels: one a column, distinct. The same object as long as they do not change.
    :ivar values: moments × series. :ivar present: where there is a value; None for everywhere.
    """

    labels: tuple[Labels, ...]
    values: Floats
    present: Mask | None

    @property
    def mask(self) -> Mask:
        """Where there is a value."""
        return np.ones(self.values.shape, dtype=bool) if self.present is None else self.present


class Plan(ABC, Generic[T]):
    """A step of a compiled expression."""

    @abstractmethod
    def run(self, run: Run) -> Steps[T]:
        """Return the work, in slices."""


#: A plan whose value is instant vectors.
Tables = Plan[Frame]


class Memo(Generic[T]):
    """The last result of something that depends on sets of labels alone.

    :param make: works it out.
    """

    def __init__(self, make: Callable[..., Steps[T]]) -> None:
        self._make = make
        self._last: tuple[tuple[tuple[Labels, ...], ...], T] | None = None

    def of(self, *sets: tuple[Labels, ...]) -> Steps[T]:
        """Return the result for these."""
        last = self._last
        # Tuples compare by identity first, their elements too: unchanged series cost next to nothing.
        if last is not None and last[0] == sets:
            return last[1]
        made = yield from self._make(*sets)
        self._last = (sets, made)
        return made


@dataclass(frozen=True, slots=True)
class Groups:
    """Columns that belong together.

    :ivar labels: one a group. :ivar index: the group of each column. :ivar order: the columns, group by group.
    :ivar starts: where each group begins in that order. :ivar distinct: whether every column is a group of its own.
    """

    labels: tuple[Labels, ...]
    index: NDArray[np.intp]
    order: NDArray[np.intp]
    starts: NDArray[np.intp]
    distinct: bool

    def arranged(self, table: NDArray[Any]) -> NDArray[Any]:
        """Return a table with its columns group by group."""
        return table if self.distinct or len(self.labels) == 1 else table[:, self.order]


def grouped(labels: Sequence[Labels], key: Callable[[Labels], Labels]) -> Steps[Groups]:
    """Group label sets by what a function makes of them; groups come in the order of their first column."""
    numbers: dict[Labels, int] = {}
    index: list[int] = []
    for place, one in enumerate(labels):
        if place % _LABELS_SLICE == _LABELS_SLICE - 1:
            yield
        index.append(numbers.setdefault(key(one), len(numbers)))
    columns = np.asarray(index, dtype=np.intp)
    order = np.argsort(columns, kind="stable")
    starts = np.searchsorted(columns[order], np.arange(len(numbers)))
    return Groups(tuple(numbers), columns, order, starts, len(numbers) == len(labels))


def combined(one: Mask | None, other: Mask | None) -> Mask | None:
    """Return where both are; None means everywhere."""
    if one is None or other is None:
        return other if one is None else one
    return one & other


def row_slices(rows: int, columns: int) -> list[slice]:
    """Return the rows of a table in slices of bearable size."""
    size = max(1, SLICE // max(columns, 1))
    return [slice(start, min(start + size, rows)) for start in range(0, rows, size)]


def drained(steps: Steps[T]) -> T:
    """Run work to its end."""
    with np.errstate(all="ignore"):
        while True:
            try:
                next(steps)
            except StopIteration as done:
                return done.value  # type: ignore[no-any-return]


async def cooperative(steps: Steps[T]) -> T:
    """Run work to its end, and let the event loop run before it and every few milliseconds."""
    try:
        while True:
            await asyncio.sleep(0)
            until = time.perf_counter() + _TURN
            with np.errstate(all="ignore"):  # numpy keeps it a context: not across a turn of the loop
                while time.perf_counter() < until:
                    next(steps)
    except StopIteration as done:
        return done.value  # type: ignore[no-any-return]
