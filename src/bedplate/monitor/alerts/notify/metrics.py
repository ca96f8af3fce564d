"""What telling people measures, and what of that a person must know."""

from __future__ import annotations

from bedplate.declarations import Alert, Panel, Series
from bedplate.metric import Counter, Gauge, Histogram

__all__ = ["ALERTS", "DURATION", "FAILED", "HEARTBEATS", "METRICS", "OLDEST", "PANELS", "SENT", "WAITING"]

_CHANNEL = {"channel": 50}

SENT = Counter(
    "bedplate_notify_sent_total",
    "Messages that a channel took, by what they tell.",
    {**_CHANNEL, "kind": ("firing", "repeat", "resolved", "late", "test")},
)
FAILED = Counter("bedplate_notify_failed_total", "Attempts to tell a channel that failed; they are repeated.", _CHANNEL)
DURATION = Histogram(
    "bedplate_notify_duration_seconds",
    "How long a channel took to take a message.",
    _CHANNEL,
    unit="seconds",
    buckets=(0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0),
)
WAITING = Gauge("bedplate_notify_waiting", "Notices that a channel has not been told of yet.", _CHANNEL, merge="max")
OLDEST = Gauge(
    "bedplate_notify_oldest_seconds",
    "For how long the oldest notice has been waiting that a channel has not been told of yet.",
    _CHANNEL,
    unit="seconds",
    merge="max",
)
HEARTBEATS = Counter(
    "bedplate_notify_heartbeats_total",
    "Heartbeats sent outwards, by their outcome; held back ones are not sent, because alerts are not evaluated.",
    {"outcome": ("ok", "failed", "held")},
)
METRICS = (SENT, FAILED, DURATION, WAITING, OLDEST, HEARTBEATS)

_FAILED_BEATS = f'{HEARTBEATS}{{outcome!="ok"}}'

ALERTS = (
    Alert(
        name="AlertNotificationsFailing",
        expr=f"max by (channel) ({OLDEST}) > 300",
        summary="{{ $labels.channel }} has not taken notifications for {{ $value | humanizeDuration }}: people do not "
        "hear of alerts there.",
        for_="1m",
        fires=(Series(str(OLDEST(channel="slack")), "0 0 60+60x20"),),
        quiet=(Series(str(OLDEST(channel="slack")), "0 60 120 0x20"),),
    ),
    Alert(
        name="AlertHeartbeatFailing",
        expr=f"sum(increase({_FAILED_BEATS}[10m])) > 3",
        summary="The heartbeat does not go out: if this service dies, nobody is told.",
        for_="0s",
        fires=(Series(str(HEARTBEATS(outcome="failed")), "0+1x30"),),
        quiet=(
            Series(str(HEARTBEATS(outcome="failed")), "0 0 1 2x30"),
            Series(str(HEARTBEATS(outcome="ok")), "0+1x30"),
        ),
    ),
)

PANELS = (
    Panel(
        title="Messages sent",
        expr=(("{{channel}} {{kind}}", f"sum by (channel, kind) (increase({SENT}[1h]))"),),
        row="Notifications",
        kind="bar",
        summary="Who was told how often within an hour, and of what?",
    ),
    Panel(
        title="Attempts that failed",
        expr=(("{{channel}}", f"sum by (channel) (increase({FAILED}[15m]))"),),
        row="Notifications",
        summary="Which channel does not take messages?",
    ),
    Panel(
        title="Longest wait for a channel",
        expr=(("{{channel}}", f"max by (channel) ({OLDEST})"),),
        unit="s",
        row="Notifications",
        summary="For how long has somebody not been told of something?",
    ),
    Panel(
        title="Notices waiting",
        expr=(("{{channel}}", f"max by (channel) ({WAITING})"),),
        row="Notifications",
        summary="How much has each channel still to be told of?",
    ),
    Panel(
        title="Time to take a message, 95th percentile",
        expr=(("{{channel}}", f"histogram_quantile(0.95, sum by (le, channel) (rate({DURATION.bucket}[15m])))"),),
        unit="s",
        row="Notifications",
    ),
    Panel(
        title="Heartbeats",
        expr=(("{{outcome}}", f"sum by (outcome) (increase({HEARTBEATS}[10m]))"),),
        row="Notifications",
        summary="Does whoever waits for us to be silent hear from us?",
    ),
)
