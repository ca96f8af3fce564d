"""Locks while Redis hangs, is cut off, killed, failed over, and has its clock set, and while their holders are stopped.

What is locked refuses fences that fall, and remembers what it accepted. Never may it accept two holders: one fence is
never given to two, what is accepted never falls, and nothing is written over. While no data is lost and no clock is
set, two are not even inside at once.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, closing, suppress
from pathlib import Path
from typing import Any

import pytest

from bedplate.service import Service
from bedplate.state.locks import Fence, LockError, LockInfo, Locks, LockTakenError, StaleFenceError
from bedplate.state.redis import Redis, RedisSettings
from bedplate.testing import running, settings
from tests.endurance import dice, size, tell
from tests.harm import EVILS, harm
from tests.proxy import proxy
from tests.redis import Server, sentinels, server
from tests.stores import RealClock

NAMES = [f"portfolio:{number}" for number in range(4)]
#: Seconds after which something hangs: the longest of these takes two minutes.
MOST = size(90, 300)
#: Two instances, each with so many workers a lock.
WORKERS = 3
TTL = 1.2
IMPATIENT = RedisSettings(quiet=0.1, patience=0.5, connect_timeout=0.5, backoff=0.005, backoff_limit=0.05)


class Resource:
    """Something that is written to under a lock."""

    def __init__(self) -> None:
        self.fence = Fence("the resource")
        self.owners: dict[int, str] = {}
        self.accepted: list[int] = []
        self.refused = 0

    def write(self, fence: int, who: str) -> None:
        try:
            self.fence.accept(fence)
        except StaleFenceError:
            self.refused += 1
            raise
        self.accepted.append(fence)
        assert self.owners.setdefault(fence, who) == who, "two holders have one fence"


class Load:
    """Workers of all instances that want the same locks."""

    def __init__(self, locks: list[Locks], thrown: random.Random) -> None:
        self.locks = locks
        self.thrown = thrown
        self.resources = {name: Resource() for name in NAMES}
        self.inside: Counter[str] = Counter()
        self.seen: Counter[str] = Counter()
        self.ended = False

    def workers(self) -> list[Awaitable[None]]:
        return [self._work(locks, name) for locks in self.locks for name in NAMES for _ in range(WORKERS)]

    async def _work(self, locks: Locks, name: str) -> None:
        while not self.ended:
            task = asyncio.create_task(self._once(locks, name))
            if self.thrown.random() < 0.3:
                asyncio.get_running_loop().call_later(self.thrown.random() * 0.05, task.cancel)
            await asyncio.wait([task])
            if task.cancelled():
                self.seen["cancelled"] += 1
            else:
                task.result()

    async def _once(self, locks: Locks, name: str) -> None:
        resource, who = self.resources[name], f"{id(asyncio.current_task())} {time.monotonic()}"
        try:
            async with locks.hold(name, ttl=TTL, wait=self.thrown.choice((0, 0.1, 2))) as held:
                self.inside[name] += 1
                self.seen["overlaps"] += self.inside[name] > 1
                try:
                    for _ in range(self.thrown.randrange(1, 4)):
                        resource.write(held.fence, who)
                        await asyncio.sleep(self.thrown.random() * 0.004)
                finally:
                    self.inside[name] -= 1
                self.seen["done"] += 1
        except StaleFenceError:
            self.seen["refused by the resource"] += 1
        except LockTakenError:
            self.seen["taken"] += 1
        except LockError as error:
            self.seen[type(error).__name__] += 1
            await asyncio.sleep(0.002)

    def judge(self) -> None:
        for resource in self.resources.values():
            assert resource.accepted == sorted(resource.accepted), "an older holder was accepted after a newer one"
            assert len(resource.accepted) > 10, "nothing was written"


async def endure(
    urls: list[str], thrown: random.Random, harmed: Callable[[Load, list[Redis]], Awaitable[None]]
) -> Counter[str]:
    """Let instances at these addresses work while something happens; see that all is well afterwards."""
    async with AsyncExitStack() as stack:
        stores = [Redis(url, settings=IMPATIENT) for url in urls]
        locks = [Locks(store) for store in stores]
        harness: Any = None
        for store, its in zip(stores, locks, strict=True):
            service = Service("test", None, [store, its], settings=settings())
            harness = await stack.enter_async_context(running(service, clock=RealClock()))
        load = Load(locks, thrown)
        working = asyncio.gather(*load.workers())
        await harmed(load, stores)
        await harness.eventually(lambda: all(store.available for store in stores), timeout=15)
        done = load.seen["done"]
        await harness.eventually(lambda: load.seen["done"] > done + 50, timeout=15)
        load.ended = True
        await asyncio.wait_for(working, 60)
        for its in locks:
            await harness.eventually(lambda its=its: not its.held and not its.waiting, timeout=5)

            async def nothing(its: Locks = its) -> bool:
                infos: list[LockInfo] = [await its.info(name) for name in NAMES]
                return not any(one.held or one.waiting for one in infos)

            await harness.eventually(nothing, timeout=15)
        load.judge()
        tell("locks beside a Redis that is harmed", **load.seen)
        return load.seen


@pytest.mark.timeout(MOST)
async def test_never_two_are_inside_while_redis_hangs_and_the_network_breaks() -> None:
    thrown, seconds = dice(), size(3.0, 60.0)
    with server("redis7") as target:
        async with proxy(target.port) as one, proxy(target.port) as other:

            async def harmed(load: Load, stores: list[Redis]) -> None:
                async with harm(target, one, thrown) as done, harm(target, other, thrown):
                    await asyncio.sleep(seconds)
                    while len(done) < len(EVILS):
                        await asyncio.sleep(0.1)

            seen = await endure([one.url, other.url], thrown, harmed)
    assert seen["overlaps"] == 0 and seen["refused by the resource"] == 0
    assert seen["done"] and seen["cancelled"] and seen["LockUnavailableError"]


@pytest.mark.timeout(MOST)
async def test_never_two_are_accepted_while_redis_is_killed_and_forgets() -> None:
    thrown, rounds = dice(), size(3, 20)
    with server("redis7") as target:

        async def harmed(load: Load, stores: list[Redis]) -> None:
            for _ in range(rounds):
                await asyncio.sleep(thrown.uniform(0.05, 0.4))
                await asyncio.to_thread(target.kill)
                await asyncio.sleep(thrown.uniform(0.0, 1.2 * TTL))
                await asyncio.to_thread(target.start)

        seen = await endure([target.url] * 2, thrown, harmed)
    assert seen["LockUnavailableError"] and seen["done"]


@pytest.mark.timeout(MOST)
async def test_never_two_are_accepted_over_failovers() -> None:
    thrown, rounds = dice(), size(1, 5)
    with sentinels() as watched:

        async def harmed(load: Load, stores: list[Redis]) -> None:
            for _ in range(rounds):
                await asyncio.sleep(0.3)
                after = await asyncio.to_thread(lambda: watched.replica)
                await asyncio.to_thread(watched.primary.kill)
                await asyncio.to_thread(watched.agreed, after)
                await asyncio.sleep(0.3)
                await asyncio.to_thread(watched.healed)

        seen = await endure([watched.url] * 2, thrown, harmed)
    assert seen["LockUnavailableError"] and seen["done"]


@pytest.mark.timeout(MOST)
async def test_never_two_are_accepted_while_the_clock_of_redis_is_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    thrown, rounds = dice(), size(8, 60)
    found = sorted(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"))
    assert found, "Run tools/servers.sh faketime"
    clock = tmp_path / "clock"

    def beside(seconds: int) -> None:
        new = clock.with_suffix(".new")
        new.write_text(f"{seconds:+d}", encoding="ascii")
        new.rename(clock)  # the server may read it at any moment

    beside(0)
    monkeypatch.setenv("LD_PRELOAD", str(found[0]))
    monkeypatch.setenv("FAKETIME_TIMESTAMP_FILE", str(clock))
    monkeypatch.setenv("FAKETIME_NO_CACHE", "1")
    monkeypatch.setenv("FAKETIME_DONT_FAKE_MONOTONIC", "1")
    with server("valkey9") as target:
        monkeypatch.delenv("LD_PRELOAD")

        async def harmed(load: Load, stores: list[Redis]) -> None:
            for _ in range(rounds):
                beside(thrown.choice((-86_400, -5, 0, 5, 86_400)))
                await asyncio.sleep(thrown.uniform(0.1, 0.5))
            beside(0)

        seen = await endure([target.url] * 2, thrown, harmed)
    assert seen["done"]


HOLDER = """
import asyncio, sqlite3, sys, time
from pathlib import Path
from bedplate.service import Service
from bedplate.state.locks import LockError, Locks
from bedplate.state.redis import Redis
from bedplate.testing import settings

