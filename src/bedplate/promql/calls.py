"""Functions of vectors that are not of each value alone: order, time, absence, labels, dates."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np

from bedplate.promql.labels import Relabelled
from bedplate.promql.matching import pattern
from bedplate.promql.plan import Floats, Frame, Run, Steps, Tables
from bedplate.promql.source import Labels

__all__ = ["DATES", "Absent", "Dated", "EvaluationTime", "Relabelling", "Sorted", "joined_label", "replaced_label"]

_DAY = 86400


class Sorted(Tables):
    """``sort`` and ``sort_desc``: an instant vector by value, NaN last. Over a range there is no order."""

    def __init__(self, operand: Tables, *, descending: bool) -> None:
        self._operand = operand
        self._descending = descending

    def run(self, run: Run) -> Steps[Frame]:
        """Arrange the columns."""
        frame = yield from self._operand.run(run)
        if len(frame.values) != 1:
            return frame
        columns = np.flatnonzero(frame.mask[0])
        values = frame.values[0, columns]
        columns = columns[np.argsort(-values if self._descending else values, kind="stable")]
        yield
        return Frame(tuple(frame.labels[column] for column in columns), frame.values[:, columns], None)


class EvaluationTime(Tables):
    """``timestamp`` of what is no selector: the moment of the evaluation."""

    def __init__(self, operand: Tables, relabelled: Relabelled) -> None:
        self._operand = operand
        self._relabelled = relabelled

    def run(self, run: Run) -> Steps[Frame]:
        """Replace the values."""
        frame = yield from self._operand.run(run)
        times = np.repeat((run.times / 1000)[:, None], len(frame.labels), axis=1)
        return (yield from self._relabelled.over(Frame(frame.labels, times, frame.present)))


class Relabelling(Tables):
    """An operand with other labels, or under other names."""

    def __init__(self, operand: Tables, relabelled: Relabelled) -> None:
        self._operand = operand
        self._relabelled = relabelled

    def run(self, run: Run) -> Steps[Frame]:
        """Change the labels."""
        frame = yield from self._operand.run(run)
        return (yield from self._relabelled.over(frame))


class Absent(Tables):
    """One element where the operand has none; its labels are those that the selector asks for."""

    def __init__(self, operand: Tables, labels: Labels) -> None:
        self._operand = operand
        self._labels = (labels,)

    def run(self, run: Run) -> Steps[Frame]:
        """Look for any value."""
        frame = yield from self._operand.run(run)
        absent = np.asarray(~frame.mask.any(axis=1, keepdims=True))
        return Frame(self._labels, np.ones(absent.shape), absent)


def joined_label(target: str, separator: str, sources: tuple[str, ...]) -> Callable[[Labels], Labels]:
    """Return what sets a label to the values of others, joined."""

    def change(labels: Labels) -> Labels:
        values = dict(labels)
        return _with(values, target, separator.join(values.get(source, "") for source in sources))

    return change


def replaced_label(target: str, replacement: str, source: str, text: str) -> Callable[[Labels], Labels]:
    """Return what sets a label to a template filled from another label, where a pattern matches that.

    :raises ValueError: when it is no pattern of RE2.
    """
    matches = pattern(text)

    def change(labels: Labels) -> Labels:
        values = dict(labels)
        match = matches(values.get(source, ""))
        return labels if match is None else _with(values, target, _expanded(replacement, match))

    return change


def _with(values: dict[str, str], label: str, value: str) -> Labels:
    if value:
        values[label] = value
    else:
        values.pop(label, None)
    return tuple(sorted(values.items()))


_TEMPLATE = re.compile(r"\$(?:(\$)|(\w+)|\{(\w+)\})")


def _expanded(template: str, match: Any) -> str:
    """Fill a template as Go's ``Regexp.Expand`` does, ``$1``, ``${1}``, ``$name``; unknown groups are empty."""
    groups = match.re.groupindex

    def fill(found: re.Match[str]) -> str:
        dollar, *names = found.groups()
        if dollar:
            return "$"
        name = names[0] or names[1]
        if name.isdecimal():
            return (match.group(int(name)) or "") if int(name) <= match.re.groups else ""
        return (match.group(groups[name]) or "") if name in groups else ""

    return _TEMPLATE.sub(fill, template)


def _days(seconds: Any) -> Any:
    return np.floor_divide(seconds, _DAY)


def _dates(seconds: Any, unit: str) -> Any:
    return _days(seconds).astype("datetime64[D]").astype(f"datetime64[{unit}]")


def _since(seconds: Any, unit: str) -> Any:
    return _days(seconds) - _dates(seconds, unit).astype("datetime64[D]").astype(np.int64)


def _month_length(seconds: Any) -> Any:
    month = _dates(seconds, "M")
    return ((month + 1).astype("datetime64[D]") - month.astype("datetime64[D]")).astype(np.int64)


#: Parts of a date in UTC, of whole seconds.
DATES: dict[str, Callable[[Any], Any]] = {
    "minute": lambda seconds: np.floor_divide(seconds, 60) % 60,
    "hour": lambda seconds: np.floor_divide(seconds, 3600) % 24,
    "day_of_week": lambda seconds: (_days(seconds) + 4) % 7,
    "day_of_month": lambda seconds: _since(seconds, "M") + 1,
    "day_of_year": lambda seconds: _since(seconds, "Y") + 1,
    "days_in_month": _month_length,
    "month": lambda seconds: _dates(seconds, "M").astype(np.int64) % 12 + 1,
    "year": lambda seconds: _dates(seconds, "Y").astype(np.int64) + 1970,
}


class Dated(Tables):
    """A part of the date of every value, which is a time in Unix seconds."""

    def __init__(self, function: str, operand: Tables, relabelled: Relabelled) -> None:
        self._compute = DATES[function]
        self._operand = operand
        self._relabelled = relabelled

    def run(self, run: Run) -> Steps[Frame]:
        """Compute; what is no time of this world has no date."""
        frame = yield from self._operand.run(run)
        known = np.abs(frame.values) < 1e11
        seconds = np.where(known, frame.values, 0.0).astype(np.int64)
        values: Floats = np.where(known, self._compute(seconds), np.nan)
        yield
        return (yield from self._relabelled.over(Frame(frame.labels, values, frame.present)))
