"""Ten thousand series of the kinds that services have, for us and for prometheus_client alike."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

__all__ = ["BUCKETS", "SERIES", "Plan", "fill", "lines", "ours", "peers", "shake"]

SERIES = 10_000

BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)
_LINES = len(BUCKETS) + 3  # +Inf, sum and count
_PARTS = 5

#: Observes a histogram, increments a counter or sets a gauge.
Update = Callable[[float], None]


class Plan:
    """Children of each kind: about half the lines belong to histograms, the rest to counters and gauges 3 : 2.

    :param series: the number of sample lines, exactly.
    """

    def __init__(self, series: int = SERIES) -> None:
        self.histograms = series // 2 // _LINES
        rest = series - self.histograms * _LINES
        self.gauges = rest * 2 // 5
        self.counters = rest - self.gauges

    @staticmethod
    def labels(number: int) -> dict[str, str]:
        """Return the labels of a child: a route and a status, as HTTP metrics have them."""
        return {"route": f"/api/v1/section-{number // _PARTS}/items/{{item_id}}", "status": str(200 + number % _PARTS)}


def ours(directory: str | None, series: int = SERIES) -> tuple[Any, list[Update]]:
    """Return a registry of ours with the series, and what updates each child."""
    from bedplate.telemetry.metrics.registry import Registry

    registry = Registry("bench", None if directory is None else Path(directory))
    return registry, fill(registry, series)


def fill(registry: Any, series: int = SERIES) -> list[Update]:
    """Give a registry of ours the series, and return what updates each child."""
    from bedplate.metric import Counter, Gauge, Histogram

    labels = {"route": series, "status": 10}
    counter = Counter("bench_requests_total", "Requests by route and status.", labels)
    gauge = Gauge("bench_depth", "Depth by route and status.", labels)
    histogram = Histogram(
        "bench_duration_seconds", "Duration by route and status.", labels, unit="seconds", buckets=BUCKETS
    )
    registry.declare([counter, gauge, histogram])
    plan = Plan(series)
    updates: list[Update] = [registry.bind(counter, **plan.labels(n)).inc for n in range(plan.counters)]
    updates += [registry.bind(gauge, **plan.labels(n)).set for n in range(plan.gauges)]
    updates += [registry.bind(histogram, **plan.labels(n)).observe for n in range(plan.histograms)]
    return updates


def peers(series: int = SERIES) -> tuple[Any, list[Update]]:
    """Return a registry of prometheus_client with the same series, and what updates each child.

    ``_created`` series are off, so that both expose the same lines. Where PROMETHEUS_MULTIPROC_DIR is set, gauges are
    summed over live processes, as ours are.
    """
    import prometheus_client

    prometheus_client.disable_created_metrics()  # type: ignore[no-untyped-call]
    registry = prometheus_client.CollectorRegistry()
    names = ["route", "status"]
    counter = prometheus_client.Counter(
        "bench_requests_total", "Requests by route and status.", names, registry=registry
    )
    gauge = prometheus_client.Gauge(
        "bench_depth", "Depth by route and status.", names, registry=registry, multiprocess_mode="livesum"
    )
    histogram = prometheus_client.Histogram(
        "bench_duration_seconds", "Duration by route and status.", names, registry=registry, buckets=BUCKETS
    )
    plan = Plan(series)
    updates: list[Update] = [counter.labels(**plan.labels(n)).inc for n in range(plan.counters)]
    updates += [gauge.labels(**plan.labels(n)).set for n in range(plan.gauges)]
    updates += [histogram.labels(**plan.labels(n)).observe for n in range(plan.histograms)]
    return registry, updates


def shake(updates: list[Update], seed: int) -> None:
    """Change every series, so that no scrape finds the numbers of the one before; durations are under 10 s."""
    source = random.Random(seed)
    for update in updates:
        update(source.expovariate(2.0))


def lines(text: bytes) -> int:
    """The number of samples in an exposition."""
    return sum(1 for line in text.splitlines() if line and not line.startswith(b"#"))
