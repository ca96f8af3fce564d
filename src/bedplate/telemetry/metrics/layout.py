"""From merged words to samples: names, labels, and which word each sample shows."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bedplate.telemetry.metrics.merge import SLICE, Snapshot
from bedplate.telemetry.metrics.series import Family, Series
from bedplate.telemetry.metrics.sources import Words

__all__ = ["Layout", "Sample", "lay_out"]


@dataclass(frozen=True, slots=True)
class Sample:
    """One line of an exposition: its name, its labels in order, and the family that it belongs to."""

    family: Family
    name: str
    labels: tuple[tuple[str, str], ...]
    exemplar: int = -1


class Layout:
    """All samples of one version of a snapshot, with the arithmetic that turns words into their values."""

    def __init__(self, version: int, samples: list[Sample], take: list[int], families: tuple[Family, ...]) -> None:
        self.version = version
        self.samples = samples
        self._take = np.array(take, np.intp)
        by_width: dict[int, list[int]] = defaultdict(list)
        ratios: list[int] = []
        for family in families:
            if family.raw:
                continue
            if family.type == "histogram":
                by_width[len(family.buckets) + 1].extend(series.base for series in family.series.values())
            elif family.type == "gauge" and family.merge == "ratio":
                ratios.extend(series.base for series in family.series.values())
        self._buckets: list[NDArray[np.intp]] = [
            np.array(bases, np.intp)[:, None] + np.arange(width) for width, bases in by_width.items()
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
    laid = 0
    for family in snapshot.families:
        for series in [series for series in family.series.values() if series.shown]:
            before = len(samples)
            _place(family, series, samples, take)
            laid += len(samples) - before
            if laid >= SLICE:
                laid = 0
                await asyncio.sleep(0)
    return Layout(snapshot.version, samples, take, snapshot.families)


def _place(family: Family, series: Series, samples: list[Sample], take: list[int]) -> None:
    base = series.base
    if family.raw:
        name, *pairs = series.labels
        samples.append(Sample(family, name, tuple((key, value) for key, value in pairs)))
        take.append(base)
        return
    labels = tuple(zip(family.labels, series.labels, strict=True))
    if family.type == "histogram":
        for position, bound in enumerate((*family.buckets, float("inf"))):
            le = "+Inf" if bound == float("inf") else repr(bound)
            exemplar = base + position if family.exemplars else -1
            samples.append(Sample(family, f"{family.name}_bucket", (*labels, ("le", le)), exemplar))
            take.append(base + position)
        last = base + len(family.buckets)
        samples.append(Sample(family, f"{family.name}_sum", labels))
        samples.append(Sample(family, f"{family.name}_count", labels))
        take.extend((last + 1, last))
    elif family.type == "summary":
        samples.append(Sample(family, f"{family.name}_sum", labels))
        samples.append(Sample(family, f"{family.name}_count", labels))
        take.extend((base + 1, base))
    else:
        samples.append(Sample(family, family.name, labels))
        take.append(base)
