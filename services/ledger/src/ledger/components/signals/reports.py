"""Reports: how long they take to make."""

from __future__ import annotations

from functools import partial
from typing import Final

from bedplate.declarations import Alert, Panel, Series
from bedplate.metric import Histogram
from ledger.components.signals.boards import BOOKS, GROUP, quantiles, runbook_of

__all__ = ["ALERTS", "DURATION", "METRICS", "PANELS", "REPORTS", "RUNBOOK"]

REPORTS: Final = ("balances", "trial_balance", "summary", "monthly", "yearly")

DURATION = Histogram(
    "ledger_report_duration_seconds",
    "Time that a report took to be made, of those that were not in the cache.",
    {"report": REPORTS},
    unit="seconds",
)
METRICS: Final = (DURATION,)

RUNBOOK: Final = runbook_of(__file__)

_P99: Final = f"histogram_quantile(0.99, sum by (le, report) (rate({DURATION.bucket}[5m])))"


def _within(le: str, values: str) -> Series:
    return Series(f'{DURATION.bucket}{{report="monthly",le="{le}"}}', values)


ALERTS: Final = (
    Alert(
        name="ReportsSlow",
        expr=f"{_P99} > 0.5",
        summary="One in a hundred {{ $labels.report }} reports takes {{ $value | humanizeDuration }} to be made.",
        for_="5m",
        group=GROUP,
        fires=(_within("0.5", "0+10x30"), _within("1", "0+60x30"), _within("+Inf", "0+60x30")),
        quiet=(_within("0.5", "0+60x30"), _within("1", "0+60x30"), _within("+Inf", "0+60x30")),
    ),
)

_panel = partial(Panel, dashboard=BOOKS, row="How fast is it told?")

PANELS: Final = (
    _panel(
        title="Duration of a report",
        expr=quantiles(DURATION, 0.5, 0.95, 0.99),
        unit="s",
        low=0,
        summary="How long does it take to make a report that is not cached?",
    ),
    _panel(
        title="Reports made",
        expr=(("{{report}}", f"sum by (report) (rate({DURATION.count}[5m]))"),),
        unit="ops",
        stacked=True,
        summary="Which reports are made anew, and how often?",
    ),
)
