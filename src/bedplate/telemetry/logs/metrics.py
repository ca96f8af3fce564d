"""The metrics of logs, and what is derived from them."""

from __future__ import annotations

from bedplate.declarations import Alert, Panel, Series
from bedplate.metric import Counter

__all__ = ["ALERTS", "DROPPED", "METRICS", "PANELS", "RECORDS", "REDACTIONS", "WRITTEN"]

RECORDS = Counter(
    "bedplate_logs_records_total",
    "Log records written, access records included, by level.",
    {"level": ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")},
)
DROPPED = Counter(
    "bedplate_logs_dropped_total",
    "Log records that were lost, by reason: an output failed or was stuck, the backlog was full, a record was made "
    "while another one was being encoded, or a slow reader of the live tail did not get it.",
    {"reason": ("output", "backlog", "recursion", "tail")},
)
FAILURES = Counter(
    "bedplate_logs_encoding_failures_total",
    "Log records of which only time and place could be written, because their content raised.",
)
WRITTEN = Counter(
    "bedplate_logs_written_bytes_total", "Bytes written, by output.", {"output": ("stream", "app", "errors")},
    unit="bytes",
)  # fmt: skip
REDACTIONS = Counter(
    "bedplate_logs_redactions_total",
    "Secrets that were kept out of logs, errors and traces, by how they were known: the name of a field, a value of "
    "the settings, the form of a token, or a card number.",
    {"kind": ("key", "secret", "pattern", "card")},
)

METRICS = (RECORDS, DROPPED, FAILURES, WRITTEN, REDACTIONS)

ALERTS = (
    Alert(
        name="LogsDropped",
        expr=f'sum(increase({DROPPED.name}{{reason!="tail"}}[10m])) > 0',
        for_="0s",
        summary="Log records are being lost: a disk is full, or nobody reads the standard stream.",
        fires=(Series('bedplate_logs_dropped_total{reason="output"}', "0+5x20"),),
        quiet=(Series('bedplate_logs_dropped_total{reason="tail"}', "0+5x20"),),
    ),
)

PANELS = (
    Panel(title="Log records by level", expr=(("{{level}}", f"sum by (level) (rate({RECORDS}[5m]))"),)),
    Panel(title="Log records lost", expr=(("{{reason}}", f"sum by (reason) (increase({DROPPED}[5m]))"),)),
    Panel(
        title="Bytes of log written",
        expr=(("{{output}}", f"sum by (output) (rate({WRITTEN}[5m]))"),),
        unit="Bps",
    ),
    Panel(title="Secrets redacted", expr=(("{{kind}}", f"sum by (kind) (increase({REDACTIONS}[5m]))"),)),
)
