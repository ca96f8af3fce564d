"""The rehearsal: a transaction that is posted, read back and taken back, again and again."""

from __future__ import annotations

from functools import partial
from typing import Final

from bedplate.declarations import Alert, Check, Panel, Series
from bedplate.metric import Counter, Gauge, Histogram
from ledger.components.signals.boards import BOOKS, GROUP, quantiles, runbook_of

__all__ = ["ALERTS", "CHECKS", "DURATION", "LATEST", "METRICS", "PANELS", "PATH", "RUNBOOK", "RUNS"]

#: Where it is told, for checks from outside.
PATH: Final = "/rehearsal"

RUNS = Counter(
    "ledger_rehearsals_total", "Times that posting and reading back was rehearsed.", {"outcome": ("well", "failed")}
)
DURATION = Histogram("ledger_rehearsal_duration_seconds", "Time that a rehearsal took.", unit="seconds")
LATEST = Gauge(
    "ledger_rehearsal_success_timestamp_seconds",
    "Unix time of the latest rehearsal that went well.",
    unit="timestamp_seconds",
    merge="max",
)
METRICS: Final = (RUNS, DURATION, LATEST)

RUNBOOK: Final = runbook_of(__file__)

ALERTS: Final = (
    Alert(
        name="RehearsalFails",
        expr=f"time() - max({LATEST}) > 900",
        summary="For {{ $value | humanizeDuration }} no transaction could be posted and read back in rehearsal.",
        severity="critical",
        for_="1m",
        group=GROUP,
        fires=(Series(str(LATEST), "0x40"),),
        quiet=(Series(str(LATEST), "0+60x40"),),
    ),
)

CHECKS: Final = (
    Check(
        name="transactions-post",
        path=PATH,
        summary="A revenue and an expense were posted to the smoke-test organisation.",
        group="functional",
        within=0.25,
        fields=("at", "posted"),
        contains=('"posted":true',),
    ),
    Check(
        name="transactions-read-back",
        path=PATH,
        summary="They were read back: listed, in the balance, and the trial balance zero.",
        group="functional",
        within=0.25,
        fields=("readBack", "seconds"),
        contains=('"readBack":true', '"balanced":true'),
    ),
)

_panel = partial(Panel, dashboard=BOOKS, row="Are the books right?")

PANELS: Final = (
    _panel(
        title="Rehearsals",
        expr=(("{{outcome}}", f"sum by (outcome) (increase({RUNS}[30m]))"),),
        kind="bar",
        stacked=True,
        summary="Can a transaction be posted and read back, end to end?",
    ),
    _panel(
        title="Since the latest rehearsal that went well",
        expr=(("seconds", f"time() - max({LATEST})"),),
        unit="s",
        low=0,
        summary="It is rehearsed every five minutes.",
    ),
    Panel(
        title="Duration of a rehearsal",
        expr=quantiles(DURATION, 0.5, 0.95),
        unit="s",
        low=0,
        summary="How long do posting, reading and taking back take, one after the other?",
        dashboard=BOOKS,
        row="How fast is it told?",
    ),
)
