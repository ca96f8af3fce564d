"""Operators between two vectors: series find each other by their labels."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bedplate.promql.elementwise import ARITHMETIC, COMPARISON
from bedplate.promql.labels import by, merged, nameless, without
from bedplate.promql.nodes import Matching
from bedplate.promql.plan import (
    MAX_CELLS,
    Frame,
    Groups,
    Mask,
    Memo,
    Run,
    Site,
    Steps,
    Tables,
    combined,
    grouped,
    row_slices,
)
from bedplate.promql.source import Labels

__all__ = ["Joined", "SetOperation"]

#: Pairs of series that one operation may make.
_MAX_PAIRS = 1_000_000
_TWICE = "Several series come to have the same labels"
_TELL_APART = "Match by labels that tell them apart."


def _signature(matching: Matching) -> Callable[[Labels], Labels]:
    return by(matching.labels) if matching.on else without((*matching.labels, "__name__"))


@dataclass(frozen=True, slots=True)
class _Pairs:
    """Which columns of two tables meet.

    :ivar many: a column a pair, of the side that may have several; None for each once, in order. :ivar one: likewise.
    :ivar unique: pairs of which only one may have a value at a moment. :ivar results: pairs with equal labels.
    :ivar ones: the columns of the other side by what they are matched by: only one of each may have a value.
    """

    many: NDArray[np.intp] | None
    one: NDArray[np.intp] | None
    unique: Groups
    results: Groups
    ones: Groups


class Joined(Tables):
    """Arithmetic or a comparison between two vectors.

    :param returns_bool: a comparison tells 0 or 1 and filters nothing.
    """

    def __init__(
        self,
        operator: str,
        left: Tables,
        right: Tables,
        matching: Matching,
        *,
        returns_bool: bool,
        dialect: int,
        site: Site,
    ) -> None:
        self._filters = operator in COMPARISON and not returns_bool
        # Prometheus 2 forgets to drop the metric's name after atan2.
        self._keeps_name = self._filters or (operator == "atan2" and dialect < 3)
        self._compute = COMPARISON.get(operator) or ARITHMETIC[operator]
        self._left, self._right = left, right
        self._matching = matching
        self._key = _signature(matching)
        self._dialect = dialect
        self._site = site
        self._pairs = Memo(self._paired)
        self._ones = Memo(lambda labels: grouped(labels, self._key))

    def run(self, run: Run) -> Steps[Frame]:
        """Pair the columns, compute, and refuse what would be ambiguous."""
        left = yield from self._left.run(run)
        right = yield from self._right.run(run)
        swapped = self._matching.group == "right"
        many, one = (right, left) if swapped else (left, right)
        ones = yield from self._ones.of(one.labels)
        if ones.distinct:
            pairs = yield from self._pairs.of(many.labels, one.labels)
        else:
            # Series that come and go: those that have values now may still be told apart.
            many, one = _inhabited(many), _inhabited(one)
            pairs = yield from self._paired(many.labels, one.labels)
            self._refuse_many(many, one, pairs.ones)
        width = len(pairs.results.index)
        if len(run.times) * width > MAX_CELLS:
            what = f"{width:,} pairs of series at {len(run.times):,} moments are too many."
            raise self._site.fault(what, "Match by more labels, or ask for fewer moments.")
        values = np.empty((len(run.times), width))
        keep = np.empty(values.shape, dtype=bool) if self._filters else None
        present = combined(_columns(many.present, pairs.many), _columns(one.present, pairs.one))
        for rows in row_slices(*values.shape):
            first, second = _columns(many.values[rows], pairs.many), _columns(one.values[rows], pairs.one)
            if swapped:
                first, second = second, first
            if keep is None:
                values[rows] = self._compute(first, second)
            else:
                keep[rows] = self._compute(first, second)
                values[rows] = first
            yield
        filtered = combined(present, keep)
        self._refuse_twice(pairs, present if self._dialect >= 3 else filtered, values.shape)
        return merged(values, filtered, pairs.results, self._site, _TWICE, _TELL_APART)

    def _paired(self, many: tuple[Labels, ...], one: tuple[Labels, ...]) -> Steps[_Pairs]:
        ones = yield from grouped(one, self._key)
        found: dict[Labels, list[int]] = {}
        for column, group in enumerate(ones.index.tolist()):
            found.setdefault(ones.labels[group], []).append(column)
            if column % 2000 == 1999:
                yield
        left: list[int] = []
        right: list[int] = []
        results: list[Labels] = []
        keys: list[Labels] = []
        numbers: dict[Labels, str] = {}
        for column, labels in enumerate(many):
            signature = self._key(labels)
            for other in found.get(signature, ()):
                left.append(column)
                right.append(other)
                results.append(self._result(labels, one[other]))
                number = (("", numbers.setdefault(signature, str(len(numbers)))),)
                keys.append((*results[-1], *number) if self._matching.group else number)
            if len(left) > _MAX_PAIRS:
                raise self._site.fault(f"More than {_MAX_PAIRS:,} pairs of series meet.", "Match by more labels.")
            if column % 200 == 199:
                yield
        unique = yield from grouped(keys, lambda key: key)
        same = yield from grouped(results, lambda key: key)
        return _Pairs(_order(left, len(many)), _order(right, len(one)), unique, same, ones)

    def _result(self, many: Labels, one: Labels) -> Labels:
        """Return the labels of a pair's result."""
        labels = many if self._keeps_name else nameless(many)
        matching = self._matching
        if not matching.group:
            return (by if matching.on else without)(matching.labels)(labels)
        if not matching.include:
            return labels
        copied = {label: value for label, value in one if label in matching.include}
        kept = {label: value for label, value in labels if label not in matching.include}
        return tuple(sorted((kept | copied).items()))

    def _refuse_many(self, many: Frame, one: Frame, ones: Groups) -> None:
        if ones.distinct or not len(many.labels):
            return
        counts = np.add.reduceat(one.mask[:, ones.order], ones.starts, axis=1, dtype=np.int64)
        twice = (counts > 1) & many.mask.any(axis=1, keepdims=True)  # without the other side nothing is matched
        if twice.any():
            side = {"left": "right", "right": "left"}.get(self._matching.group, "right")
            shown = _shown(ones.labels[int(np.argmax(twice.any(axis=0)))])
            what = f"Several series on the {side} have the same labels to match by, {shown}: many-to-many."
            raise self._site.fault(what, "Match by labels that tell them apart, or aggregate that side first.")

    def _refuse_twice(self, pairs: _Pairs, present: Mask | None, shape: tuple[int, ...]) -> None:
        unique = pairs.unique
        if unique.distinct or not shape[0]:
            return
        mask = np.ones(shape, dtype=bool) if present is None else present
        twice = np.add.reduceat(mask[:, unique.order], unique.starts, axis=1, dtype=np.int64) > 1
        if not twice.any():
            return
        if self._matching.group:
            what = "Several pairs come to have the same labels."
            raise self._site.fault(what, f"Name labels in group_{self._matching.group}(…) that tell them apart.")
        what = "Several series on the left match the same one on the right."
        raise self._site.fault(what, "Say so with group_left, or aggregate the left side first.")


