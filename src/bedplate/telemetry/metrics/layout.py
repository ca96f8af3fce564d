"""From merged words to samples: names, labels, and which word each sample shows."""

from __future__ import annotations

import asyncio
from array import array
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import overload

import numpy as np

from bedplate.telemetry.metrics.merge import SLICE, Snapshot
from bedplate.telemetry.metrics.series import Family, Series
from bedplate.telemetry.metrics.sources import Indexes, Words

__all__ = ["Layout", "Sample", "lay_out"]


@dataclass(frozen=True, slots=True)
class Sample:
    """One line of an exposition: its name, its labels in order, and the family that it belongs to."""

    family: Family
    name: str
    labels: tuple[tuple[str, str], ...]
    exemplar: int = -1


class Samples(Sequence[Sample]):
    """The samples of a layout, kept in columns and made when they are asked for.

    A layout lives for hours, and the garbage collector walks every object that it watches in one go, while the event
    loop waits: tuples of text and plain lists are not watched one by one, as so many instances of a class would be.
    """

    __slots__ = ("_exemplars", "_families", "_labels", "_names")

    def __init__(self) -> None:
        self._families: list[Family] = []
        self._names: list[str] = []
        self._labels: list[tuple[tuple[str, str], ...]] = []
        self._exemplars = array("q")

    def append(self, family: Family, name: str, labels: tuple[tuple[str, str], ...], exemplar: int = -1) -> None:
        """Take one more."""
        self._families.append(family)
        self._names.append(name)
        self._labels.append(labels)
        self._exemplars.append(exemplar)

    def __len__(self) -> int:
        return len(self._names)

    @overload
    def __getitem__(self, index: int) -> Sample: ...
    @overload
    def __getitem__(self, index: slice) -> list[Sample]: ...
    def __getitem__(self, index: int | slice) -> Sample | list[Sample]:
        if isinstance(index, slice):
            columns = (self._families, self._names, self._labels, self._exemplars)
            return [Sample(*one) for one in zip(*(column[index] for column in columns), strict=True)]
        return Sample(self._families[index], self._names[index], self._labels[index], self._exemplars[index])

    def __iter__(self) -> Iterator[Sample]:
        for one in zip(self._families, self._names, self._labels, self._exemplars, strict=True):
            yield Sample(*one)


class Layout:
    """All samples of one version of a snapshot, with the arithmetic that turns words into their values.

    :param take: which word each sample shows. :param histograms: where series begin, by their number of buckets.
    :param ratios: where series of merge ``ratio`` begin.
    :param silent: families without a sample, of which only name, type and help are exposed.
    :ivar prefixes: what stands before the numbers in each format, once that has been rendered.
    """

    def __init__(
        self,
        version: int,
        samples: Sequence[Sample],
        take: Indexes,
        histograms: dict[int, list[int]],
        ratios: list[int],
        silent: tuple[Family, ...] = (),
    ) -> None:
        self.version = version
        self.silent = silent
        self.samples = samples
        self.prefixes: dict[bool, list[bytes]] = {}
        self._take = take
        self._buckets = [
            np.array(bases, np.intp)[:, None] + np.arange(buckets, dtype=np.intp)
            for buckets, bases in histograms.items()
        ]
        self._ratios = np.array(ratios, np.intp)

    def values(self, words: Words) -> Words:
        """Return one value a sample; buckets become cumulative, ratios are divided (NaN where the divisor is 0)."""
        words = words.copy()
        for index in self._buckets:
            words[index] = np.cumsum(words[index], axis=1)
        if len(self._ratios):
            numerator, denominator = words[self._ratios], words[self._ratios + 1]
            with np.errstate(divide="ignore", invalid="ignore"):
                words[self._ratios] = np.where(denominator == 0, np.nan, numerator / denominator)
        return words[self._take]


async def lay_out(snapshot: Snapshot) -> Layout:
    """Return the layout of a snapshot, built in slices that leave the event loop its turn."""
    samples = Samples()
    take: list[int] = []
    taken: list[Indexes] = []
    histograms: dict[int, list[int]] = defaultdict(list)
    ratios: list[int] = []
    for series in snapshot.series:
        family = series.family
        if family.type == "histogram" and not family.raw:
            histograms[len(family.buckets) + 1].append(series.base)
        elif family.merge == "ratio":
            ratios.append(series.base)
        _append(samples, take, family, series)
        if len(take) >= SLICE:
            taken.append(np.array(take, np.intp))
            take.clear()
            await asyncio.sleep(0)
    await asyncio.sleep(0)
    taken.append(np.array(take, np.intp))
    return Layout(snapshot.version, samples, np.concatenate(taken), histograms, ratios, snapshot.silent)


def _append(samples: Samples, take: list[int], family: Family, series: Series) -> None:
    """Append each sample of a series, and the word that it shows."""
    base = series.base
    if family.raw:
        name, *pairs = series.labels
        samples.append(family, name, tuple((key, value) for key, value in pairs))
        take.append(base)
        return
    labels = tuple(zip(family.labels, series.labels, strict=True))
    if family.type == "histogram":
        for position, bound in enumerate((*family.buckets, float("inf"))):
            le = "+Inf" if bound == float("inf") else repr(bound)
            exemplar = base + position if family.exemplars else -1
            samples.append(family, f"{family.name}_bucket", (*labels, ("le", le)), exemplar)
            take.append(base + position)
        last = base + len(family.buckets)
        samples.append(family, f"{family.name}_sum", labels)
        samples.append(family, f"{family.name}_count", labels)
        take += last + 1, last
    elif family.type == "summary":
        samples.append(family, f"{family.name}_sum", labels)
        samples.append(family, f"{family.name}_count", labels)
        take += base + 1, base
    else:
        samples.append(family, family.name, labels)
        take.append(base)
