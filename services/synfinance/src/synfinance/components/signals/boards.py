"""The four dashboards, the groups of alerts, and what panels and alerts of several components share."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from bedplate.declarations import AlertGroup, Dashboard, Runbook, Threshold, Variable
from bedplate.metric import Histogram
from bedplate.service.supervision import AVAILABILITY

__all__ = [
    "AVAILABILITY",
    "CRITICAL",
    "DATA_QUALITY",
    "FRAUD_DETECTION",
    "PERFORMANCE",
    "QUALITY",
    "QUALITY_BANDS",
    "SLA",
    "SYSTEM_OVERVIEW",
    "WARNING",
    "p95",
    "quantiles",
    "runbook_of",
]

CRITICAL: Final = AlertGroup(name="critical", interval="30s")
WARNING: Final = AlertGroup(name="warning", interval="1m")
QUALITY: Final = AlertGroup(name="data-quality", interval="5m")

SYSTEM_OVERVIEW: Final = Dashboard(
    name="system-overview",
    title="SynFinance: system overview",
    summary="Is it well, who asks for what, how fast is it answered, and what does that take?",
    variables=(Variable(label="http_route", title="Endpoint"),),
    rows=("Is it well?", "Who asks for what?", "How fast?", "What fails?", "What does it take?"),
)
FRAUD_DETECTION: Final = Dashboard(
    name="fraud-detection",
    title="SynFinance: fraud detection",
    summary="How much fraud is there, of which kind, and how far can the detector be trusted?",
    variables=(Variable(label="fraud_type", title="Fraud type"), Variable(label="severity", title="Severity")),
    rows=("How much?", "Of which kind?", "How right?", "How sure?"),
)
PERFORMANCE: Final = Dashboard(
    name="performance-analytics",
    title="SynFinance: performance analytics",
    summary="How much is done, what takes how long, and does what is kept at hand help?",
    variables=(Variable(label="cache_type", title="Cache type"),),
    rows=("How much is done?", "What takes how long?", "Does the cache help?", "Is there room for more?"),
)
DATA_QUALITY: Final = Dashboard(
    name="data-quality",
    title="SynFinance: data quality",
    summary="How good are the data that pass through, what is wrong with them, and did they change?",
    variables=(Variable(label="field", title="Field"),),
    rows=("How good?", "What is wrong?", "Did it change?"),
)

#: What is promised for a request: the line that durations are held against.
SLA: Final = Threshold(value=0.1, label="SLA: 100 ms")
#: Below 90 points the quality of data is fair, below 70 poor.
QUALITY_BANDS: Final = (
    Threshold(value=90, severity="warning", label="good from 90", above=False),
    Threshold(value=70, severity="critical", label="poor below 70", above=False),
)


#: Pairs of legend and expression.
Legends = tuple[tuple[str, str], ...]


def p95(histogram: Histogram, window: str = "5m", *, matchers: str = "", by: str = "") -> str:
    """Return the expression of the duration that 95 % of the observations stay within.

    :param matchers: narrow the buckets, ``http_route!="/metrics"``. :param by: a label to be told apart.
    """
    return _quantile(0.95, histogram, window, matchers, by)


def quantiles(histogram: Histogram, *which: float, window: str = "5m", matchers: str = "") -> Legends:
    """Return pairs of legend and expression, one for each quantile."""
    return tuple((f"p{q * 100:g}", _quantile(q, histogram, window, matchers, "")) for q in which)


def _quantile(q: float, histogram: Histogram, window: str, matchers: str, by: str) -> str:
    buckets = histogram.bucket + (f"{{{matchers}}}" if matchers else "")
    labels = f"le, {by}" if by else "le"
    return f"histogram_quantile({q:g}, sum by ({labels}) (rate({buckets}[{window}])))"


def runbook_of(module_file: str) -> Runbook:
    """Return the page that lies beside a module and has its name; for constants, read on import."""
    return Runbook(text=Path(module_file).with_suffix(".md").read_text(encoding="utf-8"))
