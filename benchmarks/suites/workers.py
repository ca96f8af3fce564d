"""P6: one scrape of several processes, the dead ones included, and what it does to an event loop."""

from __future__ import annotations

import asyncio
import gc
import os
import resource
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import uvloop

from benchmarks import series
from benchmarks.contestant import Contestant
from benchmarks.lab import Lab
from benchmarks.results import Goal, Measure, Row
from benchmarks.spread import Spread
from benchmarks.suites import Suite

__all__ = ["SUITE", "graveyard", "scraper", "worker"]

UNIT = "ms CPU a scrape"
WORKERS = 4
DEAD = 257
DEAD_SERIES = 1_000
STALL = 5.0

#: What is merged has no label that tells processes apart, so it is the series of one.
MERGED = series.SERIES

TEXT = f"""\
{WORKERS} processes have the same {series.SERIES:,} series each; another one scrapes them: Bedplate's registry over
memory-mapped cells, and prometheus_client's multiprocess mode as its documentation sets it up (a directory, a
`MultiProcessCollector` in a fresh registry for each scrape, `livesum` gauges). Both expose {MERGED:,} merged series,
and the workers change every one before each scrape.

Beside a second set of workers, {DEAD} processes with {DEAD_SERIES:,} of the same series each are started and die
without a word (`os._exit`); prometheus_client is told of each death with `mark_process_dead`, as its documentation
asks. The first scrape after that, in which Bedplate folds the dead into one file, is reported apart. **Flat** means: a
scrape costs at most 1.2 × of what it costs where nobody died.

The **stall** of the event loop is watched by a callback that does nothing but come again: the longest time between two
of its turns, over cold scrapes, warm ones, and such as fold 8 dead workers. A time in which the kernel took the
processor away from the thread (`ru_nivcsw`) counts with its CPU time only; the same loop without scrapes tells the
machine's own noise."""


def run(lab: Lab) -> list[Row]:
    """Measure all rows."""
    lab.say("P6: a scrape of four workers, and of four after others died")
    rounds = lab.scale(12, 4)
    with _host(lab, "ours") as ours, _host(lab, "ours") as bereaved, _host(lab, "peer") as peer:
        first = {"ours": ours.scrape(), "peer": peer.scrape()}
        bereaved.scrape()
        bereaved.bury(DEAD, DEAD_SERIES)
        folding = {"ours": bereaved.scrape()}
        taken = _in_turns({"none dead": ours, "dead": bereaved, "peer": peer}, rounds)
        peer.bury(DEAD, DEAD_SERIES)
        folding["peer"] = peer.scrape()
        taken |= _in_turns({"peer, dead": peer}, lab.scale(5, 2))
    mine, theirs = Measure("Bedplate", UNIT, taken["none dead"]), Measure("prometheus_client", UNIT, taken["peer"])
    return [
        Row(
            "P6a",
            f"Scrape merged from {WORKERS} workers, against multiprocess mode",
            mine,
            (theirs,),
            Goal("ratio", ">=", 15, "≥ 15 × faster"),
            theirs.value / mine.value,
            (_took("The first scrape", first),),
        ),
        Row(
            "P6b",
            f"The same where {DEAD} workers have died, against none",
            Measure(f"Bedplate, {DEAD} dead", UNIT, taken["dead"]),
            (
                Measure("Bedplate, none dead", UNIT, taken["none dead"]),
                Measure(f"prometheus_client, {DEAD} dead", UNIT, taken["peer, dead"]),
            ),
            Goal("ratio", "<=", 1.2, "≤ 1.2 × (flat)"),
            taken["dead"].median / taken["none dead"].median,
            (_took("The first scrape after the deaths, which folds them,", folding),),
        ),
        _stall(lab),
    ]


def _took(what: str, milliseconds: dict[str, float]) -> str:
    return f"{what} took Bedplate {milliseconds['ours']:.0f} ms and prometheus_client {milliseconds['peer']:.0f} ms."


