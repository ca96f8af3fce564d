"""A place among the tokens of an expression: what a parser by recursive descent stands on."""

from __future__ import annotations

from collections.abc import Sequence

from bedplate.promql.errors import PromqlSyntaxError
from bedplate.promql.lexer import Token, duration_seconds, number

__all__ = ["MAX_DEPTH", "Cursor"]

#: Nested parentheses beyond which an expression is refused rather than let exhaust the stack.
MAX_DEPTH = 150


class Cursor:
    """Looks at the next tokens and takes them.

    :param tokens: the last one is of kind ``end``, and is never passed.
    """

    def __init__(self, expr: str, tokens: Sequence[Token]) -> None:
        self.expr = expr
        self.tokens = tokens
        self.index = 0
        self.depth = 0

    @property
    def next(self) -> Token:
        """The token to take."""
        return self.tokens[self.index]

    @property
    def after_next(self) -> Token:
        """The token after that."""
        return self.tokens[min(self.index + 1, len(self.tokens) - 1)]

    @property
    def end(self) -> int:
        """The offset after the token that was taken last."""
        return self.tokens[self.index - 1].end

    def take(self) -> Token:
        """Take a token."""
        token = self.next
        self.index += token.kind != "end"
        return token

    def take_operator(self, *texts: str) -> bool:
        """Take one of these operators or brackets if it comes next."""
        if not self.next.is_operator(*texts):
            return False
        self.index += 1
        return True

    def take_word(self, *words: str) -> bool:
        """Take one of these words if it comes next."""
        if not self.next.is_word(*words):
            return False
        self.index += 1
        return True

    def expect(self, text: str, why: str) -> None:
        """Take an operator or bracket that must come next."""
        if not self.take_operator(text):
            raise self.fault(f"{text} is missing {why}.")

    def fault(self, what: str, mend: str = "") -> PromqlSyntaxError:
        """Return the refusal of the next token."""
        return PromqlSyntaxError(self.expr, self.next.start, what, mend)

    def descend(self) -> None:
        """Go one bracket deeper, unless that is too deep."""
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise self.fault(f"More than {MAX_DEPTH} brackets are open.", "Write the expression in parts.")

    def amount(self, token: Token) -> float:
        """Return the value of a number, or the seconds of a duration."""
        try:
            return number(token.text) if token.kind == "number" else duration_seconds(token.text)
        except (ValueError, OverflowError):  # of Python's own, for integers without end
            what = f"{token.text[:20]} is no number that can be calculated with."
            raise PromqlSyntaxError(self.expr, token.start, what) from None
