"""Bound children: the objects on the hot path, each a few words in a cell file.

An update is one or two ``words[i] += x`` statements without a Python call between load and store. CPython looks for
other threads only at calls, function entries and backward jumps (since 3.10), so with the GIL such a statement is
atomic; on a free-threaded build every update takes a lock. ``tests/unit/telemetry/metrics`` pins it.
"""

from __future__ import annotations

import math
import sys
import threading
import time
from bisect import bisect_left
from collections.abc import Callable
from typing import Any

from bedplate.metric import Counter, Gauge, Histogram, Metric
from bedplate.telemetry.context import current

__all__ = [
    "EXEMPLAR_WORDS",
    "CounterCell",
    "GaugeCell",
    "HistogramCell",
    "SummaryCell",
    "counting",
    "instrument",
    "observing",
    "words_of",
]

#: Words of one bucket's exemplar: sequence, value, Unix time, trace id (two), span id.
EXEMPLAR_WORDS = 6

_FREE_THREADED = not getattr(sys, "_is_gil_enabled", lambda: True)()
_MASK = (1 << 64) - 1

#: Stands for the trace of the work at hand.
PRESENT = ("", "")

#: Two threads must not write one exemplar at once; sampled observations are rare enough to share a lock.
_KEEPING = threading.Lock()


class CounterCell:
    """A counter: one word."""

    __slots__ = ("_i", "_w")

    def __init__(self, words: Any, index: int) -> None:
        self._w = words
        self._i = index

    def inc(self, amount: float = 1.0, /) -> None:
        """Add ``amount``; NaN, which would stay for ever, is not added.

        :raises ValueError: when it is negative; counters only grow.
        """
        if amount >= 0:
            self._w[self._i] += amount
        elif amount < 0:
            raise ValueError("A counter cannot go down; use a Gauge for what can.")

    def set(self, value: float, /) -> None:
        """Take over the absolute value of a counter that is kept elsewhere (the kernel, another library)."""
        self._w[self._i] = value

    @property
    def word(self) -> Any:
        """The value as a sequence of one, for what adds to it with every request and without a call."""
        return self._w[self._i : self._i + 1]

    @property
    def value(self) -> float:
        """The value in this process."""
        return float(self._w[self._i])


class GaugeCell:
    """A gauge of merge ``sum``, ``max`` or ``min``: one word."""

    __slots__ = ("_i", "_w")

    def __init__(self, words: Any, index: int) -> None:
        self._w = words
        self._i = index

    def set(self, value: float, /) -> None:
        """Set the value."""
        self._w[self._i] = value

    def inc(self, amount: float = 1.0, /) -> None:
        """Add to the value."""
        self._w[self._i] += amount

    def dec(self, amount: float = 1.0, /) -> None:
        """Subtract from the value."""
        self._w[self._i] -= amount

    @property
    def word(self) -> Any:
        """The value as a sequence of one, for one thread that updates it many times a second without a call."""
        return self._w[self._i : self._i + 1]

    def ratio(self, numerator: float, denominator: float, /) -> None:
        """Refuse: only gauges of merge ``ratio`` take two numbers."""
        raise TypeError("This gauge has no merge='ratio'; use set().")

    @property
    def value(self) -> float:
        """The value in this process."""
        return float(self._w[self._i])


class LastGaugeCell(GaugeCell):
    """A gauge of merge ``last``: the value and when it was written."""

    __slots__ = ()

    def set(self, value: float, /) -> None:
        """Set the value and remember when."""
        now = time.time()
        self._w[self._i] = value
        self._w[self._i + 1] = now

    def inc(self, amount: float = 1.0, /) -> None:
        """Add to the value and remember when."""
        now = time.time()
        self._w[self._i] += amount
        self._w[self._i + 1] = now

    def dec(self, amount: float = 1.0, /) -> None:
        """Subtract from the value and remember when."""
        self.inc(-amount)


