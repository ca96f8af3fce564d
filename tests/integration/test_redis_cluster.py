"""A Cluster that loses servers under load: what goes on, what is refused, and that nobody need restart."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import AsyncExitStack
from typing import Any

import pytest

from bedplate.service import Service
from bedplate.state.redis import Redis, RedisSettings
from bedplate.state.store import Operation, StoreError
from bedplate.testing import running, settings
from tests.redis import Cluster, cluster, until
from tests.stores import RealClock

ADD = Operation(name="add", command=("INCR",), memory=lambda space, keys, args: space.incr(keys[0]))
GET = Operation(name="get", command=("GET",), memory=lambda space, keys, _: space.get(keys[0]), reads=True)


@pytest.fixture(scope="module")
def replicated() -> Iterator[Cluster]:
    with cluster(replicas=True) as made:
        for replica in made.replicas:
            until(lambda replica=replica: replica.info("replication")["master_link_status"] == "up", "it follows")  # type: ignore[misc]
        yield made


class Counting:
    """Counters all over the cluster that are counted up again and again; what was acknowledged and what refused."""

    def __init__(self, redis: Redis) -> None:
        self.redis = redis
        self.counted: dict[str, int] = {}
        self.refused = 0
        self._stopping = False

    async def run(self, key: str) -> None:
        while not self._stopping:
            try:
                await self.redis.run(ADD, [key], timeout=0.5)
            except StoreError:
                self.refused += 1
                await asyncio.sleep(0.01)
            else:
                self.counted[key] = self.counted.get(key, 0) + 1
            await asyncio.sleep(0.001)

    async def everywhere(self) -> None:
        """Return when every counter has been counted up again."""
        before = dict(self.counted)
        async with asyncio.timeout(60):
            while any(self.counted.get(key, 0) <= before.get(key, 0) for key in KEYS):
                await asyncio.sleep(0.002)

    def stop(self) -> None:
        self._stopping = True


KEYS = [f"k{number}" for number in range(12)]


async def test_a_failover_and_the_death_of_a_primary_are_survived_under_load(replicated: Cluster) -> None:
    redis = Redis(replicated.url, settings=RedisSettings(backoff_limit=0.2))
    service = Service("test", None, [redis], settings=settings())
    heard: list[bytes] = []
    missed: list[bool] = []
    told: list[Any] = []
    async with running(service, clock=RealClock()) as harness, AsyncExitStack() as stack:
        listening = redis.listen("news", heard.append, missed=lambda: missed.append(True))
        await listening.ready()
        redis.track("k", told.append)
        counting = Counting(redis)
        tasks = [asyncio.create_task(counting.run(key)) for key in KEYS]
        stack.push_async_callback(lambda: asyncio.gather(*tasks))
        stack.callback(counting.stop)
        await counting.everywhere()

        await asyncio.to_thread(replicated.failover, 0)
        await counting.everywhere()
        await harness.eventually(lambda: redis.available)

        ports = [node.port for node in replicated.nodes]
        await harness.eventually(lambda: _home(redis) in ports)
        number = ports.index(_home(redis))
        dead, heir = replicated.nodes[number], replicated.replicas[number]
        told.clear()
        missed.clear()
        dead.kill()
        await asyncio.to_thread(until, lambda: heir.info("replication")["role"] == "master", "the replica takes over")
        await counting.everywhere()
        await harness.eventually(lambda: redis.available)
        assert None in told
        await harness.eventually(lambda: missed != [])
        heard.clear()
        await redis.publish("news", b"again")
        await harness.eventually(lambda: heard == [b"again"])
        counting.stop()
        await asyncio.gather(*tasks)
        # What was acknowledged is there; only a server that dies may take its latest with it.
        lost = [key for key in KEYS if int(await redis.run(GET, [key])) < counting.counted[key]]
        assert all(replicated.nodes.index(replicated.node_of(key)) == number for key in lost)
    dead.start()


def _home(redis: Redis) -> int:
    """Return the port of the server on which channels are heard."""
    return redis._router.home("news").address.port  # type: ignore[union-attr]
