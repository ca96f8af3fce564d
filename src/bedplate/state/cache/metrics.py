"""What a cache measures, and what of it a person must know."""

from __future__ import annotations

from collections.abc import Sequence

from bedplate.declarations import Alert, Check, Panel, Series
from bedplate.metric import Counter, Gauge, Histogram, Metric
from bedplate.state.cache.stats import MOST_PATTERNS, OUTCOMES
from bedplate.state.reach import reaches

__all__ = [
    "BYTES",
    "COMPUTATIONS",
    "DURATION",
    "ENTRIES",
    "EVICTIONS",
    "FAILED_LIMIT",
    "GET_LIMIT",
    "HIT_LIMIT",
    "INVALIDATIONS",
    "KEY_REQUESTS",
    "METRICS",
    "ONLINE",
    "RECENT",
    "RECENT_REQUESTS",
    "REMEMBERED",
    "REQUESTS",
    "UNKEPT",
    "alerts",
    "checks",
    "panels",
]

_CACHE = {"cache": 50}
_SEVERITY: dict[str, int | Sequence[str]] = {**_CACHE, "severity": ("warning", "critical")}

REQUESTS = Counter(
    "bedplate_cache_requests_total",
    "Requests for values, by how they were answered: from this process (near), from the store, with an old value"
    " (stale), by computing it (miss), past the cache (bypass).",
    {**_CACHE, "outcome": OUTCOMES},
)
KEY_REQUESTS = Counter(
    "bedplate_cache_key_requests_total",
    "Hits and misses by the pattern of the key.",
    {**_CACHE, "pattern": MOST_PATTERNS + 1, "result": ("hit", "miss")},
)
DURATION = Histogram(
    "bedplate_cache_operation_duration_seconds",
    "How long the store took; hits in the process take under a microsecond and are not timed.",
    {**_CACHE, "operation": ("get", "set", "delete")},
    unit="seconds",
    buckets=(0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 1.0),
)
COMPUTATIONS = Counter(
    "bedplate_cache_computations_total",
    "Computations of values, by what became of them; given_up are those that were cancelled, being far too long, and"
    " late those that somebody stopped waiting for.",
    {**_CACHE, "outcome": ("computed", "failed", "given_up", "late")},
)
UNKEPT = Counter(
    "bedplate_cache_unkept_values_total",
    "Values that were not cached: their type cannot be (unstorable), too_large, dropped while they were computed"
    " (outdated), or the store refused them.",
    {**_CACHE, "reason": ("unstorable", "too_large", "outdated", "refused")},
)
INVALIDATIONS = Counter(
    "bedplate_cache_invalidations_total",
    "Invalidations; those that the store could not be told are failed, and done when it is back.",
    {**_CACHE, "kind": ("key", "tag", "pattern", "all"), "outcome": ("done", "failed")},
)
REMEMBERED = Gauge(
    "bedplate_cache_remembered_invalidations", "Invalidations that wait for the store to be back.", _CACHE
)
ENTRIES = Gauge("bedplate_cache_near_entries", "Values in the memory of the processes.", _CACHE)
BYTES = Gauge("bedplate_cache_near_bytes", "Bytes that they take, approximately.", _CACHE, unit="bytes")
EVICTIONS = Counter(
    "bedplate_cache_near_evictions_total", "Values that made room for others in the memory of the processes.", _CACHE
)
RECENT_REQUESTS = Gauge(
    "bedplate_cache_recent_requests",
    "Hits and misses among the last 1000 requests of each process.",
    {**_CACHE, "result": ("hit", "miss")},
)
RECENT = Gauge(
    "bedplate_cache_recent_hit_ratio",
    "Share of hits in the last 1000 requests of each process.",
    _CACHE,
    unit="ratio",
    merge="ratio",
)
ONLINE = reaches("bedplate_cache_store_available", _CACHE)
HIT_LIMIT = Gauge(
    "bedplate_cache_hit_threshold_ratio",
    "Share of hits below which CacheHitRateLow and CacheHitRateCritical fire.",
    _SEVERITY,
    unit="ratio",
    merge="max",
)
GET_LIMIT = Gauge(
    "bedplate_cache_get_threshold_seconds",
    "Seconds of a look into the store above which CacheGetSlow and CacheGetCritical fire.",
    _SEVERITY,
    unit="seconds",
    merge="max",
)
FAILED_LIMIT = Gauge(
    "bedplate_cache_failed_threshold_ratio",
    "Share of failed invalidations above which CacheInvalidationsFailing and CacheInvalidationsCritical fire.",
    _SEVERITY,
    unit="ratio",
    merge="max",
)

