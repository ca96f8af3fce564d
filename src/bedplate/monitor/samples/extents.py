"""Which samples an expression will read, known before it is evaluated."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from bedplate.monitor.samples.ring import Wanted
from bedplate.promql.nodes import Aggregation, At, Binary, Call, Node, Offset, Ranged, Selector, Subquery
from bedplate.promql.parser import parse

__all__ = ["wanted"]


@dataclass(frozen=True, slots=True)
class _Span:
    """When a node is evaluated.

    :ivar start: of the whole query. :ivar end: of it. :ivar first: of the node. :ivar last: of it; Unix seconds.
    :ivar offset: seconds by which selectors below look back from there. :ivar reach: and how far.
    """

    start: float
    end: float
    first: float
    last: float
    offset: float
    reach: float


def wanted(expr: str, start: float, end: float, *, lookback: float = 300.0) -> list[Wanted]:
    """Return what each selector reads when the expression is evaluated from ``start`` to ``end``, Unix seconds.

    It may be a little more than needed.

    :raises PromqlSyntaxError: when the expression is no PromQL.
    """
    return list(_wanted(parse(expr), _Span(start, end, start, end, 0.0, lookback)))


def _wanted(node: Node, span: _Span) -> Iterator[Wanted]:
    if isinstance(node, Selector):
        first, last = span.first - span.offset - span.reach, span.last - span.offset
        yield Wanted(node.name, tuple(node.matchers), int(first * 1000), int(last * 1000) + 1)
    elif isinstance(node, Call | Aggregation):
        for argument in node.arguments:
            yield from _wanted(argument, span)
    elif isinstance(node, Binary):
        for side in (node.left, node.right):
            yield from _wanted(side, span)
    elif (operand := getattr(node, "operand", None)) is not None:
        yield from _wanted(operand, _inside(node, span))


def _inside(node: Node, span: _Span) -> _Span:
    """Return when the operand of a node is evaluated."""
    if isinstance(node, Ranged):
        return replace(span, reach=node.duration.seconds or 0.0)
    if isinstance(node, Offset):
        return replace(span, offset=span.offset + (node.duration.seconds or 0.0))
    if isinstance(node, Subquery):
        first = span.first - span.offset - (node.duration.seconds or 0.0)
        return replace(span, first=first, last=span.last - span.offset, offset=0.0)
    if isinstance(node, At):
        moment = span.last if node.moment is None else node.moment
        if isinstance(moment, str):
            moment = span.start if moment == "start" else span.end
        return replace(span, first=moment, last=moment)
    return span
