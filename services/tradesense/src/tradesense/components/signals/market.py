"""Quotes: live prices from their source."""

from __future__ import annotations

from functools import partial
from typing import Final

from bedplate.declarations import Alert, Panel, Series
from bedplate.metric import Counter, Gauge
from tradesense.components.signals.boards import TRADING, WARNING, runbook_of

__all__ = ["ALERTS", "ASKED", "METRICS", "PANELS", "QUOTED", "QUOTES", "RUNBOOK", "WATCHED"]

ASKED = Counter(
    "tradesense_quote_requests_total", "Times that the source of quotes was asked.", {"outcome": ("answered", "failed")}
)
QUOTES = Counter("tradesense_quotes_total", "Quotes that the source gave.")
WATCHED = Gauge("tradesense_quotes_watched", "Symbols that somebody watches.", merge="max")
QUOTED = Gauge(
    "tradesense_quotes_latest_timestamp_seconds",
    "Unix time of the latest quotes.",
    unit="timestamp_seconds",
    merge="max",
)
METRICS: Final = (ASKED, QUOTES, WATCHED, QUOTED)

RUNBOOK: Final = runbook_of(__file__)

ALERTS: Final = (
    Alert(
        name="QuotesStale",
        expr=f"time() - max({QUOTED}) > 120 and max({WATCHED}) > 0",
        summary="Live portfolios show prices that are {{ $value | humanizeDuration }} old, and say so to nobody.",
        for_="2m",
        group=WARNING,
        fires=(Series(str(QUOTED), "0x30"), Series(str(WATCHED), "3x30")),
        quiet=(Series(str(QUOTED), "0+60x30"), Series(str(WATCHED), "3x30")),
    ),
    Alert(
        name="QuoteSourceFails",
        expr=f"sum(rate({ASKED(outcome='failed')}[5m])) / sum(rate({ASKED}[5m])) > 0.5",
        summary="{{ $value | humanizePercentage }} of the questions to the source of quotes fail.",
        for_="3m",
        group=WARNING,
        fires=(
            Series(str(ASKED(outcome="failed")), "0+40x20"),
            Series(str(ASKED(outcome="answered")), "0+20x20"),
        ),
        quiet=(
            Series(str(ASKED(outcome="failed")), "0+10x20"),
            Series(str(ASKED(outcome="answered")), "0+50x20"),
        ),
    ),
)

_panel = partial(Panel, dashboard=TRADING, row="Who watches?")

PANELS: Final = (
    _panel(title="Symbols watched", expr=f"max({WATCHED})", kind="stat", summary="How many symbols are quoted live?"),
    _panel(
        title="Quotes a second",
        expr=(("quotes", f"sum(rate({QUOTES}[1m]))"),),
        unit="ops",
        low=0,
        summary="How many prices does the source give?",
    ),
    _panel(
        title="Questions to the source of quotes",
        expr=(("{{outcome}}", f"sum by (outcome) (rate({ASKED}[5m]))"),),
        unit="ops",
        low=0,
        summary="Does it answer?",
    ),
    _panel(
        title="Age of the quotes",
        expr=(("seconds", f"time() - max({QUOTED})"),),
        unit="s",
        low=0,
        summary="How old is the latest price that people see?",
    ),
)