METRICS: tuple[Metric, ...] = (
    REQUESTS, KEY_REQUESTS, DURATION, COMPUTATIONS, UNKEPT, INVALIDATIONS, REMEMBERED, ENTRIES, BYTES, EVICTIONS,
    RECENT, RECENT_REQUESTS, HIT_LIMIT, GET_LIMIT, FAILED_LIMIT,
)  # fmt: skip

_SUFFIX = {"warning": "", "critical": "Critical"}


def _hit_rate(name: str, severity: str, alert: str, limit: float) -> Alert:
    requests, threshold = REQUESTS(cache=name), HIT_LIMIT(cache=name, severity=severity)
    asked = f'{REQUESTS.name}{{cache="{name}",outcome!="bypass"}}'
    hits = f'{REQUESTS.name}{{cache="{name}",outcome=~"near|store|stale"}}'
    rate = f"sum(rate({hits}[10m])) / sum(rate({asked}[10m]))"
    near, miss = str(requests(outcome="near")), str(requests(outcome="miss"))
    return Alert(
        name=alert,
        expr=f"{rate} < max({threshold}) and sum(increase({asked}[10m])) > 100",
        summary="Only {{ $value | humanizePercentage }} of requests find a value; the rest is computed anew.",
        severity="critical" if severity == "critical" else "warning",
        for_="10m",
        fires=(Series(near, "0+30x40"), Series(miss, "0+70x40"), Series(str(threshold), f"{limit}x40")),
        quiet=(Series(near, "0+90x40"), Series(miss, "0+10x40"), Series(str(threshold), f"{limit}x40")),
    )


def _get_slow(name: str, severity: str, alert: str, limit: float) -> Alert:
    duration, threshold = DURATION(cache=name, operation="get"), GET_LIMIT(cache=name, severity=severity)
    bucket = f'{DURATION.name}_bucket{{cache="{name}",operation="get",le="%s"}}'
    slow = tuple(
        Series(bucket % le, values) for le, values in (("0.1", "0+1x30"), ("0.25", "0+60x30"), ("+Inf", "0+60x30"))
    )
    fast = tuple(Series(bucket % le, "0+60x30") for le in ("0.001", "0.25", "+Inf"))
    return Alert(
        name=alert,
        expr=f"histogram_quantile(0.95, sum by (le) (rate({duration.bucket}[5m]))) > max({threshold})",
        summary="One look into the store in twenty takes longer than {{ $value | humanizeDuration }}.",
        severity="critical" if severity == "critical" else "warning",
        fires=(*slow, Series(str(threshold), f"{limit}x30")),
        quiet=(*fast, Series(str(threshold), f"{limit}x30")),
    )


def _failing(name: str, severity: str, alert: str, limit: float) -> Alert:
    threshold = FAILED_LIMIT(cache=name, severity=severity)
    every, failed = INVALIDATIONS(cache=name), INVALIDATIONS(cache=name, outcome="failed")
    done, lost = (str(every(kind="tag", outcome=outcome)) for outcome in ("done", "failed"))
    return Alert(
        name=alert,
        expr=f"sum(increase({failed}[10m])) / sum(increase({every}[10m])) > max({threshold})",
        summary="{{ $value | humanizePercentage }} of invalidations reach no other instance before the store is back.",
        severity="critical" if severity == "critical" else "warning",
        for_="2m",
        fires=(Series(done, "0+8x30"), Series(lost, "0+2x30"), Series(str(threshold), f"{limit}x30")),
        quiet=(Series(done, "0+99x30"), Series(lost, "0+1x30"), Series(str(threshold), f"{limit}x30")),
    )


def alerts(name: str) -> tuple[Alert, ...]:
    """Return the alerts of one cache; thresholds are exported, so that they can change while it runs."""
    refused = UNKEPT(cache=name, reason="refused")
    failed = COMPUTATIONS(cache=name, outcome="failed")
    return (
        _hit_rate(name, "warning", "CacheHitRateLow", 0.7),
        _hit_rate(name, "critical", "CacheHitRateCritical", 0.5),
        _get_slow(name, "warning", "CacheGetSlow", 0.05),
        _get_slow(name, "critical", "CacheGetCritical", 0.1),
        _failing(name, "warning", "CacheInvalidationsFailing", 0.05),
        _failing(name, "critical", "CacheInvalidationsCritical", 0.1),
        Alert(
            name="CacheWritesRefused",
            expr=f"sum(increase({refused}[10m])) > 10",
            summary='The store refused {{ $value | printf "%.0f" }} values within 10 minutes; they are computed anew.',
            for_="0s",
            fires=(Series(str(refused), "0x5 0+4x20"),),
            quiet=(Series(str(refused), "0x5 3x30"),),
        ),
        Alert(
            name="CacheComputationsFailing",
            expr=f"sum(increase({failed}[10m])) > 10",
            summary='Computing values failed {{ $value | printf "%.0f" }} times in 10 minutes; old values hide it.',
            for_="0s",
            fires=(Series(str(failed), "0x5 0+4x20"),),
            quiet=(Series(str(failed), "0x5 3x30"),),
        ),
    )


