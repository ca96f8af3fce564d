"""P24c and P24d: what a service's samples of itself cost in memory, and what taking them does to the event loop."""

from __future__ import annotations

import asyncio
import resource
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks import series
from benchmarks.contestant import Contestant
from benchmarks.lab import Lab
from benchmarks.results import Goal, Measure, Row
from benchmarks.spread import Spread
from benchmarks.suites import Suite

__all__ = ["SUITE", "keeper", "sampler"]

SERIES = 1_000
INTERVAL = 5.0
DAY = 86_400
LIMIT = 100.0
STALL = 5.0

TEXT = f"""\
**Memory**: {DAY // int(INTERVAL):,} rows of {SERIES:,} series are put into a ring of default size, as sampling every
{INTERVAL:g} seconds does in a day. Half of the series are lines of histograms that count at rates from one in ten
seconds to 100 a second; 30 % are counters of such rates, 10 % gauges that stand still, 10 % gauges that move a random
step each time, the worst there is for compression. What counts is the ring's own account of all that it holds: sealed
chunks, the latest rows, labels, and a full cache of decoded groups; the growth of the process' resident set is told
beside it.

**Stall**: a service of role `ops` with {series.SERIES:,} series samples itself ten times a second, with every series
changed between two samples; each row is sealed as it is in service. A callback that does nothing but come again
watches its event loop, as for P6c, from the first sample on, which lays out all series. The greatest stall counts."""


