"""What the connection to Redis measures, and what of it a person must know."""

from __future__ import annotations

from bedplate.declarations import Alert, Panel, Series, Threshold
from bedplate.metric import Counter, Gauge, Histogram

__all__ = [
    "BREAKER",
    "CONNECTIONS",
    "DURATION",
    "EVICTED",
    "IN_FLIGHT",
    "MEMORY",
    "MEMORY_LIMIT",
    "METRICS",
    "OPERATIONS",
    "OUTCOMES",
    "RECONNECTS",
    "REPLICAS",
    "REPLICA_LAG",
    "SAVED",
    "UP",
    "alerts",
    "panels",
]

OUTCOMES = ("ok", "error", "timeout", "lost", "refused")

_NAME = {"redis": 20}

OPERATIONS = Counter(
    "bedplate_redis_operations_total",
    "Operations by how they ended: answered, refused by the server (error), not in time (timeout), their answer lost "
    "with the connection (lost), or not tried because the server is away (refused).",
    {**_NAME, "operation": 200, "outcome": OUTCOMES},
)
DURATION = Histogram(
    "bedplate_redis_operation_duration_seconds",
    "How long operations took: of those whose answers came together, the one that waited longest.",
    {**_NAME, "operation": 200},
    unit="seconds",
    buckets=(0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0),
)
UP = Gauge("bedplate_redis_up", "Whether every process reaches Redis (1) or one does not (0).", _NAME, merge="min")
BREAKER = Gauge(
    "bedplate_redis_breaker_state",
    "Whether operations are tried (0), only those that wait long (1), or none (2); the worst of all processes.",
    _NAME,
    merge="max",
)
CONNECTIONS = Gauge(
    "bedplate_redis_connections",
    "Open connections: those that all share, those on which is listened, and those for blocking commands.",
    {**_NAME, "kind": ("shared", "listening", "blocking")},
)
RECONNECTS = Counter("bedplate_redis_reconnects_total", "Shared connections that were lost.", _NAME)
IN_FLIGHT = Gauge("bedplate_redis_in_flight", "Operations without an answer, at the last look.", _NAME)
MEMORY = Gauge(
    "bedplate_redis_memory_bytes", "Memory that the server uses; the fullest one.", _NAME, unit="bytes", merge="max"
)
MEMORY_LIMIT = Gauge(
    "bedplate_redis_memory_limit_bytes",
    "Memory that the server may use, 0 without a limit.",
    _NAME,
    unit="bytes",
    merge="max",
)
EVICTED = Gauge(
    "bedplate_redis_evicted_keys",
    "Keys that the servers have thrown away for want of memory since they started.",
    _NAME,
    merge="max",
)
REPLICAS = Gauge("bedplate_redis_replicas", "Replicas that follow, as the primaries say.", _NAME, merge="max")
REPLICA_LAG = Gauge(
    "bedplate_redis_replica_lag_seconds",
    "Seconds since the slowest replica last acknowledged.",
    _NAME,
    unit="seconds",
    merge="max",
)
SAVED = Gauge(
    "bedplate_redis_persistence_ok",
    "Whether the servers' last save to disk went well (1) or not (0).",
    _NAME,
    merge="min",
)

METRICS = (
    OPERATIONS,
    DURATION,
    UP,
    BREAKER,
    CONNECTIONS,
    RECONNECTS,
    IN_FLIGHT,
    MEMORY,
    MEMORY_LIMIT,
    EVICTED,
    REPLICAS,
    REPLICA_LAG,
    SAVED,
)


def alerts(name: str, *, evicts: bool) -> tuple[Alert, ...]:
    """Return the alerts of one Redis.

    :param evicts: whether it may throw keys away, being a cache.
    """
    found = (*_reach(name), *_room(name), *_safety(name))
    return found if evicts else (*found, _evicting(name))


def _reach(name: str) -> tuple[Alert, ...]:
    up, duration = UP(redis=name), DURATION(redis=name)
    ok, late = OPERATIONS(redis=name, outcome="ok"), OPERATIONS(redis=name, outcome="timeout")
    get = f'{DURATION.name}_bucket{{redis="{name}",operation="cache_get",le="%s"}}'
    counted = f'{OPERATIONS.name}{{redis="{name}",operation="cache_get",outcome="%s"}}'
    reconnects = RECONNECTS(redis=name)
    return (
        Alert(
            name="RedisDown",
            expr=f"min({up}) == 0",
            summary="Redis cannot be reached; caches serve what they hold, locks and confirmations are refused.",
            severity="critical",
            for_="1m",
            explains=True,
            fires=(Series(str(up), "1 0x10"),),
            quiet=(Series(str(up), "1 1 0 1x20"),),
        ),
        Alert(
            name="RedisSlow",
            expr=f"histogram_quantile(0.95, sum by (le) (rate({duration.bucket}[5m]))) > 0.1",
            summary="One in twenty operations on Redis takes longer than {{ $value | humanizeDuration }}.",
            fires=(Series(get % "0.25", "0+1x30"), Series(get % "0.5", "0+60x30"), Series(get % "+Inf", "0+60x30")),
            quiet=(Series(get % "0.001", "0+59x30"), Series(get % "0.5", "0+60x30"), Series(get % "+Inf", "0+60x30")),
        ),
        Alert(
            name="RedisTimeouts",
            expr=f"sum(rate({late}[5m])) / (sum(rate({late}[5m])) + sum(rate({ok}[5m]))) > 0.01",
            summary="{{ $value | humanizePercentage }} of the operations on Redis are not answered in time.",
            fires=(Series(counted % "ok", "0+90x30"), Series(counted % "timeout", "0+10x30")),
            quiet=(Series(counted % "ok", "0+1000x30"), Series(counted % "timeout", "0+1x30")),
        ),
        Alert(
            name="RedisReconnecting",
            expr=f"sum(increase({reconnects}[10m])) > 10",
            summary='The connection to Redis was lost {{ $value | printf "%.0f" }} times within 10 minutes.',
            for_="0s",
            fires=(Series(str(reconnects), "0x5 0+4x20"),),
            quiet=(Series(str(reconnects), "0x5 3x30"),),
        ),
    )


