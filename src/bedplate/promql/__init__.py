"""PromQL: what the numbers mean. The lexer, the selectors of an expression, and narrowing them to one service."""

from bedplate.promql.lexer import PromqlSyntaxError, Token, tokenize
from bedplate.promql.selectors import Selector, metric_references, scoped, selectors

__all__ = ["PromqlSyntaxError", "Selector", "Token", "metric_references", "scoped", "selectors", "tokenize"]
