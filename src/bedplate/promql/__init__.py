"""PromQL: what the numbers mean. The tokens and selectors of an expression, and narrowing them to one service."""

from bedplate.promql.lexer import PromqlSyntaxError, Token, tokenize
from bedplate.promql.selectors import Matcher, Selector, metric_references, scoped, selectors

__all__ = [
    "Matcher",
    "PromqlSyntaxError",
    "Selector",
    "Token",
    "metric_references",
    "scoped",
    "selectors",
    "tokenize",
]
