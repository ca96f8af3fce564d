"""Watching an event loop: how long does anything keep it from its next turn?"""

from __future__ import annotations

import asyncio
import gc
import resource
import time
from pathlib import Path

import uvloop

from bedplate.service.heap import settle
from bedplate.service.service import Service
from benchmarks.stacks.app import SERVICE
from benchmarks.stacks.ours import settings

__all__ = ["Observer", "Watch"]


class Observer:
    """A service without an application that observes the others of its host, as the ``ops`` process does.

    :param directory: the run directory of the host.
    """

    def __init__(self, directory: Path) -> None:
        self._loop = uvloop.new_event_loop()
        asyncio.set_event_loop(self._loop)
        self._service = Service(SERVICE, settings=settings())
        self._running = self._service.running(role="ops", directory=directory)
        self._loop.run_until_complete(self._running.__aenter__())
        settle()  # as whatever is served does after its start

    def __call__(self, scraping: bool, seconds: float) -> dict[str, float]:
        """Watch the loop for so long, with scrapes one after the other or without any; times are milliseconds."""
        return self._loop.run_until_complete(self._watch(scraping, seconds))

    async def _watch(self, scraping: bool, seconds: float) -> dict[str, float]:
        metrics = self._service.builtins.metrics
        watch = Watch(self._loop)
        deadline = time.monotonic() + seconds
        scrapes = 0
        while time.monotonic() < deadline:
            if scraping:
                await metrics.render()
                scrapes += 1
            await asyncio.sleep(0.005)
        watch.stop()
        return {
            "stall": watch.stall * 1e3,
            "wall": watch.wall * 1e3,
            "collection": watch.collection * 1e3,
            "scrapes": scrapes,
        }


class Watch:
    """A callback that comes again in each turn of the loop, and knows the longest time that it had to wait.

    :ivar stall: the thread's own CPU time, or the whole time where it waited for something.
    :ivar wall: as the clock saw it, with what the kernel and the hypervisor gave to others.
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
        self._switches = _switches()
        loop.call_soon(self._turn)

    def _turn(self) -> None:
        now, cpu, switches = time.perf_counter(), time.thread_time(), _switches()
        waited = now - self._now
        blocked, taken_away = (after - before for after, before in zip(switches, self._switches, strict=True))
        own = waited if blocked and not taken_away else min(waited, cpu - self._cpu)
        self.wall = max(self.wall, waited)
        self.stall = max(self.stall, own)
        self._now, self._cpu, self._switches = now, cpu, switches
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


def _switches() -> tuple[int, int]:
    """How often this thread has given the processor away, because it had to wait, and how often it was taken away."""
    if not hasattr(resource, "RUSAGE_THREAD"):
        return 0, 0
    usage = resource.getrusage(resource.RUSAGE_THREAD)
    return usage.ru_nvcsw, usage.ru_nivcsw
