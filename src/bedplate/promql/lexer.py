"""The lexical structure of PromQL, as Prometheus 3 has it, with the position of every token."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from bedplate.problems import BedplateError

__all__ = ["PromqlSyntaxError", "Token", "tokenize", "unquote"]

Kind = Literal["identifier", "number", "duration", "string", "operator", "end"]

_NUMBER = r"0[xX][0-9a-fA-F]+|(?:[0-9](?:_?[0-9])*(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?"
_UNIT = r"[0-9]+(?:ms|[smhdwy])"
_TOKEN = re.compile(
    rf"""(?P<space>[\ \t\r\n]+|\#[^\n]*)
    |(?P<duration>(?:{_UNIT})+(?![A-Za-z0-9_]))
    |(?P<number>(?:{_NUMBER})(?![A-Za-z0-9_]))
    |(?P<identifier>[A-Za-z_:][A-Za-z0-9_:]*)
    |(?P<string>"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'|`[^`]*`)
    |(?P<operator>=~|!~|==|!=|<=|>=|</|>/|[-+*/%^(){{}}\[\],=<>@:])
    """,
    re.VERBOSE | re.DOTALL,
)
_COLON = re.compile("(?P<operator>:)")
_ESCAPE = re.compile(r"\\(?:([abfnrtv\\'\"])|([0-7]{3})|x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8}))")
_SIMPLE = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}


class PromqlSyntaxError(BedplateError, ValueError):
    """An expression that is not PromQL; it shows where.

    :ivar position: the offset of the first character that does not fit.
    """

    def __init__(self, message: str, expr: str, position: int, mend: str = "") -> None:
        line = expr.count("\n", 0, position) + 1
        start = expr.rfind("\n", 0, position) + 1
        text = expr[start:].partition("\n")[0]
        column = position - start
        super().__init__(f"{message} at {line}:{column + 1}.\n{text}\n{' ' * column}^", mend)
        self.position = position


@dataclass(frozen=True, slots=True)
class Token:
    """A token and where it stands: ``expr[start:end] == text``."""

    kind: Kind
    text: str
    start: int
    end: int


def tokenize(expr: str) -> list[Token]:
    """Return the tokens of an expression, closed by an empty one of kind ``end``; space and comments are left out.

    :raises PromqlSyntaxError: at the first character that begins no token.
    """
    tokens: list[Token] = []
    at = 0
    bracketed = False
    while at < len(expr):
        match = _COLON.match(expr, at) if bracketed and expr[at] == ":" else _TOKEN.match(expr, at)
        if match is None:
            raise PromqlSyntaxError(_complaint(expr, at), expr, at)
        kind = match.lastgroup
        # A recording rule's name may begin with a colon; in a sub-query's brackets a colon parts range and step.
        bracketed = match.group() == "[" or (bracketed and match.group() != "]")
        if kind != "space":
            tokens.append(Token(kind, match.group(), at, match.end()))  # type: ignore[arg-type]
        at = match.end()
    tokens.append(Token("end", "", at, at))
    return tokens


def _complaint(expr: str, at: int) -> str:
    if expr[at] in "\"'`":
        return "A string is not closed"
    if expr[at].isdigit():
        return "This is no number and no duration"
    return f"Unexpected character {expr[at]!r}"


def unquote(literal: str) -> str:
    """Return the text that a string literal stands for, by Go's rules, as in Prometheus."""
    if literal[0] == "`":
        return literal[1:-1]
    return _ESCAPE.sub(_unescape, literal[1:-1])


def _unescape(match: re.Match[str]) -> str:
    simple, octal, *hexadecimal = match.groups()
    if simple:
        return _SIMPLE.get(simple, simple)
    if octal:
        return chr(int(octal, 8))
    return chr(int(next(digits for digits in hexadecimal if digits), 16))
