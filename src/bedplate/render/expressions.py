"""Expressions as files need them: narrowed to their service and to a dashboard's variables, at the scale of time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bedplate.declarations import Variable, seconds
from bedplate.metric import Metric
from bedplate.promql.selectors import Selector, narrowed, rescaled, scoped

__all__ = ["chosen", "duration", "matchers_for", "scaled"]


def scaled(expr: str, factor: float) -> str:
    """Return the expression with every duration in it multiplied; the very text where there is nothing to do."""
    return expr if factor == 1 else rescaled(expr, factor, variables=True)


def duration(text: str, factor: float = 1.0) -> str:
    """Return a duration multiplied, in Prometheus' notation and not under a millisecond."""
    if factor == 1:
        return text
    rest = max(1, round(seconds(text) * factor * 1000)) if seconds(text) else 0
    parts: list[str] = []
    for unit, size in (("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)):
        count, rest = divmod(rest, size)
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts) or "0s"


def matchers_for(selector: Selector, variables: Sequence[Variable], metrics: Mapping[str, Metric]) -> Mapping[str, str]:
    """Return, for each of a dashboard's variables whose label the selector's metric has, the condition that chooses it.

    A selector that fixes the label itself is left alone.
    """
    metric = metrics.get(selector.name)
    if metric is None:
        return {}
    fixed = {matcher.label for matcher in selector.matchers if matcher.operator == "="}
    labels = set(metric.label_names) - fixed
    return {each.label: f'=~"${each.label}"' for each in variables if each.label in labels}


def chosen(expr: str, job: str, variables: Sequence[Variable], metrics: Mapping[str, Metric]) -> str:
    """Return a panel's expression narrowed to its service and to what is chosen at the top of its dashboard."""
    narrow = narrowed(expr, lambda selector: matchers_for(selector, variables, metrics), variables=True)
    return scoped(narrow, job, variables=True)
