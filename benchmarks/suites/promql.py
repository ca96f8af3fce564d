"""P24: rules that a process evaluates over its own samples."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np

from benchmarks import series
from benchmarks.lab import Lab
from benchmarks.results import Goal, Measure, Row
from benchmarks.spread import Spread
from benchmarks.suites import Suite
from benchmarks.watch import Watch

__all__ = ["SUITE", "ours", "rules"]

RULES = 200
INTERVAL = 5_000  # milliseconds between samples
BUDGET, STALL = 150.0, 5.0

_COUNTERS, _GAUGES, _HISTOGRAMS, _CHILDREN = 60, 40, 10, 29
_ROUTES, _STATUSES = 10, ("200", "404", "422", "500", "503")
_LINES = len(series.BUCKETS) + 3

TEXT = f"""\
{RULES} alerting rules over {series.SERIES:,} series with a sample every {INTERVAL // 1000} seconds: error ratios, rates
by route, saturation, quantiles and means of histograms, absence. Every series is read by some rule, most by several,
over 5 or 15 minutes. Six new rows come between two evaluations, as with rules every 30 seconds. The CPU time is that of
the process for all rules. The **stall** is the longest time between two turns of the event loop that evaluates,
counted as in the suite before; the first evaluation, which works out what depends on labels alone, is among those
watched. The greatest of all counts, not a median. Nothing else can be compared: no other library evaluates PromQL in
Python, and Prometheus is a process of its own."""


def run(lab: Lab) -> list[Row]:
    """Evaluate all rules again and again in fresh processes."""
    lab.say(f"P24: {RULES} rules over {series.SERIES:,} series")
    firsts: list[float] = []
    later: list[float] = []
    stalls: list[float] = []
    for _ in range(lab.scale(3, 1)):
        with lab.contestants({"ours": (f"{__name__}:ours", {})}) as contestants:
            first = contestants["ours"](evaluations=1)
            more = contestants["ours"](evaluations=lab.scale(20, 5))
        firsts += first["cpu"]
        later += more["cpu"]
        stalls += [first["stall"], more["stall"]]
    worst = Spread(min(stalls), max(stalls), max(stalls), len(stalls))
    return [
        Row(
            "P24a",
            f"Evaluation of {RULES} rules over {series.SERIES:,} series",
            Measure("Bedplate", "ms CPU", Spread.of(later)),
            (),
            Goal("ours", "<=", BUDGET, f"≤ {BUDGET:g} ms"),
            None,
            (f"The first evaluation of a process took {max(firsts):.0f} ms at most.",),
        ),
        Row(
            "P24b",
            "Longest stall of the event loop that evaluates them",
            Measure("Bedplate, the worst of all", "ms", worst),
            (),
            Goal("ours", "<=", STALL, f"≤ {STALL:g} ms"),
            None,
            (f"{len(later) + len(firsts)} evaluations were watched.",),
        ),
    ]


def ours() -> Callable[..., dict[str, Any]]:
    """Make a contestant: a ring with a quarter of an hour of samples, and the rules."""
    from bedplate.monitor.samples.evaluation import Evaluator
    from bedplate.monitor.samples.ring import Ring
    from bedplate.monitor.samples.settings import SampleSettings

    ring = Ring()
    columns = np.asarray([ring.column(labels) for labels in _labels()])
    if len(columns) != series.SERIES:
        raise RuntimeError(f"there are {len(columns):,} series, not {series.SERIES:,}")
    random = np.random.default_rng(24)
    state = {"at": 1_800_000_000_000, "values": random.integers(0, 1000, len(columns)).astype(float)}

    def sample(rows: int) -> None:
        for _ in range(rows):
            state["at"] += INTERVAL
            state["values"] = state["values"] + random.poisson(3, len(columns))
            ring.put(state["at"], columns, state["values"])

    sample(200)
    evaluator = Evaluator(SimpleNamespace(ring=ring, settings=SampleSettings()))
    exprs = rules()
    loop = asyncio.new_event_loop()

    async def evaluated() -> int:
        fired = 0
        for expr in exprs:
            fired += len(await evaluator.vector(expr, state["at"] / 1000))
        return fired

    async def watched(evaluations: int) -> dict[str, Any]:
        cpu: list[float] = []
        stall = 0.0
        for _ in range(evaluations):
            sample(6)
            gc.collect()
            watch = Watch(loop)
            before = time.process_time()
            fired = await evaluated()
            cpu.append((time.process_time() - before) * 1e3)
            watch.stop()
            await asyncio.sleep(0)
            stall = max(stall, watch.stall * 1e3)
            if not fired:
                raise RuntimeError("no rule has a value, so nothing was evaluated")
        return {"cpu": cpu, "stall": stall}

    return lambda evaluations: loop.run_until_complete(watched(evaluations))


def rules() -> list[str]:
    """The rules' expressions; each family of metrics is read by some of them."""
    found: list[str] = []
    for number in range(_COUNTERS):
        name = f"bench_{number}_total"
        found += (
            f'sum(rate({name}{{status=~"5.."}}[5m])) / sum(rate({name}[5m])) > 0.05',
            f'sum by (route) (increase({name}{{status="500"}}[15m])) > 5',
        )
    found += (f"max by (route) (bench_{number}_ratio) > 0.9" for number in range(_GAUGES))
    for number in range(_HISTOGRAMS):
        name, gauge = f"bench_{number}_seconds", f"bench_{number}_ratio"
        found += (
            f"histogram_quantile(0.99, sum by (le, route) (rate({name}_bucket[5m]))) > 2",
            f"rate({name}_sum[5m]) / rate({name}_count[5m]) > 0.5",
            f"changes({gauge}[15m]) > 100 and on (route) avg_over_time({gauge}[5m]) > 1",
        )
    found.append("absent(up)")
    found += (f"bench_{number}_ratio - bench_{number}_ratio offset 5m > 3" for number in range(RULES - len(found)))
    return found


def _labels() -> Iterator[tuple[tuple[str, str], ...]]:
    def labels(name: str, route: int, **more: str) -> tuple[tuple[str, str], ...]:
        own = {"__name__": name, "instance": "127.0.0.1:8000", "job": "bench", "route": f"/api/v1/section-{route}"}
        return tuple(sorted({**own, **more}.items()))

    for number in range(_COUNTERS):
        yield from (
            labels(f"bench_{number}_total", route, status=status) for route in range(_ROUTES) for status in _STATUSES
        )
    for number in range(_GAUGES):
        yield from (labels(f"bench_{number}_ratio", route, part=part) for route in range(_ROUTES) for part in "abcde")
    for number in range(_HISTOGRAMS):
        for route in range(_CHILDREN):
            name = f"bench_{number}_seconds"
            yield from (labels(f"{name}_bucket", route, le=f"{bound}") for bound in (*series.BUCKETS, "+Inf"))
            yield from (labels(f"{name}_{part}", route) for part in ("sum", "count"))
    used = _COUNTERS * 50 + _GAUGES * 50 + _HISTOGRAMS * _CHILDREN * _LINES
    yield from (labels("bench_other", route) for route in range(series.SERIES - used))


SUITE = Suite("Rules in the process", ("P24a", "P24b"), TEXT, run)
