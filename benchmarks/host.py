"""The processes of one host whose series are scraped together: workers, dead ones, and the one that scrapes."""

from __future__ import annotations

import gc
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Literal

import uvloop

from benchmarks import series
from benchmarks.contestant import Contestant
from benchmarks.lab import Lab
from benchmarks.stacks.app import SERVICE

__all__ = ["WORKERS", "Host", "graveyard", "host", "scraper", "worker"]

WORKERS = 4

#: Where the processes of a whole service keep their cells.
_CELLS = Path(SERVICE) / "cells"

#: A registry of ours, a whole service of ours, or prometheus_client.
Which = Literal["registry", "service", "peer"]


class Host:
    """One contestant's processes and the directory that they share."""

    def __init__(self, stack: ExitStack, lab: Lab, which: Which) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="bench-"))
        stack.callback(shutil.rmtree, self.directory, ignore_errors=True)
        self.cells = self.directory / _CELLS if which == "service" else self.directory
        self.cells.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._stack = stack
        self._lab = lab
        self._which = which
        self._environment = {"PROMETHEUS_MULTIPROC_DIR": str(self.directory)} if which == "peer" else {}
        self._seed = 0
        self.workers = [self._process("worker", self.cells) for _ in range(WORKERS)]
        self.scraper = self._process("scraper", self.directory)

    def _process(self, maker: str, directory: Path) -> Contestant:
        given = {"which": self._which, "directory": str(directory)}
        made = Contestant(f"{__name__}:{maker}", given, core=self._lab.core, environment=self._environment)
        return self._stack.enter_context(made)

    def change(self) -> None:
        """Change every series of every worker."""
        self._seed += 1
        for number, process in enumerate(self.workers):
            process(seed=self._seed * WORKERS + number)

    def scrape(self) -> float:
        """Change everything, scrape once, and return the milliseconds of CPU that it took."""
        self.change()
        return float(self.scraper())

    def bury(self, count: int, size: int) -> None:
        """Let processes with ``size`` series each live and die, one after the other."""
        self._process("graveyard", self.cells)(count=count, size=size)


@contextmanager
def host(lab: Lab, which: Which) -> Iterator[Host]:
    """Start a host's processes; end them after."""
    with ExitStack() as stack:
        yield Host(stack, lab, which)


def worker(which: Which, directory: str) -> Callable[..., None]:
    """Make a worker: it has the series, and changes them when told."""
    # The registry is kept by the updates.
    _, updates = series.ours(directory) if which != "peer" else series.peers()

    def carry_out(seed: int) -> None:
        series.shake(updates, seed)

    return carry_out


def graveyard(which: Which, directory: str) -> Callable[..., None]:
    """Make a parent of workers that die: each has some of the series, changes them, and is gone."""
    if which != "peer":
        import bedplate.telemetry.metrics.registry  # noqa: F401 - once for all children
    else:
        from prometheus_client import multiprocess

    def carry_out(count: int, size: int) -> None:
        for number in range(count):
            child = os.fork()
            if child == 0:
                status = 1
                try:
                    made = series.ours(directory, size) if which != "peer" else series.peers(size)
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


def scraper(which: Which, directory: str) -> Callable[..., Any]:
    """Make the process that scrapes; a command returns the milliseconds of CPU of one scrape, or what it watched."""
    if which == "peer":
        return _peer_scraper()
    if which == "service":
        from benchmarks.watch import Observer

        return Observer(Path(directory))
    return _our_scraper(directory)


def _our_scraper(directory: str) -> Callable[..., float]:
    from bedplate.telemetry.metrics.registry import Registry

    registry = Registry(SERVICE, Path(directory))
    loop = uvloop.new_event_loop()

    def carry_out() -> float:
        gc.collect()
        before = time.process_time()
        text = loop.run_until_complete(registry.render())
        taken = time.process_time() - before
        _check(text)
        return taken * 1e3

    return carry_out


def _peer_scraper() -> Callable[..., float]:
    from prometheus_client import CollectorRegistry, generate_latest
    from prometheus_client.multiprocess import MultiProcessCollector

    def carry_out() -> float:
        gc.collect()
        before = time.process_time()
        registry = CollectorRegistry()
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        text = generate_latest(registry)
        taken = time.process_time() - before
        _check(text)
        return taken * 1e3

    return carry_out


def _check(text: bytes) -> None:
    if (count := series.lines(text)) != series.SERIES:
        raise RuntimeError(f"the scrape has {count:,} samples, not {series.SERIES:,}")
