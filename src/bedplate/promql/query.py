"""Queries: expressions that are ready to be evaluated, at one moment or over a stretch of time."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np

from bedplate.component import Sample, Vector
from bedplate.promql.compile import Compiler
from bedplate.promql.errors import EvaluationError, UnsupportedError
from bedplate.promql.nodes import Node, Parens, Selector, Text
from bedplate.promql.parser import parsed
from bedplate.promql.plan import Floats, Frame, Plan, Run, Scalars, Steps, Tables, Times, cooperative, drained
from bedplate.promql.source import Labels, Source
from bedplate.promql.types import Type, checked

__all__ = ["MAX_MOMENTS", "Matrix", "Query", "Series", "compiled"]

#: Moments that one range query may ask for; as many as Prometheus' API allows.
MAX_MOMENTS = 11_000
_RESULTS_SLICE = 500


@dataclass(frozen=True, slots=True)
class Series:
    """The values of a series at the moments where it has one.

    :ivar times: Unix seconds. :ivar values: as many.
    """

    labels: dict[str, str]
    times: Floats
    values: Floats


#: The value of an expression over a stretch of time; a scalar is one series without labels.
Matrix = tuple[Series, ...]


class Query:
    """An expression that is parsed, checked and planned. It holds no samples, and may be evaluated at the same time.

    :ivar expr: its text. :ivar selectors: what it reads. :ivar type: of its value: ``scalar``, ``vector``, ``string``.
    :ivar reach: seconds of past that an evaluation looks at: ranges, offsets and the look-back; moments fixed with
        ``@`` are not counted.
    :ivar text: the value of a ``string``, which cannot be evaluated otherwise.
    """

    def __init__(self, expr: str, dialect: Literal[2, 3], lookback: float) -> None:
        tree = parsed(expr)
        self.expr = expr
        self.dialect = dialect
        self.selectors: tuple[Selector, ...] = tree.selectors
        self.type: Type = checked(tree.node, expr)
        self.text = _text(tree.node) if self.type == "string" else ""
        if self.type == "matrix":
            what = "A range vector by itself is not evaluated here."
            mend = "Reduce it with a function, as in last_over_time(…)."
            raise UnsupportedError(expr, tree.node.start, what, mend)
        compiler = Compiler(expr, dialect, lookback)
        self._scalar: Plan[Scalars] | None = None
        self._vector: Tables | None = None
        if self.type == "scalar":
            self._scalar = compiler.scalar(tree.node)
        elif self.type == "vector":
            self._vector = compiler.vector(tree.node)
        self.reach = compiler.reach

    def value(self, source: Source, at: float) -> Vector:
        """Return the value at one moment; what ``sort``, ``topk`` and ``bottomk`` return is in their order.

        :param at: Unix seconds.
        :raises EvaluationError: when the series do not allow it, as where many match many.
        """
        return drained(self._value(source, at))

    async def value_async(self, source: Source, at: float) -> Vector:
        """Return the value at one moment, and let the event loop run meanwhile.

        :param at: Unix seconds.
        :raises EvaluationError: when the series do not allow it, as where many match many.
        """
        return await cooperative(self._value(source, at))

    def range(self, source: Source, start: float, end: float, step: float) -> Matrix:
        """Return the values at every ``step`` seconds from ``start`` to ``end`` Unix seconds, both included.

        :raises EvaluationError: when the series do not allow it, or it asks for too many moments.
        """
        return drained(self._range(source, start, end, step))

    async def range_async(self, source: Source, start: float, end: float, step: float) -> Matrix:
        """Return the values over a stretch of time, and let the event loop run meanwhile; see :meth:`range`."""
        return await cooperative(self._range(source, start, end, step))

    def _value(self, source: Source, at: float) -> Steps[Vector]:
        frame = yield from self._frame(source, np.asarray([round(at * 1000)], dtype=np.int64))
        columns = np.arange(len(frame.labels)) if frame.present is None else np.flatnonzero(frame.present[0])
        values = frame.values[0, columns].tolist()
        found: list[Sample] = []
        for column, value in zip(columns.tolist(), values, strict=True):
            found.append(Sample(dict(frame.labels[column]), value))
            if len(found) % _RESULTS_SLICE == 0:
                yield
        return tuple(found)

    def _range(self, source: Source, start: float, end: float, step: float) -> Steps[Matrix]:
        first, last, width = round(start * 1000), round(end * 1000), round(step * 1000)
        if width < 1 or last < first or (last - first) // width >= MAX_MOMENTS:
            mend = f"Let the end not be before the start, and ask for {MAX_MOMENTS:,} moments at most."
            raise EvaluationError(self.expr, 0, f"{start:.15g} to {end:.15g} by {step:g} is no range.", mend)
        times = np.arange(first, last + 1, width, dtype=np.int64)
        frame = yield from self._frame(source, times)
        seconds = times / 1000
        found: list[Series] = []
        for column, labels in enumerate(frame.labels):
            mask = None if frame.present is None else frame.present[:, column]
            if mask is None or mask.all():
                found.append(Series(dict(labels), seconds, frame.values[:, column]))
            elif mask.any():
                found.append(Series(dict(labels), seconds[mask], frame.values[mask, column]))
            if column % 100 == 99:
                yield
        return tuple(found)

    def _frame(self, source: Source, times: Times) -> Steps[Frame]:
        run = Run(source, times, int(times[0]), int(times[-1]))
        if self._vector is not None:
            return (yield from self._vector.run(run))
        if self._scalar is None:
            raise EvaluationError(self.expr, 0, "A string has no value of numbers.", "Take it from Query.text.")
        values = yield from self._scalar.run(run)
        labels: tuple[Labels, ...] = ((),)
        return Frame(labels, values[:, None], None)


def _text(node: Node) -> str:
    while isinstance(node, Parens):
        node = node.operand
    assert isinstance(node, Text)  # as its type says
    return node.value


@lru_cache(maxsize=512)  # each keeps what it knows of labels
def compiled(expr: str, *, dialect: Literal[2, 3] = 3, lookback: float = 300.0) -> Query:
    """Return the query of an expression.

    :param dialect: the Prometheus whose value it must equal: in 2, ranges and the look-back are closed on the left.
    :param lookback: seconds after which the latest value of a series is too old to be told.
    :raises PromqlSyntaxError: when it is no PromQL.
    :raises UnsupportedError: when it is PromQL that is not evaluated here.
    """
    return Query(expr, dialect, lookback)
