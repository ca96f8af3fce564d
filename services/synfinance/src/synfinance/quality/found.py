"""Making findings, so that severity and loss follow from the catalogue alone."""

from __future__ import annotations

from collections.abc import Iterable

from synfinance.quality.faults import RULES, Fault, Severity
from synfinance.quality.masking import examples_of
from synfinance.quality.report import Finding

_ERROR_LOSS = 0.25
_WARNING_LOSS = 0.01


def found(
    fault: Fault,
    column: str | None,
    count: int,
    rows: int,
    message: str,
    *,
    examples: Iterable[object] = (),
    charged: float | None = None,
    suggestion: str | None = None,
) -> Finding:
    """A finding about ``count`` of ``rows`` values.

    Its loss is the catalogue's for the share of them, or for ``charged`` when that is given. It is an error when it
    takes a quarter of the score, a warning when it takes a hundredth, a note otherwise, and never less than the fault
    is at least.
    """
    rule = RULES[fault]
    share = count / rows if rows else 0.0
    loss = rule.loss(share if charged is None else charged)
    by_loss = Severity.ERROR if loss >= _ERROR_LOSS else Severity.WARNING if loss >= _WARNING_LOSS else Severity.NOTE
    return Finding(
        fault=fault,
        column=column,
        dimension=rule.dimension,
        severity=min(by_loss, rule.at_least, key=lambda severity: severity.rank),
        count=count,
        share=share,
        message=message,
        suggestion=suggestion or rule.suggestion,
        examples=examples_of(examples),
        loss=loss,
    )


def percent(share: float) -> str:
    """A share in words that neither round a few to none nor most to all: ``0.004 %``, ``12 %``, ``99.997 %``."""
    value = 100.0 * share
    for digits in (0, 1, 2, 3, 4):
        text = f"{value:.{digits}f}"
        near = min(value, 100.0 - value)
        if near == 0 or abs(float(text) - value) <= 0.1 * near:
            return f"{text} %"
    return f"{'<' if value < 50 else '>'}{'0.0001' if value < 50 else '99.9999'} %"


def counted(count: int, noun: str) -> str:
    """A count with its noun: ``1 value``, ``2,000 values``."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"
