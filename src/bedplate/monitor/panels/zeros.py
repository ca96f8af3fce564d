"""What has never happened is 0 in a chart, not *no data*: a counter with labels has no series before it counts."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

from bedplate.metric import Counter, Metric
from bedplate.promql.nodes import Aggregation, Call, Node, Parens, Ranged, Selector
from bedplate.promql.parser import parse

__all__ = ["zeroed"]

_COUNTED = frozenset({"rate", "increase", "irate"})


def zeroed(expr: str, metrics: Mapping[str, Metric]) -> str:
    """Return an expression that is 0 where it would be empty, when it sums up events; any other as it is.

    :param metrics: the families by the names of their samples.
    :raises PromqlSyntaxError: when it is no PromQL.
    """
    name = _summed(expr)
    return f"{expr} or on () vector(0)" if name and isinstance(metrics.get(name), Counter) else expr


@lru_cache(maxsize=2048)
def _summed(expr: str) -> str:
    """Return the name of the metric of which an expression is ``sum(rate(…))``; empty when it is something else."""
    node = _bare(parse(expr, variables=True))
    if isinstance(node, Aggregation) and node.operator in ("topk", "bottomk"):
        node = _bare(node.arguments[-1])
    if not isinstance(node, Aggregation) or node.operator != "sum" or len(node.arguments) != 1:
        return ""
    call = _bare(node.arguments[0])
    if not isinstance(call, Call) or call.function not in _COUNTED or len(call.arguments) != 1:
        return ""
    ranged = _bare(call.arguments[0])
    selector = ranged.operand if isinstance(ranged, Ranged) else None
    return selector.name if isinstance(selector, Selector) else ""


def _bare(node: Node) -> Node:
    while isinstance(node, Parens):
        node = node.operand
    return node
