"""The metrics of traces."""

from __future__ import annotations

from bedplate.metric import Counter

__all__ = ["DROPPED", "EXPORTED", "EXPORT_FAILURES", "KEPT", "METRICS", "SLOW", "SLOW_OPERATIONS_LIMIT"]

#: Names of slow operations told apart; they are constants in the code, but a mistake must not cost a series each.
SLOW_OPERATIONS_LIMIT = 200

KEPT = Counter(
    "bedplate_traces_kept_total",
    "Requests and jobs whose trace was kept, by reason.",
    {"reason": ("error", "slow", "sampled")},
)
DROPPED = Counter(
    "bedplate_traces_spans_dropped_total",
    "Spans of kept traces that were dropped, because one request or job had more than may be kept.",
)
SLOW = Counter(
    "bedplate_traces_slow_operations_total",
    "Traced operations that took longer than their threshold.",
    {"operation": SLOW_OPERATIONS_LIMIT + 1},
)
EXPORTED = Counter("bedplate_traces_exported_spans_total", "Spans that the collector has accepted.")
EXPORT_FAILURES = Counter(
    "bedplate_traces_export_failures_total",
    "Exports of spans that failed, by cause: the collector refused or did not answer, or the queue was full.",
    {"cause": ("collector", "queue")},
)

METRICS = (KEPT, DROPPED, SLOW, EXPORTED, EXPORT_FAILURES)
