"""PromQL as tokens with positions: the lexical grammar of Prometheus 3.

The rules are those of Prometheus' ``promql/parser/lex.go`` and of its manual, *Querying basics*: strings in three
kinds of quotes with Go's escapes, numbers with hexadecimal and ``_``, durations, ``#`` comments, quoted UTF-8 names.
Keywords are only words here, because most of them are also good metric names; the grammar tells them apart.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Literal

from bedplate.promql.errors import PromqlSyntaxError

__all__ = ["Kind", "PromqlSyntaxError", "Token", "duration_seconds", "number", "tokenize", "unquote"]

Kind = Literal["name", "number", "duration", "string", "operator", "variable", "end"]

_BLANK = re.compile(r"(?:[ \t\r\n]+|#[^\n]*)*")
_NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
_NAME_IN_BRACKETS = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
_NUMBER = re.compile(r"0[xX][0-9a-fA-F_]+|(?:[0-9][0-9_]*(?:\.[0-9_]*)?|\.[0-9][0-9_]*)(?:[eE][+-]?[0-9][0-9_]*)?")
_DURATION = re.compile(
    r"(?=[0-9])(?:([0-9]+)y)?(?:([0-9]+)w)?(?:([0-9]+)d)?(?:([0-9]+)h)?(?:([0-9]+)m(?!s))?(?:([0-9]+)s)?(?:([0-9]+)ms)?"
)
_UNITS = (365 * 86400.0, 7 * 86400.0, 86400.0, 3600.0, 60.0, 1.0, 0.001)
_DIGITS = frozenset("0123456789")
_RUN = re.compile(r"[0-9a-zA-Z_.]*")
_QUOTED = {
    '"': re.compile(r'"(?:[^"\\\n]|\\.)*"'),
    "'": re.compile(r"'(?:[^'\\\n]|\\.)*'"),
    "`": re.compile(r"`[^`]*`"),
}
_ESCAPE = re.compile(r"\\(?:([0-7]{3})|x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|(.))", re.DOTALL)
_PLAIN_ESCAPES = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v", "\\": "\\"}
_OPERATOR = re.compile(r"==|!=|<=|>=|=~|!~|[-+*/%^<>=(){}\[\],:@]")
_VARIABLE = re.compile(r"\$(?:[a-zA-Z_][a-zA-Z0-9_]*|\{[a-zA-Z_][a-zA-Z0-9_]*(?::[a-z]+)?\})")


@dataclass(frozen=True, slots=True)
class Token:
    """A word of an expression.

    :ivar text: as written, quotes included. :ivar start: its offset in the expression. :ivar end: the offset after it.
    """

    kind: Kind
    text: str
    start: int
    end: int

    def is_word(self, *words: str) -> bool:
        """Say whether it is one of these keywords, in any case."""
        return self.kind == "name" and self.text.lower() in words

    def is_operator(self, *texts: str) -> bool:
        """Say whether it is one of these operators or brackets."""
        return self.kind == "operator" and self.text in texts


def tokenize(expr: str, *, variables: bool = False) -> list[Token]:
    """Return the tokens of an expression; the last one is of kind ``end``.

    :param variables: also take Grafana's variables, ``$job``, ``${job:regex}``, ``$__rate_interval``.
    :raises PromqlSyntaxError: where no token begins, or one does not end.
    """
    result: list[Token] = []
    position, brackets = 0, 0
    while True:
        blank = _BLANK.match(expr, position)
        assert blank is not None  # it matches the empty string
        position = blank.end()
        if position == len(expr):
            result.append(Token("end", "", position, position))
            return result
        token = _token(expr, position, in_brackets=brackets > 0, variables=variables)
        brackets += token.is_operator("[") - token.is_operator("]")
        result.append(token)
        position = token.end


def _token(expr: str, position: int, *, in_brackets: bool, variables: bool) -> Token:
    char = expr[position]
    if char in _QUOTED:
        return _string(expr, position)
    if char in _DIGITS or (char == "." and expr[position + 1 : position + 2] in _DIGITS):
        return _number_or_duration(expr, position)
    # In [5m:1m] the colon stands between durations; elsewhere it may be part of the name of a recording rule.
    name = (_NAME_IN_BRACKETS if in_brackets else _NAME).match(expr, position)
    if name is not None:
        kind: Kind = "number" if name.group().lower() in ("inf", "nan") else "name"
        return Token(kind, name.group(), position, name.end())
    operator = _OPERATOR.match(expr, position)
    if operator is not None:
        return Token("operator", operator.group(), position, operator.end())
    variable = _VARIABLE.match(expr, position)
    if variable is not None and variables:
        return Token("variable", variable.group(), position, variable.end())
    mend = "Write = or =~ in a selector, == in a comparison." if char == "!" else ""
    raise PromqlSyntaxError(expr, position, f"{char!r} begins nothing in PromQL.", mend)


def _string(expr: str, position: int) -> Token:
    match = _QUOTED[expr[position]].match(expr, position)
    if match is None:
        raise PromqlSyntaxError(expr, position, "This string has no end.", f"Close it with {expr[position]}.")
    token = Token("string", match.group(), position, match.end())
    unquote(token, expr)
    return token


def _number_or_duration(expr: str, position: int) -> Token:
    number_ = _NUMBER.match(expr, position)
    if number_ is not None and not _continues(expr, number_.end()):
        return Token("number", number_.group(), position, number_.end())
    duration = _DURATION.match(expr, position)
    if duration is not None and duration.end() > position and not _continues(expr, duration.end()):
        return Token("duration", duration.group(), position, duration.end())
    run = _RUN.match(expr, position)
    text = run.group() if run is not None else expr[position]
    mend = "Write a duration with its greatest unit first, each unit once: 1h30m, 5m, 500ms."
    raise PromqlSyntaxError(expr, position, f"{text!r} is neither a number nor a duration.", mend)


def _continues(expr: str, position: int) -> bool:
    following = expr[position : position + 1]
    return following.isalnum() or following == "_"


def unquote(token: Token, expr: str = "") -> str:
    """Return what a string token stands for.

    :param expr: the expression, for the error's message.
    :raises PromqlSyntaxError: for an escape that Go does not know.
    """
    quote, inner = token.text[0], token.text[1:-1]
    if quote == "`" or "\\" not in inner:
        return inner
    # Octal and \x escapes are bytes, of which several may make one character.
    raw = bytearray()
    position = 0
    for match in _ESCAPE.finditer(inner):
        raw += inner[position : match.start()].encode()
        raw += _escaped(match, quote, token, expr)
        position = match.end()
    raw += inner[position:].encode()
    return raw.decode(errors="replace")


def _escaped(match: re.Match[str], quote: str, token: Token, expr: str) -> bytes:
    octal, byte, short, long, plain = match.groups()
    where = token.start + 1 + match.start()
    if octal is not None or byte is not None:
        value = int(octal, 8) if octal is not None else int(byte, 16)
        if value < 256:
            return bytes((value,))
    elif short is not None or long is not None:
        point = int(short or long, 16)
        if point <= 0x10FFFF and not 0xD800 <= point <= 0xDFFF:
            return chr(point).encode()
    elif plain == quote or plain in _PLAIN_ESCAPES:
        return _PLAIN_ESCAPES.get(plain, plain).encode()
    mend = r"Double the backslash (\\), or write the string in backticks, where it stands for itself."
    raise PromqlSyntaxError(expr or token.text, where if expr else match.start() + 1, "Unknown escape.", mend)


def number(text: str) -> float:
    """Return the value of a number token; ``0x1F``, ``1_000``, ``.5e-3``, ``Inf`` and ``NaN`` are numbers."""
    digits = text.replace("_", "").lower()
    if digits.startswith("0x"):
        return float(int(digits, 16))
    if digits in ("inf", "nan"):
        return math.inf if digits == "inf" else math.nan
    if digits.isdecimal() and digits.startswith("0") and not set(digits) & {"8", "9"}:
        return float(int(digits, 8))  # as in Go: 010 is eight
    return float(digits)


def duration_seconds(text: str) -> float:
    """Return the seconds of a duration token."""
    match = _DURATION.fullmatch(text)
    if match is None:
        raise PromqlSyntaxError(text, 0, f"{text!r} is no duration.")
    return math.fsum(int(part) * unit for part, unit in zip(match.groups(), _UNITS, strict=True) if part)
