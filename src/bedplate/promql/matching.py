"""Which series a selector means: its conditions as functions of labels, with patterns in linear time.

Patterns are RE2's, as in Prometheus, and not Python's, which a pattern such as ``(a+)+$`` can keep busy for hours.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache

import re2  # type: ignore[import-untyped]

from bedplate.promql.errors import PromqlSyntaxError
from bedplate.promql.nodes import Matcher
from bedplate.promql.source import Labels

__all__ = ["compiled_matcher", "matcher", "pattern"]

#: Bytes that the program of one pattern may take; ``a{1000}{1000}`` would take gigabytes.
_MAX_PROGRAM = 1 << 20


class _Options(re2.Options):  # type: ignore[misc]
    def __init__(self) -> None:
        super().__init__()
        self.max_mem = _MAX_PROGRAM
        self.log_errors = False
        self.dot_nl = True
        self.never_capture = False


@lru_cache(maxsize=1024)
def pattern(text: str) -> Callable[[str], object]:
    """Return what matches a whole text against a pattern, as Prometheus anchors it, and returns RE2's match or None.

    :raises ValueError: when it is no pattern of RE2, or too big.
    """
    try:
        found = re2.compile(text, options=_Options())
    except re2.error as error:
        raise ValueError(_reason(error)) from None
    return found.fullmatch  # type: ignore[no-any-return]


def _reason(error: Exception) -> str:
    first = error.args[0] if error.args else "not a pattern of RE2"
    return first.decode(errors="replace") if isinstance(first, bytes) else str(first)


def compiled_matcher(condition: Matcher, expr: str) -> Callable[[str], bool]:
    """Return the test of one condition on a label's value; a label that is missing has an empty one.

    :param expr: the expression that it stands in, for the error's message.
    :raises PromqlSyntaxError: when its pattern is none.
    """
    value = condition.value
    if condition.operator == "=":
        return lambda text: text == value
    if condition.operator == "!=":
        return lambda text: text != value
    try:
        matches = pattern(value)
    except ValueError as error:
        what = f"The pattern for {condition.label} cannot be used: {error}."
        mend = "Patterns are RE2's, without look-around and back-references."
        raise PromqlSyntaxError(expr or value, condition.start if expr else 0, what, mend) from None
    if condition.operator == "=~":
        return lambda text: matches(text) is not None
    return lambda text: matches(text) is None


def matcher(matchers: Sequence[Matcher], name: str = "") -> Callable[[Labels], bool]:
    """Return the test whether a series meets all conditions of a selector.

    :param name: the metric's name, empty when any will do.
    :raises PromqlSyntaxError: when a pattern is none.
    """
    tests = [(item.label, compiled_matcher(item, "")) for item in matchers]
    if name:
        tests.insert(0, ("__name__", lambda text: text == name))

    def matches(labels: Labels) -> bool:
        values = dict(labels)
        return all(test(values.get(label, "")) for label, test in tests)

    return matches
