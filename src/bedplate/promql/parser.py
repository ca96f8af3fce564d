"""From text to tree, by recursive descent; operators by precedence climbing.

The grammar is that of Prometheus' ``promql/parser/generated_parser.y``, its experiments included. Nearly every keyword
is also a good metric name, so what a word means is decided by what follows it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from bedplate.promql.cursor import Cursor
from bedplate.promql.errors import PromqlSyntaxError
from bedplate.promql.lexer import Token, tokenize, unquote
from bedplate.promql.nodes import (
    Aggregation,
    At,
    Binary,
    Call,
    Duration,
    Extended,
    Matcher,
    Matching,
    Node,
    Number,
    Offset,
    Parens,
    Ranged,
    Selector,
    Subquery,
    Text,
    Unary,
    Variable,
)

__all__ = ["AGGREGATORS", "COMPARISONS", "SET_OPERATORS", "Parsed", "parse", "parsed"]

#: Aggregation operators; as a metric name each is as good as any other word.
AGGREGATORS = frozenset(
    "sum min max avg count stddev stdvar topk bottomk count_values quantile group limitk limit_ratio".split()
)
SET_OPERATORS = frozenset(("and", "or", "unless"))
COMPARISONS = frozenset(("==", "!=", "<", "<=", ">", ">="))

#: Words that cannot be metric names where an operand stands.
_RESERVED = frozenset("on ignoring group_left group_right bool atan2".split())

#: Which operators bind tighter; all but ``^`` group to the left. A sign binds as ``*`` does.
_PRECEDENCE = {
    **dict.fromkeys(("or",), 1),
    **dict.fromkeys(("and", "unless"), 2),
    **dict.fromkeys(COMPARISONS, 3),
    **dict.fromkeys(("+", "-"), 4),
    **dict.fromkeys(("*", "/", "%", "atan2"), 5),
    "^": 6,
}
_POWER = 6
_MATCHES = ("=", "!=", "=~", "!~")


@dataclass(frozen=True, slots=True)
class Parsed:
    """A tree, with what else was met on the way to it, in the order of the text."""

    node: Node
    selectors: tuple[Selector, ...]
    durations: tuple[Duration, ...]


def parse(expr: str, *, variables: bool = False) -> Node:
    """Return the tree of an expression; types are not checked.

    :param variables: also take Grafana's variables where a number, a duration or a label's value stands.
    :raises PromqlSyntaxError: when the expression is no PromQL.
    """
    return parsed(expr, variables).node


@lru_cache(maxsize=2048)
def parsed(expr: str, variables: bool = False) -> Parsed:
    """Return the tree, the selectors and the durations of an expression.

    :raises PromqlSyntaxError: when the expression is no PromQL.
    """
    # A start checks what specs declare, and a scrape of them narrows it: the same few texts, again and again.
    return _Parser(expr, variables).whole()


class _Parser(Cursor):
    def __init__(self, expr: str, variables: bool) -> None:
        super().__init__(expr, tokenize(expr, variables=variables))
        self.selectors: list[Selector] = []
        self.durations: list[Duration] = []

    def whole(self) -> Parsed:
        node = self.expression()
        if self.next.kind != "end":
            raise self.fault("This is not expected here.", "Is an operator missing before it, or a bracket too many?")
        return Parsed(node, tuple(self.selectors), tuple(self.durations))

    # --- operators ----------------------------------------------------------------------------------------------------

    def expression(self, least: int = 1) -> Node:
        """Take operands as long as operators that bind at least so tightly stand between them."""
        self.descend()
        left = self.operand()
        while (operator := self.operator()) and _PRECEDENCE[operator] >= least:
            at = self.take().start
            returns_bool = self.take_word("bool")
            matching = self.vector_matching()
            precedence = _PRECEDENCE[operator]
            right = self.expression(precedence if operator == "^" else precedence + 1)
            left = Binary(operator, left, right, matching, returns_bool, at, left.start, right.end)
        self.depth -= 1
        return left

    def operator(self) -> str:
        token = self.next
        text = token.text.lower()
        return text if token.kind in ("operator", "name") and text in _PRECEDENCE else ""

    def vector_matching(self) -> Matching:
        on: bool | None = None
        labels: tuple[str, ...] = ()
        include: tuple[str, ...] = ()
        group: Literal["", "left", "right"] = ""
        if self.next.is_word("on", "ignoring"):
            on = self.take().is_word("on")
            labels = self.label_list("after on or ignoring")
            if self.next.is_word("group_left", "group_right"):
                group = "left" if self.take().is_word("group_left") else "right"
                if self.next.is_operator("("):
                    include = self.label_list("after group_left or group_right")
        return Matching(on, labels, group, include, self.fills())

    def fills(self) -> bool:
        found = False
        while self.next.is_word("fill", "fill_left", "fill_right") and self.after_next.is_operator("("):
            found = True
            self.index += 2
            self.take_operator("-", "+")
            if self.next.kind not in ("number", "duration"):
                raise self.fault("A number is missing: the value that missing series are filled with.")
            self.take()
            self.expect(")", "after the value")
        return found

    # --- operands -----------------------------------------------------------------------------------------------------

    def operand(self) -> Node:
        start, signs, minus = self.next.start, 0, 0
        while self.next.is_operator("+", "-"):
            minus += self.take().text == "-"
            signs += 1
        if not signs:
            return self.modified(self.bare())
        node = self.expression(_POWER)
        if isinstance(node, Number):
            return Number(-node.value if minus % 2 else node.value, start, node.end)
        # However many signs: a double minus still drops the metric's name, a plus does not.
        for _ in range(minus % 2 or min(minus, 2)):
            node = Unary("-", node, start, node.end)
        return node if minus else Unary("+", node, start, node.end)

    def bare(self) -> Node:
        token = self.next
        if token.kind in ("number", "duration"):
            return self.leaf(Number(self.amount(token), token.start, token.end))
        if token.kind == "string":
            return self.leaf(Text(unquote(token, self.expr), token.start, token.end))
        if token.kind == "variable":
            return self.leaf(Variable(token.text, token.start, token.end))
        if self.take_operator("("):
            node = self.expression()
            self.expect(")", "for the one opened before")
            return Parens(node, token.start, self.end)
        if token.is_operator("{"):
            return self.selector(None)
        if token.kind == "name":
            return self.named_operand(token)
        raise self.fault("The expression ends too early." if token.kind == "end" else "An operand is missing here.")

    def leaf(self, node: Node) -> Node:
        self.index += 1
        return node

    def named_operand(self, token: Token) -> Node:
        following = self.after_next
        if token.is_word(*AGGREGATORS) and (following.is_operator("(") or self.groups(following)):
            return self.aggregation()
        if following.is_operator("("):
            self.index += 1
            arguments = self.arguments()
            return Call(token.text, arguments, token.start, self.end)
        if token.text.lower() in _RESERVED:
            raise self.fault(f"{token.text} cannot stand here.", "It is a word of PromQL that needs an operand before.")
        self.index += 1
        return self.selector(token)

    def groups(self, token: Token) -> bool:
        """Say whether ``by`` or ``without`` groups here, and is not an operator's neighbour: both need a list."""
        place = self.index + 2
        return token.is_word("by", "without") and self.tokens[min(place, len(self.tokens) - 1)].is_operator("(")

    def aggregation(self) -> Aggregation:
        operator = self.take()
        grouping = self.grouping()
        arguments = self.arguments()
        labels, without = grouping or self.grouping() or ((), False)
        return Aggregation(operator.text.lower(), arguments, labels, without, operator.start, self.end)

    def grouping(self) -> tuple[tuple[str, ...], bool] | None:
        if not self.next.is_word("by", "without"):
            return None
        without = self.take().is_word("without")
        return self.label_list("after by or without"), without

    def arguments(self) -> tuple[Node, ...]:
        self.expect("(", "before the arguments")
        if self.take_operator(")"):
            return ()
        found = [self.expression()]
        while self.take_operator(","):
            found.append(self.expression())
        self.expect(")", "after the arguments")
        return tuple(found)

    def label_list(self, why: str) -> tuple[str, ...]:
        self.expect("(", why)
        labels: list[str] = []
        while not self.take_operator(")"):
            if self.next.kind not in ("name", "string", "variable"):
                raise self.fault("A label's name is missing here.")
            token = self.take()
            labels.append(unquote(token, self.expr) if token.kind == "string" else token.text)
            if not self.take_operator(",") and not self.next.is_operator(")"):
                raise self.fault(") is missing after the labels.")
        return tuple(labels)

    # --- selectors ----------------------------------------------------------------------------------------------------

    def selector(self, name: Token | None) -> Selector:
        first = self.next if name is None else name
        if self.next.is_operator("{"):
            found = self.matchers(name, first)
        else:
            found = Selector(first.text, (), first.start, first.end, first.start, first.end, "{")
        self.selectors.append(found)
        return found

    def matchers(self, name: Token | None, first: Token) -> Selector:
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
        return Selector(text, tuple(matchers), first.start, end, text_start, last.end, joint)

    def matcher(self) -> tuple[int, Matcher]:
        """Take one condition; a metric's name in quotes is one on ``__name__``. Returns where the value stands, too."""
        label = self.next
        if label.kind not in ("name", "string"):
            raise self.fault("A label's name is missing here.", 'A matcher reads label="value".')
        self.take()
        text = unquote(label, self.expr) if label.kind == "string" else label.text
        if label.kind == "name" and ":" in text:
            what = f"{text} is no name of a label."
            raise PromqlSyntaxError(self.expr, label.start, what, "Write one with a colon in quotes.")
        operator = self.next
        if label.kind == "string" and operator.is_operator(",", "}"):
            return label.start, Matcher("__name__", "=", text, label.start, label.end)
        if not self.take_operator(*_MATCHES):
            raise self.fault(f"After {label.text} one of =, !=, =~ and !~ is missing.")
        value = self.next
        if value.kind not in ("string", "variable"):
            raise self.fault(f"The value of {label.text} is missing.", "Write it in quotes.")
        self.take()
        content = unquote(value, self.expr) if value.kind == "string" else value.text
        return value.start, Matcher(text, operator.text, content, label.start, value.end)

    # --- modifiers ----------------------------------------------------------------------------------------------------

    def modified(self, node: Node) -> Node:
        while True:
            if self.take_operator("["):
                node = self.ranged(node)
            elif self.take_operator("@"):
                node = At(node, self.moment(), node.start, self.end)
            elif self.take_word("offset"):
                node = Offset(node, self.span("offset"), node.start, self.end)
            elif self.next.is_word("anchored", "smoothed"):
                node = Extended(node, self.take().text.lower(), node.start, self.end)
            else:
                return node

    def ranged(self, node: Node) -> Node:
        duration, step, steps = self.span("["), None, self.take_operator(":")
        if steps and not self.next.is_operator("]"):
            step = self.span(":")
        self.expect("]", "after the range")
        if steps:
            return Subquery(node, duration, step, node.start, self.end)
        return Ranged(node, duration, node.start, self.end)

    def moment(self) -> float | Literal["start", "end"] | None:
        if self.next.is_word("start", "end"):
            word: Literal["start", "end"] = "start" if self.take().is_word("start") else "end"
            self.expect("(", "after start or end")
            self.expect(")", "after start( or end(")
            return word
        minus = self.next.is_operator("-")
        self.take_operator("-", "+")
        token = self.take()
        if token.kind not in ("number", "variable", "duration"):
            self.index -= 1
            raise self.fault("A time is missing after @.", "Write Unix seconds, start() or end().")
        if token.kind == "variable":
            return None
        return -self.amount(token) if minus else self.amount(token)

    def span(self, after: str) -> Duration:
        """Take a duration, or with Prometheus' experimental arithmetic an expression of some."""
        first, place = self.next, self.index
        self.arithmetic(after)
        taken = self.tokens[place : self.index]
        signs = [token.text for token in taken[:-1]]
        seconds: float | None = None
        if all(text in ("+", "-") for text in signs) and taken[-1].kind in ("number", "duration"):
            seconds = -self.amount(taken[-1]) if signs.count("-") % 2 else self.amount(taken[-1])
        start = taken[-1].start if seconds is not None else first.start
        found = Duration(seconds, first.start, self.end, start)
        self.durations.append(found)
        return found

    def arithmetic(self, after: str) -> None:
        self.descend()
        self.duration(after)
        while after != "offset" and self.take_operator("+", "-", "*", "/", "%", "^"):
            self.duration(after)
        self.depth -= 1

    def duration(self, after: str) -> None:
        while self.take_operator("+", "-"):
            pass
        if self.take_operator("("):
            self.arithmetic("(")
            self.expect(")", "for the one opened before")
        elif self.next.is_word("step", "range", "min", "max") and self.after_next.is_operator("("):
            self.index += 2
            while not self.take_operator(")"):
                self.arithmetic(",")
                if not self.take_operator(",") and not self.next.is_operator(")"):
                    raise self.fault(") is missing.")
        elif self.next.kind in ("duration", "number", "variable"):
            self.take()
        else:
            raise self.fault(f"A duration is missing after {after}.", "Write it as 5m or 1h30m.")
