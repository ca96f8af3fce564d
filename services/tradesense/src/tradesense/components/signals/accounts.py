"""Signing up and in: what became of it, and whether hashing passwords keeps up."""

from __future__ import annotations

from functools import partial
from typing import Final

from bedplate.declarations import Alert, Panel, Series
from bedplate.metric import Counter, Gauge, Histogram
from tradesense.components.signals.boards import ACCOUNTS, WARNING, quantiles, runbook_of

__all__ = ["ACTIVE", "ALERTS", "HASHING", "METRICS", "PANELS", "REFUSED", "RUNBOOK", "SIGN_INS", "SIGN_UPS"]

SIGN_INS = Counter(
    "tradesense_sign_ins_total",
    "Attempts to sign in, by what became of them.",
    {"outcome": ("signed_in", "wrong", "limited", "busy")},
)
SIGN_UPS = Counter(
    "tradesense_sign_ups_total",
    "Attempts to open an account, by what became of them.",
    {"outcome": ("opened", "taken", "limited", "busy")},
)
HASHING = Histogram(
    "tradesense_password_hash_duration_seconds",
    "Time that hashing or comparing a password took, waiting for a thread included.",
    unit="seconds",
)
ACTIVE = Gauge("tradesense_password_hashes_active", "Passwords that are hashed or wait for it.")
REFUSED = Counter("tradesense_password_hashes_refused_total", "Passwords not looked at because enough were waiting.")
METRICS: Final = (SIGN_INS, SIGN_UPS, HASHING, ACTIVE, REFUSED)

RUNBOOK: Final = runbook_of(__file__)

_WRONG: Final = f'{SIGN_INS}{{outcome=~"wrong|limited"}}'


def _sign_ins(outcome: str, values: str) -> Series:
    return Series(str(SIGN_INS(outcome=outcome)), values)


ALERTS: Final = (
    Alert(
        name="SignInsGuessed",
        expr=f"sum(rate({_WRONG}[5m])) > 1 and sum(rate({_WRONG}[5m])) / sum(rate({SIGN_INS}[5m])) > 0.5",
        summary="{{ $value | humanize }} wrong sign-ins a second, more than right ones: somebody tries passwords.",
        for_="3m",
        group=WARNING,
        fires=(_sign_ins("wrong", "0+120x20"), _sign_ins("signed_in", "0+10x20")),
        quiet=(_sign_ins("wrong", "0+20x20"), _sign_ins("signed_in", "0+10x20")),
    ),
    Alert(
        name="SignInsRefused",
        expr=f"sum(increase({REFUSED}[5m])) > 10",
        summary="{{ $value | humanize }} people could not sign in within five minutes: hashing cannot keep up.",
        severity="critical",
        for_="1m",
        group=WARNING,
        fires=(Series(str(REFUSED), "0x3 0+10x20"),),
        quiet=(Series(str(REFUSED), "0x3 0 1 2 2x20"),),
    ),
)

_panel = partial(Panel, dashboard=ACCOUNTS)

PANELS: Final = (
    _panel(
        title="Sign-ins",
        expr=(("{{outcome}}", f"sum by (outcome) (rate({SIGN_INS}[5m]))"),),
        unit="reqps",
        stacked=True,
        summary="Who comes in, and who fails to?",
        row="Who comes?",
    ),
    _panel(
        title="Sign-ups",
        expr=(("{{outcome}}", f"sum by (outcome) (increase({SIGN_UPS}[1h]))"),),
        low=0,
        summary="How many accounts are opened in an hour?",
        row="Who comes?",
    ),
    _panel(
        title="Hashing a password",
        expr=quantiles(HASHING, 0.5, 0.95),
        unit="s",
        low=0,
        summary="How long does somebody wait to be let in? It takes its time by intention.",
        row="Does it take its time?",
    ),
    _panel(
        title="Passwords at once",
        expr=(("hashed or waiting", f"sum({ACTIVE})"), ("refused a second", f"sum(rate({REFUSED}[5m]))")),
        low=0,
        summary="Does it keep up?",
        row="Does it take its time?",
    ),
)