async def main(url, path):
    locks = Locks(Redis(url))
    database = sqlite3.connect(path, timeout=10, isolation_level=None)
    done = refused = 0
    async with Service("test", None, [locks], settings=settings()).running(role="worker"):
        while not Path(path).with_name("over").exists():
            try:
                async with locks.hold("counter", ttl=0.3, wait=5) as held:
                    print("inside", flush=True)
                    # The fence first, so that nobody older can write between this read and this write.
                    seen = database.execute(
                        "UPDATE counter SET fence = ? WHERE fence <= ? RETURNING n", (held.fence, held.fence)
                    ).fetchall()
                    time.sleep(0.01)  # a body that stalls the loop: nobody can tell it anything
                    if not seen or not database.execute(
                        "UPDATE counter SET n = ? WHERE fence = ? RETURNING n", (seen[0][0] + 1, held.fence)
                    ).fetchall():
                        refused += 1
                        continue
                    done += 1
            except LockError:
                pass
    database.close()
    print("result", done, refused, flush=True)

asyncio.run(main(sys.argv[1], sys.argv[2]))
"""


@pytest.mark.timeout(MOST)
def test_never_two_are_accepted_when_their_processes_are_stopped(tmp_path: Path) -> None:
    thrown, seconds, count = dice(), size(2.0, 40.0), size(2, 4)
    path = tmp_path / "counter.sqlite3"
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("CREATE TABLE counter (n INTEGER, fence INTEGER)")
        database.execute("INSERT INTO counter VALUES (0, 0)")
    with server("redis7") as target:
        holders = [_holder(target, path) for _ in range(count)]
        stops = 0
        try:
            for holder in holders:
                assert holder.stdout is not None and holder.stdout.readline() == "inside\n"
            until = time.monotonic() + seconds
            while time.monotonic() < until:
                time.sleep(thrown.uniform(0.0, 0.05))
                victim = thrown.choice(holders)
                os.kill(victim.pid, signal.SIGSTOP)
                time.sleep(thrown.uniform(0.35, 0.6))  # longer than the lock is its own
                os.kill(victim.pid, signal.SIGCONT)
                stops += 1
            (tmp_path / "over").touch()
            results = [_result(holder) for holder in holders]
        finally:
            for holder in holders:
                with suppress(ProcessLookupError):
                    os.kill(holder.pid, signal.SIGCONT)
                holder.kill()
                holder.wait()
                assert holder.stdout is not None
                holder.stdout.close()
    done, refused = sum(one[0] for one in results), sum(one[1] for one in results)
    tell("locks in a file, processes stopped", done=done, refused=refused, stops=stops)
    with closing(sqlite3.connect(path)) as database:
        assert database.execute("SELECT n FROM counter").fetchone() == (done,), "something was written over"
    assert done and stops > 2


def _holder(target: Server, path: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", HOLDER, target.url, str(path)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def _result(holder: subprocess.Popen[str]) -> tuple[int, int]:
    out, _ = holder.communicate(timeout=30)
    assert holder.returncode == 0
    _, done, refused = out.split("\n")[-2].split()
    return int(done), int(refused)
