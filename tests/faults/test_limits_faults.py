"""Rate limits while their Redis is killed, hangs, loses its data, and has its clock set, all under load.

No request fails, nobody is kept out for ever, and no more passes than is stated: what passed is counted over every
stretch of time. The server's clock is set by libfaketime, in a file that it reads whenever it asks for the time.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
from fastapi import FastAPI

from bedplate.service import Service
from bedplate.state import store
from bedplate.state.limits import Limit, RateLimit, Strategy
from bedplate.testing import Harness, running, settings
from tests.endurance import dice, size, tell
from tests.redis import Server, server
from tests.stores import RealClock

INSTANCES = 2
KEYS = ("ann", "bob")
QUOTA, WINDOW = 12, 0.6
STRATEGIES: tuple[Strategy, ...] = ("gcra", "sliding_window", "fixed_window")
#: Seconds after which everybody knows of a fault, and all count together again when it is over.
PATIENCE = 60.0


class Watch:
    """The server's clock, seconds beside the machine's own."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        found = sorted(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"))
        assert found, "Run tools/servers.sh faketime"
        self._file = folder / "clock"
        self.beside = 0
        self.set(0)
        monkeypatch.setenv("LD_PRELOAD", str(found[0]))
        monkeypatch.setenv("FAKETIME_TIMESTAMP_FILE", str(self._file))
        monkeypatch.setenv("FAKETIME_NO_CACHE", "1")
        # Timers of the server are no clock that anybody sets.
        monkeypatch.setenv("FAKETIME_DONT_FAKE_MONOTONIC", "1")

    def set(self, beside: int) -> None:
        self.beside = beside
        # A rename: the server may read it at any moment.
        new = self._file.with_suffix(".new")
        new.write_text(f"{beside:+d}", encoding="ascii")
        new.rename(self._file)


class Load:
    """Callers that never wait, on all instances.

    :ivar passed: what passed when, by strategy and key. :ivar faults: from when, to when, and for how many bursts.
    :ivar apart: seconds so far in which some instances counted alone and others did not.
    """

    def __init__(self, limits: dict[Strategy, list[RateLimit]], clients: list[Harness]) -> None:
        self._limits, self._clients = limits, clients
        self.apart: dict[Strategy, list[tuple[float, float]]] = {strategy: [(0.0, 0.0)] for strategy in limits}
        self.passed: dict[tuple[Strategy, str], list[float]] = defaultdict(list)
        self.seen: Counter[str] = Counter()
        self.faults: list[tuple[float, float, int]] = []
        self.slowest = 0.0
        self.ended = False

    def callers(self) -> Iterator[Any]:
        for strategy, limits in self._limits.items():
            for limit in limits:
                for key in KEYS:
                    yield self._ask(strategy, limit, key)
        for harness in self._clients:
            yield self._request(harness)
        yield self._look()

    async def _look(self) -> None:
        """Note for how long some of the instances counted alone and others did not."""
        last = time.monotonic()
        while not self.ended:
            await asyncio.sleep(0.005)
            now = time.monotonic()
            for strategy, limits in self._limits.items():
                states = {limit.overview()["alone"] for limit in limits}
                total = self.apart[strategy][-1][1] + (now - last) * (len(states) - 1)
                self.apart[strategy].append((now, total))
            last = now

    async def _ask(self, strategy: Strategy, limit: RateLimit, key: str) -> None:
        while not self.ended:
            begun = time.monotonic()
            decision = await limit.take(key)
            now = time.monotonic()
            self.slowest = max(self.slowest, now - begun)
            self.seen["alone" if decision.alone else "together"] += 1
            self.seen["passed" if decision.allowed else "refused"] += 1
            if decision.allowed:
                self.passed[strategy, key].append(now)
            await asyncio.sleep(0.004)

    async def _request(self, harness: Harness) -> None:
        while not self.ended:
            answer = await harness.client.get("/")
            self.seen[f"answered {answer.status_code}"] += 1
            await asyncio.sleep(0.02)


def too_much(load: Load, strategy: Strategy, key: str) -> float:
    """Return by how much the worst stretch of time has more than is stated; not more than 0 when none has."""
    times = np.array(load.passed[strategy, key])
    begun, over, bursts = (np.array(part) for part in zip(*load.faults, strict=True))
    before = np.concatenate([[0], np.cumsum(bursts)])[np.searchsorted(over, times, side="left")]
    so_far = np.concatenate([[0], np.cumsum(bursts)])[np.searchsorted(begun, times, side="right")]
    looked, apart = (np.array(part) for part in zip(*load.apart[strategy], strict=True))
    apart = np.interp(times, looked, apart)
    worst = -np.inf
    for first in range(len(times)):
        # A decision is heard of some time after it was taken.
        length = (times[first:] - times[first] + load.slowest) / WINDOW
        counted = np.arange(1, len(length) + 1)
        events = so_far[first:] - before[first]
        if strategy == "fixed_window":
            stated = QUOTA * (2 + np.floor(length))
        elif strategy == "sliding_window":
            # Parts refill evenly, whatever the strategy.
            stated = QUOTA * np.where(events > 0, 1 + length, 1 + np.floor(length))
        else:
            stated = QUOTA * (1 + length)
        parts = QUOTA * (apart[first:] - apart[first] + 0.01) / WINDOW * (INSTANCES - 1) / INSTANCES
        worst = max(worst, float(np.max(counted - stated - QUOTA * events - parts - INSTANCES)))
    return worst


