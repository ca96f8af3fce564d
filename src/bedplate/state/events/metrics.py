"""What events measure, and what of it a person must know."""

from __future__ import annotations

from bedplate.declarations import Alert, Panel, Series
from bedplate.metric import Counter, Gauge, Histogram
from bedplate.state.reach import reaches

__all__ = [
    "AVAILABLE",
    "BACKLOG",
    "CONSUMED",
    "DEAD",
    "DELIVERED",
    "HANDLING",
    "METRICS",
    "MISSED",
    "OLDEST",
    "OUTBOX",
    "PUBLISHED",
    "SUBSCRIBERS",
    "alerts",
    "panels",
]

_NAME = {"events": 20}
_GROUP = {**_NAME, "stream": 50, "group": 50}

PUBLISHED = Counter(
    "bedplate_events_published_total", "Events that were to be passed on.", {**_NAME, "outcome": ("kept", "refused")}
)
DELIVERED = Counter("bedplate_events_delivered_total", "Events that subscribers of this process took.", _NAME)
MISSED = Counter(
    "bedplate_events_missed_total", "Times that a subscriber was told that some may have been missed.", _NAME
)
SUBSCRIBERS = Gauge("bedplate_events_subscribers", "Subscriptions that are open.", _NAME)
CONSUMED = Counter(
    "bedplate_events_consumed_total",
    "Events that a group's handler was given: done, failed (it is tried again), dead (given up).",
    {**_GROUP, "outcome": ("done", "failed", "dead")},
)
HANDLING = Histogram("bedplate_events_handling_seconds", "How long handlers take for an event.", _GROUP, unit="seconds")
BACKLOG = Gauge("bedplate_events_backlog", "Events that a group has not done.", _GROUP, merge="max")
OLDEST = Gauge(
    "bedplate_events_oldest_seconds", "How long a group's oldest event waits.", _GROUP, unit="seconds", merge="max"
)
DEAD = Gauge("bedplate_events_dead", "Events of a stream that were given up.", {**_NAME, "stream": 50}, merge="max")
OUTBOX = Gauge("bedplate_events_outbox", "Events on this host's disk that wait for the store.", _NAME)
AVAILABLE = reaches("bedplate_events_available", _NAME)

METRICS = (
    PUBLISHED, DELIVERED, MISSED, SUBSCRIBERS, CONSUMED, HANDLING, BACKLOG, OLDEST, DEAD, OUTBOX
)  # fmt: skip


def alerts(name: str) -> tuple[Alert, ...]:
    """Return the alerts of one component."""
    outbox = OUTBOX(events=name)
    oldest = OLDEST(events=name, stream="orders", group="ledger")
    dead = CONSUMED(events=name, stream="orders", group="ledger", outcome="dead")
    return (
        Alert(
            name="EventsBacklogGrowing",
            expr=f"max by (stream, group) ({OLDEST(events=name)}) > 300",
            summary="{{ $labels.group }} is {{ $value | humanizeDuration }} behind in {{ $labels.stream }}.",
            for_="2m",
            fires=(Series(str(oldest), "0+120x20"),),
            quiet=(Series(str(oldest), "0 400 0x20"),),
        ),
        Alert(
            name="EventsGivenUp",
            expr=f"sum by (stream, group) (increase({CONSUMED(events=name, outcome='dead')}[10m])) > 0",
            summary="{{ $labels.group }} gave up on events of {{ $labels.stream }}: what they ask for is not done.",
            for_="0s",
            fires=(Series(str(dead), "0 1 2 3x10"),),
            quiet=(Series(str(dead), "3x20"),),
        ),
        Alert(
            name="EventsOutboxWaiting",
            expr=f"sum({outbox}) > 0",
            summary="{{ $value | humanize }} events wait on the disk of a host until the store takes them.",
            for_="5m",
            fires=(Series(str(outbox), "0 5x20"),),
            quiet=(Series(str(outbox), "0 5 5 0x20"),),
        ),
    )


def panels(name: str) -> tuple[Panel, ...]:
    """Return the panels of one component."""
    row = "Events" if name == "default" else f"Events {name}"
    buckets = f"sum by (le, stream, group) (rate({HANDLING(events=name).bucket}[5m]))"
    by_group = "{{stream}} → {{group}}"
    return (
        Panel(title="Subscribers", expr=f"sum({SUBSCRIBERS(events=name)})", kind="stat", row=row),
        Panel(
            title="Events",
            expr=(
                ("{{outcome}}", f"sum by (outcome) (rate({PUBLISHED(events=name)}[5m]))"),
                ("taken by subscribers", f"sum(rate({DELIVERED(events=name)}[5m]))"),
                ("missed", f"sum(rate({MISSED(events=name)}[5m]))"),
            ),
            unit="ops",
            row=row,
        ),
        Panel(
            title="Work on events",
            expr=(
                (
                    "{{stream}} → {{group}}: {{outcome}}",
                    f"sum by (stream, group, outcome) (rate({CONSUMED(events=name)}[5m]))",
                ),
            ),
            unit="ops",
            row=row,
        ),
        Panel(
            title="Time for an event",
            expr=((f"{by_group} p95", f"histogram_quantile(0.95, {buckets})"),),
            unit="s",
            row=row,
        ),
        Panel(
            title="Events that wait",
            expr=(
                (by_group, f"max by (stream, group) ({BACKLOG(events=name)})"),
                ("{{stream}} given up", f"max by (stream) ({DEAD(events=name)})"),
                ("on disk", f"sum({OUTBOX(events=name)})"),
            ),
            row=row,
        ),
        Panel(
            title="The oldest event that waits",
            expr=((by_group, f"max by (stream, group) ({OLDEST(events=name)})"),),
            unit="s",
            row=row,
        ),
    )
