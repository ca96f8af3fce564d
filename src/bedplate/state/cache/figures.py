"""What the routes tell of caches, in the names of the accounting service that they were made for.

With one process its own counts are exact. With several, the process that answers has seen no request: the numbers then
come from the metrics of all of them, as the service samples them every few seconds.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from bedplate.component import HasOverview
from bedplate.metric import Metric
from bedplate.problems import BedplateError
from bedplate.state.cache.metrics import (
    BYTES,
    DURATION,
    ENTRIES,
    INVALIDATIONS,
    KEY_REQUESTS,
    ONLINE,
    RECENT_REQUESTS,
    REMEMBERED,
    REQUESTS,
)
from bedplate.state.cache.stats import WINDOW

if TYPE_CHECKING:
    from bedplate.component import Host
    from bedplate.state.cache.running import Running

__all__ = ["invalidation_figures", "key_figures", "stats_figures"]

_KINDS = ("key", "tag", "pattern", "all")


async def stats_figures(running: Running) -> dict[str, Any]:
    """Return where one cache keeps what, and how it fares."""
    shelf, host = running.shelf, running.host
    store = shelf.store
    told = store.overview() if isinstance(store, HasOverview) else None
    if host.alone:
        hits, misses = running.stats.window()
        entries, size, online = float(len(shelf.near)), float(shelf.near.size), shelf.online
        totals: dict[str, float] = dict(running.stats.totals())
        times = {name: one.summary() for name, one in running.stats.times.items()}
    else:
        asked = Asked(host, running.name)
        entries, size = await asked.sum(ENTRIES), await asked.sum(BYTES)
        online = await asked.one(f"min({ONLINE(cache=running.name)})", 1.0) == 1.0
        totals = await asked.by(REQUESTS, "outcome")
        times = {name: await asked.times(name) for name in ("get", "set", "delete")}
        window = await asked.by(RECENT_REQUESTS, "result")
        hits, misses = int(window.get("hit", 0)), int(window.get("miss", 0))
    recent = hits / (hits + misses) if hits + misses else None
    counted = {"hits": hits, "misses": misses, "operations": hits + misses, "window": WINDOW}
    missed = None if recent is None else 1 - recent
    memory = store.spec.kind == "memory"
    return {
        "redisStats": {
            "type": store.spec.kind,
            "available": online,
            "memoryEntries": int(entries),
            "redisInfo": None if memory or told is None else told.get("redisInfo"),
        },
        "cacheHitStats": {
            **counted,
            "hitRate": _rounded(recent),
            "missRate": _rounded(missed),
        },
        "requests": {name: int(value) for name, value in totals.items()},
        "operationTimes": times,
        "size": {"entries": int(entries), "memoryBytes": int(size), "store": told if memory else None},
        "degraded": running.reason or None,
    }


async def invalidation_figures(running: Running) -> dict[str, Any]:
    """Return what was dropped."""
    host, name = running.host, running.name
    if host.alone:
        counts = running.meters.invalidations
        total, failed = counts["total"], counts["failed"]
        kinds = {kind: counts[kind] for kind in _KINDS}
        rate = running.meters.window.rate("all")
        waiting = len(running.shelf.remembered)
    else:
        asked = Asked(host, name)
        by_kind, by_outcome = await asked.by(INVALIDATIONS, "kind"), await asked.by(INVALIDATIONS, "outcome")
        kinds = {kind: int(by_kind.get(kind, 0)) for kind in _KINDS}
        failed = int(by_outcome.get("failed", 0))
        total = sum(kinds.values())
        rate = float(await asked.one(f"sum(rate({INVALIDATIONS(cache=name)}[1m]))", 0.0) or 0.0)
        waiting = int(await asked.sum(REMEMBERED))
    return {
        "totalInvalidations": total,
        "failedInvalidations": failed,
        "failureRate": round(failed / total, 4) if total else 0.0,
        "invalidationsPerSecond": round(rate, 4),
        "byKind": kinds,
        "waiting": waiting,
        "since": running.meters.since,
    }


async def key_figures(running: Running, limit: int) -> list[dict[str, Any]]:
    """Return hits and misses by the pattern of the key, those with the most misses first."""
    if running.host.alone:
        found = {one.pattern: (one.hits, one.miss) for one in running.stats.patterns.values() if one.hits or one.miss}
    else:
        asked = Asked(running.host, running.name)
        pairs = await asked.vector(f"sum by (pattern, result) ({KEY_REQUESTS(cache=running.name)})")
        found = {}
        for labels, value in pairs:
            hits, misses = found.get(labels["pattern"], (0, 0))
            found[labels["pattern"]] = (
                (hits + int(value), misses) if labels["result"] == "hit" else (hits, misses + int(value))
            )
    ordered = sorted(found.items(), key=lambda item: (-item[1][1], item[0]))[:limit]
    return [
        {"pattern": pattern, "hits": hits, "misses": misses, "hitRate": _rounded(hits / (hits + misses))}
        for pattern, (hits, misses) in ordered
    ]


class Asked:
    """The metrics of one cache, of all processes of the host."""

    def __init__(self, host: Host, name: str) -> None:
        self._host, self._name = host, name

    async def vector(self, expr: str) -> list[tuple[dict[str, str], float]]:
        """Return the series of an expression; none while nobody knows."""
        try:
            found = await self._host.query(expr)
        except BedplateError:
            return []
        return [(dict(one.labels), one.value) for one in found if not math.isnan(one.value)]

    async def one(self, expr: str, default: float | None) -> float | None:
        """Return the value of an expression that has one."""
        found = await self.vector(expr)
        return found[0][1] if found else default

    async def sum(self, metric: Metric) -> float:
        """Return the sum of a metric."""
        return await self.one(f"sum({metric(cache=self._name)})", 0.0) or 0.0

    async def by(self, metric: Metric, label: str) -> dict[str, float]:
        """Return the sums of a metric by a label."""
        found = await self.vector(f"sum by ({label}) ({metric(cache=self._name)})")
        return {labels[label]: value for labels, value in found}

    async def times(self, operation: str) -> dict[str, Any]:
        """Return how long the store took in the last five minutes."""
        duration = DURATION(cache=self._name, operation=operation)
        count = await self.one(f"sum(increase({duration.count}[5m]))", 0.0) or 0.0
        average = await self.one(f"sum(rate({duration.sum}[5m])) / sum(rate({duration.count}[5m]))", None)
        p95 = await self.one(f"histogram_quantile(0.95, sum by (le) (rate({duration.bucket}[5m])))", None)
        figures = {"avgMs": average, "p95Ms": p95}
        return {
            "count": round(count),
            **{name: None if v is None else round(v * 1e3, 4) for name, v in figures.items()},
        }


def merged(figures: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return the sums of several caches' numbers, and what cannot be summed of the first."""
    result = dict(figures[0])
    for name, value in result.items():
        values = [one[name] for one in figures]
        if isinstance(value, dict) and all(isinstance(one, dict) for one in values):
            result[name] = merged(values)
        elif isinstance(value, bool):
            result[name] = all(values)
        elif isinstance(value, int | float) and all(isinstance(one, int | float) for one in values):
            result[name] = sum(values)
    return result


def _rounded(value: float | None) -> float | None:
    return None if value is None or math.isnan(value) else round(value, 4)