async def faults(load: Load, redis: Server, watch: Watch, limits: list[RateLimit], thrown: Random, rounds: int) -> None:
    """Do harm, each kind in turn, in an order that the dice choose."""

    async def hang(seconds: float) -> None:
        redis.pause()
        await asyncio.sleep(seconds)
        redis.resume()

    async def kill(seconds: float) -> None:
        redis.kill()
        await asyncio.sleep(seconds)
        await asyncio.to_thread(redis.start)

    async def cut(seconds: float) -> None:
        redis.disconnect_clients()

    async def ahead(seconds: float) -> None:
        watch.set(watch.beside + thrown.randrange(1, 100_000))

    async def back(seconds: float) -> None:
        watch.set(watch.beside - thrown.randrange(1, 100_000))

    kinds: list[Callable[[float], Any]] = [hang, kill, cut, ahead, back]
    for _ in range(rounds):
        for kind in thrown.sample(kinds, len(kinds)):
            await asyncio.sleep(thrown.uniform(0.1, 0.5))
            begun = time.monotonic()
            load.seen[kind.__name__] += 1
            await kind(thrown.uniform(0.15, size(0.5, 4.0)))
            # Until all have noticed, if it is for them to notice.
            await asyncio.sleep(0.2)
            await until(lambda: not any(limit.overview()["alone"] for limit in limits), "all count together")
            # By the page: two bursts more for each time that the store was away, one when its clock was set.
            load.faults.append((begun, time.monotonic(), 1 if kind in (ahead, back) else 2))


async def patiently(limit: RateLimit) -> None:
    """Pass: at the latest when asked again, if the clock was set back since it was told how long to wait."""
    for _ in range(3):
        decision = await limit.take("ann")
        if decision.allowed:
            return
        assert decision.retry_after <= 2 * WINDOW + 0.1
        await asyncio.sleep(decision.retry_after + 0.005)
    raise AssertionError(f"{limit.name} keeps out who waits as long as told: {decision}")


async def until(condition: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, f"{what}: not within {PATIENCE:g} s"
        await asyncio.sleep(0.01)


def application() -> FastAPI:
    app = FastAPI()
    app.get("/")(lambda: 1)
    return app


@pytest.mark.timeout(size(120, 900))
async def test_limits_hold_whatever_happens_to_redis(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    thrown = dice()
    watch = Watch(tmp_path, monkeypatch)
    with server("valkey9") as redis:
        async with AsyncExitStack() as stack:
            limits: dict[Strategy, list[RateLimit]] = {strategy: [] for strategy in STRATEGIES}
            harnesses = []
            for _ in range(INSTANCES):
                shared = store(redis.url)
                for strategy, made in limits.items():
                    one = Limit(QUOTA, WINDOW, strategy=strategy)
                    made.append(RateLimit(shared, strategy, limits=one, paths=(), timeout=0.1))
                guard = RateLimit(shared, "guard", limits="20/second")
                parts = [*(made[-1] for made in limits.values()), guard]
                service = Service("shop", application(), [shared, *parts], settings=settings())
                harnesses.append(await stack.enter_async_context(running(service, clock=RealClock())))
            every = [limit for made in limits.values() for limit in made]
            await until(
                lambda: all(limit.overview()["instances"] == INSTANCES for limit in every), "they know of each other"
            )
            load = Load(limits, harnesses)
            tasks = [asyncio.create_task(caller) for caller in load.callers()]
            try:
                await faults(load, redis, watch, every, thrown, size(1, 12))
                # The clock is set back once more: all that is written was written in the future. Whoever is refused now
                # passes nevertheless when it has waited as long as it was told.
                watch.set(watch.beside - 100_000)
                await asyncio.sleep(0.1)
                load.faults.append((time.monotonic() - 0.1, time.monotonic(), 1))
                load.ended = True
                await asyncio.gather(*tasks)
                for limit in every:
                    await patiently(limit)
            finally:
                for task in tasks:
                    task.cancel()
                with suppress(asyncio.CancelledError):
                    await asyncio.gather(*tasks)
    over = {name: too_much(load, *name) for name in load.passed}
    gaps = {name: float(np.max(np.diff(passed))) for name, passed in load.passed.items()}
    tell("rate limits", longest_call=round(load.slowest, 3), over=str(over), gaps=str(gaps), **load.seen)
    assert {name for name in load.seen if name.startswith("answered")} <= {"answered 200", "answered 429"}
    assert max(over.values()) <= 0
    assert max(gaps.values()) <= 4 * WINDOW + 1
    assert load.seen["alone"] and load.seen["together"] and load.seen["refused"]
