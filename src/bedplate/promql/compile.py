"""From tree to plan: what is evaluated is chosen here, and what is not is refused by name and position."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from bedplate.promql.aggregating import REDUCTIONS, CountedValues, Quantile, Ranked, Reduced, grouping
from bedplate.promql.calls import (
    DATES,
    Absent,
    Dated,
    EvaluationTime,
    Relabelling,
    Sorted,
    joined_label,
    replaced_label,
)
from bedplate.promql.elementwise import (
    ARITHMETIC,
    COMPARISON,
    FUNCTIONS,
    Applied,
    Constant,
    Negated,
    OfScalar,
    OfTime,
    Scalar,
    ScalarOperation,
    VectorScalar,
)
from bedplate.promql.errors import PromqlSyntaxError, UnsupportedError
from bedplate.promql.histogram import HistogramQuantile
from bedplate.promql.joining import Joined, SetOperation
from bedplate.promql.kernels import KERNELS
from bedplate.promql.labels import Relabelled, nameless
from bedplate.promql.nodes import (
    Aggregation,
    At,
    Binary,
    Call,
    Duration,
    Extended,
    Node,
    Number,
    Offset,
    Parens,
    Ranged,
    Selector,
    Subquery,
    Text,
    Unary,
)
from bedplate.promql.parser import COMPARISONS, SET_OPERATORS
from bedplate.promql.plan import Plan, Scalars, Site, Tables
from bedplate.promql.selecting import InstantSelection, RangeSelection, Subselection, Timing, Windows
from bedplate.promql.source import Labels
from bedplate.promql.types import is_vector
from bedplate.promql.windows import OverRange

__all__ = ["Compiler"]

#: The step of a sub-query that names none: Prometheus' default interval of evaluation.
_DEFAULT_STEP = 60_000
_LABEL = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")

_HISTOGRAMS = "Use the classic histogram's series _bucket, _sum and _count, and histogram_quantile."
_LATER = "Let Prometheus evaluate it: declare the alert external, or record it by a rule."
#: What to use instead of what is not evaluated here.
_INSTEAD = {
    **dict.fromkeys(("histogram_avg", "histogram_count", "histogram_sum", "histogram_stddev"), _HISTOGRAMS),
    **dict.fromkeys(("histogram_stdvar", "histogram_fraction"), _HISTOGRAMS),
    **dict.fromkeys(("holt_winters", "double_exponential_smoothing"), "Use avg_over_time or predict_linear."),
    **dict.fromkeys(("sort_by_label", "sort_by_label_desc"), "Leave it out: it changes the order only."),
    **dict.fromkeys(("limitk", "limit_ratio"), "Use topk."),
    "mad_over_time": "Use stddev_over_time, or quantile_over_time(0.5, …).",
    "info": "Use * on (instance, job) group_left (…) target_info.",
    "fill": "Use or, as in (a or b * 0) + b.",
    "anchored": "Leave it out.",
    "smoothed": "Leave it out.",
}


class Compiler:
    """Makes plans of the parts of one expression.

    :ivar reach: the seconds of past that its selectors see, but for moments fixed with ``@``.
    """

    def __init__(self, expr: str, dialect: int, lookback: float) -> None:
        self.expr = expr
        self.reach = 0.0
        self._dialect = dialect
        self._lookback = lookback
        self._before = 0.0  # seconds that the sub-queries around look back

    def site(self, position: int) -> Site:
        """Return a place for the messages of the evaluation."""
        return Site(self.expr, position)

    def unsupported(self, position: int, name: str, what: str = "") -> UnsupportedError:
        """Return the refusal of something that Prometheus would evaluate."""
        what = what or f"{name} is not evaluated here."
        return UnsupportedError(self.expr, position, what, _INSTEAD.get(name, _LATER))

    def _relabelled(self, position: int, change: Callable[[Labels], Labels] = nameless) -> Relabelled:
        return Relabelled(change, self.site(position))

    # --- scalars ------------------------------------------------------------------------------------------------------

    def scalar(self, node: Node) -> Plan[Scalars]:
        """Return the plan of a scalar."""
        match node:
            case Number():
                return Constant(node.value)
            case Parens():
                return self.scalar(node.operand)
            case Unary():
                operand = self.scalar(node.operand)
                return ScalarOperation(lambda value: -value, (operand,)) if node.operator == "-" else operand
            case Binary():
                compute = COMPARISON.get(node.operator) or ARITHMETIC[node.operator]
                return ScalarOperation(compute, (self.scalar(node.left), self.scalar(node.right)))
            case Call(function="time"):
                return OfTime()
            case Call(function="pi"):
                return Constant(3.141592653589793)
            case Call(function="scalar"):
                return Scalar(self.vector(node.arguments[0]))
        raise self.unsupported(node.start, "This")

    # --- range vectors ------------------------------------------------------------------------------------------------

    def _timing(self, node: Node) -> tuple[Node, Timing, float]:
        """Take the modifiers off; returns what they modify, when it looks, and the offset in seconds."""
        offset, at = 0.0, None
        while isinstance(node, (Offset, At, Extended)):
            if isinstance(node, Extended):
                raise self.unsupported(node.operand.end, node.word)
            if isinstance(node, Offset):
                offset = self._seconds(node.duration)
            elif node.moment is None:
                raise self.unsupported(node.start, "A variable")
            else:
                at = node.moment
            node = node.operand
        moment = at if at is None or isinstance(at, str) else round(at * 1000)
        return node, Timing(round(offset * 1000), moment), offset

    def _seconds(self, duration: Duration) -> float:
        if duration.seconds is None:
            what = "Arithmetic with durations is not evaluated here."
            raise UnsupportedError(self.expr, duration.start, what, "Write the duration that it comes to.")
        return duration.seconds

    def _sees(self, seconds: float) -> None:
        self.reach = max(self.reach, self._before + seconds)

    @contextmanager
    def _inside(self, seconds: float) -> Iterator[None]:
        self._before += seconds
        yield
        self._before -= seconds

    def matrix(self, node: Node) -> Plan[Windows]:
        """Return the plan of a range vector."""
        while isinstance(node, Parens):
            node = node.operand
        base, timing, offset = self._timing(node)
        if isinstance(base, Subquery):
            reach = self._seconds(base.duration)
            step = _DEFAULT_STEP if base.step is None else max(1, round(self._seconds(base.step) * 1000))
            with self._inside(reach + offset):
                inner = self.vector(base.operand)
            return Subselection(inner, timing, round(reach * 1000), step, self._dialect, self.site(base.start))
        assert isinstance(base, Ranged) and isinstance(base.operand, Selector)  # as the types say
        reach = self._seconds(base.duration)
        self._sees(reach + offset)
        return RangeSelection(base.operand, timing, round(reach * 1000), self._dialect, self.site(base.start))

    # --- instant vectors ----------------------------------------------------------------------------------------------

    def vector(self, node: Node) -> Tables:
        """Return the plan of an instant vector."""
        match node:
            case Parens():
                return self.vector(node.operand)
            case Selector() | Offset() | At() | Extended():
                return self._selection(node)
            case Unary():
                operand = self.vector(node.operand)
                return operand if node.operator == "+" else Negated(operand, self._relabelled(node.start))
            case Binary():
                return self._binary(node)
            case Aggregation():
                return self._aggregation(node)
            case Call():
                return self._call(node)
        raise self.unsupported(node.start, "This")

    def _selection(self, node: Node, *, stamps: bool = False) -> InstantSelection:
        base, timing, offset = self._timing(node)
        assert isinstance(base, Selector)  # as the types say
        self._sees(self._lookback + offset)
        site, reach = self.site(base.start), round(self._lookback * 1000)
        return InstantSelection(base, timing, reach, self._dialect, site, stamps=stamps)

    def _binary(self, node: Binary) -> Tables:
        if node.matching.fill:
            raise self.unsupported(node.operator_start, "fill")
        site, operator = self.site(node.operator_start), node.operator
        if operator in SET_OPERATORS:
            return SetOperation(operator, self.vector(node.left), self.vector(node.right), node.matching, site)
        left, right = is_vector(node.left), is_vector(node.right)
        if left and right:
            return Joined(
                operator,
                self.vector(node.left),
                self.vector(node.right),
                node.matching,
                returns_bool=node.returns_bool,
                dialect=self._dialect,
                site=site,
            )
        swapped = not left
        filters = operator in COMPARISONS and not node.returns_bool
        keeps = operator == "atan2" and self._dialect < 3  # Prometheus 2 forgets to drop the metric's name
        return VectorScalar(
            operator,
            self.vector(node.right if swapped else node.left),
            self.scalar(node.left if swapped else node.right),
            swapped=swapped,
            returns_bool=node.returns_bool,
            relabelled=None if filters or keeps else self._relabelled(node.operator_start),
        )

    def _aggregation(self, node: Aggregation) -> Tables:
        operator = node.operator
        if operator in ("limitk", "limit_ratio"):
            raise self.unsupported(node.start, operator)
        operand = self.vector(node.arguments[-1])
        key = grouping(node.labels, without_them=node.without)
        if operator in REDUCTIONS:
            return Reduced(operator, operand, key, self._dialect)
        if operator == "count_values":
            label = self._label(node.arguments[0])
            return CountedValues(label, operand, node.labels, self.site(node.start), without_them=node.without)
        parameter = self.scalar(node.arguments[0])
        if operator == "quantile":
            return Quantile(parameter, operand, key)
        return Ranked(operator, parameter, operand, key, self.site(node.arguments[0].start))

    def _text(self, node: Node) -> str:
        while isinstance(node, Parens):
            node = node.operand
        assert isinstance(node, Text)  # as the types say
        return node.value

    def _label(self, node: Node) -> str:
        text = self._text(node)
        if not text or (self._dialect < 3 and not _LABEL.fullmatch(text)):
            what = f"{text!r} is no name of a label."
            raise PromqlSyntaxError(self.expr, node.start, what, "Use letters, digits and _.")
        return text

    def _call(self, node: Call) -> Tables:
        function, arguments = node.function, node.arguments
        if function in KERNELS:
            return self._over_range(node)
        if function in FUNCTIONS:
            scalars = tuple(self.scalar(argument) for argument in arguments[1:])
            return Applied(function, self.vector(arguments[0]), scalars, self._relabelled(node.start))
        if function in DATES:
            operand = self.vector(arguments[0]) if arguments else OfScalar(OfTime())
            return Dated(function, operand, self._relabelled(node.start))
        special = _SPECIAL.get(function)
        if special is None:
            raise self.unsupported(node.start, function)
        made: Tables = special(self, node)
        return made

    def _over_range(self, node: Call) -> Tables:
        kernel = KERNELS[node.function]
        place = 1 if node.function == "quantile_over_time" else 0
        parameter = self.scalar(node.arguments[1 - place]) if len(node.arguments) > 1 else None
        relabelled = None if kernel.keeps_name else self._relabelled(node.start)
        return OverRange(kernel, self.matrix(node.arguments[place]), parameter, self._dialect, relabelled)

    # --- functions that need more than their values -------------------------------------------------------------------

    def absent(self, node: Call) -> Tables:
        """``absent(vector)``."""
        return Absent(self.vector(node.arguments[0]), _asked_for(node.arguments[0]))

    def absent_over_time(self, node: Call) -> Tables:
        """``absent_over_time(range)``."""
        windows = self.matrix(node.arguments[0])
        present = OverRange(KERNELS["present_over_time"], windows, None, self._dialect, None)
        return Absent(present, _asked_for(node.arguments[0]))

    def timestamp(self, node: Call) -> Tables:
        """``timestamp(vector)``: of a selector, when its samples were taken."""
        argument = node.arguments[0]
        while isinstance(argument, Parens):
            argument = argument.operand
        if isinstance(argument, (Selector, Offset, At)):
            return Relabelling(self._selection(argument, stamps=True), self._relabelled(node.start))
        return EvaluationTime(self.vector(argument), self._relabelled(node.start))

    def histogram_quantile(self, node: Call) -> Tables:
        """``histogram_quantile(share, buckets)``."""
        share, buckets = self.scalar(node.arguments[0]), self.vector(node.arguments[1])
        return HistogramQuantile(share, buckets, self._dialect, self.site(node.start))

    def label_replace(self, node: Call) -> Tables:
        """``label_replace(vector, target, replacement, source, pattern)``."""
        target = self._label(node.arguments[1])
        replacement, source, text = (self._text(argument) for argument in node.arguments[2:])
        try:
            change = replaced_label(target, replacement, source, text)
        except ValueError as error:
            what = f"This pattern cannot be used: {error}."
            mend = "Patterns are RE2's, without look-around and back-references."
            raise PromqlSyntaxError(self.expr, node.arguments[4].start, what, mend) from None
        return Relabelling(self.vector(node.arguments[0]), self._relabelled(node.start, change))

    def label_join(self, node: Call) -> Tables:
        """``label_join(vector, target, separator, source…)``."""
        target, separator = self._label(node.arguments[1]), self._text(node.arguments[2])
        sources = tuple(self._label(argument) for argument in node.arguments[3:])
        change = joined_label(target, separator, sources)
        return Relabelling(self.vector(node.arguments[0]), self._relabelled(node.start, change))


_SPECIAL: dict[str, Callable[[Compiler, Call], Any]] = {
    "absent": Compiler.absent,
    "absent_over_time": Compiler.absent_over_time,
    "timestamp": Compiler.timestamp,
    "histogram_quantile": Compiler.histogram_quantile,
    "label_replace": Compiler.label_replace,
    "label_join": Compiler.label_join,
    "sort": lambda compiler, node: Sorted(compiler.vector(node.arguments[0]), descending=False),
    "sort_desc": lambda compiler, node: Sorted(compiler.vector(node.arguments[0]), descending=True),
    "vector": lambda compiler, node: OfScalar(compiler.scalar(node.arguments[0])),
}


def _asked_for(node: Node) -> Labels:
    """Return the labels that a selector asks for by equality, each by one condition only."""
    while isinstance(node, (Offset, At, Ranged)):
        node = node.operand
    if not isinstance(node, Selector):
        return ()
    found: dict[str, str] = {}
    seen: set[str] = set()
    for matcher in node.matchers:
        if matcher.label == "__name__":
            continue
        if matcher.operator == "=" and matcher.label not in seen:
            found[matcher.label] = matcher.value
            seen.add(matcher.label)
        else:
            found.pop(matcher.label, None)
    return tuple(sorted((label, value) for label, value in found.items() if value))
