"""What can be wrong with an expression: its text, what is asked of this engine, or the series that it meets."""

from __future__ import annotations

from bedplate.problems import BedplateError

__all__ = ["EvaluationError", "PromqlError", "PromqlSyntaxError", "UnsupportedError"]


class PromqlError(BedplateError, ValueError):
    """A fault at a place of an expression.

    :ivar expr: the expression. :ivar position: the offset of the fault in it, in characters.
    """

    def __init__(self, expr: str, position: int, what: str, mend: str = "") -> None:
        start = expr.rfind("\n", 0, position) + 1
        line = expr.count("\n", 0, position) + 1
        text = expr[start:].partition("\n")[0].replace("\t", " ")
        column = position - start
        caret = f"  {text}\n  {' ' * column}^"
        super().__init__(f"{what} (line {line}, column {column + 1})\n{caret}", mend)
        self.args = (f"{self.what}\n{mend}".rstrip(),)
        self.expr = expr
        self.position = position


class PromqlSyntaxError(PromqlError):
    """An expression that is no PromQL."""


class UnsupportedError(PromqlSyntaxError):
    """PromQL that this engine does not evaluate; Prometheus would."""


class EvaluationError(PromqlError):
    """Series that an expression cannot be evaluated over: several would become one, or they are too many."""
