"""Which series an expression selects, and how to narrow all of them to one service.

An identifier is a metric unless it is a function (a parenthesis follows), a keyword, or a name in a list of labels.
The text around a selector is never touched, so positions, comments and layout of an expression stay as written.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from bedplate.promql.lexer import PromqlSyntaxError, Token, tokenize, unquote

__all__ = ["Matcher", "Selector", "metric_references", "scoped", "selectors"]

_GROUPING = frozenset({"by", "without", "on", "ignoring", "group_left", "group_right"})
_WORDS = frozenset({"and", "or", "unless", "atan2", "bool", "offset", "inf", "nan", "fill", "fill_left", "fill_right"})
_AGGREGATIONS = frozenset(
    {
        "sum", "min", "max", "avg", "group", "stddev", "stdvar", "count", "count_values", "bottomk", "topk",
        "quantile", "limitk", "limit_ratio",
    }
)  # fmt: skip
_MATCH = frozenset({"=", "!=", "=~", "!~"})


@dataclass(frozen=True, slots=True)
class Matcher:
    """One condition on a label, unquoted."""

    label: str
    operator: str
    value: str


@dataclass(frozen=True, slots=True)
class Selector:
    """A vector selector: ``expr[start:end]`` is its text without range and modifiers.

    :ivar name: the metric's name, empty when matchers alone select.
    :ivar brace: the offset behind the opening brace, -1 when there are no braces.
    """

    name: str
    start: int
    end: int
    matchers: tuple[Matcher, ...] = ()
    brace: int = -1


def selectors(expr: str) -> list[Selector]:
    """Return all vector selectors in the order of the text.

    :raises PromqlSyntaxError: when the text cannot be read; what is around selectors is not judged here.
    """
    return list(_Reader(expr).read())


def metric_references(expr: str) -> list[tuple[str, int]]:
    """Return every metric name that an expression selects by, with its position."""
    return [(selector.name, selector.start) for selector in selectors(expr) if selector.name]


def scoped(expr: str, job: str) -> str:
    """Return the expression with ``job="…"`` in every selector, those of ``absent`` and sub-queries too.

    A matcher on ``job`` that is there already stays, and so narrows further.
    """
    matcher = 'job="' + job.replace("\\", "\\\\").replace('"', '\\"') + '"'
    result: list[str] = []
    done = 0
    for selector in selectors(expr):
        at = selector.brace if selector.brace >= 0 else selector.end
        # A name in braces, {"my.metric"}, must stay first only by custom; any order selects the same.
        text = matcher + ("," if selector.matchers else "") if selector.brace >= 0 else "{" + matcher + "}"
        result += [expr[done:at], text]
        done = at
    return "".join([*result, expr[done:]])


class _Reader:
    def __init__(self, expr: str) -> None:
        self._expr = expr
        self._tokens = tokenize(expr)
        self._at = 0

    def _peek(self, ahead: int = 0) -> Token:
        return self._tokens[min(self._at + ahead, len(self._tokens) - 1)]

    def _next(self) -> Token:
        token = self._peek()
        self._at += 1
        return token

    def read(self) -> Iterator[Selector]:
        depth: list[Token] = []
        while (token := self._next()).kind != "end":
            if token.kind == "identifier":
                selector = self._identifier(token)
                if selector is not None:
                    yield selector
            elif token.text == "{":
                yield self._braces("", token.start, token)
            elif token.text in ("(", "["):
                depth.append(token)
            elif token.text in (")", "]"):
                if not depth or depth.pop().text != {")": "(", "]": "["}[token.text]:
                    raise PromqlSyntaxError(f"Unexpected {token.text!r}", self._expr, token.start)
            elif token.text == "}":
                raise PromqlSyntaxError("Unexpected '}'", self._expr, token.start)
        if depth:
            raise PromqlSyntaxError(f"{depth[-1].text!r} is not closed", self._expr, depth[-1].start)

    def _identifier(self, token: Token) -> Selector | None:
        word, following = token.text.lower(), self._peek().text
        if word in _GROUPING and following == "(":
            self._skip_labels()
            return None
        if word in ("group_left", "group_right"):
            return None
        if following == "{":
            return self._braces(token.text, token.start, self._next())
        aggregated = word in _AGGREGATIONS and self._peek().text.lower() in ("by", "without")
        if following == "(" or aggregated or word in _WORDS:
            return None
        return Selector(token.text, token.start, token.end)

    def _skip_labels(self) -> None:
        opening = self._next()
        while (token := self._next()).text != ")":
            if token.kind not in ("identifier", "string") and token.text != ",":
                raise PromqlSyntaxError("A list of labels is not closed", self._expr, opening.start)

    def _braces(self, name: str, start: int, opening: Token) -> Selector:
        matchers: list[Matcher] = []
        while True:
            token = self._next()
            if token.text == "}":
                break
            if token.kind not in ("identifier", "string"):
                raise PromqlSyntaxError("A label or a closing brace belongs here", self._expr, token.start)
            label = unquote(token.text) if token.kind == "string" else token.text
            if self._peek().text in _MATCH:
                operator, value = self._next().text, self._next()
                if value.kind != "string":
                    raise PromqlSyntaxError("A label's value is a string in quotes", self._expr, value.start)
                matchers.append(Matcher(label, operator, unquote(value.text)))
            elif token.kind == "string" and not name:
                name = label
                matchers.append(Matcher("__name__", "=", label))
            else:
                raise PromqlSyntaxError("One of = != =~ !~ belongs here", self._expr, self._peek().start)
            if self._peek().text == ",":
                self._next()
            elif self._peek().text != "}":
                raise PromqlSyntaxError("A comma or a closing brace belongs here", self._expr, self._peek().start)
        end = self._tokens[self._at - 1].end
        by_name = next((m.value for m in matchers if m.label == "__name__" and m.operator == "="), "")
        return Selector(name or by_name, start, end, tuple(matchers), opening.end)
