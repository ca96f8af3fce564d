"""The dashboard, the group of alerts, and what panels and alerts of several components share."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from bedplate.declarations import AlertGroup, Dashboard, Runbook
from bedplate.metric import Histogram

__all__ = ["BOOKS", "GROUP", "quantiles", "runbook_of", "share"]

GROUP: Final = AlertGroup(name="ledger", interval="30s")

BOOKS: Final = Dashboard(
    name="books",
    title="Ledger: books",
    summary="Is every trial balance zero, what is posted, who asks, and how fast are reports?",
    rows=("Are the books right?", "What comes in?", "Who asks?", "How fast is it told?"),
)


def quantiles(histogram: Histogram, *which: float, window: str = "5m") -> tuple[tuple[str, str], ...]:
    """Return pairs of legend and expression, one for each quantile."""
    rate = f"sum by (le) (rate({histogram.bucket}[{window}]))"
    return tuple((f"p{q * 100:g}", f"histogram_quantile({q:g}, {rate})") for q in which)


def share(part: str, whole: str, window: str = "15m") -> str:
    """Return the expression of a share of two rates; 0 where there is a whole and no part."""
    all_of_it = f"sum(rate({whole}[{window}]))"
    return f"(sum(rate({part}[{window}])) or {all_of_it} * 0) / {all_of_it}"


def runbook_of(module_file: str) -> Runbook:
    """Return the page that lies beside a module and has its name; for constants, read on import."""
    return Runbook(text=Path(module_file).with_suffix(".md").read_text(encoding="utf-8"))
