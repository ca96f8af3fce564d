"""What the machine has to give: memory, CPU, disk, connections."""

from __future__ import annotations

from functools import partial
from typing import Final

from bedplate.declarations import Alert, Panel, Series
from bedplate.metric import Gauge
from synfinance.components.signals.boards import CRITICAL, SYSTEM_OVERVIEW, WARNING, runbook_of

__all__ = ["ALERTS", "CONNECTIONS", "CPU", "DISK", "MEMORY", "MEMORY_LIMIT", "METRICS", "PANELS", "RUNBOOK"]

MEMORY = Gauge("synfinance_memory_usage_bytes", "Resident memory of the service's processes.", unit="bytes")
MEMORY_LIMIT = Gauge(
    "synfinance_memory_limit_bytes",
    "Memory that the service may use: its container's limit, or the machine's.",
    unit="bytes",
    merge="min",
)
CPU = Gauge(
    "synfinance_cpu_usage_ratio",
    "Share of the CPUs it may run on that the service's processes use, between 0 and 1.",
    unit="ratio",
)
DISK = Gauge(
    "synfinance_disk_usage_ratio",
    "Used share of the file system the service writes to, between 0 and 1.",
    unit="ratio",
    merge="max",
)
CONNECTIONS = Gauge("synfinance_active_connections", "Connections that clients have open to the service.")
METRICS: Final = (MEMORY, MEMORY_LIMIT, CPU, DISK, CONNECTIONS)

RUNBOOK: Final = runbook_of(__file__)

_MEMORY_SHARE: Final = f"{MEMORY} / {MEMORY_LIMIT}"
#: Readings are seconds apart and jump; a person is woken by what lasts.
_CPU_SHARE: Final = f"avg_over_time({CPU}[5m])"

ALERTS: Final = (
    Alert(
        name="HighMemoryUsage",
        expr=f"{_MEMORY_SHARE} > 0.9",
        summary="SynFinance uses {{ $value | humanizePercentage }} of its memory; it is about to be killed, and all "
        "requests under way with it.",
        severity="critical",
        for_="5m",
        group=CRITICAL,
        fires=(Series(str(MEMORY), "1e9 1.9e9x15"), Series(str(MEMORY_LIMIT), "2e9x16")),
        quiet=(Series(str(MEMORY), "1e9 1.9e9x3 1.7e9x15"), Series(str(MEMORY_LIMIT), "2e9x20")),
    ),
    Alert(
        name="HighCPUUsage",
        expr=f"{_CPU_SHARE} > 0.9",
        summary="SynFinance has used {{ $value | humanizePercentage }} of its CPUs for minutes; requests wait for "
        "each other.",
        severity="critical",
        for_="5m",
        group=CRITICAL,
        fires=(Series(str(CPU), "0.4x4 0.97x15"),),
        quiet=(Series(str(CPU), "0.4x4 1x4 0.5x15"),),
    ),
    Alert(
        name="HighDiskUsage",
        expr=f"{DISK} > 0.9",
        summary="The disk that SynFinance writes to is {{ $value | humanizePercentage }} full; soon it can keep "
        "neither models nor metrics.",
        severity="critical",
        for_="5m",
        group=CRITICAL,
        fires=(Series(str(DISK), "0.89+0.01x15"),),
        quiet=(Series(str(DISK), "0.85x4 0.91x3 0.85x15"),),
    ),
    Alert(
        name="ElevatedMemoryUsage",
        expr=f"{_MEMORY_SHARE} > 0.75",
        summary="SynFinance uses {{ $value | humanizePercentage }} of its memory, more than it should need.",
        for_="10m",
        group=WARNING,
        fires=(Series(str(MEMORY), "1.6e9x20"), Series(str(MEMORY_LIMIT), "2e9x20")),
        quiet=(Series(str(MEMORY), "1.6e9x8 1.4e9x15"), Series(str(MEMORY_LIMIT), "2e9x24")),
    ),
    Alert(
        name="ElevatedCPUUsage",
        expr=f"{_CPU_SHARE} > 0.75",
        summary="SynFinance has used {{ $value | humanizePercentage }} of its CPUs for a quarter of an hour; there "
        "is little left for a peak.",
        for_="15m",
        group=WARNING,
        fires=(Series(str(CPU), "0.8x25"),),
        quiet=(Series(str(CPU), "0.8x12 0.5x20"),),
    ),
)

_takes = partial(Panel, dashboard=SYSTEM_OVERVIEW, row="What does it take?", low=0)
PANELS: Final = (
    Panel(
        title="Connections",
        expr=(("open", str(CONNECTIONS)),),
        low=0,
        summary="How many clients are connected?",
        dashboard=SYSTEM_OVERVIEW,
        row="Who asks for what?",
    ),
    _takes(
        title="Memory, share of the limit",
        expr=(("used", _MEMORY_SHARE),),
        unit="percentunit",
        high=1,
        summary="How near is the limit at which the process is killed?",
    ),
    _takes(
        title="Memory",
        expr=(("used", str(MEMORY)), ("limit", str(MEMORY_LIMIT))),
        unit="bytes",
        summary="Does it grow without an end? A leak is a line that never comes down.",
    ),
    _takes(
        title="CPU",
        expr=(("mean of 5 minutes", _CPU_SHARE), ("now", str(CPU))),
        unit="percentunit",
        high=1,
        summary="What share of the CPUs that it may run on does it use?",
    ),
    _takes(
        title="Disk",
        expr=(("used", str(DISK)),),
        unit="percentunit",
        high=1,
        summary="How full is the file system that it writes to?",
    ),
)
