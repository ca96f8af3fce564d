"""How much is generated, of which kind, and how fast."""

from __future__ import annotations

from typing import Final

from bedplate.declarations import Alert, Panel, Series
from bedplate.metric import Counter, Gauge, Histogram
from synfinance.components.signals.boards import PERFORMANCE, WARNING, quantiles, runbook_of
from synfinance.generator import FRAUD_TYPES

__all__ = ["ALERTS", "DURATION", "GENERATED", "METRICS", "PANELS", "RATE", "RUNBOOK"]

GENERATED = Counter(
    "synfinance_transactions_generated_total",
    "Transactions generated, by the kind of fraud they are; none for honest ones.",
    {"fraud_type": ("none", *FRAUD_TYPES)},
)
RATE = Gauge(
    "synfinance_generation_rate_per_second", "Transactions generated a second over the last minutes.", unit="per_second"
)
DURATION = Histogram("synfinance_generation_duration_seconds", "Time that one batch took.", unit="seconds")
METRICS: Final = (GENERATED, RATE, DURATION)

RUNBOOK: Final = runbook_of(__file__)

#: Rows a second of work, not of time: a service that nobody asks for anything is not slow.
_SPEED: Final = f"sum(rate({GENERATED}[15m])) / sum(rate({DURATION.sum}[15m]))"

ALERTS: Final = (
    Alert(
        name="LowGenerationRate",
        expr=f"{_SPEED} < 1000 and sum(rate({GENERATED}[15m])) > 1",
        summary="While it generates, SynFinance makes {{ $value | humanize }} transactions a second, a fraction of "
        "what it can; batches are late.",
        for_="10m",
        group=WARNING,
        fires=(Series(str(GENERATED(fraud_type="none")), "0+6000x30"), Series(DURATION.sum, "0+20x30")),
        quiet=(Series(str(GENERATED(fraud_type="none")), "0+6000x30"), Series(DURATION.sum, "0+0.5x30")),
    ),
)

PANELS: Final = (
    Panel(
        title="Generated a second",
        expr=f"sum({RATE})",
        kind="stat",
        unit="ops",
        summary="How many transactions were made, over the last minutes?",
        dashboard=PERFORMANCE,
        row="How much is done?",
    ),
    Panel(
        title="Speed of generation",
        expr=(("rows a second of work", _SPEED),),
        low=0,
        summary="How fast is it while it works? Small batches are slower by row than large ones.",
        dashboard=PERFORMANCE,
        row="How much is done?",
    ),
    Panel(
        title="Generation of a batch",
        expr=quantiles(DURATION, 0.5, 0.95),
        unit="s",
        low=0,
        summary="How long does it take to make a batch?",
        dashboard=PERFORMANCE,
        row="What takes how long?",
    ),
)
