"""PromQL as a tree: frozen nodes that know where in the text they stand.

A node says what is written, not what it means: that ``rate`` wants a range, and which modifiers go where, is checked by
:mod:`bedplate.promql.types`. So a tree can also be had of an expression that is still being written.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = [
    "Aggregation",
    "At",
    "Binary",
    "Call",
    "Duration",
    "Extended",
    "Matcher",
    "Matching",
    "Node",
    "Number",
    "Offset",
    "Parens",
    "Ranged",
    "Selector",
    "Subquery",
    "Text",
    "Unary",
    "Variable",
]


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


@dataclass(frozen=True, slots=True)
class Number:
    """A number, or a duration that stands for its seconds."""

    value: float
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Text:
    """A string, unquoted."""

    value: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Variable:
    """A variable of Grafana where a number would stand: ``$limit``."""

    text: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Duration:
    """A length of time in a range, a subquery or an offset.

    :ivar seconds: negative in ``offset -5m``; None for a variable and for arithmetic with durations.
    :ivar number_start: where the duration begins after its sign, to :attr:`end`.
    """

    seconds: float | None
    start: int
    end: int
    number_start: int


@dataclass(frozen=True, slots=True)
class Parens:
    """An expression in parentheses."""

    operand: Node
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Unary:
    """A sign before an expression: ``+`` or ``-``."""

    operator: str
    operand: Node
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Ranged:
    """A range: ``operand[5m]``."""

    operand: Node
    duration: Duration
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Subquery:
    """An expression evaluated at many moments: ``operand[1h:5m]``; without a step, at Prometheus' own."""

    operand: Node
    duration: Duration
    step: Duration | None
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Offset:
    """``operand offset 5m``."""

    operand: Node
    duration: Duration
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class At:
    """``operand @ 1609746000``, ``@ start()`` or ``@ end()``; ``moment`` is None for a variable."""

    operand: Node
    moment: float | Literal["start", "end"] | None
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Extended:
    """``operand anchored`` or ``operand smoothed``, an experiment of Prometheus 3."""

    operand: Node
    word: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Call:
    """A function call; the name is as it is written."""

    function: str
    arguments: tuple[Node, ...]
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Aggregation:
    """An aggregation; the operator is in lower case, its parameter the first of two arguments."""

    operator: str
    arguments: tuple[Node, ...]
    labels: tuple[str, ...]
    without: bool
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Matching:
    """Which series of two vectors belong together.

    :ivar on: whether :attr:`labels` are those that must be equal, or all but those; None when neither is written.
    :ivar group: the side that may have several series for one of the other: ``left``, ``right`` or neither.
    :ivar include: labels that are copied from the other side. :ivar fill: whether missing series are filled in.
    """

    on: bool | None = None
    labels: tuple[str, ...] = ()
    group: Literal["", "left", "right"] = ""
    include: tuple[str, ...] = ()
    fill: bool = False


@dataclass(frozen=True, slots=True)
class Binary:
    """Two expressions and an operator between them, in lower case; it stands at ``operator_start``."""

    operator: str
    left: Node
    right: Node
    matching: Matching
    returns_bool: bool
    operator_start: int
    start: int
    end: int


Node = (
    Aggregation
    | At
    | Binary
    | Call
    | Extended
    | Number
    | Offset
    | Parens
    | Ranged
    | Selector
    | Subquery
    | Text
    | Unary
    | Variable
)