def panels(name: str) -> tuple[Panel, ...]:
    """Return the panels of one cache."""
    row = "Cache" if name == "default" else f"Cache {name}"
    requests, duration = REQUESTS(cache=name), DURATION(cache=name)
    hits = f'{REQUESTS.name}{{cache="{name}",outcome=~"near|store|stale"}}'
    asked = f'{REQUESTS.name}{{cache="{name}",outcome!="bypass"}}'
    by_key, found = KEY_REQUESTS(cache=name), KEY_REQUESTS(cache=name, result="hit")
    limits = ((HIT_LIMIT, "hit rate"), (FAILED_LIMIT, "failed invalidations"), (GET_LIMIT, "get"))
    return (
        Panel(
            title="Hit rate",
            expr=(
                ("now", f"sum(rate({hits}[10m])) / sum(rate({asked}[10m]))"),
                ("last 1000", f"max({RECENT(cache=name)})"),
            ),
            unit="percentunit",
            row=row,
            summary="What share of requests finds a value?",
            low=0,
            high=1,
        ),
        Panel(
            title="Requests",
            expr=(("{{outcome}}", f"sum by (outcome) (rate({requests}[5m]))"),),
            unit="ops",
            row=row,
            summary="Who answers?",
            stacked=True,
        ),
        Panel(
            title="Store time, 95th percentile",
            expr=(
                ("{{operation}}", f"histogram_quantile(0.95, sum by (operation, le) (rate({duration.bucket}[5m])))"),
            ),
            unit="s",
            row=row,
        ),
        Panel(
            title="Hit rate by key",
            expr=(("{{pattern}}", f"sum by (pattern) (rate({found}[10m])) / sum by (pattern) (rate({by_key}[10m]))"),),
            unit="percentunit",
            kind="table",
            row=row,
            summary="Which keys miss?",
        ),
        Panel(
            title="Invalidations",
            expr=(("{{kind}} {{outcome}}", f"sum by (kind, outcome) (rate({INVALIDATIONS(cache=name)}[5m]))"),),
            unit="ops",
            row=row,
        ),
        Panel(
            title="Waiting invalidations",
            expr=f"sum({REMEMBERED(cache=name)})",
            row=row,
            summary="How many wait for the store to be back?",
        ),
        Panel(
            title="Computations",
            expr=(
                ("{{outcome}}", f"sum by (outcome) (rate({COMPUTATIONS(cache=name)}[5m]))"),
                ("not kept: {{reason}}", f"sum by (reason) (rate({UNKEPT(cache=name)}[5m]))"),
            ),
            unit="ops",
            row=row,
        ),
        Panel(
            title="In memory",
            expr=(
                ("values", f"sum({ENTRIES(cache=name)})"),
                ("evicted a second", f"sum(rate({EVICTIONS(cache=name)}[5m]))"),
            ),
            row=row,
        ),
        Panel(
            title="Last requests",
            expr=(("{{result}}", f"sum by (result) ({RECENT_REQUESTS(cache=name)})"),),
            row=row,
            summary="What the hit rate of the last 1000 stands on: few requests say little.",
            stacked=True,
        ),
        Panel(title="Memory", expr=f"sum({BYTES(cache=name)})", unit="bytes", row=row),
        Panel(
            title="Thresholds",
            expr=tuple(
                (f"{what}: {{{{severity}}}}", f"max by (severity) ({limit(cache=name)})") for limit, what in limits
            ),
            kind="table",
            row=row,
            summary="When do the alerts fire? Settings that are reloaded change it.",
        ),
    )


def checks(name: str, prefix: str) -> tuple[Check, ...]:
    """Return the checks of one cache.

    :param prefix: where the management API is.
    """
    stats = ("redisStats.type", "redisStats.available", "redisStats.memoryEntries", "cacheHitStats.hitRate")
    return (
        Check(
            name="stats",
            path=f"/cache/stats?cache={name}",
            summary=f"The cache {name} says where it keeps values, and how it fares.",
            group="cache service",
            role="viewer",
            fields=stats,
        ),
        Check(
            name="invalidations",
            path=f"{prefix}/cache/invalidation-metrics?cache={name}",
            summary=f"Invalidations of the cache {name} are counted.",
            group="cache performance",
            role="viewer",
            suite="observability",
            fields=("totalInvalidations", "failedInvalidations", "invalidationsPerSecond"),
        ),
        Check(
            name="keys",
            path=f"{prefix}/cache/key-stats?cache={name}",
            summary=f"Hits and misses of the cache {name} are told by key.",
            group="cache performance",
            role="viewer",
            suite="observability",
            fields=("patterns",),
        ),
    )
