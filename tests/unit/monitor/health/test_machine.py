from __future__ import annotations

import asyncio
import time
from pathlib import Path

import psutil
import pytest

from bedplate.monitor.health import HealthSettings
from bedplate.monitor.health.machine import (
    LoopLag,
    Memory,
    check_disk,
    check_lag,
    check_memory,
    machine_probes,
    read_memory,
)

GIB = 2**30
SETTINGS = HealthSettings(disk_free_share=0.05, disk_free_bytes=GIB, memory_share=0.9, memory_available_share=0.1)


@pytest.mark.parametrize(("free", "used"), [(4 * GIB, 96 * GIB), (GIB // 2, GIB)])
def test_too_little_room_fails_by_share_or_by_bytes(free: int, used: int) -> None:
    with pytest.raises(RuntimeError, match="less than"):
        check_disk(free, used, SETTINGS)


def test_enough_room_says_how_much() -> None:
    assert check_disk(50 * GIB, 50 * GIB, SETTINGS) == "50.0 GiB free (50.0%)"


def test_a_container_is_judged_by_its_limit_and_a_machine_by_what_is_available() -> None:
    assert "of 1.0 GiB in use (50%)" in check_memory(Memory(1, 64 * GIB, 1, GIB, GIB // 2), SETTINGS)
    with pytest.raises(RuntimeError, match="over 90%"):
        check_memory(Memory(1, 64 * GIB, 60 * GIB, GIB, int(0.95 * GIB)), SETTINGS)
    with pytest.raises(RuntimeError, match="under 10%"):
        check_memory(Memory(1, 64 * GIB, GIB), SETTINGS)


def write(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def test_cgroup_v2_takes_the_tightest_limit_above_and_leaves_the_page_cache_out(tmp_path: Path) -> None:
    root = write(
        tmp_path,
        {
            "proc/self/cgroup": "0::/system.slice/api.service\n",
            "sys/fs/cgroup/system.slice/api.service/memory.max": "max\n",
            "sys/fs/cgroup/system.slice/api.service/memory.current": "1\n",
            "sys/fs/cgroup/system.slice/memory.max": "1000000\n",
            "sys/fs/cgroup/system.slice/memory.current": "700000\n",
            "sys/fs/cgroup/system.slice/memory.stat": "anon 1\ninactive_file 200000\n",
            "sys/fs/cgroup/memory.max": "2000000\n",
        },
    )
    memory = read_memory(root)
    assert (memory.limit, memory.used) == (1_000_000, 500_000)


def test_cgroup_v1_is_understood(tmp_path: Path) -> None:
    root = write(
        tmp_path,
        {
            "proc/self/cgroup": "5:cpu,cpuacct:/docker/x\n4:memory:/docker/x\n",
            "sys/fs/cgroup/memory/memory.limit_in_bytes": "500000\n",
            "sys/fs/cgroup/memory/memory.usage_in_bytes": "300000\n",
            "sys/fs/cgroup/memory/memory.stat": "total_inactive_file 100000\n",
        },
    )
    memory = read_memory(root)
    assert (memory.limit, memory.used) == (500_000, 200_000)


def test_no_limit_and_absurd_limits_are_no_limit(tmp_path: Path) -> None:
    assert read_memory(tmp_path).limit is None
    absurd = {"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.max": "9223372036854771712\n"}
    memory = read_memory(write(tmp_path, absurd))
    assert memory.limit is None
    assert memory.total == psutil.virtual_memory().total
    assert 0 < memory.resident < memory.total


async def test_a_blocked_loop_is_seen_once() -> None:
    lag = LoopLag()
    lag.start()
    try:
        await asyncio.sleep(0)
        time.sleep(LoopLag.PERIOD + 0.1)
        await asyncio.sleep(0.01)
        worst = lag.take()
        assert worst >= 0.09
        assert lag.take() < worst
    finally:
        lag.stop()
    with pytest.raises(RuntimeError, match="held the event loop"):
        check_lag(worst, 0.05)
    assert "late" in check_lag(0.002, 0.05)


async def test_the_built_in_probes_pass_here_and_never_make_a_service_unready(tmp_path: Path) -> None:
    settings = HealthSettings(
        disk_paths=(tmp_path, Path("/")), disk_free_share=0, disk_free_bytes=0, memory_share=1, memory_available_share=0
    )
    probes = machine_probes(settings, LoopLag())
    assert {probe.name.partition("_")[0] for probe in probes} == {"memory", "event", "disk"}
    assert len({probe.name for probe in probes}) == 4
    for probe in probes:
        assert await probe.check()
        assert not probe.critical
