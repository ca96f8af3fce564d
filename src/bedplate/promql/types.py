"""Types: which expression may stand where, by the rules of Prometheus' ``checkAST``.

A tree that passes is an expression that Prometheus takes, whether or not this engine evaluates it.
"""

from __future__ import annotations

from difflib import get_close_matches
from typing import Literal

from bedplate.promql.errors import PromqlSyntaxError
from bedplate.promql.functions import AGGREGATION_PARAMETERS, FUNCTIONS, Type
from bedplate.promql.matching import compiled_matcher
from bedplate.promql.nodes import (
    Aggregation,
    At,
    Binary,
    Call,
    Duration,
    Extended,
    Node,
    Number,
    Offset,
    Parens,
    Ranged,
    Selector,
    Subquery,
    Text,
    Unary,
)
from bedplate.promql.parser import COMPARISONS, SET_OPERATORS

__all__ = ["MAX_NODES_DEEP", "Type", "checked", "is_vector"]

#: Operators and brackets around one operand beyond which an expression is not evaluated.
MAX_NODES_DEEP = 160

#: Seconds that Go's durations of nanoseconds can hold.
_LONGEST = 9.2e9

_WORDS = {"scalar": "a scalar", "vector": "an instant vector", "matrix": "a range vector", "string": "a string"}


def checked(node: Node, expr: str) -> Type:
    """Return the type of an expression's value.

    :raises PromqlSyntaxError: where an operand, argument or modifier does not fit.
    """
    return _Checker(expr).type(node, 0)


def is_vector(node: Node) -> bool:
    """Say whether the value of an operand that passed is an instant vector, and no scalar."""
    while isinstance(node, (Parens, Unary)):
        node = node.operand
    if isinstance(node, Binary):
        # The right side first: chains of operators are deep on the left.
        return is_vector(node.right) or is_vector(node.left)
    if isinstance(node, Call):
        return FUNCTIONS[node.function].returns == "vector"
    return not isinstance(node, Number)


