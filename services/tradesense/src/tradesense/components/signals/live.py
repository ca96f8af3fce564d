"""Live portfolios: who watches, and whether they can follow."""

from __future__ import annotations

from functools import partial
from typing import Final

from bedplate.declarations import Alert, Panel, Series
from bedplate.metric import Counter, Gauge, Histogram
from tradesense.components.signals.boards import TRADING, WARNING, quantiles, runbook_of

__all__ = ["ALERTS", "ENDED", "METRICS", "PANELS", "RUNBOOK", "SENT", "UPDATE", "VIEWERS"]

VIEWERS = Gauge("tradesense_live_viewers", "People who watch their portfolio over a WebSocket.")
SENT = Counter(
    "tradesense_live_messages_total",
    "Messages to those who watch, by what they say.",
    {"kind": ("portfolio", "quotes")},
)
ENDED = Counter(
    "tradesense_live_ended_total",
    "Watches that ended, by why.",
    {"reason": ("left", "slow", "signed_out", "crowded", "stopping", "failed")},
)
UPDATE = Histogram(
    "tradesense_live_update_duration_seconds",
    "Time from a change to the message that tells of it, sent.",
    unit="seconds",
)
METRICS: Final = (VIEWERS, SENT, ENDED, UPDATE)

RUNBOOK: Final = runbook_of(__file__)

_SLOW: Final = ENDED(reason="slow")

ALERTS: Final = (
    Alert(
        name="LiveViewersDropped",
        expr=f"sum(increase({_SLOW}[10m])) > 10",
        summary="{{ $value | humanize }} people were dropped in ten minutes because they took messages too slowly.",
        for_="5m",
        group=WARNING,
        fires=(Series(str(_SLOW), "0+3x30"),),
        quiet=(Series(str(_SLOW), "0+0.5x30"),),
    ),
)

_panel = partial(Panel, dashboard=TRADING, row="Who watches?")

PANELS: Final = (
    _panel(title="Live viewers", expr=f"sum({VIEWERS})", kind="stat", summary="How many people watch their portfolio?"),
    _panel(
        title="Messages to viewers",
        expr=(("{{kind}}", f"sum by (kind) (rate({SENT}[1m]))"),),
        unit="ops",
        stacked=True,
        summary="How much is sent to them?",
    ),
    _panel(
        title="From a change to the viewer",
        expr=quantiles(UPDATE, 0.5, 0.95),
        unit="s",
        low=0,
        summary="How live is it?",
    ),
    _panel(
        title="Watches that ended",
        expr=(("{{reason}}", f"sum by (reason) (increase({ENDED}[5m]))"),),
        kind="bar",
        stacked=True,
        summary="Did they leave, or were they sent away?",
    ),
)
