"""Sentinels and a Cluster that speak TLS, each server with the same user and authority."""

from __future__ import annotations

from bedplate.service import Service
from bedplate.state.redis import Redis
from bedplate.state.store import Call, Operation
from bedplate.testing import running, settings
from tests.redis import cluster, sentinels
from tests.stores import RealClock

SET = Operation(name="set", command=("SET",), memory=lambda space, keys, args: space.set(keys[0], args[0]))
GET = Operation(name="get", command=("GET",), memory=lambda space, keys, _: space.get(keys[0]), reads=True)


async def _works(redis: Redis) -> None:
    async with running(Service("test", None, [redis], settings=settings()), clock=RealClock()) as harness:
        await harness.eventually(lambda: redis.available)
        keys = [f"k{number}" for number in range(30)]
        assert await redis.run_many([Call(SET, [key], [key]) for key in keys]) == [b"OK"] * 30
        assert await redis.run_many([Call(GET, [key]) for key in keys]) == [key.encode() for key in keys]


async def test_sentinels_are_asked_and_the_primary_reached_over_tls() -> None:
    with sentinels("redis7", tls=True) as guarded:
        await _works(Redis(guarded.url))


async def test_all_servers_of_a_cluster_are_reached_over_tls() -> None:
    with cluster("redis7", tls=True) as made:
        await _works(Redis(made.url))