class _Checker:
    def __init__(self, expr: str) -> None:
        self.expr = expr

    def fault(self, position: int, what: str, mend: str = "") -> PromqlSyntaxError:
        return PromqlSyntaxError(self.expr, position, what, mend)

    def type(self, node: Node, depth: int) -> Type:
        if depth > MAX_NODES_DEEP:
            raise self.fault(node.start, "The expression is nested too deeply.", "Write it in parts.")
        depth += 1
        match node:
            case Number():
                return "scalar"
            case Text():
                return "string"
            case Selector():
                return self.selector(node)
            case Parens():
                return self.type(node.operand, depth)
            case Unary():
                return self.unary(node, depth)
            case Binary():
                return self.binary(node, depth)
            case Call():
                return self.call(node, depth)
            case Aggregation():
                return self.aggregation(node, depth)
            case Ranged():
                return self.ranged(node)
            case Subquery():
                return self.subquery(node, depth)
            case Offset() | At() | Extended():
                return self.modified(node, depth)
        mend = "Write the value: variables are Grafana's to fill in."
        raise self.fault(node.start, f"{node.text} has no value here.", mend)

    def wants(self, node: Node, wanted: Type, what: str, depth: int) -> None:
        found = self.type(node, depth)
        if found == wanted:
            return
        mend = ""
        if wanted == "matrix" and found == "vector":
            mend = "Give it a range, as in [5m]."
        elif wanted == "vector" and found == "matrix":
            mend = "Reduce the range with a function, as in rate(…) or avg_over_time(…)."
        elif wanted == "scalar" and found == "vector":
            mend = "scalar(…) makes one of a vector with one element."
        raise self.fault(node.start, f"{what} is to be {_WORDS[wanted]}; this is {_WORDS[found]}.", mend)

    def selector(self, node: Selector) -> Type:
        tests = [(matcher, compiled_matcher(matcher, self.expr)) for matcher in node.matchers]
        if not node.name and all(test("") for _, test in tests):
            what = "Every condition of this selector is met by a series without the label: it selects everything."
            raise self.fault(node.start, what, "Name a metric, or give a condition that is not met by an empty value.")
        return "vector"

    def unary(self, node: Unary, depth: int) -> Type:
        found = self.type(node.operand, depth)
        if found not in ("scalar", "vector"):
            raise self.fault(node.start, f"A sign cannot stand before {_WORDS[found]}.")
        return found

    def binary(self, node: Binary, depth: int) -> Type:
        left, right = self.type(node.left, depth), self.type(node.right, depth)
        for side, found in ((node.left, left), (node.right, right)):
            if found not in ("scalar", "vector"):
                raise self.fault(side.start, f"{node.operator} takes scalars and instant vectors, not {_WORDS[found]}.")
        at, operator, matching = node.operator_start, node.operator, node.matching
        if node.returns_bool and operator not in COMPARISONS:
            raise self.fault(at, "bool only follows a comparison.", "Leave it out.")
        if operator in COMPARISONS and not node.returns_bool and left == right == "scalar":
            raise self.fault(at, "A comparison of two scalars filters nothing.", f"Write {operator} bool.")
        if operator in SET_OPERATORS and "scalar" in (left, right):
            raise self.fault(at, f"{operator} takes two instant vectors.", "vector(…) makes one of a scalar.")
        if "scalar" in (left, right):
            if matching.labels or matching.fill:
                raise self.fault(
                    at, "Labels are only matched between two instant vectors.", "Leave on or ignoring out."
                )
            return "vector" if "vector" in (left, right) else "scalar"
        if operator in SET_OPERATORS and (matching.group or matching.fill):
            word = f"group_{matching.group}" if matching.group else "fill"
            raise self.fault(at, f"{operator} takes no {word}.", "It compares sets of labels on both sides anyway.")
        if matching.on and (twice := set(matching.labels) & set(matching.include)):
            label = sorted(twice)[0]
            what = f"{label} is in on(…) and in group_{matching.group}(…)."
            raise self.fault(at, what, "Leave it out of the second: on(…) already keeps it.")
        return "vector"

    def call(self, node: Call, depth: int) -> Type:
        function = FUNCTIONS.get(node.function)
        if function is None:
            raise self.fault(node.start, f"There is no function {node.function}.", _similar(node.function))
        count, least, most = len(node.arguments), function.least, function.most
        if count < least or (most is not None and count > most):
            bounds = f"{least}" if least == most else f"at least {least}" if most is None else f"{least} to {most}"
            what = f"{node.function} takes {bounds} argument{'s' * (bounds != '1')}, and here are {count}."
            raise self.fault(node.start, what)
        for place, argument in enumerate(node.arguments):
            wanted = function.arguments[min(place, len(function.arguments) - 1)]
            self.wants(argument, wanted, f"Argument {place + 1} of {node.function}", depth)
        return function.returns

    def aggregation(self, node: Aggregation, depth: int) -> Type:
        parameter = AGGREGATION_PARAMETERS.get(node.operator)
        expected = 1 if parameter is None else 2
        if len(node.arguments) != expected:
            what = (
                f"{node.operator} takes {expected} argument{'s' * (expected > 1)}, and here are {len(node.arguments)}."
            )
            raise self.fault(node.start, what, "" if expected == 1 else "The parameter comes first, then the vector.")
        if parameter is not None:
            self.wants(node.arguments[0], parameter, f"The parameter of {node.operator}", depth)
        self.wants(node.arguments[-1], "vector", f"What {node.operator} aggregates", depth)
        return "vector"

    def bounded(self, duration: Duration) -> None:
        if duration.seconds is not None and not abs(duration.seconds) < _LONGEST:
            raise self.fault(duration.start, "A duration is shorter than 292 years.", "Write it as 5m or 1h30m.")

    def positive(self, duration: Duration) -> None:
        self.bounded(duration)
        if duration.seconds is not None and duration.seconds <= 0:
            raise self.fault(duration.start, "A range or step is longer than 0.", "Write it as 5m or 1h30m.")

    def ranged(self, node: Ranged) -> Type:
        self.positive(node.duration)
        if not isinstance(node.operand, Selector):
            kind = type(node.operand)
            what = "A range follows a selector only."
            mend = {
                Offset: "Put offset behind the range: metric[5m] offset 1h.",
                At: "Put @ behind the range: metric[5m] @ end().",
            }.get(kind, "For a range over an expression write a subquery, [1h:1m], which has a step.")
            raise self.fault(node.duration.start - 1, what, mend)
        self.selector(node.operand)
        return "matrix"

    def subquery(self, node: Subquery, depth: int) -> Type:
        self.positive(node.duration)
        if node.step is not None:
            self.positive(node.step)
        self.wants(node.operand, "vector", "What a subquery evaluates", depth)
        return "matrix"

    def modified(self, node: Offset | At | Extended, depth: int) -> Type:
        word: Literal["offset", "@", ""] = "offset" if isinstance(node, Offset) else "@" if isinstance(node, At) else ""
        if isinstance(node, Offset):
            self.bounded(node.duration)
        elif isinstance(node, At) and isinstance(node.moment, float) and not abs(node.moment) < _LONGEST:
            raise self.fault(node.operand.end, "This moment is outside of time.", "Write @ and Unix seconds.")
        base: Node = node.operand
        while isinstance(base, (Offset, At, Extended)):
            if word and isinstance(base, type(node)):
                raise self.fault(node.operand.end, f"{word} is given twice.", "Keep one.")
            base = base.operand
        if not isinstance(base, (Selector, Ranged, Subquery)):
            what = f"{word or 'This'} follows a selector, a range or a subquery only."
            raise self.fault(node.operand.end, what, "Put it inside the brackets, behind the selector.")
        return self.type(node.operand, depth)


def _similar(name: str) -> str:
    found = get_close_matches(name.lower(), FUNCTIONS, n=1, cutoff=0.75)
    return f"Is {found[0]} meant?" if found else ""