def run(lab: Lab) -> list[Row]:
    """Measure memory, then stalls."""
    lab.say("P24c: a day of samples in memory")
    days: list[dict[str, float]] = []
    for seed in range(lab.scale(3, 1)):
        with Contestant(f"{__name__}:keeper") as contestant:
            days.append(contestant(rows=lab.scale(DAY // int(INTERVAL), DAY // int(INTERVAL) // 4), seed=seed))
    lab.say("P24d: the event loop while sampling")
    ticks: list[dict[str, float]] = []
    for _ in range(lab.scale(3, 1)):
        with Contestant(f"{__name__}:sampler", core=lab.core) as contestant:
            ticks.append(contestant(seconds=lab.scale(30, 5)))
    stalls = sorted(one["stall"] for one in ticks)
    cost, cpu = _most(days, "bytes_a_series"), _most(ticks, "cpu")
    return [
        Row(
            "P24c",
            f"A day of {SERIES:,} series, sampled every {INTERVAL:g} s",
            Measure("Bedplate", "MB", Spread.of(day["megabytes"] for day in days)),
            (),
            Goal("ours", "<=", LIMIT, f"≤ {LIMIT:g} MB"),
            None,
            (
                f"A series costs {cost:,.0f} bytes a day, sealed, or {cost / DAY * INTERVAL:.2f} bytes a sample.",
                f"The resident set grew by {_most(days, 'resident'):.0f} MB.",
                f"Reading a whole day of one series takes {_most(days, 'one_day') * 1e3:.0f} ms, in slices.",
                f"Five minutes of all {SERIES:,} series are read in {_most(days, 'minutes') * 1e6:.0f} µs.",
                f"Putting and sealing a row took {_most(days, 'row') * 1e6:.0f} µs.",
            ),
        ),
        Row(
            "P24d",
            f"Longest stall of the event loop while sampling {series.SERIES:,} series",
            Measure("Bedplate, the worst of all", "ms", Spread(stalls[0], stalls[-1], stalls[-1], len(stalls))),
            (),
            Goal("ours", "<=", STALL, f"≤ {STALL:g} ms"),
            None,
            (
                f"{sum(int(one['samples']) for one in ticks)} samples were watched.",
                f"A sample takes {cpu:.1f} ms of CPU, with all else that the service does meanwhile.",
                f"Longest garbage collection: {max(one['collection'] for one in ticks):.1f} ms.",
                f"With the machine's own pauses: {max(one['wall'] for one in ticks):.1f} ms.",
            ),
        ),
    ]


def _most(days: list[dict[str, float]], what: str) -> float:
    return max(day[what] for day in days)


def keeper() -> Callable[..., dict[str, float]]:
    """Make a contestant: fills a ring."""
    from bedplate.monitor.samples.ring import Ring, Wanted

    def carry_out(rows: int, seed: int) -> dict[str, float]:
        before = _resident()
        ring = Ring(interval=INTERVAL)
        labels = [
            (("__name__", f"bench_{n % 20}_total"), ("instance", "host:8000"), ("job", "bench"), ("part", str(n)))
            for n in range(SERIES)
        ]
        columns = np.array([ring.column(one) for one in labels], np.intp)
        taken = 0.0
        for number, values in enumerate(_values(rows, seed)):
            began = time.process_time()
            ring.put(number * int(INTERVAL * 1000), columns, values)
            for _ in range(ring.sealing_share):
                ring.seal()
            taken += time.process_time() - began
        grown = _resident() - before
        end = rows * int(INTERVAL * 1000)
        asyncio.run(_read(ring, Wanted("", (), 0, end)))  # fills the cache of decoded groups
        one_day = asyncio.run(_read(ring, Wanted("bench_0_total", (), 0, end))) / (SERIES / 20)
        began = time.perf_counter()
        for _ in range(100):
            ring.window("", (), end - 300_000, end)
        minutes = (time.perf_counter() - began) / 100
        share = rows / (DAY / INTERVAL)
        return {
            "megabytes": (ring.size - ring.sealed_size + ring.sealed_size / share) / 1e6,
            "bytes_a_series": ring.sealed_size / share / SERIES,
            "resident": grown / 1e6,
            "one_day": one_day,
            "minutes": minutes,
            "row": taken / rows,
        }

    return carry_out


async def _read(ring: Any, wanted: Any) -> float:
    began = time.perf_counter()
    await ring.load([wanted])
    return time.perf_counter() - began


def _values(rows: int, seed: int) -> Any:
    """Yield rows of what services have."""
    random = np.random.default_rng(seed)
    histograms, lines = SERIES // 2 // 17, 15
    rates = 10 ** random.uniform(-1, 2, (histograms, 1)) * INTERVAL * random.dirichlet(np.ones(lines) / 2, histograms)
    counts = np.zeros((histograms, lines))
    sums = np.zeros(histograms)
    rest = SERIES - histograms * (lines + 2)
    still, moving = np.arange(SERIES // 10, dtype=float), np.zeros(SERIES // 10)
    counters = np.zeros(rest - len(still) - len(moving))
    their = 10 ** random.uniform(-1, 2, len(counters)) * INTERVAL
    for _ in range(rows):
        new = random.poisson(rates)
        counts += new
        sums += random.gamma(np.maximum(new.sum(axis=1), 1e-9), 0.05)
        counters += random.poisson(their)
        moving += random.normal(size=len(moving))
        cumulative = counts.cumsum(axis=1)
        yield np.concatenate([cumulative.ravel(), sums, cumulative[:, -1], counters, still, moving])


def _resident() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def sampler() -> Callable[..., dict[str, float]]:
    """Make a contestant: a service that samples itself."""
    import uvloop

    from bedplate.monitor.samples.metrics import TAKEN
    from bedplate.service.heap import settle
    from bedplate.service.service import Service
    from bedplate.settings import Settings
    from benchmarks.watch import Watch

    settings = Settings(environment="development", logs={"stream": "off"}, samples={"interval": 0.1})
    service = Service("bench", settings=settings)

    async def watched(seconds: float) -> dict[str, float]:
        async with service.running(role="ops"):
            await asyncio.sleep(2)  # whatever a service does once, at its start, is not what is measured
            settle()  # as whatever is served does after its start; without, one full collection walks the imports, too
            registry = service.builtins.metrics.registry
            updates = series.fill(registry)
            taken = registry.bind(TAKEN)
            watch = Watch(asyncio.get_running_loop())
            before = taken.value
            await shaken(updates, seconds)
            watch.stop()
            watched = taken.value - before
            # Watching keeps the processor busy: what sampling takes is measured without.
            before, cpu = taken.value, time.thread_time()
            cpu += await shaken(updates, seconds / 2)
            return {
                "stall": watch.stall * 1e3,
                "wall": watch.wall * 1e3,
                "collection": watch.collection * 1e3,
                "samples": watched,
                "cpu": (time.thread_time() - cpu) / (taken.value - before) * 1e3,
            }

    async def shaken(updates: list[series.Update], seconds: float) -> float:
        """Change all series again and again; returns the CPU seconds that it took."""
        changing, number, deadline = 0.0, 0, time.monotonic() + seconds
        while time.monotonic() < deadline:
            began = time.thread_time()
            series.shake(updates[number % 50 :: 50], number)
            changing += time.thread_time() - began
            number += 1
            await asyncio.sleep(0.002)
        return changing

    def carry_out(seconds: float) -> dict[str, float]:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(watched(seconds))

    return carry_out


SUITE = Suite("Samples of itself", ("P24c", "P24d"), TEXT, run)
