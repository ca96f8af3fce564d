"""Which series an expression reads: its selectors, with their positions, and how to narrow them to one service.

A selector is found by the grammar and not by a pattern, since nearly every keyword, function and label name is also a
good metric name: ``sum by (job) (by{on="bool"})`` reads ``by``. What is read here is syntax; that ``rate`` wants a
range, and other types, is for whoever evaluates.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from bedplate.promql.lexer import PromqlSyntaxError, Token, tokenize, unquote

__all__ = ["AGGREGATORS", "Matcher", "Selector", "metric_references", "scoped", "selectors"]

#: Aggregation operators; as a metric name each is as good as any other word.
AGGREGATORS = frozenset(
    "sum min max avg count stddev stdvar topk bottomk count_values quantile group limitk limit_ratio".split()
)

#: Words that cannot be metric names where an operand stands.
_RESERVED = frozenset("on ignoring group_left group_right bool atan2".split())

_SET_OPERATORS = ("and", "or", "unless", "atan2")
_OPERATORS = ("+", "-", "*", "/", "%", "^", "==", "!=", "<", "<=", ">", ">=")
_MATCHES = ("=", "!=", "=~", "!~")

#: Nested parentheses beyond which an expression is refused rather than let exhaust the stack.
MAX_DEPTH = 150


@dataclass(frozen=True, slots=True)
class Matcher:
    """A condition on a label, unquoted; ``expr[start:end]`` is its text."""

    label: str
    operator: str
    value: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Selector:
    """An instant or range selector, without its range, offset or ``@``.

    :ivar name: the metric's name, however it is written; empty when the selector has none, or only a pattern.
    :ivar matchers: its conditions, without one that only gives the name.
    :ivar start: its offset in the expression. :ivar end: the offset after it.
    :ivar name_start: the offset of the name, of the selector when it has none.
    :ivar insert_at: the offset where a further matcher belongs. :ivar joint: what joins it: ``{``, a comma or nothing.
    """

    name: str
    matchers: tuple[Matcher, ...]
    start: int
    end: int
    name_start: int
    insert_at: int
    joint: str


def selectors(expr: str, *, variables: bool = False) -> list[Selector]:
    """Return every selector of an expression in the order of the text.

    :param variables: also take Grafana's variables where a number, a duration or a label's value stands.
    :raises PromqlSyntaxError: when the expression is no PromQL.
    """
    return list(_selectors(expr, variables))


@lru_cache(maxsize=2048)
def _selectors(expr: str, variables: bool) -> tuple[Selector, ...]:
    # A start checks what specs declare, and a scrape of them narrows it: the same few texts, again and again.
    return tuple(_Walk(expr, variables).found())


def metric_references(expr: str, *, variables: bool = False) -> list[tuple[str, int]]:
    """Return the name of every metric that an expression reads, with its offset; a name may come several times.

    :raises PromqlSyntaxError: when the expression is no PromQL.
    """
    found = selectors(expr, variables=variables)
    return [(selector.name, selector.name_start) for selector in found if selector.name]


def scoped(expr: str, job: str, *, variables: bool = False) -> str:
    """Return the expression with ``job="…"`` in every selector, those of ``absent`` and sub-queries too.

    A selector that says ``job="other"`` itself means another job, such as an exporter's, and is left alone. The rest
    of the text stays as it was written.

    :raises PromqlSyntaxError: when the expression is no PromQL.
    """
    matcher = 'job="' + job.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n") + '"'
    parts: list[str] = []
    position = 0
    for selector in selectors(expr, variables=variables):
        if any(condition.label == "job" and condition.operator == "=" for condition in selector.matchers):
            continue
        parts += (expr[position : selector.insert_at], selector.joint, matcher, "}" * (selector.joint == "{"))
        position = selector.insert_at
    return "".join((*parts, expr[position:]))


class _Walk:
    """One pass over an expression by its grammar; precedence does not matter for what is read."""

    def __init__(self, expr: str, variables: bool) -> None:
        self.expr = expr
        self.tokens = tokenize(expr, variables=variables)
        self.index = 0
        self.depth = 0
        self.selectors: list[Selector] = []

    def found(self) -> list[Selector]:
        self.expression()
        if self.next.kind != "end":
            raise self.fault("This is not expected here.", "Is an operator missing before it, or a bracket too many?")
        return self.selectors

    @property
    def next(self) -> Token:
        return self.tokens[self.index]

    @property
    def after_next(self) -> Token:
        return self.tokens[min(self.index + 1, len(self.tokens) - 1)]

    def take(self) -> Token:
        token = self.next
        self.index += token.kind != "end"
        return token

    def take_operator(self, *texts: str) -> bool:
        if not self.next.is_operator(*texts):
            return False
        self.index += 1
        return True

    def take_word(self, *words: str) -> bool:
        if not self.next.is_word(*words):
            return False
        self.index += 1
        return True

    def expect(self, text: str, why: str) -> Token:
        token = self.next
        if not self.take_operator(text):
            raise self.fault(f"{text} is missing {why}.")
        return token

    def fault(self, what: str, mend: str = "") -> PromqlSyntaxError:
        return PromqlSyntaxError(self.expr, self.next.start, what, mend)

    def expression(self) -> None:
        self.descend()
        self.operand()
        while self.take_operator(*_OPERATORS) or self.take_word(*_SET_OPERATORS):
            self.vector_matching()
            self.operand()
        self.depth -= 1

    def descend(self) -> None:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise self.fault(f"More than {MAX_DEPTH} brackets are open.", "Write the expression in parts.")

    def vector_matching(self) -> None:
        self.take_word("bool")
        if self.take_word("on", "ignoring"):
            self.label_list("after on or ignoring")
            if self.take_word("group_left", "group_right") and self.next.is_operator("("):
                self.label_list("after group_left or group_right")
        while self.next.is_word("fill", "fill_left", "fill_right") and self.after_next.is_operator("("):
            self.index += 2
            self.take_operator("-", "+")
            if self.next.kind not in ("number", "duration"):
                raise self.fault("A number is missing: the value that missing series are filled with.")
            self.take()
            self.expect(")", "after the value")

    def operand(self) -> None:
        while self.take_operator("+", "-"):
            pass
        token = self.next
        if token.kind in ("number", "duration", "string", "variable"):
            self.index += 1
        elif self.take_operator("("):
            self.expression()
            self.expect(")", "for the one opened before")
        elif token.is_operator("{"):
            self.selector(None)
        elif token.kind == "name":
            self.named_operand(token)
        else:
            raise self.fault("The expression ends too early." if token.kind == "end" else "An operand is missing here.")
        self.modifiers()

    def named_operand(self, token: Token) -> None:
        following = self.after_next
        if token.is_word(*AGGREGATORS) and (following.is_operator("(") or self.groups(following)):
            self.aggregation()
        elif following.is_operator("("):
            self.index += 1
            self.arguments()
        elif token.text.lower() in _RESERVED:
            raise self.fault(f"{token.text} cannot stand here.", "It is a word of PromQL that needs an operand before.")
        else:
            self.index += 1
            self.selector(token)

    def groups(self, token: Token) -> bool:
        """Say whether ``by`` or ``without`` groups here, and is not an operator's neighbour: both need a list."""
        place = self.index + 2
        return token.is_word("by", "without") and self.tokens[min(place, len(self.tokens) - 1)].is_operator("(")

    def aggregation(self) -> None:
        self.index += 1
        grouped = self.grouping()
        self.arguments()
        if not grouped:
            self.grouping()

    def grouping(self) -> bool:
        if not self.take_word("by", "without"):
            return False
        self.label_list("after by or without")
        return True

    def arguments(self) -> None:
        self.expect("(", "before the arguments")
        if self.take_operator(")"):
            return
        self.expression()
        while self.take_operator(","):
            self.expression()
        self.expect(")", "after the arguments")

    def label_list(self, why: str) -> None:
        self.expect("(", why)
        while not self.take_operator(")"):
            if self.next.kind not in ("name", "string", "variable"):
                raise self.fault("A label's name is missing here.")
            self.take()
            if not self.take_operator(",") and not self.next.is_operator(")"):
                raise self.fault(") is missing after the labels.")

    def selector(self, name: Token | None) -> None:
        first = self.next if name is None else name
        if not self.next.is_operator("{"):
            self.selectors.append(Selector(first.text, (), first.start, first.end, first.start, first.end, "{"))
            return
        last, joint = self.take(), ""
        text, text_start = ("", first.start) if name is None else (name.text, name.start)
        matchers: list[Matcher] = []
        while not self.next.is_operator("}"):
            value_start, matcher = self.matcher()
            if matcher.label == "__name__" and name is not None:
                what = f"The metric is named twice, {name.text} and {matcher.value}."
                raise PromqlSyntaxError(self.expr, matcher.start, what, "Keep one of the names.")
            if matcher.label == "__name__" and matcher.operator == "=" and matcher.value and not text:
                text, text_start = matcher.value, value_start
            else:
                matchers.append(matcher)
            last, joint = self.tokens[self.index - 1], ","
            if self.next.is_operator(","):
                last, joint = self.take(), ""
            elif not self.next.is_operator("}"):
                raise self.fault("} is missing after the matchers.", "Conditions are separated by commas.")
        end = self.take().end
        if not text and not matchers:
            what = "This selects every series there is."
            raise PromqlSyntaxError(self.expr, first.start, what, "Name a metric, or give a condition.")
        self.selectors.append(Selector(text, tuple(matchers), first.start, end, text_start, last.end, joint))

    def matcher(self) -> tuple[int, Matcher]:
        """Take one condition; a metric's name in quotes is one on ``__name__``. Returns where the value stands, too."""
        label = self.next
        if label.kind not in ("name", "string"):
            raise self.fault("A label's name is missing here.", 'A matcher reads label="value".')
        self.take()
        text = unquote(label) if label.kind == "string" else label.text
        operator = self.next
        if label.kind == "string" and operator.is_operator(",", "}"):
            return label.start, Matcher("__name__", "=", text, label.start, label.end)
        if not self.take_operator(*_MATCHES):
            raise self.fault(f"After {label.text} one of =, !=, =~ and !~ is missing.")
        value = self.next
        if value.kind not in ("string", "variable"):
            raise self.fault(f"The value of {label.text} is missing.", "Write it in quotes.")
        self.take()
        content = unquote(value) if value.kind == "string" else value.text
        return value.start, Matcher(text, operator.text, content, label.start, value.end)

    def modifiers(self) -> None:
        while True:
            if self.take_operator("["):
                self.span("[")
                if self.take_operator(":") and not self.next.is_operator("]"):
                    self.span(":")
                self.expect("]", "after the range")
            elif self.take_operator("@"):
                self.timestamp()
            elif self.next.is_word("offset"):
                self.take()
                self.span("offset")
            elif not self.take_word("anchored", "smoothed"):
                return

    def timestamp(self) -> None:
        if self.next.is_word("start", "end"):
            self.take()
            self.expect("(", "after start or end")
            self.expect(")", "after start( or end(")
            return
        self.take_operator("-", "+")
        if self.take().kind not in ("number", "variable", "duration"):
            self.index -= 1
            raise self.fault("A time is missing after @.", "Write Unix seconds, start() or end().")

    def span(self, after: str) -> None:
        """Take a duration, or with Prometheus' experimental arithmetic an expression of some."""
        self.descend()
        self.duration(after)
        while after != "offset" and self.take_operator("+", "-", "*", "/", "%", "^"):
            self.duration(after)
        self.depth -= 1

    def duration(self, after: str) -> None:
        while self.take_operator("+", "-"):
            pass
        if self.take_operator("("):
            self.span("(")
            self.expect(")", "for the one opened before")
        elif self.next.is_word("step", "range", "min", "max") and self.after_next.is_operator("("):
            self.index += 2
            while not self.take_operator(")"):
                self.span(",")
                if not self.take_operator(",") and not self.next.is_operator(")"):
                    raise self.fault(") is missing.")
        elif self.next.kind in ("duration", "number", "variable"):
            self.take()
        else:
            raise self.fault(f"A duration is missing after {after}.", "Write it as 5m or 1h30m.")