class RatioGaugeCell(GaugeCell):
    """A gauge of merge ``ratio``: a numerator and a denominator, which are summed over workers before dividing."""

    __slots__ = ()

    def ratio(self, numerator: float, denominator: float, /) -> None:
        """Set both."""
        self._w[self._i] = numerator
        self._w[self._i + 1] = denominator

    def set(self, value: float, /) -> None:
        """Set the value with weight 1."""
        self.ratio(value, 1.0)

    def inc(self, amount: float = 1.0, /) -> None:
        """Refuse: a ratio is set, not moved."""
        raise TypeError("A gauge with merge='ratio' is set with ratio(numerator, denominator).")

    dec = inc

    @property
    def value(self) -> float:
        """The value in this process, NaN while the denominator is 0."""
        denominator = float(self._w[self._i + 1])
        return float(self._w[self._i]) / denominator if denominator else math.nan


class HistogramCell:
    """A histogram: one word a bucket (not cumulative), the ``+Inf`` bucket, then the sum."""

    __slots__ = ("_bounds", "_i", "_s", "_w")

    def __init__(self, words: Any, index: int, bounds: tuple[float, ...]) -> None:
        self._w = words
        self._i = index
        self._bounds = bounds
        self._s = index + len(bounds) + 1

    def observe(self, value: float, exemplar: tuple[str, str] | None = None, /) -> None:
        """Count one observation; a family without exemplars ignores the second argument. NaN is not counted."""
        bucket = self._i + bisect_left(self._bounds, value)
        if value == value:
            words = self._w
            words[bucket] += 1.0
            words[self._s] += value

    @property
    def count(self) -> int:
        """The number of observations in this process."""
        return int(sum(self._w[self._i : self._s]))

    @property
    def sum(self) -> float:
        """The sum of the observations in this process."""
        return float(self._w[self._s])


class ExemplarHistogramCell(HistogramCell):
    """A histogram that keeps the trace of the latest sampled observation of every bucket."""

    __slots__ = ("_q",)

    def __init__(self, words: Any, index: int, bounds: tuple[float, ...], integers: Any) -> None:
        super().__init__(words, index, bounds)
        self._q = integers

    def observe(self, value: float, exemplar: tuple[str, str] | None = PRESENT, /) -> None:
        """Count one observation, and keep the trace that it is part of when that is sampled.

        :param exemplar: trace id and span id as hex, None for no trace; by default those of the work at hand.
        """
        bucket = bisect_left(self._bounds, value)
        if value == value:
            words = self._w
            words[self._i + bucket] += 1.0
            words[self._s] += value
            if exemplar is not None:
                self._keep(bucket, value, exemplar)

    def _keep(self, bucket: int, value: float, exemplar: tuple[str, str]) -> None:
        if exemplar is PRESENT:
            work = current.get()
            if work is None or not work.sampled:
                return
            exemplar = (work.trace_id, work.span_id)
        trace, span = int(exemplar[0], 16), int(exemplar[1] or "0", 16)
        at, now = self._s + 1 + bucket * EXEMPLAR_WORDS, time.time()
        with _KEEPING:
            # An odd sequence says that the record is being written: a reader in another process skips it.
            self._q[at] = (self._q[at] + 1) | 1
            self._w[at + 1] = value
            self._w[at + 2] = now
            self._q[at + 3] = (trace >> 64) & _MASK
            self._q[at + 4] = trace & _MASK
            self._q[at + 5] = span & _MASK
            self._q[at] += 1


def counting(duration: Any, count: Any, seconds: Any) -> Callable[[float], None]:
    """Return a function that takes how long something took: observed, counted and summed up in one call.

    It is for what is done with every statement, and adds what the three cells' own methods would. The value may not be
    NaN nor negative.
    """
    if type(duration) is not HistogramCell or type(count) is not CounterCell or type(seconds) is not CounterCell:

        def one_by_one(value: float) -> None:
            duration.observe(value)
            count.inc()
            seconds.inc(value)

        return one_by_one
    words_1, start, total, bounds = duration._w, duration._i, duration._s, duration._bounds
    words_2, at_2, words_3, at_3 = count._w, count._i, seconds._w, seconds._i

    def at_once(value: float) -> None:
        bucket = start + bisect_left(bounds, value)
        words_1[bucket] += 1.0
        words_1[total] += value
        words_2[at_2] += 1.0
        words_3[at_3] += value

    return at_once


