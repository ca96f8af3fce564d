"""Tokens: who asks, and who is turned away."""

from __future__ import annotations

from functools import partial
from typing import Final

from bedplate.declarations import Alert, Panel, Series
from bedplate.metric import Counter
from ledger.components.signals.boards import BOOKS, GROUP, runbook_of

__all__ = ["ALERTS", "METRICS", "OUTCOMES", "PANELS", "RUNBOOK", "USED"]

OUTCOMES: Final = ("accepted", "missing", "unknown", "revoked", "role")

USED = Counter("ledger_tokens_used_total", "Requests by what became of their token.", {"outcome": OUTCOMES})
METRICS: Final = (USED,)

RUNBOOK: Final = runbook_of(__file__)

_UNKNOWN: Final = USED(outcome="unknown")
_REVOKED: Final = USED(outcome="revoked")

ALERTS: Final = (
    Alert(
        name="TokensGuessed",
        expr=f"sum(increase({_UNKNOWN}[10m])) > 300",
        summary='{{ $value | printf "%.0f" }} requests in ten minutes had tokens that nobody was given.',
        for_="5m",
        group=GROUP,
        fires=(Series(str(_UNKNOWN), "0+60x30"),),
        quiet=(Series(str(_UNKNOWN), "0+5x30"),),
    ),
    Alert(
        name="TokensRevokedInUse",
        expr=f"sum(increase({_REVOKED}[30m])) > 50",
        summary='{{ $value | printf "%.0f" }} requests in half an hour came with tokens that were revoked.',
        for_="10m",
        group=GROUP,
        fires=(Series(str(_REVOKED), "0+5x60"),),
        quiet=(Series(str(_REVOKED), "0+1x60"),),
    ),
)

_panel = partial(Panel, dashboard=BOOKS, row="Who asks?")

PANELS: Final = (
    _panel(
        title="Requests by token",
        expr=(("{{outcome}}", f"sum by (outcome) (rate({USED}[5m]))"),),
        unit="ops",
        stacked=True,
        summary="Who is let in, and who is turned away, and why?",
    ),
    _panel(
        title="Tokens turned away",
        expr=(("{{outcome}}", f'sum by (outcome) (increase({USED}{{outcome!="accepted"}}[5m]))'),),
        kind="bar",
        stacked=True,
        summary="Does somebody guess, or use what was revoked?",
    ),
)
