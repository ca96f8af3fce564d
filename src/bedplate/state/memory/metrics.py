"""What the store in the process measures, and what of it a person must know."""

from __future__ import annotations

from bedplate.declarations import Alert, Panel, Series
from bedplate.metric import Counter, Gauge

__all__ = ["BYTES", "BYTES_LIMIT", "KEYS", "METRICS", "OPERATIONS", "REFUSED", "REMOVED", "alerts", "panels"]

_NAME = {"memory": 20}

OPERATIONS = Counter(
    "bedplate_memory_operations_total", "Operations that the store in the process was asked for.", _NAME
)
REFUSED = Counter(
    "bedplate_memory_refused_total",
    "Operations that it refused: no room (oom), a key of another type (wrongtype), or another reason.",
    {**_NAME, "reason": ("oom", "wrongtype", "other")},
)
REMOVED = Counter(
    "bedplate_memory_removed_keys_total",
    "Keys that it removed by itself: their time was over (ended), or they made room for others (evicted).",
    {**_NAME, "reason": ("ended", "evicted")},
)
KEYS = Gauge("bedplate_memory_keys", "Keys that it holds.", _NAME)
BYTES = Gauge(
    "bedplate_memory_used_bytes", "Bytes that its keys take, approximately.", _NAME, unit="bytes", merge="max"
)
BYTES_LIMIT = Gauge(
    "bedplate_memory_limit_bytes", "Bytes that its keys may take in one process.", _NAME, unit="bytes", merge="max"
)
METRICS = (OPERATIONS, REFUSED, REMOVED, KEYS, BYTES, BYTES_LIMIT)


def alerts(name: str, *, evicts: bool) -> tuple[Alert, ...]:
    """Return the alerts of one store; one that evicts is full by design."""
    if evicts:
        return ()
    used, limit, refused = BYTES(memory=name), BYTES_LIMIT(memory=name), REFUSED(memory=name, reason="oom")
    return (
        Alert(
            name="MemoryNearlyFull",
            expr=f"max({used}) / max({limit}) > 0.85",
            summary="The store in the process is {{ $value | humanizePercentage }} full; then it refuses to grow.",
            fires=(Series(str(used), "90x20"), Series(str(limit), "100x20")),
            quiet=(Series(str(used), "80x20"), Series(str(limit), "100x20")),
        ),
        Alert(
            name="MemoryFull",
            expr=f"increase({refused}[5m]) > 0",
            summary='{{ $value | printf "%.0f" }} operations were refused within 5 minutes: the store has no room.',
            severity="critical",
            for_="0s",
            fires=(Series(str(refused), "0x5 0+4x20"),),
            quiet=(Series(str(refused), "3x30"),),
        ),
    )


def panels(name: str) -> tuple[Panel, ...]:
    """Return the panels of one store."""
    row = "Store in the process" if name == "default" else f"Store in the process, {name}"
    return (
        Panel(
            title="Memory",
            expr=(("used", f"max({BYTES(memory=name)})"), ("most", f"max({BYTES_LIMIT(memory=name)})")),
            unit="bytes",
            row=row,
            summary="How full is it?",
        ),
        Panel(title="Keys", expr=f"sum({KEYS(memory=name)})", row=row, summary="How much is kept?"),
        Panel(
            title="Operations",
            expr=(
                ("all", f"sum(rate({OPERATIONS(memory=name)}[5m]))"),
                ("refused: {{reason}}", f"sum by (reason) (rate({REFUSED(memory=name)}[5m]))"),
            ),
            unit="ops",
            row=row,
            summary="How much is it asked for, and what does it refuse?",
        ),
        Panel(
            title="Keys removed by itself",
            expr=(("{{reason}}", f"sum by (reason) (rate({REMOVED(memory=name)}[5m]))"),),
            unit="ops",
            row=row,
            summary="Do keys live to their end, or do they make room before?",
        ),
    )
