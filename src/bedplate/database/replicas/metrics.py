"""What is measured of replicas, and what of it a person must know."""

from __future__ import annotations

from bedplate.declarations import Alert, Panel, Series, Threshold
from bedplate.metric import Counter, Gauge, Histogram, Metric

__all__ = ["BYTES", "FALLBACKS", "LAG", "METRICS", "POOL", "READS", "USED", "WAIT", "alerts", "panels"]

_NAME = {"database": 20}
_REPLICA = {**_NAME, "replica": 16}

USED = Gauge(
    "bedplate_database_replica_up", "Whether every process reads from the replica (1), or one has ejected it (0).",
    _REPLICA, merge="min",
)  # fmt: skip
LAG = Gauge(
    "bedplate_database_replica_lag_seconds", "How long the replica has lacked something that the primary has.",
    _REPLICA, unit="seconds", merge="max",
)  # fmt: skip
BYTES = Gauge(
    "bedplate_database_replica_lag_bytes", "Bytes of the primary's log that the replica does not show yet.",
    _REPLICA, unit="bytes", merge="max",
)  # fmt: skip
POOL = Gauge("bedplate_database_replica_connections", "Connections to the replica in use.", _REPLICA)
READS = Counter(
    "bedplate_database_reads_total", "Reads that a replica may answer, by who did: replica1 …, or the primary.",
    {**_NAME, "server": 17},
)  # fmt: skip
FALLBACKS = Counter(
    "bedplate_database_fallbacks_total",
    "Reads that went to the primary: as no replica is healthy, none shows what the reader has written yet (behind), one"
    " failed (fault), or had no connection free (busy).",
    {**_NAME, "reason": ("unhealthy", "behind", "fault", "busy")},
)
WAIT = Histogram(
    "bedplate_database_replica_wait_seconds",
    "How long a read waited until its replica showed what the reader had written.",
    _NAME,
    unit="seconds",
    buckets=(0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0),
)

METRICS: tuple[Metric, ...] = (USED, LAG, BYTES, POOL, READS, FALLBACKS, WAIT)


def alerts(name: str) -> tuple[Alert, ...]:
    """Return the alerts of one database's replicas."""
    lag, up = LAG(database=name), USED(database=name)
    one, other = str(lag(replica="replica1")), str(lag(replica="replica2"))
    return (
        Alert(
            name="DatabaseReplicaBehind",
            expr=f"max by (replica) ({lag}) > 10",
            summary="{{ $labels.replica }} is {{ $value | humanizeDuration }} behind; reads go elsewhere.",
            for_="1m",
            fires=(Series(one, "0 11x10"), Series(other, "0x11")),
            quiet=(Series(one, "0 11 0 11 0 10x10"), Series(other, "0x15")),
        ),
        Alert(
            name="DatabaseReplicaFarBehind",
            expr=f"max by (replica) ({lag}) > 30",
            summary="{{ $labels.replica }} is {{ $value | humanizeDuration }} behind; it is not fit for a fail-over.",
            severity="critical",
            for_="1m",
            fires=(Series(one, "0 31x10"), Series(other, "0x11")),
            quiet=(Series(one, "0 31 0 31 0 30x10"), Series(other, "0x15")),
        ),
        Alert(
            name="DatabaseReplicaEjected",
            expr=f"min by (replica) ({up}) == 0",
            summary="{{ $labels.replica }} is not read from; the primary carries its share.",
            fires=(Series(str(up(replica="replica1")), "1 0x20"),),
            quiet=(Series(str(up(replica="replica1")), "1 0 0 1x20"),),
        ),
    )


def panels(name: str) -> tuple[Panel, ...]:
    """Return the panels of one database's replicas."""
    row = "Replicas" if name == "default" else f"Replicas of {name}"
    wait = WAIT(database=name)
    return (
        Panel(
            title="Replica lag",
            expr=(("{{replica}}", f"max by (replica) ({LAG(database=name)})"),),
            unit="s",
            row=row,
            thresholds=(Threshold(value=10.0), Threshold(value=30.0, severity="critical")),
            summary="For how long does it lack something?",
        ),
        Panel(
            title="Replica lag in bytes",
            expr=(("{{replica}}", f"max by (replica) ({BYTES(database=name)})"),),
            unit="bytes",
            row=row,
        ),
        Panel(title="Replicas read from", expr=f"sum(min by (replica) ({USED(database=name)}))", kind="stat", row=row),
        Panel(
            title="Reads by server",
            expr=(("{{server}}", f"sum by (server) (rate({READS(database=name)}[5m]))"),),
            unit="ops",
            row=row,
        ),
        Panel(
            title="Reads that fell back",
            expr=(("{{reason}}", f"sum by (reason) (rate({FALLBACKS(database=name)}[5m]))"),),
            unit="ops",
            row=row,
            summary="Why does the primary answer?",
        ),
        Panel(
            title="Wait for own writes",
            expr=tuple(
                (f"p{share}", f"histogram_quantile(0.{share}, sum by (le) (rate({wait.bucket}[5m])))")
                for share in ("50", "99")
            ),
            unit="s",
            row=row,
        ),
        Panel(
            title="Connections to replicas",
            expr=(("{{replica}}", f"sum by (replica) ({POOL(database=name)})"),),
            row=row,
        ),
    )
