"""Expressions as files need them: narrowed to their service and to a dashboard's variables, at the scale of time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bedplate.declarations import Variable, seconds
from bedplate.metric import Metric
from bedplate.promql.lexer import tokenize
from bedplate.promql.selectors import Selector, scoped, selectors

__all__ = ["chosen", "duration", "matchers_for", "scaled"]


def scaled(expr: str, factor: float) -> str:
    """Return the expression with every duration in it multiplied."""
    if factor == 1:
        return expr
    parts: list[str] = []
    position = 0
    for token in tokenize(expr, variables=True):
        if token.kind == "duration":
            parts += (expr[position : token.start], duration(token.text, factor))
            position = token.end
    return "".join((*parts, expr[position:]))


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
    """Return, for each of a dashboard's variables whose label the selector's metric has, the matcher that chooses it.

    A selector that fixes the label itself is left alone.
    """
    metric = metrics.get(selector.name)
    if metric is None:
        return {}
    fixed = {matcher.label for matcher in selector.matchers if matcher.operator == "="}
    labels = set(metric.label_names) - fixed
    return {each.label: f'{each.label}=~"${each.label}"' for each in variables if each.label in labels}


def chosen(expr: str, job: str, variables: Sequence[Variable], metrics: Mapping[str, Metric]) -> str:
    """Return a panel's expression narrowed to its service and to what is chosen at the top of its dashboard."""
    parts: list[str] = []
    position = 0
    for selector in selectors(expr, variables=True):
        found = matchers_for(selector, variables, metrics)
        if found:
            text = ",".join(found.values())
            parts += (expr[position : selector.insert_at], selector.joint, text, "}" * (selector.joint == "{"))
            position = selector.insert_at
    return scoped("".join((*parts, expr[position:])), job, variables=True)
