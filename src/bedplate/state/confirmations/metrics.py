"""What confirmations measure, and what of it a person must know."""

from __future__ import annotations

from bedplate.declarations import Alert, Panel, Series
from bedplate.metric import Counter, Gauge, Histogram
from bedplate.state.reach import reaches

__all__ = [
    "AVAILABLE",
    "CONFLICTS",
    "CREATED",
    "DECISIONS",
    "EXPIRED",
    "METRICS",
    "PENDING",
    "TELLING_FAILURES",
    "THINKING",
    "UNAVAILABLE",
    "alerts",
    "panels",
]

_NAME = {"confirmations": 20}
_BUCKETS = (1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0, 10_800.0, 21_600.0, 43_200.0, 86_400.0)

CREATED = Counter("bedplate_confirmations_created_total", "Questions that were asked.", _NAME)
DECISIONS = Counter(
    "bedplate_confirmations_decisions_total",
    "Decisions that have been told to who acts on them.",
    {**_NAME, "outcome": ("confirmed", "rejected", "corrected")},
)
CONFLICTS = Counter(
    "bedplate_confirmations_conflicts_total", "Decisions refused because another one came before.", _NAME
)
EXPIRED = Counter("bedplate_confirmations_expired_total", "Questions that nobody answered in time.", _NAME)
UNAVAILABLE = Counter("bedplate_confirmations_unavailable_total", "Calls refused because the store was away.", _NAME)
TELLING_FAILURES = Counter(
    "bedplate_confirmations_telling_failures_total",
    "Handlers of decisions or expiries that failed, each of which is tried again.",
    _NAME,
)
THINKING = Histogram(
    "bedplate_confirmations_thinking_seconds",
    "How long users took to decide.",
    _NAME,
    unit="seconds",
    buckets=_BUCKETS,
)
PENDING = Gauge(
    "bedplate_confirmations_pending", "Questions of all instances that wait for an answer.", _NAME, merge="max"
)
AVAILABLE = reaches("bedplate_confirmations_available", _NAME)

METRICS = (CREATED, DECISIONS, CONFLICTS, EXPIRED, UNAVAILABLE, TELLING_FAILURES, THINKING, PENDING)


def alerts(name: str) -> tuple[Alert, ...]:
    """Return the alerts of one component."""
    failures = TELLING_FAILURES(confirmations=name)
    expired, confirmed = EXPIRED(confirmations=name), DECISIONS(confirmations=name, outcome="confirmed")
    decisions = DECISIONS(confirmations=name)
    return (
        Alert(
            name="ConfirmationsUntold",
            expr=f"increase({failures}[10m]) > 3",
            summary='Decisions or expiries are not acted upon: handlers failed {{ $value | printf "%.0f" }} times.',
            for_="0s",
            fires=(Series(str(failures), "0+1x20"),),
            quiet=(Series(str(failures), "0x5 2x20"),),
        ),
        Alert(
            name="ConfirmationsExpiring",
            expr=f"sum(increase({expired}[1h])) > 10 and sum(increase({expired}[1h])) > sum(increase({decisions}[1h]))",
            summary="More questions expire than are answered; users do not see them, or do not care.",
            severity="info",
            for_="30m",
            fires=(Series(str(expired), "0+2x120"), Series(str(confirmed), "0+1x120")),
            quiet=(Series(str(expired), "0+1x120"), Series(str(confirmed), "0+2x120")),
        ),
    )


def panels(name: str) -> tuple[Panel, ...]:
    """Return the panels of one component."""
    row = "Confirmations" if name == "default" else f"Confirmations {name}"
    buckets = f"sum by (le) (rate({THINKING(confirmations=name).bucket}[1h]))"
    return (
        Panel(title="Waiting for an answer", expr=f"max({PENDING(confirmations=name)})", kind="stat", row=row),
        Panel(
            title="Questions and answers",
            expr=(
                ("asked", f"sum(increase({CREATED(confirmations=name)}[5m]))"),
                ("{{outcome}}", f"sum by (outcome) (increase({DECISIONS(confirmations=name)}[5m]))"),
                ("expired", f"sum(increase({EXPIRED(confirmations=name)}[5m]))"),
            ),
            row=row,
        ),
        Panel(
            title="Time to decide",
            expr=tuple((f"p{share}", f"histogram_quantile(0.{share}, {buckets})") for share in ("50", "95")),
            unit="s",
            row=row,
        ),
        Panel(
            title="Refused and failed",
            expr=(
                ("decided before", f"sum(increase({CONFLICTS(confirmations=name)}[5m]))"),
                ("store away", f"sum(increase({UNAVAILABLE(confirmations=name)}[5m]))"),
                ("not told", f"sum(increase({TELLING_FAILURES(confirmations=name)}[5m]))"),
            ),
            row=row,
        ),
    )
