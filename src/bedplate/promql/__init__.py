"""PromQL: what the numbers mean. Expressions as text, as trees, and as values over whoever keeps samples."""

from bedplate.promql.errors import EvaluationError, PromqlError, PromqlSyntaxError, UnsupportedError
from bedplate.promql.lexer import Token, tokenize
from bedplate.promql.matching import matcher
from bedplate.promql.parser import parse
from bedplate.promql.query import Matrix, Query, Series, compiled
from bedplate.promql.selectors import Matcher, Selector, metric_references, narrowed, rescaled, scoped, selectors

__all__ = [
    "EvaluationError",
    "Matcher",
    "Matrix",
    "PromqlError",
    "PromqlSyntaxError",
    "Query",
    "Selector",
    "Series",
    "Token",
    "UnsupportedError",
    "compiled",
    "matcher",
    "metric_references",
    "narrowed",
    "parse",
    "rescaled",
    "scoped",
    "selectors",
    "tokenize",
]
