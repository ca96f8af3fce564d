"""Which series an expression reads: its selectors, with their positions, and how to change their text.

A selector is found by the grammar and not by a pattern, since nearly every keyword, function and label name is also a
good metric name: ``sum by (job) (by{on="bool"})`` reads ``by``. What is changed is the text, between the positions that
the tree knows; the rest of it stays as it was written.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from bedplate.promql.lexer import PromqlSyntaxError
from bedplate.promql.nodes import Matcher, Selector
from bedplate.promql.parser import AGGREGATORS, parsed

__all__ = [
    "AGGREGATORS",
    "Matcher",
    "Selector",
    "metric_references",
    "narrowed",
    "quoted",
    "rescaled",
    "scoped",
    "selectors",
]

_UNITS = ((604_800_000, "w"), (86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1000, "s"), (1, "ms"))


def selectors(expr: str, *, variables: bool = False) -> list[Selector]:
    """Return every selector of an expression in the order of the text.

    :param variables: also take Grafana's variables where a number, a duration or a label's value stands.
    :raises PromqlSyntaxError: when the expression is no PromQL.
    """
    return list(parsed(expr, variables).selectors)


def metric_references(expr: str, *, variables: bool = False) -> list[tuple[str, int]]:
    """Return the name of every metric that an expression reads, with its offset; a name may come several times.

    :raises PromqlSyntaxError: when the expression is no PromQL.
    """
    found = selectors(expr, variables=variables)
    return [(selector.name, selector.name_start) for selector in found if selector.name]


def quoted(text: str) -> str:
    """Return a text as a string of PromQL."""
    escaped = text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
    return f'"{escaped}"'


def scoped(expr: str, job: str, *, variables: bool = False) -> str:
    """Return the expression with ``job="…"`` in every selector, those of ``absent`` and sub-queries too.

    A selector that says ``job="other"`` itself means another job, such as an exporter's, and is left alone. The rest
    of the text stays as it was written.

    :raises PromqlSyntaxError: when the expression is no PromQL.
    """
    condition = {"job": f"={quoted(job)}"}

    def choose(selector: Selector) -> Mapping[str, str]:
        named = any(matcher.label == "job" and matcher.operator == "=" for matcher in selector.matchers)
        return {} if named else condition

    return narrowed(expr, choose, variables=variables)


def narrowed(expr: str, choose: Callable[[Selector], Mapping[str, str]], *, variables: bool = False) -> str:
    """Return the expression with further conditions in its selectors.

    :param choose: returns the conditions for a selector by label, with operator and quotes:
        ``{"fraud_type": '=~"$fraud_type"'}``; none leaves it as it is.
    :raises PromqlSyntaxError: when the expression is no PromQL.
    """
    parts: list[str] = []
    position = 0
    for selector in selectors(expr, variables=variables):
        matchers = ",".join(f"{label}{condition}" for label, condition in choose(selector).items())
        if matchers:
            parts += (expr[position : selector.insert_at], selector.joint, matchers, "}" * (selector.joint == "{"))
            position = selector.insert_at
    return "".join((*parts, expr[position:]))


def rescaled(expr: str, factor: float, *, variables: bool = False) -> str:
    """Return the expression with every range, step of a subquery and offset multiplied: ``5m`` × 0.02 is ``6s``.

    They are rounded to milliseconds, of which at least one remains. A variable stays.

    :raises PromqlSyntaxError: when the expression is no PromQL, or calculates with durations.
    """
    parts: list[str] = []
    position = 0
    for duration in parsed(expr, variables).durations:
        if duration.seconds is None:
            if expr[duration.start] == "$":
                continue
            what = "This calculation with durations cannot be rescaled."
            raise PromqlSyntaxError(expr, duration.start, what, "Write the duration that it comes to.")
        parts += (expr[position : duration.number_start], _written(abs(duration.seconds) * factor))
        position = duration.end
    return "".join((*parts, expr[position:]))


def _written(seconds: float) -> str:
    left = max(1, round(seconds * 1000)) if seconds else 0
    parts: list[str] = []
    for size, unit in _UNITS:
        count, left = divmod(left, size)
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts) or "0s"
