"""The component: operations, listening, tracking, being away, being watched."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from bedplate.state.redis import Redis
from bedplate.state.store import Call, Operation, StoreReplyError
from bedplate.testing import CASES, running
from tests.redis import Server, Servers


def _nothing(space: Any, keys: Any, args: Any) -> None:
    """These tests have no store in the process."""


GET = Operation(name="get", command=("GET",), memory=_nothing, reads=True)
SET = Operation(name="set", command=("SET",), memory=_nothing)
ADD = Operation(name="add", script="return redis.call('INCRBY', KEYS[1], ARGV[1]) + tonumber(ARGV[2])", memory=_nothing)
PEEK = Operation(name="peek", script="return redis.call('GET', KEYS[1])", memory=_nothing, reads=True)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
async def test_it_conforms(case: Any, servers: Servers) -> None:
    url = servers.server("valkey9").url
    await case(lambda: Redis(url))


async def test_operations_have_their_own_replies(server: Server) -> None:
    redis = Redis(server.url)
    async with running(redis):
        assert await redis.run(GET, ("k",)) is None
        assert await redis.run(SET, ("k",), ("grüße",)) == b"OK"
        assert (await redis.run(GET, ("k",))).decode() == "grüße"
        assert await redis.run(ADD, ("n",), (5, 10)) == 15
        assert await redis.execute("HSET", "h", "a", 1, "b", 2.5) == 2
        assert await redis.execute("HGETALL", "h") == {b"a": b"1", b"b": b"2.5"}
        assert await redis.execute("ZADD", "z", 1.5, "m") == 1
        assert await redis.execute("ZSCORE", "z", "m") == 1.5
        assert await redis.execute("SMEMBERS", "empty") in ([], set())


async def test_several_in_one_go_have_errors_in_the_places_of_replies(server: Server) -> None:
    redis = Redis(server.url)
    async with running(redis):
        replies = await redis.run_many(
            [Call(SET, ("k",), ("v",)), Call(GET, ("k",)), Call(ADD, ("k",), (1, 1)), Call(ADD, ("n",), (1, 1))]
        )
        assert replies[:2] == [b"OK", b"v"] and replies[3] == 2
        assert isinstance(replies[2], StoreReplyError)
        assert await redis.run_many([]) == []


async def test_a_script_is_given_to_a_server_that_does_not_know_it(server: Server) -> None:
    redis = Redis(server.url)
    async with running(redis):
        assert await redis.run(ADD, ("n",), (1, 0)) == 1
        server.call("SCRIPT", "FLUSH")
        assert await asyncio.gather(*(redis.run(ADD, ("n",), (1, 0)) for _ in range(5))) == [2, 3, 4, 5, 6]


async def test_a_refusal_says_its_code_and_what_to_do(server: Server) -> None:
    redis = Redis(server.url)
    async with running(redis):
        await redis.execute("LPUSH", "list", "a")
        with pytest.raises(StoreReplyError, match="WRONGTYPE") as told:
            await redis.run(GET, ("list",))
        assert told.value.code == "WRONGTYPE" and "prefix" in told.value.mend
