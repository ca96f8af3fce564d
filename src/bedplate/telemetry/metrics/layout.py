"""From merged words to samples: names, labels, and which word each sample shows."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

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


class Layout:
    """All samples of one version of a snapshot, with the arithmetic that turns words into their values.

    :param take: which word each sample shows. :param histograms: where series begin, by their number of buckets.
    :param ratios: where series of merge ``ratio`` begin.
    :ivar prefixes: what stands before the numbers in each format, once that has been rendered.
    """

    def __init__(
        self,
        version: int,
        samples: list[Sample],
        take: Indexes,
        histograms: dict[int, list[int]],
        ratios: list[int],
    ) -> None:
        self.version = version
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
    samples: list[Sample] = []
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
        for sample, word in _samples(family, series):
            samples.append(sample)
            take.append(word)
        if len(take) >= SLICE:
            taken.append(np.array(take, np.intp))
            take.clear()
            await asyncio.sleep(0)
    await asyncio.sleep(0)
    taken.append(np.array(take, np.intp))
    return Layout(snapshot.version, samples, np.concatenate(taken), histograms, ratios)


def _samples(family: Family, series: Series) -> Iterable[tuple[Sample, int]]:
    """Yield each sample of a series with the word that it shows."""
    base = series.base
    if family.raw:
        name, *pairs = series.labels
        yield Sample(family, name, tuple((key, value) for key, value in pairs)), base
        return
    labels = tuple(zip(family.labels, series.labels, strict=True))
    if family.type == "histogram":
        for position, bound in enumerate((*family.buckets, float("inf"))):
            le = "+Inf" if bound == float("inf") else repr(bound)
            exemplar = base + position if family.exemplars else -1
            yield Sample(family, f"{family.name}_bucket", (*labels, ("le", le)), exemplar), base + position
        last = base + len(family.buckets)
        yield Sample(family, f"{family.name}_sum", labels), last + 1
        yield Sample(family, f"{family.name}_count", labels), last
    elif family.type == "summary":
        yield Sample(family, f"{family.name}_sum", labels), base + 1
        yield Sample(family, f"{family.name}_count", labels), base
    else:
        yield Sample(family, family.name, labels), base