def observing(first: Any, second: Any, third: Any) -> Callable[[float, float, float], None]:
    """Return a function that counts one observation in each of three histograms, in one call and without exemplars.

    It is for what is done with every request; none of the values may be NaN, and the second is 0 most of the time.
    """
    if not all(isinstance(cell, HistogramCell) for cell in (first, second, third)):

        def one_by_one(one: float, two: float, three: float) -> None:
            first.observe(one, None)
            second.observe(two, None)
            third.observe(three, None)

        return one_by_one
    words_1, start_1, sum_1, bounds_1 = first._w, first._i, first._s, first._bounds
    words_2, start_2, sum_2, bounds_2 = second._w, second._i, second._s, second._bounds
    words_3, start_3, sum_3, bounds_3 = third._w, third._i, third._s, third._bounds
    nothing_2 = start_2 + bisect_left(bounds_2, 0.0)

    def at_once(one: float, two: float, three: float) -> None:
        bucket = start_1 + bisect_left(bounds_1, one)
        words_1[bucket] += 1.0
        words_1[sum_1] += one
        if two:
            bucket = start_2 + bisect_left(bounds_2, two)
            words_2[bucket] += 1.0
            words_2[sum_2] += two
        else:
            words_2[nothing_2] += 1.0
        bucket = start_3 + bisect_left(bounds_3, three)
        words_3[bucket] += 1.0
        words_3[sum_3] += three

    return at_once


class SummaryCell:
    """A summary: the number and the sum of observations."""

    __slots__ = ("_i", "_w")

    def __init__(self, words: Any, index: int) -> None:
        self._w = words
        self._i = index

    def observe(self, value: float, /) -> None:
        """Count one observation. NaN is not counted."""
        if value == value:
            words = self._w
            words[self._i] += 1.0
            words[self._i + 1] += value

    @property
    def count(self) -> int:
        """The number of observations in this process."""
        return int(self._w[self._i])

    @property
    def sum(self) -> float:
        """The sum of the observations in this process."""
        return float(self._w[self._i + 1])


def words_of(metric: Metric) -> int:
    """Return how many words a child of ``metric`` takes."""
    if isinstance(metric, Histogram):
        buckets = len(metric.buckets) + 1
        return buckets + 1 + (buckets * EXEMPLAR_WORDS if metric.exemplars else 0)
    if isinstance(metric, Gauge):
        return 2 if metric.merge in ("last", "ratio") else 1
    return 1 if isinstance(metric, Counter) else 2


def instrument(metric: Metric, words: Any, integers: Any, index: int) -> Any:
    """Return the bound child of ``metric`` at ``index``; ``integers`` is the same memory seen as 64-bit integers."""
    child: Any
    if isinstance(metric, Histogram):
        if metric.exemplars:
            child = ExemplarHistogramCell(words, index, metric.buckets, integers)
        else:
            child = HistogramCell(words, index, metric.buckets)
    elif isinstance(metric, Gauge):
        kinds = {"last": LastGaugeCell, "ratio": RatioGaugeCell}
        child = kinds.get(metric.merge, GaugeCell)(words, index)
    elif isinstance(metric, Counter):
        child = CounterCell(words, index)
    else:
        child = SummaryCell(words, index)
    return _Locked(child) if _FREE_THREADED else child


class _Locked:
    """An instrument whose updates take a lock, for interpreters without a GIL."""

    def __init__(self, child: Any) -> None:
        self._child = child
        self._lock = threading.Lock()

    def __getattr__(self, name: str) -> Any:
        attribute = getattr(self._child, name)
        if not callable(attribute):
            return attribute

        def locked(*args: Any) -> Any:
            with self._lock:
                return attribute(*args)

        return locked