def _in_turns(hosts: dict[str, Host], rounds: int) -> dict[str, Spread]:
    taken: dict[str, list[float]] = {name: [] for name in hosts}
    for _ in range(rounds):
        for name, host in hosts.items():
            taken[name].append(host.scrape())
    return {name: Spread.of(values) for name, values in taken.items()}


class Host:
    """The processes of one contestant on one host: workers, and the one that scrapes."""

    def __init__(self, stack: ExitStack, lab: Lab, which: str) -> None:
        self.directory = tempfile.mkdtemp(prefix="bench-")
        stack.callback(shutil.rmtree, self.directory, ignore_errors=True)
        self._stack = stack
        self._lab = lab
        self._which = which
        self._environment = {"PROMETHEUS_MULTIPROC_DIR": self.directory} if which == "peer" else {}
        self._seed = 0
        self.workers = [self.process("worker") for _ in range(WORKERS)]
        self.scraper = self.process("scraper")

    def process(self, maker: str) -> Contestant:
        """Start a process of this host."""
        given = {"which": self._which, "directory": self.directory}
        made = Contestant(f"{__name__}:{maker}", given, core=self._lab.core, environment=self._environment)
        return self._stack.enter_context(made)

    def change(self) -> None:
        """Change every series of every worker."""
        self._seed += 1
        for number, worker_ in enumerate(self.workers):
            worker_(seed=self._seed * WORKERS + number)

    def scrape(self) -> float:
        """Change everything, scrape once, and return the milliseconds of CPU that it took."""
        self.change()
        return float(self.scraper(what="scrape"))

    def bury(self, count: int, size: int) -> None:
        """Let processes live and die."""
        self.process("graveyard")(count=count, size=size)


@contextmanager
def _host(lab: Lab, which: str) -> Iterator[Host]:
    with ExitStack() as stack:
        yield Host(stack, lab, which)


def worker(which: str, directory: str) -> Callable[..., None]:
    """Make a worker: it has the series, and changes them when told."""
    # The registry is kept by the updates.
    _, updates = series.ours(directory) if which == "ours" else series.peers()

    def carry_out(seed: int) -> None:
        series.shake(updates, seed)

    return carry_out


def graveyard(which: str, directory: str) -> Callable[..., None]:
    """Make a parent of workers that die: each has some of the series, changes them, and is gone."""
    if which == "ours":
        import bedplate.telemetry.metrics.registry  # noqa: F401 - once for all children
    else:
        from prometheus_client import multiprocess

    def carry_out(count: int, size: int) -> None:
        for number in range(count):
            child = os.fork()
            if child == 0:
                status = 1
                try:
                    made = series.ours(directory, size) if which == "ours" else series.peers(size)
                    series.shake(made[1], number)
                    status = 0
                finally:
                    os._exit(status)
            _, ended = os.waitpid(child, 0)
            if ended:
                raise RuntimeError(f"a worker that should only have died failed with status {ended}")
            if which == "peer":
                multiprocess.mark_process_dead(child)  # type: ignore[no-untyped-call]

    return carry_out


def scraper(which: str, directory: str) -> Callable[..., Any]:
    """Make the process that scrapes."""
    return _OurScraper(directory) if which == "ours" else _peer_scraper()


def _peer_scraper() -> Callable[..., float]:
    from prometheus_client import CollectorRegistry, generate_latest
    from prometheus_client.multiprocess import MultiProcessCollector

    def carry_out(what: str) -> float:
        gc.collect()
        before = time.process_time()
        registry = CollectorRegistry()
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        text = generate_latest(registry)
        taken = time.process_time() - before
        _check(text)
        return taken * 1e3

    return carry_out


