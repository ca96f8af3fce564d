"""What is tracked: trades, their owners, and what the day brought."""

from __future__ import annotations

from functools import partial
from typing import Final

from bedplate.declarations import Alert, Check, Panel, Series
from bedplate.metric import Counter, Gauge
from tradesense.components.signals.boards import TRADING, WARNING, runbook_of

__all__ = [
    "ALERTS", "CHECKS", "COUNTED", "ENTERED_TODAY", "METRICS", "PANELS", "RECORDED", "RUNBOOK", "SYMBOLS_TODAY",
    "TRACKED", "TRADERS", "TRADERS_TODAY",
]  # fmt: skip

TRACKED = Gauge("tradesense_trades_tracked", "Trades in the database, of all users.", merge="last")
TRADERS = Gauge("tradesense_traders", "Users who have an account.", merge="last")
ENTERED_TODAY = Gauge(
    "tradesense_trades_entered_today", "Trades entered or imported since midnight in UTC.", merge="last"
)
TRADERS_TODAY = Gauge(
    "tradesense_traders_active_today", "Users who entered or imported a trade since midnight in UTC.", merge="last"
)
SYMBOLS_TODAY = Gauge(
    "tradesense_symbols_traded_today", "Symbols of the trades that came in since midnight in UTC.", merge="last"
)
COUNTED = Gauge(
    "tradesense_records_counted_timestamp_seconds",
    "Unix time at which the records were last counted.",
    unit="timestamp_seconds",
    merge="max",
)
RECORDED = Counter(
    "tradesense_trades_recorded_total", "Trades that were written, by how they came.", {"source": ("entry", "import")}
)
METRICS: Final = (TRACKED, TRADERS, ENTERED_TODAY, TRADERS_TODAY, SYMBOLS_TODAY, COUNTED, RECORDED)

RUNBOOK: Final = runbook_of(__file__)

ALERTS: Final = (
    Alert(
        name="TradeCountsStale",
        expr=f"time() - max({COUNTED}) > 600",
        summary="The daily aggregates have not been counted for {{ $value | humanizeDuration }}; dashboards show old "
        "numbers.",
        for_="5m",
        group=WARNING,
        fires=(Series(str(COUNTED), "0x30"),),
        quiet=(Series(str(COUNTED), "0+60x30"),),
    ),
)

#: What clients rely on; checks change nothing, so that none signs up or trades.
CHECKS: Final = (
    Check(
        name="describes-itself", path="/", summary="It says what is here.", group="api",
        fields=("service", "version", "links.trades", "links.live"),
    ),
    Check(name="health", path="/health", summary="It says how it is.", group="api", within=0.25, fields=("status",)),
    Check(
        name="brokers", path="/api/v1/brokers", summary="It says whose files it reads.", group="api",
        fields=("brokers.0.name", "fields.0"),
    ),
    Check(
        name="openapi", path="/openapi.json", group="api",
        summary="Its description has the endpoints that clients call.",
        contains=('"/api/v1/trades"', '"/api/v1/imports"', '"/api/v1/analytics"', '"/api/v1/portfolio"'),
    ),
    Check(
        name="trades-closed", path="/api/v1/trades", summary="Nobody sees trades without signing in.", group="closed",
        expect=401,
    ),
    Check(
        name="portfolio-closed", path="/api/v1/portfolio", summary="Nor what is held.", group="closed", expect=401
    ),
)  # fmt: skip

_tracked = partial(Panel, dashboard=TRADING, row="What is tracked?")

PANELS: Final = (
    _tracked(title="Trades tracked", expr=f"max({TRACKED})", kind="stat", summary="How many trades are kept in all?"),
    _tracked(title="Traders", expr=f"max({TRADERS})", kind="stat", summary="How many people have an account?"),
    _tracked(
        title="Traders active today",
        expr=f"max({TRADERS_TODAY})",
        kind="stat",
        summary="How many people recorded a trade since midnight in UTC?",
    ),
    _tracked(
        title="Trades of the day",
        expr=(("trades", f"max({ENTERED_TODAY})"), ("symbols", f"max({SYMBOLS_TODAY})")),
        low=0,
        summary="How much came in since midnight in UTC, and of how many symbols?",
    ),
    _tracked(
        title="Age of the daily aggregates",
        expr=(("seconds since they were counted", f"time() - max({COUNTED})"),),
        unit="s",
        low=0,
        summary="Are the numbers of the day of today? They are counted once a minute.",
    ),
    Panel(
        title="Trades recorded",
        expr=(("{{source}}", f"sum by (source) (rate({RECORDED}[5m]))"),),
        unit="ops",
        stacked=True,
        summary="How many trades are written a second, entered by hand or imported?",
        dashboard=TRADING,
        row="What comes in?",
    ),
)
