"""Conditions on labels: reading them as people write them, and asking whether they hold."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Literal, cast

from bedplate.monitor.alerts.notices import Matcher
from bedplate.problems import BedplateError

__all__ = ["matches", "parse_matcher"]

_FORM = re.compile(r'\s*([A-Za-z_]\w*)\s*(=~|!~|!=|=)\s*(?:"((?:[^"\\]|\\.)*)"|([^\s"]*))\s*\Z', re.DOTALL)
_ESCAPES = {"n": "\n", '"': '"', "\\": "\\"}


def parse_matcher(text: str) -> Matcher:
    """Read a condition: ``severity="warning"``, ``alertname=~"Cache.*"``, ``component!=redis``.

    :raises BedplateError: when it is none.
    """
    from bedplate.promql.matching import pattern

    match = _FORM.match(text)
    if match is None:
        raise BedplateError(f"{text!r} is no condition.", 'Write label="value", or with !=, =~ or !~.')
    label, operator, quoted, plain = match.groups()
    value = plain if quoted is None else re.sub(r"\\(.)", lambda m: _ESCAPES.get(m[1], m[0]), quoted)
    if operator in ("=~", "!~"):
        try:
            pattern(value)
        except ValueError as error:
            raise BedplateError(f"{value!r} is no pattern: {error}.", "Patterns are those of RE2.") from None
    return Matcher(label, cast(Literal["=", "!=", "=~", "!~"], operator), value)


def matches(matchers: Iterable[Matcher], labels: Mapping[str, str]) -> bool:
    """Say whether all conditions hold; a label that is not there is empty."""
    return all(_holds(matcher, labels.get(matcher.label, "")) for matcher in matchers)


def _holds(matcher: Matcher, value: str) -> bool:
    if matcher.operator in ("=", "!="):
        return (value == matcher.value) == (matcher.operator == "=")
    from bedplate.promql.matching import pattern

    return (pattern(matcher.value)(value) is not None) == (matcher.operator == "=~")
