"""Whether there are threads for the CPU-heavy work."""

from __future__ import annotations

from functools import partial
from typing import Final

from bedplate.declarations import Alert, Panel, Series
from bedplate.metric import Counter, Gauge, Histogram
from synfinance.components.signals.boards import CRITICAL, PERFORMANCE, WARNING, p95, quantiles, runbook_of

__all__ = ["ACTIVE", "ALERTS", "METRICS", "PANELS", "REFUSED", "RUNBOOK", "WAIT"]

ACTIVE = Gauge("synfinance_compute_active", "Pieces of CPU-heavy work in hand or waiting for a thread.")
WAIT = Histogram("synfinance_compute_wait_seconds", "Time that CPU-heavy work waited for a thread.", unit="seconds")
REFUSED = Counter("synfinance_compute_refused_total", "CPU-heavy work refused because too much was waiting.")
METRICS: Final = (ACTIVE, WAIT, REFUSED)

RUNBOOK: Final = runbook_of(__file__)

_REFUSALS: Final = f"sum(rate({REFUSED}[5m]))"

ALERTS: Final = (
    Alert(
        name="WorkRefused",
        expr=f"{_REFUSALS} > 0.05",
        summary="{{ $value | humanize }} requests a second are answered 503, since too many others wait already.",
        severity="critical",
        for_="2m",
        group=CRITICAL,
        fires=(Series(str(REFUSED), "0x4 0+12x12"),),
        quiet=(Series(str(REFUSED), "0x4 6x20"),),
    ),
    Alert(
        name="ElevatedWorkWait",
        expr=f"{p95(WAIT)} > 0.5 and sum(rate({WAIT.count}[5m])) > 0.2",
        summary="Work waits up to {{ $value | humanizeDuration }} for a thread before it begins.",
        for_="10m",
        group=WARNING,
        fires=(
            *(Series(f'{WAIT.bucket}{{le="{le}"}}', f"0+{n}x25") for le, n in (("0.5", 50), ("1.0", 60), ("+Inf", 60))),
            Series(WAIT.count, "0+60x25"),
        ),
        quiet=(
            *(Series(f'{WAIT.bucket}{{le="{le}"}}', f"0+{n}x25") for le, n in (("0.5", 59), ("1.0", 60), ("+Inf", 60))),
            Series(WAIT.count, "0+60x25"),
        ),
    ),
)

_room = partial(Panel, dashboard=PERFORMANCE, row="Is there room for more?", low=0)
PANELS: Final = (
    _room(
        title="Wait for a thread",
        expr=quantiles(WAIT, 0.5, 0.95),
        unit="s",
        summary="How long does a request wait before its own work begins?",
    ),
    _room(
        title="Work in hand",
        expr=(("in hand or waiting", f"sum({ACTIVE})"),),
        summary="How much is there to do? Beyond the threads it waits.",
    ),
    _room(
        title="Refused work",
        expr=(("refused", _REFUSALS),),
        unit="ops",
        summary="How much is answered 503 at once because too much waits?",
    ),
)
