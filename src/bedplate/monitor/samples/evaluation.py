"""Evaluating PromQL over the samples of this process, within limits of time and memory."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeVar

from bedplate.component import Vector
from bedplate.monitor.samples.extents import wanted
from bedplate.monitor.samples.ring import Loaded, Ring
from bedplate.problems import BedplateError
from bedplate.promql import Matrix, Series, compiled, parse
from bedplate.promql.nodes import At, Offset, Parens, Ranged, Selector
from bedplate.promql.source import is_sample

if TYPE_CHECKING:
    from bedplate.monitor.samples.component import Samples

__all__ = ["Evaluator", "NoSamplesError", "QueryTimeoutError"]

T = TypeVar("T")


class NoSamplesError(BedplateError):
    """A process that takes no samples is asked for them."""


class QueryTimeoutError(BedplateError):
    """A query took too long."""


class Evaluator:
    """Evaluates expressions as they are; nothing is narrowed here.

    What a query reads is decoded beforehand and in slices, so that no query keeps the event loop.
    """

    def __init__(self, samples: Samples) -> None:
        self._samples = samples

    @property
    def ring(self) -> Ring:
        """The samples. :raises NoSamplesError: when this process has none."""
        ring = self._samples.ring
        if ring is None:
            raise NoSamplesError(
                "This process takes no samples.", "Ask the ops process of the host, or wait until the service runs."
            )
        return ring

    async def vector(self, expr: str, at: float, *, timeout: float | None = None) -> Vector:
        """Return the value of an expression at a time in Unix seconds.

        :raises BedplateError: when it is no PromQL that can be evaluated, or takes too long or too much.
        """
        query = compiled(expr)
        return await self._timed(self._loaded(expr, at, at, lambda source: query.value_async(source, at)), timeout)

    async def range(self, expr: str, start: float, end: float, step: float, *, timeout: float | None = None) -> Matrix:
        """Return its values from ``start`` to ``end`` in Unix seconds, every ``step`` seconds.

        :raises BedplateError: when it is no PromQL that can be evaluated, or takes too long or too much.
        """
        query = compiled(expr)
        evaluated = self._loaded(expr, start, end, lambda source: query.range_async(source, start, end, step))
        return await self._timed(evaluated, timeout)

    async def samples(self, expr: str, at: float) -> Matrix | None:
        """Return the samples that a range selector such as ``up[5m]`` covers; None when the expression is none.

        :raises BedplateError: when it is no PromQL, or covers too much.
        """
        node = parse(expr)
        while isinstance(node, Parens | Offset | At):
            node = node.operand
        if not isinstance(node, Ranged) or not isinstance(node.operand, Selector):
            return None
        [span] = wanted(expr, at, at)

        async def found(source: Loaded) -> Matrix:
            # Ranges are open on the left, and end with a whole millisecond.
            window = source.window(span.name, span.matchers, span.start + 1, span.end - 1)
            masks = is_sample(window.values)
            series = []
            for column, labels in enumerate(window.labels):
                mask = masks[:, column]
                if mask.any():
                    series.append(Series(dict(labels), window.times[mask] / 1000, window.values[mask, column]))
                if column % 100 == 99:
                    await asyncio.sleep(0)
            return tuple(series)

        return await self._timed(self._loaded(expr, at, at, found), None)

    async def _loaded(self, expr: str, start: float, end: float, evaluate: Callable[[Loaded], Awaitable[T]]) -> T:
        loaded = await self.ring.load(wanted(expr, start, end), self._samples.settings.query_samples)
        return await evaluate(loaded)

    async def _timed(self, work: Awaitable[T], timeout: float | None) -> T:
        seconds = self._samples.settings.query_timeout
        seconds = seconds if timeout is None else min(timeout, seconds)
        try:
            async with asyncio.timeout(seconds):
                return await work
        except TimeoutError:
            raise QueryTimeoutError(
                f"The query took longer than {seconds:g} s.", "Ask for less time, or for fewer series."
            ) from None
