"""What the processes of the service take of the machine."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated

import psutil
from pydantic import Field

from bedplate.component import Host, Spec
from bedplate.settings import Seconds, Section
from synfinance.components.signals.system import (
    ALERTS,
    CONNECTIONS,
    CPU,
    DISK,
    MEMORY,
    MEMORY_LIMIT,
    METRICS,
    PANELS,
    RUNBOOK,
)

__all__ = ["System", "SystemSettings"]

_LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))


class SystemSettings(Section):
    """How often to look."""

    interval: Annotated[Seconds, Field(ge=1, le=3600)] = 5.0
    """Seconds between two readings."""


class System:
    """Memory, CPU, disk and connections of the service."""

    def __init__(self, settings: SystemSettings | None = None) -> None:
        self.settings = settings or SystemSettings()

    @property
    def spec(self) -> Spec:
        """What it is."""
        return Spec(
            kind="system",
            summary="Measures what the service takes of the machine.",
            settings=self.settings,
            metrics=METRICS,
            alerts=ALERTS,
            panels=PANELS,
            runbook=RUNBOOK,
        )

    @asynccontextmanager
    async def lifespan(self, host: Host) -> AsyncIterator[None]:
        """Look now and then."""
        host.spawn("read", lambda: self._read(host))
        yield

    async def _read(self, host: Host) -> None:
        memory, limit, cpu = host.bind(MEMORY), host.bind(MEMORY_LIMIT), host.bind(CPU)
        disk, connections = host.bind(DISK), host.bind(CONNECTIONS)
        process = psutil.Process()
        before, then = _cpu_seconds(), time.monotonic()
        while True:
            memory.set(process.memory_info().rss)
            limit.set(_memory_limit())
            used, now = _cpu_seconds(), time.monotonic()
            if now > then:
                cpu.set((used - before) / (now - then) / _cpus())
                before, then = used, now
            usage = await asyncio.to_thread(psutil.disk_usage, str(host.directory))
            disk.set(usage.percent / 100)
            # The kernel lists every socket of the machine, which takes a while where there are many.
            connections.set(await asyncio.to_thread(_connections, process))
            await host.clock.sleep(self.settings.interval)


def _cpu_seconds() -> float:
    times = os.times()
    return times.user + times.system


def _cpus() -> int:
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:
        return os.cpu_count() or 1


def _memory_limit() -> int:
    total = psutil.virtual_memory().total
    for path in _LIMITS:
        try:
            text = path.read_text().strip()
        except OSError:
            continue
        if text.isdigit():
            return min(int(text), total)
    return int(total)


def _connections(process: psutil.Process) -> int:
    """Return how many connections clients have to ports that this process listens on."""
    try:
        sockets = process.net_connections(kind="tcp")
    except (psutil.Error, OSError):
        return 0
    listening = {socket.laddr.port for socket in sockets if socket.status == psutil.CONN_LISTEN}
    return sum(socket.status == psutil.CONN_ESTABLISHED and socket.laddr.port in listening for socket in sockets)
