"""Fail-overs by real Sentinels, under load: what is written where, and that nobody need restart."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest

from bedplate.service import Service
from bedplate.state.redis import Redis
from bedplate.state.store import Operation, StoreError, StoreReplyError
from bedplate.testing import running, settings
from tests.redis import Sentinels, Server, sentinels
from tests.stores import RealClock

SET = Operation(name="set", command=("SET",), memory=lambda space, keys, args: space.set(keys[0], args[0]))
GET = Operation(name="get", command=("GET",), memory=lambda space, keys, _: space.get(keys[0]), reads=True)


@pytest.fixture(scope="module")
def guarded() -> Iterator[Sentinels]:
    with sentinels() as made:
        yield made


class Load:
    """Writers that write keys of their own, one after the other, and note what was acknowledged."""

    def __init__(self, redis: Redis) -> None:
        self.redis = redis
        self.acknowledged: list[str] = []
        self.errors: Counter[str] = Counter()
        self._stopping = False
        self._number = 0

    @asynccontextmanager
    async def running(self, writers: int = 10) -> AsyncIterator[Load]:
        tasks = [asyncio.create_task(self._write()) for _ in range(writers)]
        try:
            yield self
        finally:
            self._stopping = True
            await asyncio.gather(*tasks)

    async def more(self, count: int = 50) -> None:
        """Return when so many more writes were acknowledged."""
        wanted = len(self.acknowledged) + count
        async with asyncio.timeout(60):
            while len(self.acknowledged) < wanted:
                await asyncio.sleep(0.002)

    async def _write(self) -> None:
        while not self._stopping:
            self._number += 1
            key = f"k{self._number}"
            try:
                await self.redis.run(SET, [key], [1], timeout=0.5)
            except StoreReplyError as error:
                raise AssertionError("a server refused what it should have taken") from error
            except StoreError as error:
                self.errors[type(error).__name__] += 1
                await asyncio.sleep(0.01)
            else:
                self.acknowledged.append(key)
            await asyncio.sleep(0.001)


@asynccontextmanager
async def _loaded(guarded: Sentinels) -> AsyncIterator[Load]:
    await asyncio.to_thread(guarded.healed)
    redis = Redis(guarded.url)
    service = Service("test", None, [redis], settings=settings())
    async with running(service, clock=RealClock()), Load(redis).running() as load:
        await load.more()
        yield load


async def _said(redis: Redis, reason: str) -> bool:
    try:
        await redis.run(GET, ["a"])
    except StoreError as error:
        return reason in str(error)
    return False


def _missing(server: Server, keys: list[str]) -> list[str]:
    values = server.calls([("GET", key) for key in keys])
    return [key for key, value in zip(keys, values, strict=True) if value is None]


async def test_an_operator_s_failover_loses_nothing_and_is_followed_at_once(guarded: Sentinels) -> None:
    async with _loaded(guarded) as load:
        new = await asyncio.to_thread(guarded.failover)
        await load.more()
        before = len(load.acknowledged)
        await load.more()
        assert not _missing(new, load.acknowledged[before:])
        assert load.errors["StoreTimeoutError"] == 0


async def test_a_dead_primary_is_replaced_without_a_restart(guarded: Sentinels) -> None:
    async with _loaded(guarded) as load:
        old, new = guarded.primary, guarded.replica
        old.kill()
        await load.more(1)
        before = len(load.acknowledged)
        await load.more()
        assert not _missing(new, load.acknowledged[before:])
        assert guarded.primary is new


async def test_without_sentinels_the_primary_that_works_is_kept(guarded: Sentinels) -> None:
    async with _loaded(guarded) as load:
        for watcher in guarded.watchers:
            watcher.kill()
        await load.more(300)
        assert not load.errors
        load.redis._router.nodes[0].drop("a test")  # type: ignore[union-attr]
        async with asyncio.timeout(60):
            while not await _said(load.redis, "no Sentinel says where state is"):
                await asyncio.sleep(0.01)
        await asyncio.to_thread(guarded.healed)
        await load.more()
