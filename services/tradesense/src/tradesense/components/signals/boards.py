"""The dashboards, the group of alerts, and what panels and alerts of several components share."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from bedplate.declarations import AlertGroup, Dashboard, Runbook
from bedplate.metric import Histogram

__all__ = ["ACCOUNTS", "TRADING", "WARNING", "quantiles", "runbook_of", "share"]

WARNING: Final = AlertGroup(name="tradesense", interval="30s")

TRADING: Final = Dashboard(
    name="trading",
    title="TradeSense: trading",
    summary="What is tracked, what comes in, how fast is it analysed, and who watches?",
    rows=("What is tracked?", "What comes in?", "How fast is it analysed?", "Who watches?"),
)
ACCOUNTS: Final = Dashboard(
    name="accounts",
    title="TradeSense: accounts",
    summary="Who signs in, who fails to, and does it take its time?",
    rows=("Who comes?", "Does it take its time?"),
)


def quantiles(histogram: Histogram, *which: float, window: str = "5m") -> tuple[tuple[str, str], ...]:
    """Return pairs of legend and expression, one for each quantile."""
    return tuple((f"p{q * 100:g}", quantile(q, histogram, window)) for q in which)


def quantile(q: float, histogram: Histogram, window: str = "5m") -> str:
    """Return the expression of the value that this share of the observations stays within."""
    return f"histogram_quantile({q:g}, sum by (le) (rate({histogram.bucket}[{window}])))"


def share(part: str, whole: str, window: str = "15m") -> str:
    """Return the expression of a share of two rates; 0 where there is a whole and no part."""
    all_of_it = f"sum(rate({whole}[{window}]))"
    return f"(sum(rate({part}[{window}])) or {all_of_it} * 0) / {all_of_it}"


def runbook_of(module_file: str) -> Runbook:
    """Return the page that lies beside a module and has its name; for constants, read on import."""
    return Runbook(text=Path(module_file).with_suffix(".md").read_text(encoding="utf-8"))
