"""The process, the interpreter and the event loop, measured from inside.

Standard names of the Prometheus client libraries where there are any, so that existing dashboards work.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import platform
import sys
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

import psutil
from pydantic import Field

from bedplate.component import BoundCounter, Host, Spec
from bedplate.declarations import Panel
from bedplate.metric import Counter, Gauge, Histogram
from bedplate.settings import Seconds, Section

__all__ = ["Runtime", "RuntimeSettings"]

CPU = Counter("process_cpu_seconds_total", "User and system CPU time spent.", unit="seconds")
RESIDENT = Gauge("process_resident_memory_bytes", "Resident memory.", unit="bytes")
VIRTUAL = Gauge("process_virtual_memory_bytes", "Virtual memory.", unit="bytes")
OPEN_FDS = Gauge("process_open_fds", "Open file descriptors.")
MAX_FDS = Gauge("process_max_fds", "File descriptors that may be open.", merge="min")
STARTED = Gauge(
    "process_start_time_seconds", "Unix time at which the oldest process started.", unit="seconds", merge="min"
)
THREADS = Gauge("bedplate_runtime_threads", "Threads of the interpreter.")
TASKS = Gauge("bedplate_runtime_tasks", "Tasks on the event loop.")
LAG = Histogram(
    "bedplate_runtime_event_loop_lag_seconds",
    "How late the event loop ran a timer; what every request waits for in addition.",
    unit="seconds",
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5),
)
GC_PAUSE = Counter(
    "bedplate_runtime_gc_pause_seconds_total",
    "Time spent in garbage collections.",
    {"generation": ("0", "1", "2")},
    unit="seconds",
)
GC_RUNS = Counter("bedplate_runtime_gc_collections_total", "Garbage collections.", {"generation": ("0", "1", "2")})
INFO = Gauge(
    "bedplate_runtime_info",
    "The interpreter; always 1.",
    {"implementation": 3, "version": 5, "platform": 5},
    merge="max",
)


class RuntimeSettings(Section):
    """How often the process looks at itself."""

    interval: Annotated[Seconds, Field(gt=0)] = 5.0
    """Seconds between two readings of the process."""

    lag_interval: Annotated[Seconds, Field(gt=0)] = 0.25
    """Seconds between two measurements of event-loop lag."""


class Runtime:
    """Metrics of the process, the garbage collector and the event loop."""

    def __init__(self, settings: RuntimeSettings | None = None) -> None:
        self.settings = settings or RuntimeSettings()
        self._lag = 0.0

    @property
    def spec(self) -> Spec:
        """What it is."""
        return Spec(
            kind="runtime",
            summary="Measures the process, the garbage collector and the event loop.",
            settings=self.settings,
            metrics=(
                CPU, RESIDENT, VIRTUAL, OPEN_FDS, MAX_FDS, STARTED, THREADS, TASKS, LAG, GC_PAUSE, GC_RUNS, INFO,
            ),
            panels=(
                Panel(
                    title="Event-loop lag, p99",
                    expr=f"histogram_quantile(0.99, sum by (le) (rate({LAG.bucket}[5m])))",
                    unit="s",
                    summary="Every request waits this long in addition to its own work.",
                ),
                Panel(title="CPU", expr=f"rate({CPU}[5m])", unit="cores"),
                Panel(title="Resident memory", expr=str(RESIDENT), unit="bytes"),
            ),
        )  # fmt: skip

    @property
    def loop_lag(self) -> float:
        """The latest measured lag of the event loop, in seconds."""
        return self._lag

    @asynccontextmanager
    async def lifespan(self, host: Host) -> AsyncIterator[None]:
        """Read the process now and then, and listen to the garbage collector."""
        process = psutil.Process()
        host.bind(
            INFO,
            implementation=platform.python_implementation(),
            version=platform.python_version(),
            platform=sys.platform,
        ).set(1)
        host.bind(STARTED).set(process.create_time())
        listener = _collector_listener(host)
        gc.callbacks.append(listener)
        host.spawn("process", lambda: self._read_process(host, process))
        host.spawn("loop-lag", lambda: self._measure_lag(host))
        try:
            yield
        finally:
            gc.callbacks.remove(listener)

    async def _read_process(self, host: Host, process: psutil.Process) -> None:
        # The kernel keeps the absolute value; the cell takes it over.
        cpu: Any = host.bind(CPU)
        resident, virtual = host.bind(RESIDENT), host.bind(VIRTUAL)
        fds, threads, tasks = host.bind(OPEN_FDS), host.bind(THREADS), host.bind(TASKS)
        maximum = host.bind(MAX_FDS)
        while True:
            times, memory = os.times(), process.memory_info()
            cpu.set(times.user + times.system)
            resident.set(memory.rss)
            virtual.set(memory.vms)
            threads.set(threading.active_count())
            tasks.set(len(asyncio.all_tasks()))
            with contextlib.suppress(psutil.Error, AttributeError, OSError):
                fds.set(process.num_fds())
                maximum.set(process.rlimit(psutil.RLIMIT_NOFILE)[0])
            await host.clock.sleep(self.settings.interval)

    async def _measure_lag(self, host: Host) -> None:
        histogram, loop = host.bind(LAG), asyncio.get_running_loop()
        while True:
            # The loop's own time: a test that drives the service's clock must not look like a stall.
            before = loop.time()
            await asyncio.sleep(self.settings.lag_interval)
            self._lag = max(0.0, loop.time() - before - self.settings.lag_interval)
            histogram.observe(self._lag)


def _collector_listener(host: Host) -> Any:
    pauses: list[BoundCounter] = [host.bind(GC_PAUSE, generation=str(g)) for g in range(3)]
    runs: list[BoundCounter] = [host.bind(GC_RUNS, generation=str(g)) for g in range(3)]
    began = 0.0

    def listen(phase: str, info: dict[str, int]) -> None:
        nonlocal began
        if phase == "start":
            began = time.perf_counter()
        else:
            generation = info["generation"]
            pauses[generation].inc(time.perf_counter() - began)
            runs[generation].inc()

    return listen
