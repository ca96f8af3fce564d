"""From an exposition to a row of the ring: which sample goes to which column, and which series are gone."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bedplate.monitor.samples.ring import Ring
from bedplate.promql.source import Labels
from bedplate.telemetry.metrics.layout import Layout, Sample

__all__ = ["Sampler"]

#: Samples that are given their columns before the event loop gets its turn.
_SLICE = 200

Indexes = NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class _Places:
    """Where the samples of one layout go.

    :ivar taken: the samples that have a column. :ivar columns: those columns, and that of ``up``.
    :ivar dropped: how many have none.
    """

    layout: Layout | None
    taken: Indexes
    columns: Indexes
    dropped: int


class Sampler:
    """Puts the samples of one target into a ring, as a scrape of Prometheus would.

    They get the labels ``job`` and ``instance``; a sample that has one of them keeps it as ``exported_job`` or
    ``exported_instance``. ``up`` is 1 in every row. A series that is gone gets a staleness marker.
    """

    def __init__(self, ring: Ring, job: str, instance: str) -> None:
        self.ring = ring
        self._target = {"instance": instance, "job": job}
        self._places = _Places(None, np.empty(0, np.intp), np.empty(0, np.intp), 0)
        #: Columns of series that had a sample in the last row, but for those that were recorded.
        self._living: Indexes = np.empty(0, np.intp)
        self._recorded: dict[str, tuple[float, Mapping[Labels, float]]] = {}
        self._recorded_columns: dict[str, set[int]] = {}

    @property
    def dropped(self) -> int:
        """Series that the ring had no room for."""
        return self._places.dropped

    def record(self, series: Mapping[Labels, float], at: float, group: str) -> None:
        """Put series of a group into the next row; what the group had before and has no more is marked as gone."""
        known = self._recorded.get(group)
        if known is None or known[0] <= at:
            self._recorded[group] = (at, dict(series))

    async def put(self, layout: Layout, values: NDArray[np.float64], at: int) -> bool:
        """Add a row at ``at`` Unix milliseconds; return False when the ring does not take it."""
        if self.ring.last is not None and at <= self.ring.last:
            return False
        if self._places.layout is not layout:
            self._places = await self._placed(layout)
        places = self._places
        columns = places.columns
        numbers = np.append(values[places.taken], np.ones(len(columns) - len(places.taken)))
        ended: set[int] = set()
        if self._recorded:
            more, ended = self._take_recorded()
            columns = np.concatenate([columns, np.array(list(more), np.intp)])
            numbers = np.concatenate([numbers, np.array(list(more.values()))])
        if places.columns is not self._living:
            gone = np.zeros(self.ring.width, np.bool_)
            gone[self._living] = True
            gone[places.columns] = False
            ended |= set(np.flatnonzero(gone).tolist())
        if not self.ring.put(at, columns, numbers, sorted(ended)):
            return False
        self._living = places.columns
        return True

    def _take_recorded(self) -> tuple[dict[int, float], set[int]]:
        """Return the values that were recorded since the last row, by column, and the columns that ended."""
        values: dict[int, float] = {}
        ended: set[int] = set()
        for group, (_, series) in self._recorded.items():
            found = {column: value for one, value in series.items() if (column := self.ring.column(one)) is not None}
            ended |= self._recorded_columns.get(group, set()) - found.keys()
            self._recorded_columns[group] = set(found)
            values |= found
        self._recorded.clear()
        return values, ended - values.keys()

    async def _placed(self, layout: Layout) -> _Places:
        texts: dict[tuple[str, str], tuple[str, str]] = {}
        taken: list[int] = []
        columns: list[int] = []
        up = self.ring.column(self._labels("up", (), texts))
        for number, sample in enumerate(layout.samples):
            column = self.ring.column(self._labels_of(sample, texts))
            if column is not None:
                taken.append(number)
                columns.append(column)
            if number % _SLICE == _SLICE - 1:
                await asyncio.sleep(0)
        dropped = len(layout.samples) - len(taken)
        if up is not None:
            columns.append(up)
        return _Places(layout, np.array(taken, np.intp), np.array(columns, np.intp), dropped)

    def _labels_of(self, sample: Sample, texts: dict[tuple[str, str], tuple[str, str]]) -> Labels:
        return self._labels(sample.name, sample.labels, texts)

    def _labels(
        self, name: str, labels: tuple[tuple[str, str], ...], texts: dict[tuple[str, str], tuple[str, str]]
    ) -> Labels:
        pairs = {"__name__": name, **self._target}
        for key, value in labels:
            if value != "":  # a label without a value is none
                pairs[f"exported_{key}" if key in self._target else key] = str(value)
        # Many series share a pair: one object serves them all.
        return tuple(texts.setdefault(pair, pair) for pair in sorted(pairs.items()))
