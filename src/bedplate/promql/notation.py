"""Series as promtool's rule tests write them, ``0+60x10 _ stale 5``, as a source of samples.

The notation is that of Prometheus' manual, *Unit testing for rules*: a number; ``_`` for no sample; ``stale`` where a
series ends; ``a+bxn`` and ``a-bxn`` for a value and n more, each by b away from the one before; ``axn`` and ``_xn`` for
repetitions, of which ``_xn`` counts n and ``axn`` n + 1.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bedplate.declarations import Series
from bedplate.promql.errors import PromqlSyntaxError
from bedplate.promql.lexer import number
from bedplate.promql.matching import matcher
from bedplate.promql.nodes import Matcher, Selector
from bedplate.promql.parser import parse
from bedplate.promql.source import MISSING, STALE, Labels, Window

__all__ = ["Samples", "load"]

# No hexadecimal numbers, unlike in PromQL: 0x20 is 21 zeros. And NaNx3 is one word, not four values.
_NUMBER = r"[+-]?(?:(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?|[iI]nf|[nN]a[nN])"
_VALUE = re.compile(
    rf"(?P<first>{_NUMBER})(?:(?P<step>[+-]{_NUMBER.removeprefix('[+-]?')})?(?<![nNfF])x(?P<times>[0-9]+))?"
)
_BLANK = re.compile(r"_(?:x(?P<times>[0-9]+))?|(?P<stale>stale)")
#: Samples that one series may have.
_MAX_SAMPLES = 1_000_000


@dataclass(frozen=True, slots=True)
class Samples:
    """Series with samples at the same moments; a :class:`~bedplate.promql.source.Source`.

    :ivar labels: one a column, distinct. :ivar times: Unix milliseconds, ascending. :ivar values: times × labels.
    """

    labels: tuple[Labels, ...]
    times: NDArray[np.int64]
    values: NDArray[np.float64]

    def window(self, name: str, matchers: Sequence[Matcher], start: int, end: int) -> Window:
        """Return the samples of the series that match, from ``start`` to ``end``, both included."""
        matches = matcher(matchers, name)
        columns = [column for column, labels in enumerate(self.labels) if matches(labels)]
        low, high = np.searchsorted(self.times, start), np.searchsorted(self.times, end, side="right")
        labels = tuple(self.labels[column] for column in columns)
        return Window(labels, self.times[low:high], self.values[low:high, columns])


def load(series: Sequence[Series], interval: float = 60.0, start: float = 0.0) -> Samples:
    """Return a source that holds the samples of some series.

    :param interval: seconds between two samples. :param start: Unix seconds of the first.
    :raises PromqlSyntaxError: when a name or the values cannot be read, or name native histograms.
    """
    read = [(_labels(one.series), _values(one.values)) for one in series]
    columns = {labels: column for column, (labels, _) in enumerate(read)}
    if len(columns) < len(read):
        twice = next(one for place, one in enumerate(series) if columns[read[place][0]] != place)
        raise PromqlSyntaxError(twice.series, 0, "This series is given twice.", "Write all its values in one.")
    rows = max((len(values) for _, values in read), default=0)
    table = np.full((rows, len(read)), MISSING)
    for column, (_, values) in enumerate(read):
        table[: len(values), column] = values
    times = np.asarray([round((start + interval * row) * 1000) for row in range(rows)], dtype=np.int64)
    return Samples(tuple(labels for labels, _ in read), times, table)


def _labels(text: str) -> Labels:
    node = parse(text)
    if not isinstance(node, Selector) or any(matcher.operator != "=" for matcher in node.matchers):
        mend = 'Write it as name{label="value"}.'
        raise PromqlSyntaxError(text, 0, "This does not name one series.", mend)
    pairs = {matcher.label: matcher.value for matcher in node.matchers if matcher.value}
    if node.name:
        pairs["__name__"] = node.name
    return tuple(sorted(pairs.items()))


def _values(text: str) -> NDArray[np.float64]:
    parts: list[NDArray[np.float64]] = []
    total = 0
    for word in re.finditer(r"\S+", text):
        part = _part(text, word.group(), word.start())
        total += len(part)
        if total > _MAX_SAMPLES:
            what = f"These are more than {_MAX_SAMPLES:,} values."
            raise PromqlSyntaxError(text, word.start(), what, "Write a longer interval, and fewer values.")
        parts.append(part)
    return np.concatenate(parts) if parts else np.empty(0)


def _part(text: str, word: str, position: int) -> NDArray[np.float64]:
    blank, value = _BLANK.fullmatch(word), _VALUE.fullmatch(word)
    if blank is not None:
        return np.full(_count(text, blank["times"] or "1", position), STALE if blank["stale"] else MISSING)
    if value is not None:
        first, more = _number(value["first"]), _count(text, value["times"] or "0", position)
        step = _number(value["step"]) if value["step"] else 0.0
        # One after the other, as promtool adds them up.
        return np.add.accumulate(np.asarray([first] + [step] * more)) if step else np.full(more + 1, first)
    if "{" in word or "}" in word:
        mend = "Write the classic histogram's series, name_bucket and le."
        raise PromqlSyntaxError(text, position, "Native histograms are not evaluated here.", mend)
    mend = "Write 1, 1x5, 0+10x5, _ , _x5, stale, NaN or Inf, with blanks between."
    raise PromqlSyntaxError(text, position, f"{word!r} is no value of a series.", mend)


def _count(text: str, times: str, position: int) -> int:
    if len(times) > 7 or int(times) > _MAX_SAMPLES:
        what = f"These are more than {_MAX_SAMPLES:,} values."
        raise PromqlSyntaxError(text, position, what, "Write a longer interval, and fewer values.")
    return int(times)


def _number(text: str) -> float:
    value = number(text.lstrip("+-"))
    return -value if text.startswith("-") else value