def _room(name: str) -> tuple[Alert, ...]:
    used, limit = MEMORY(redis=name), MEMORY_LIMIT(redis=name)
    return (
        Alert(
            name="RedisMemoryHigh",
            expr=f"max({used}) / (max({limit}) > 0) > 0.9",
            summary="Redis uses {{ $value | humanizePercentage }} of the memory that it may use.",
            fires=(Series(str(used), "95x20"), Series(str(limit), "100x20")),
            quiet=(Series(str(used), "50x20"), Series(str(limit), "100x20")),
        ),
    )


def _evicting(name: str) -> Alert:
    evicted = EVICTED(redis=name)
    return Alert(
        name="RedisEvicting",
        expr=f"max(delta({evicted}[10m])) > 0",
        summary="Redis throws away keys that must be kept: sessions, locks or confirmations are being lost.",
        severity="critical",
        for_="0s",
        fires=(Series(str(evicted), "0x5 0+10x20"),),
        quiet=(Series(str(evicted), "7x30"),),
    )


def _safety(name: str) -> tuple[Alert, ...]:
    replicas, lag, saved = REPLICAS(redis=name), REPLICA_LAG(redis=name), SAVED(redis=name)
    return (
        Alert(
            name="RedisReplicaAway",
            expr=f"max({replicas}) < max(max_over_time({replicas}[1h]))",
            summary="A replica of Redis follows no more: {{ $value | humanize }} are left to take over.",
            for_="2m",
            fires=(Series(str(replicas), "1x5 0x20"),),
            quiet=(Series(str(replicas), "1x5 0 1x20"),),
        ),
        Alert(
            name="RedisReplicaLagging",
            expr=f"max({lag}) > 10",
            summary="A replica of Redis is {{ $value | humanizeDuration }} behind; a fail-over would lose that much.",
            for_="1m",
            fires=(Series(str(lag), "1 30x10"),),
            quiet=(Series(str(lag), "1x10 12 1x10"),),
        ),
        Alert(
            name="RedisNotSaving",
            expr=f"min({saved}) == 0",
            summary="Redis could not save to its disk; a restart would lose what was written since.",
            severity="critical",
            for_="2m",
            fires=(Series(str(saved), "1 0x10"),),
            quiet=(Series(str(saved), "1 0 1x10"),),
        ),
    )


def panels(name: str) -> tuple[Panel, ...]:
    """Return the panels of one Redis."""
    row = "Redis" if name == "default" else f"Redis {name}"
    operations, duration = OPERATIONS(redis=name), DURATION(redis=name)
    return (
        Panel(title="Reachable", expr=f"min({UP(redis=name)})", kind="stat", row=row, summary="By every process?"),
        Panel(
            title="Operations are tried",
            expr=f"max({BREAKER(redis=name)})",
            kind="stat",
            row=row,
            summary="0: all of them. 1: those that wait long. 2: none, the server is away.",
            thresholds=(Threshold(value=1.0), Threshold(value=2.0, severity="critical")),
        ),
        Panel(
            title="Operations",
            expr=(("{{operation}}", f"sum by (operation) (rate({operations}[5m]))"),),
            unit="ops",
            row=row,
        ),
        Panel(
            title="How operations ended",
            expr=(("{{outcome}}", f"sum by (outcome) (rate({operations}[5m]))"),),
            unit="ops",
            row=row,
        ),
        Panel(
            title="Operation duration",
            expr=tuple(
                (f"p{share}", f"histogram_quantile(0.{share}, sum by (le) (rate({duration.bucket}[5m])))")
                for share in ("50", "95", "99")
            ),
            unit="s",
            row=row,
            summary="Of the operations whose answers came together, the slowest one.",
        ),
        Panel(
            title="Connections",
            expr=(("{{kind}}", f"sum by (kind) ({CONNECTIONS(redis=name)})"),),
            row=row,
        ),
        Panel(
            title="Lost connections",
            expr=f"sum(increase({RECONNECTS(redis=name)}[5m]))",
            row=row,
            summary="How often within 5 minutes?",
        ),
        Panel(title="Operations in flight", expr=f"sum({IN_FLIGHT(redis=name)})", row=row),
        Panel(
            title="Server memory",
            expr=(("used", f"max({MEMORY(redis=name)})"), ("limit", f"max({MEMORY_LIMIT(redis=name)})")),
            unit="bytes",
            row=row,
        ),
        Panel(
            title="Evicted keys",
            expr=f"max(delta({EVICTED(redis=name)}[5m]))",
            row=row,
            summary="Thrown away within 5 minutes; a cache may, a state store must not.",
        ),
        Panel(
            title="Replicas",
            expr=(("following", f"max({REPLICAS(redis=name)})"),),
            row=row,
        ),
        Panel(title="Replica lag", expr=f"max({REPLICA_LAG(redis=name)})", unit="s", row=row),
        Panel(title="Saves to disk", expr=f"min({SAVED(redis=name)})", kind="stat", row=row, summary="1: all is well."),
    )
