"""C1 and C2: what the console's first page weighs and takes, and what people who look at it cost."""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

from benchmarks.contestant import Contestant
from benchmarks.lab import Lab
from benchmarks.results import Goal, Measure, Row
from benchmarks.spread import Spread
from benchmarks.suites import Suite

__all__ = ["SUITE", "make"]

SERIES = 10_000
VIEWERS = 50
WEIGHT, PATIENCE, SHARE = 60.0, 100.0, 5.0
_TOKEN = "a-token-for-the-benchmark-alone"

TEXT = f"""\
A service with {SERIES:,} series of its own, sampled every second, that has seen a million log lines (200,000 in a
quick run), in a process of its own. **Weight** is what a browser transfers for the home page with every style sheet
and script that it names, compressed. **Time** is from the request to the whole answer, without a network; the first
page after the start counts, which asks for all of its charts. **Viewers**: {VIEWERS} open home pages, each with its
charts, over ten seconds; what counts is the processor time of the process beyond that of one viewer."""


def run(lab: Lab) -> list[Row]:
    """Measure weight, time and viewers."""
    lab.say("C1, C2: the console")
    weights, firsts, later, shares = [], [], [], []
    for _ in range(lab.scale(3, 1)):
        with Contestant(f"{__name__}:make") as contestant:
            found = contestant(lines=lab.scale(1_000_000, 200_000), seconds=lab.scale(10.0, 5.0))
        weights.append(found["kilobytes"])
        firsts.append(found["first"])
        later.append(found["later"])
        shares.append(found["share"])
    again = Spread.of(later).median
    return [
        Row(
            "C1a",
            "The console's first page, compressed, with all its files",
            Measure("Bedplate", "kB", Spread.of(weights)),
            (),
            Goal("ours", "<=", WEIGHT, f"≤ {WEIGHT:g} kB"),
            None,
        ),
        Row(
            "C1b",
            f"The console's first page at the server, {SERIES:,} series",
            Measure("Bedplate", "ms", Spread.of(firsts)),
            (),
            Goal("ours", "<=", PATIENCE, f"≤ {PATIENCE:g} ms"),
            None,
            (f"Later ones take {again:.1f} ms.",),
        ),
        Row(
            "C2",
            f"What {VIEWERS} viewers of the console add",
            Measure("Bedplate", "% of a core", Spread.of(shares)),
            (),
            Goal("ours", "<=", SHARE, f"≤ {SHARE:g} % of a core"),
            None,
        ),
    ]


def make() -> Callable[..., dict[str, float]]:
    """Make a contestant that serves the console; a command returns what it weighs, takes and costs."""

    def carry_out(lines: int, seconds: float) -> dict[str, float]:
        return asyncio.run(_measured(lines, seconds))

    return carry_out


def _service() -> Any:
    from bedplate import Service
    from bedplate.component import Host, Spec
    from bedplate.declarations import Panel
    from bedplate.metric import Counter
    from bedplate.settings import Settings, Sources

    many = Counter("bench_many_total", "Many series.", {"name": 2 * SERIES})

    class Many:
        spec = Spec(
            kind="many",
            summary="Has many series.",
            metrics=(many,),
            panels=(Panel(title="Many", expr=f"sum(rate({many}[1m]))"),),
        )

        @asynccontextmanager
        async def lifespan(self, host: Host) -> AsyncIterator[None]:
            for number in range(SERIES):
                host.bind(many, name=str(number)).inc(number)
            yield

    settings = Settings(
        environment="test",
        _sources=Sources.none(),
        auth={"tokens": f"bench:admin:{_TOKEN}"},
        logs={"stream": "off"},
        samples={"interval": 1.0},
    )
    return Service("bench", None, [Many()], settings=settings)


async def _measured(lines: int, seconds: float) -> dict[str, float]:
    import httpx2

    service = _service()
    headers = {"authorization": f"Bearer {_TOKEN}", "accept": "text/html", "accept-encoding": "gzip"}
    async with service.running():
        log = logging.getLogger("bench.many")
        for number in range(lines):
            log.info("line %d of many", number)
            if number % 2_000 == 0:
                await asyncio.sleep(0)
        await asyncio.sleep(5)
        transport = httpx2.ASGITransport(app=service)
        async with httpx2.AsyncClient(transport=transport, base_url="http://localhost", headers=headers) as client:
            times = []
            for _ in range(10):
                started = time.perf_counter()
                page = await client.get("/console")
                times.append((time.perf_counter() - started) * 1e3)
                page.raise_for_status()
            weight = int(page.headers["content-length"])
            for address in re.findall(r'(?:href|src)="(/console/static/[^"]+)"', page.text):
                weight += int((await client.get(address)).headers["content-length"])
        alone, crowd = [await _looked_at(service, viewers, seconds) for viewers in (1, VIEWERS)]
    later = sorted(times[1:])
    return {
        "kilobytes": weight / 1e3,
        "first": times[0],
        "later": later[len(later) // 2],
        "share": max(0.0, (crowd - alone) * 100),
    }


async def _looked_at(service: Any, viewers: int, seconds: float) -> float:
    """Return the processor seconds a second that the process takes while so many look at the home page."""
    site = service.builtins.console.site
    charts = [f"chart:{ref.id}:5m" for ref in list(site.charting.all())[:6]]
    keys = [("/console", topic) for topic in ("home", "changes", "badges", *charts)]

    async def viewer() -> None:
        with site.feed.watching(keys) as watcher:
            async for _ in site.feed.events(watcher):
                pass

    tasks = [asyncio.create_task(viewer()) for _ in range(viewers)]
    await asyncio.sleep(2)
    began = time.process_time()
    await asyncio.sleep(seconds)
    taken = time.process_time() - began
    for task in tasks:
        task.cancel()
    for task in tasks:
        with suppress(asyncio.CancelledError):
            await task
    return taken / seconds


SUITE = Suite("Console", ("C1a", "C1b", "C2"), TEXT, run)
