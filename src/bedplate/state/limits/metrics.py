"""What rate limits measure, and what of it a person must know."""

from __future__ import annotations

from bedplate.declarations import Alert, Panel, Series
from bedplate.metric import Counter, Gauge

__all__ = [
    "DECISIONS",
    "DEGRADED",
    "ERRORS",
    "FORGOTTEN",
    "INSTANCES",
    "KEYS",
    "LOCAL",
    "REFUSALS",
    "alerts",
    "panels",
    "shared_panels",
]

_NAME = {"rate_limit": 50}

DECISIONS = Counter(
    "bedplate_rate_limit_decisions_total",
    "Requests that a rate limit allowed or refused, or would have refused, had it not only been watching.",
    {**_NAME, "outcome": ("allowed", "refused", "shadowed")},
)
KEYS = Gauge("bedplate_rate_limit_keys", "Keys that a rate limit has in memory.", _NAME)
FORGOTTEN = Counter(
    "bedplate_rate_limit_forgotten_total",
    "Keys that a rate limit forgot before their time, because more were active than it may keep.",
    _NAME,
)
REFUSALS = Counter(
    "bedplate_rate_limit_refusals_total",
    "Refusals by the one of its limits that refused.",
    {**_NAME, "limit": 20},
)
LOCAL = Counter(
    "bedplate_rate_limit_local_total",
    "Decisions that were taken without the store: while it is away, or since it has just refused the same.",
    {**_NAME, "why": ("away", "remembered")},
)
ERRORS = Counter(
    "bedplate_rate_limit_errors_total",
    "Questions to the store that were not answered in time, not at all, or with an error.",
    {**_NAME, "kind": ("timeout", "unavailable", "reply")},
)
DEGRADED = Gauge(
    "bedplate_rate_limit_degraded",
    "Whether any process counts for itself (1), because the store is away.",
    _NAME,
    merge="max",
)
INSTANCES = Gauge(
    "bedplate_rate_limit_instances",
    "Processes that are known to count together; each has its part while the store is away.",
    _NAME,
    merge="max",
)


def panels() -> tuple[Panel, ...]:
    """Return the panel that every rate limit has."""
    refused = f"sum by (rate_limit) (rate({DECISIONS(outcome='refused')}[5m]))"
    return (Panel(title="Refused requests", expr=(("{{rate_limit}}", refused),), unit="reqps"),)


def shared_panels(name: str) -> tuple[Panel, ...]:
    """Return the panels of a rate limit that counts in a store."""
    row = "Rate limits" if name == "default" else f"Rate limit {name}"
    decisions, refusals, local = DECISIONS(rate_limit=name), REFUSALS(rate_limit=name), LOCAL(rate_limit=name)
    return (
        Panel(
            title="Decisions",
            expr=(("{{outcome}}", f"sum by (outcome) (rate({decisions}[5m]))"),),
            unit="reqps",
            row=row,
            stacked=True,
        ),
        Panel(
            title="Refusals by limit",
            expr=(("{{limit}}", f"sum by (limit) (rate({refusals}[5m]))"),),
            unit="reqps",
            row=row,
            summary="Which of its limits is the tight one?",
        ),
        Panel(
            title="Decided without the store",
            expr=(("{{why}}", f"sum by (why) (rate({local}[5m]))"),),
            unit="reqps",
            row=row,
            summary="away: by each instance's own part. remembered: refused again, which needs no question.",
        ),
        Panel(
            title="Questions without an answer",
            expr=(("{{kind}}", f"sum by (kind) (rate({ERRORS(rate_limit=name)}[5m]))"),),
            unit="reqps",
            row=row,
        ),
        Panel(title="Instances", expr=f"max({INSTANCES(rate_limit=name)})", kind="stat", row=row),
    )


def alerts(name: str) -> tuple[Alert, ...]:
    """Return the alerts of a rate limit that counts in a store."""
    refused, every = DECISIONS(rate_limit=name, outcome="refused"), DECISIONS(rate_limit=name)
    allowed = DECISIONS(rate_limit=name, outcome="allowed")
    return (
        Alert(
            name="RateLimitRefusingMany",
            expr=(f"sum(rate({refused}[5m])) / sum(rate({every}[5m])) > 0.5 and sum(rate({refused}[5m])) > 1"),
            summary="{{ $value | humanizePercentage }} of the requests are refused, more than one a second.",
            for_="10m",
            fires=(Series(str(refused), "0+300x30"), Series(str(allowed), "0+60x30")),
            quiet=(Series(str(refused), "0+300x30"), Series(str(allowed), "0+600x30")),
        ),
    )
