"""From numbers to traces: requests that fell into the buckets of a histogram, the slowest first."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass

from bedplate.console.interfaces import Sources
from bedplate.problems import BedplateError
from bedplate.promql.selectors import metric_references

__all__ = ["Example", "examples_of"]

_MOST = 8


@dataclass(frozen=True, slots=True)
class Example:
    """A request that is part of a number. :ivar kept: whether its trace is still there."""

    trace_id: str
    value: float
    at: float
    labels: tuple[tuple[str, str], ...]
    kept: bool


async def examples_of(sources: Sources, exprs: Iterable[str]) -> list[Example]:
    """Return traces of what expressions measure, the greatest values first, each trace once."""
    if sources.exemplars is None:
        return []
    names: set[str] = set()
    for expr in exprs:
        try:
            names |= {name for name, _ in metric_references(expr, variables=True)}
        except BedplateError:
            continue
    families = {name.removesuffix(end) for name in names for end in ("_bucket", "_sum", "_count", "")}
    found = await sources.exemplars.exemplars(families)
    found.sort(key=lambda pair: -pair[1][2])
    examples: dict[str, Example] = {}
    for sample, (trace_id, _, value, at) in found:
        if trace_id in examples or len(examples) >= _MOST:
            continue
        kept = sources.traces is not None and await asyncio.to_thread(sources.traces.get, trace_id) is not None
        labels = tuple((name, text) for name, text in sample.labels if name != "le")
        examples[trace_id] = Example(trace_id, value, at, labels, kept)
    return list(examples.values())
