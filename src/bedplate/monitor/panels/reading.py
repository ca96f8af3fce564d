"""What can be read off an expression for its panel: the bounds that it compares with, and what it is grouped by."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

from bedplate.promql.lexer import Token, tokenize
from bedplate.promql.selectors import AGGREGATORS

__all__ = ["Bound", "bounds", "core", "grouped_by", "same"]

_COMPARISONS = ("<", "<=", ">", ">=", "==", "!=")
_MIRRORED = {"<": ">", "<=": ">=", ">": "<", ">=": "<=", "==": "==", "!=": "!="}
_OPENING, _CLOSING = ("(", "[", "{"), (")", "]", "}")


@dataclass(frozen=True, slots=True)
class Bound:
    """A comparison with a number that holds while an alert fires: ``expr`` ``operator`` ``value``."""

    expr: str
    operator: str
    value: float


@lru_cache(maxsize=2048)
def bounds(expr: str) -> tuple[Bound, ...]:
    """Return the comparisons with numbers that must all hold for the expression to have a value.

    ``X > 0.1 and Y < 5`` has two; of alternatives (``or``) and exceptions (``unless``) none is certain.

    :raises PromqlSyntaxError: when the expression cannot be read at all.
    """
    tokens = tokenize(expr, variables=True)[:-1]
    return tuple(_bounds(expr, tokens))


def same(one: str, other: str) -> bool:
    """Say whether two expressions are the same text up to white space, comments and brackets around the whole."""
    return _words(one) == _words(other)


@lru_cache(maxsize=8192)
def core(expr: str) -> str:
    """Return what an expression takes the least or the greatest of; itself when it does neither."""
    tokens = _bare(tokenize(expr, variables=True)[:-1])
    if not tokens or not tokens[0].is_word("min", "max"):
        return _text(expr, tokens)
    opening = next((i for i in range(1, len(tokens)) if tokens[i].is_operator("(")), 0)
    if tokens[1].is_word("by", "without"):
        opening = _end(tokens, opening) + 1
    end = _end(tokens, opening)
    rest = tokens[end + 1 :]
    alone = not rest or (rest[0].is_word("by", "without") and _end(rest, 1) == len(rest) - 1)
    return _text(expr, tokens[opening + 1 : end] if alone else tokens)


@lru_cache(maxsize=2048)
def grouped_by(expr: str) -> tuple[str, ...] | None:
    """Return the labels of the outermost ``by (…)`` without ``le``; None where no aggregation decides on labels."""
    tokens = tokenize(expr, variables=True)
    for index, token in enumerate(tokens):
        if not token.is_word(*AGGREGATORS) or token.is_word("topk", "bottomk", "quantile_over_time"):
            continue
        following = tokens[index + 1] if index + 1 < len(tokens) else token
        if following.is_word("by"):
            return _labels(tokens, index + 2)
        if following.is_operator("("):
            end = _end(tokens, index + 1)
            if end + 1 < len(tokens) and tokens[end + 1].is_word("by"):
                return _labels(tokens, end + 2)
            return () if not (end + 1 < len(tokens) and tokens[end + 1].is_word("without")) else None
        if following.is_word("without"):
            return None
    return None


def _bounds(expr: str, tokens: Sequence[Token]) -> Iterator[Bound]:
    tokens = _bare(tokens)
    if _split(tokens, "or") is not None:
        return
    if (exception := _split(tokens, "unless")) is not None:
        yield from _bounds(expr, exception[0])
        return
    if (both := _split(tokens, "and")) is not None:
        for part in both:
            yield from _bounds(expr, _without_matching(part))
        return
    place = next((i for i in _outer(tokens) if tokens[i].is_operator(*_COMPARISONS)), None)
    if place is None:
        return
    left, operator, right = tokens[:place], tokens[place].text, tokens[place + 1 :]
    if (value := _number(right)) is not None:
        yield Bound(_text(expr, left), operator, value)
    elif (value := _number(left)) is not None:
        yield Bound(_text(expr, right), _MIRRORED[operator], value)


def _outer(tokens: Sequence[Token]) -> Iterator[int]:
    """Yield the places of tokens outside of all brackets."""
    depth = 0
    for index, token in enumerate(tokens):
        if token.is_operator(*_CLOSING):
            depth -= 1
        elif token.is_operator(*_OPENING):
            depth += 1
        elif depth == 0:
            yield index


def _split(tokens: Sequence[Token], word: str) -> list[Sequence[Token]] | None:
    places = [i for i in _outer(tokens) if tokens[i].is_word(word) and 0 < i < len(tokens) - 1]
    if not places:
        return None
    ends = [*places, len(tokens)]
    return [tokens[start + 1 : end] for start, end in zip([-1, *places], ends, strict=True)]


def _without_matching(tokens: Sequence[Token]) -> Sequence[Token]:
    """Return an operand of ``and`` without the ``on (…)`` before it."""
    if len(tokens) > 1 and tokens[0].is_word("on", "ignoring") and tokens[1].is_operator("("):
        return tokens[_end(tokens, 1) + 1 :]
    return tokens


def _bare(tokens: Sequence[Token]) -> Sequence[Token]:
    while len(tokens) > 1 and tokens[0].is_operator("(") and _end(tokens, 0) == len(tokens) - 1:
        tokens = tokens[1:-1]
    return tokens


def _end(tokens: Sequence[Token], opening: int) -> int:
    """Return the place of the bracket that closes the one at ``opening``."""
    depth = 0
    for index in range(opening, len(tokens)):
        depth += tokens[index].is_operator(*_OPENING) - tokens[index].is_operator(*_CLOSING)
        if depth == 0:
            return index
    return len(tokens) - 1


def _number(tokens: Sequence[Token]) -> float | None:
    tokens = _bare(tokens)
    sign = -1.0 if tokens and tokens[0].is_operator("-") else 1.0
    if tokens and tokens[0].is_operator("-", "+"):
        tokens = tokens[1:]
    if len(tokens) != 1 or tokens[0].kind != "number":
        return None
    text = tokens[0].text.replace("_", "").lower()
    return sign * (float(int(text, 16)) if text.startswith("0x") else float(text))


def _text(expr: str, tokens: Sequence[Token]) -> str:
    tokens = _bare(tokens)
    return expr[tokens[0].start : tokens[-1].end] if tokens else ""


def _labels(tokens: Sequence[Token], opening: int) -> tuple[str, ...]:
    end = _end(tokens, opening)
    return tuple(token.text for token in tokens[opening:end] if token.kind == "name" and token.text != "le")


@lru_cache(maxsize=8192)
def _words(expr: str) -> tuple[str, ...]:
    return tuple(token.text for token in _bare(tokenize(expr, variables=True)[:-1]))
