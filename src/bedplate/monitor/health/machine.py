"""Built-in probes: room on disk, memory, and an event loop that turns."""

from __future__ import annotations

import asyncio
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import psutil

from bedplate.declarations import Probe
from bedplate.monitor.health.blocking import blocking
from bedplate.monitor.health.settings import HealthSettings

__all__ = ["LoopLag", "Memory", "machine_probes", "read_memory"]


def machine_probes(settings: HealthSettings, lag: LoopLag) -> tuple[Probe, ...]:
    """Return the probes of the machine that the settings ask for."""
    interval = settings.interval

    async def memory() -> str:
        return check_memory(read_memory(), settings)

    async def event_loop() -> str:
        return check_lag(lag.take(), settings.loop_lag)

    probes = [
        Probe(
            name="memory",
            check=memory,
            summary="Memory in use stays under the container's limit.",
            critical=False,
            interval=interval,
        ),
        Probe(
            name="event_loop",
            check=event_loop,
            summary="No call blocks the event loop.",
            critical=False,
            interval=interval,
            failures=1,
        ),
    ]
    for path in dict.fromkeys(settings.disk_paths):
        name = "disk" if len(settings.disk_paths) == 1 else f"disk_{_slug(path)}"
        probes.append(
            Probe(
                name=name,
                check=blocking(_disk_check(path, settings)),
                summary=f"The file system of {path} has room.",
                critical=False,
                interval=interval,
            )
        )
    return tuple(probes)


def _slug(path: Path) -> str:
    return re.sub(r"[^a-z0-9]+", "-", str(path).lower()).strip("-") or "root"


def _disk_check(path: Path, settings: HealthSettings) -> Callable[[], str]:
    def check() -> str:
        usage = shutil.disk_usage(path)
        return check_disk(usage.free, usage.used, settings)

    return check


def check_disk(free: int, used: int, settings: HealthSettings) -> str:
    """Return the room of a file system in words; :raises RuntimeError: when it is too little."""
    share = free / max(1, free + used)
    text = f"{_size(free)} free ({share:.1%})"
    if share < settings.disk_free_share:
        raise RuntimeError(f"{text}, less than {settings.disk_free_share:.1%}")
    if free < settings.disk_free_bytes:
        raise RuntimeError(f"{text}, less than {_size(settings.disk_free_bytes)}")
    return text


class Memory:
    """What is in use: by this process, in its container, and on the machine; all in bytes.

    :ivar limit: the container's limit, None without one. :ivar used: what counts against it, page cache aside.
    """

    __slots__ = ("available", "limit", "resident", "total", "used")

    def __init__(self, resident: int, total: int, available: int, limit: int | None = None, used: int = 0) -> None:
        self.resident = resident
        self.total = total
        self.available = available
        self.limit = limit
        self.used = used


def read_memory(root: Path = Path("/")) -> Memory:
    """Return the memory in use now; limits come from cgroup v2 or v1 below ``root``, where there are any.

    The tightest limit from the process's own group up to the root counts.
    """
    machine = psutil.virtual_memory()
    resident = int(psutil.Process().memory_info().rss)
    total, available = int(machine.total), int(machine.available)
    tightest: tuple[int, int] | None = None
    for limit_file, usage_file, cache_key in _groups(root):
        limit = _number(limit_file)
        if limit is None or limit >= total or (tightest is not None and limit >= tightest[0]):
            continue
        used = (_number(usage_file) or 0) - _stat(usage_file.with_name("memory.stat"), cache_key)
        tightest = (limit, max(0, used))
    if tightest is None:
        return Memory(resident, total, available)
    return Memory(resident, total, available, *tightest)


def _groups(root: Path) -> list[tuple[Path, Path, str]]:
    """Return limit file, usage file and the name of the reclaimable page cache, for each group above us."""
    found: list[tuple[Path, Path, str]] = []
    for line in _text(root / "proc/self/cgroup").splitlines():
        _, controllers, path = [*line.split(":", 2), "", ""][:3]
        if controllers == "":
            base, names = root / "sys/fs/cgroup", ("memory.max", "memory.current", "inactive_file")
        elif "memory" in controllers.split(","):
            base = root / "sys/fs/cgroup/memory"
            names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
        else:
            continue
        group = base / path.lstrip("/")
        for folder in (group, *group.parents):
            found.append((folder / names[0], folder / names[1], names[2]))
            if folder == base:
                break
    return found


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""


def _number(path: Path) -> int | None:
    text = _text(path).strip()
    return int(text) if text.isdigit() else None


def _stat(path: Path, key: str) -> int:
    for line in _text(path).splitlines():
        name, _, value = line.partition(" ")
        if name == key and value.isdigit():
            return int(value)
    return 0


def check_memory(memory: Memory, settings: HealthSettings) -> str:
    """Return the memory in use in words; :raises RuntimeError: when too little is left."""
    own = f"this process {_size(memory.resident)}"
    if memory.limit is not None:
        share = memory.used / memory.limit
        text = f"{_size(memory.used)} of {_size(memory.limit)} in use ({share:.0%}), {own}"
        if share > settings.memory_share:
            raise RuntimeError(f"{text}: over {settings.memory_share:.0%}")
        return text
    share = memory.available / memory.total
    text = f"{_size(memory.available)} of {_size(memory.total)} available ({share:.0%}), {own}"
    if share < settings.memory_available_share:
        raise RuntimeError(f"{text}: under {settings.memory_available_share:.0%}")
    return text


def _size(size: float) -> str:
    for unit in ("B", "KiB", "MiB"):
        if size < 1024:
            return f"{size:.0f} {unit}"
        size /= 1024
    return f"{size:.1f} GiB"


class LoopLag:
    """The longest time that the event loop was late since somebody last asked, in seconds.

    A timer is set four times a second; how late it comes is how long some call held the loop.
    """

    PERIOD = 0.25

    def __init__(self) -> None:
        self._worst = 0.0
        self._due = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Begin to measure the running loop."""
        self._worst = 0.0
        self._arm(asyncio.get_running_loop())

    def stop(self) -> None:
        """Stop measuring."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def take(self) -> float:
        """Return the worst lag since the last call and forget it."""
        worst, self._worst = self._worst, 0.0
        return worst

    def _arm(self, loop: asyncio.AbstractEventLoop) -> None:
        self._due = loop.time() + self.PERIOD
        self._timer = loop.call_at(self._due, self._measure, loop)

    def _measure(self, loop: asyncio.AbstractEventLoop) -> None:
        self._worst = max(self._worst, loop.time() - self._due)
        self._arm(loop)


def check_lag(lag: float, limit: float) -> str:
    """Return the lag in words; :raises RuntimeError: when it is over the limit."""
    if lag > limit:
        raise RuntimeError(f"a call held the event loop for {lag:.2f} s, more than {limit:g} s")
    return f"at most {lag * 1000:.0f} ms late"