def _order(columns: list[int], count: int) -> NDArray[np.intp] | None:
    return None if columns == list(range(count)) else np.asarray(columns, dtype=np.intp)


def _columns(table: Any, chosen: NDArray[np.intp] | None) -> Any:
    return table if chosen is None or table is None else table[:, chosen]


def _inhabited(frame: Frame) -> Frame:
    """Return a table without the columns that never have a value."""
    if frame.present is None:
        return frame
    columns = np.flatnonzero(frame.present.any(axis=0))
    labels = tuple(frame.labels[column] for column in columns)
    return Frame(labels, frame.values[:, columns], frame.present[:, columns])


def _shown(labels: Iterable[tuple[str, str]]) -> str:
    return "{" + ", ".join(f'{label}="{value}"' for label, value in labels) + "}"


class SetOperation(Tables):
    """``and``, ``or``, ``unless``."""

    def __init__(self, operator: str, left: Tables, right: Tables, matching: Matching, site: Site) -> None:
        self._operator = operator
        self._left, self._right = left, right
        self._key = _signature(matching)
        self._site = site
        self._shared = Memo(self._signatures)
        self._both = Memo(lambda labels: grouped(labels, lambda one: one))
        self._union: tuple[Labels, ...] = ()

    def _signatures(self, left: tuple[Labels, ...], right: tuple[Labels, ...]) -> Steps[Groups]:
        return grouped((*left, *right), self._key)

    def run(self, run: Run) -> Steps[Frame]:
        """Find out which signatures are there at each moment, then mask."""
        left = yield from self._left.run(run)
        right = yield from self._right.run(run)
        shared = yield from self._shared.of(left.labels, right.labels)
        split = len(left.labels)
        ours, theirs = shared.index[:split], shared.index[split:]
        yield
        if self._operator != "or":
            there = _there(right, theirs, len(shared.labels))[:, ours]
            mask = there if self._operator == "and" else ~there
            return Frame(left.labels, left.values, combined(left.present, mask))
        there = _there(left, ours, len(shared.labels))[:, theirs]
        extra = right.mask & ~there
        if not extra.any():
            return left
        union = left.labels + right.labels
        if union != self._union:
            self._union = union
        groups = yield from self._both.of(self._union)
        values = np.concatenate((left.values, right.values), axis=1)
        mask = np.concatenate((left.mask, extra), axis=1)
        return merged(values, mask, groups, self._site, _TWICE, _TELL_APART)


def _there(frame: Frame, index: NDArray[np.intp], count: int) -> Mask:
    """Return which signatures have a value at each moment."""
    if frame.present is None:
        row = np.zeros(count, dtype=bool)
        row[index] = True
        return np.broadcast_to(row, (len(frame.values), count))
    there = np.zeros((len(frame.values), count), dtype=bool)
    rows, columns = np.nonzero(frame.present)
    there[rows, index[columns]] = True
    return there