class _OurScraper:
    def __init__(self, directory: str) -> None:
        from bedplate.telemetry.metrics.registry import Registry

        self._registry = Registry("bench", Path(directory))
        self._loop = uvloop.new_event_loop()

    def __call__(self, what: str, seconds: float = 0.0) -> Any:
        if what == "scrape":
            return self._scrape()
        return self._loop.run_until_complete(self._watch(scraping=what == "watch scrapes", seconds=seconds))

    def _scrape(self) -> float:
        gc.collect()
        before = time.process_time()
        text = self._loop.run_until_complete(self._registry.render())
        taken = time.process_time() - before
        _check(text)
        return taken * 1e3

    async def _watch(self, *, scraping: bool, seconds: float) -> dict[str, float]:
        watch = _Watch(self._loop)
        deadline = time.monotonic() + seconds
        scrapes = 0
        while time.monotonic() < deadline:
            if scraping:
                await self._registry.render()
                scrapes += 1
            await asyncio.sleep(0.005)
        watch.stop()
        return {
            "stall": watch.stall * 1e3,
            "wall": watch.wall * 1e3,
            "collection": watch.collection * 1e3,
            "scrapes": scrapes,
        }


class _Watch:
    """A callback that comes again in each turn of the loop, and knows the longest time that it had to wait.

    :ivar stall: less what the kernel gave to others. :ivar wall: as the clock saw it.
    :ivar collection: the longest garbage collection, which is a part of some wait.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._going = True
        self.stall = 0.0
        self.wall = 0.0
        self.collection = 0.0
        self._collecting = 0.0
        gc.callbacks.append(self._collected)
        self._now = time.perf_counter()
        self._cpu = time.thread_time()
        self._taken_away = self._switches()
        loop.call_soon(self._turn)

    @staticmethod
    def _switches() -> int:
        return resource.getrusage(resource.RUSAGE_THREAD).ru_nivcsw if hasattr(resource, "RUSAGE_THREAD") else 0

    def _turn(self) -> None:
        now, cpu, taken_away = time.perf_counter(), time.thread_time(), self._switches()
        waited = now - self._now
        own = waited if taken_away == self._taken_away else min(waited, cpu - self._cpu)
        self.wall = max(self.wall, waited)
        self.stall = max(self.stall, own)
        self._now, self._cpu, self._taken_away = now, cpu, taken_away
        if self._going:
            self._loop.call_soon(self._turn)

    def stop(self) -> None:
        """Come no more."""
        self._going = False
        gc.callbacks.remove(self._collected)

    def _collected(self, phase: str, info: dict[str, int]) -> None:
        if phase == "start":
            self._collecting = time.thread_time()
        else:
            self.collection = max(self.collection, time.thread_time() - self._collecting)


def _stall(lab: Lab) -> Row:
    """Watch the loop of a process that scrapes: the first scrapes, more of them, and one that folds dead workers."""
    lab.say("P6: the event loop during scrapes")
    seconds = lab.scale(4, 1)
    stalls: list[float] = []
    walls: list[float] = []
    idle: list[float] = []
    collections: list[float] = []
    scrapes = 0
    for _ in range(lab.scale(3, 1)):
        with _host(lab, "ours") as host:
            host.change()
            idle.append(host.scraper(what="watch", seconds=seconds / 2)["wall"])
            for dead in (0, 8):
                if dead:
                    host.bury(dead, series.SERIES)
                seen = host.scraper(what="watch scrapes", seconds=seconds / 2)
                stalls.append(seen["stall"])
                walls.append(seen["wall"])
                collections.append(seen["collection"])
                scrapes += int(seen["scrapes"])
            idle.append(host.scraper(what="watch", seconds=seconds / 2)["wall"])
    worst = Spread(min(stalls), max(stalls), max(stalls), len(stalls))
    return Row(
        "P6c",
        "Longest stall of the event loop in the scraping process",
        Measure("Bedplate, the worst of all", "ms", worst),
        (Measure("the same loop without scrapes, wall time", "ms", Spread.of(idle)),),
        Goal("ours", "<=", STALL, f"≤ {STALL:g} ms"),
        None,
        (
            f"{scrapes} scrapes were watched; the longest garbage collection meanwhile took {max(collections):.1f} ms.",
            f"With the machine's own pauses: {max(walls):.1f} ms, and {max(idle):.1f} ms without scrapes.",
        ),
    )


def _check(text: bytes) -> None:
    if (count := series.lines(text)) != MERGED:
        raise RuntimeError(f"the scrape has {count:,} samples, not {MERGED:,}")


SUITE = Suite("Scrape of several processes", ("P6a", "P6b", "P6c"), TEXT, run)
