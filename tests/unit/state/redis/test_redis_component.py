"""The component: operations, listening, tracking, being away, being watched."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from bedplate.problems import BedplateError
from bedplate.service import Service
from bedplate.state import store
from bedplate.state.redis import Redis, RedisSettings
from bedplate.state.redis.metrics import DURATION, EVICTED, MEMORY, OPERATIONS, UP
from bedplate.state.store import Call, Store, StoreReplyError, StoreUnavailableError
from bedplate.testing import CASES, running, settings
from tests.redis import Server, Servers
from tests.unit.state.redis.redis_operations import ADD, GET, PEEK, SET


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
        assert await redis.execute("SMEMBERS", "empty") == []
        assert await redis.run(PEEK, ("k",)) == "grüße".encode()


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


async def test_it_is_a_store(server: Server) -> None:
    redis = Redis(server.url)
    store: Store = redis
    assert isinstance(store, Store)
    assert (redis.shared, redis.available) == (True, False)
    with pytest.raises(StoreUnavailableError, match="does not run"):
        await redis.run(GET, ("k",))


@pytest.mark.parametrize(
    "url",
    [
        "http://:secret@x",
        "redis+ring://x",
        "redis://:secret@x?socket_timeout=3",
        "redis://:secret@[x",
        "redis://:a/secret@x",
    ],
)
def test_an_address_that_cannot_be_read_is_refused_without_its_password(url: str) -> None:
    (refusal,) = Redis(url).refusals("development", {})
    assert refusal.mend and "secret" not in str(refusal)


async def test_it_is_reached_by_socket_and_in_a_database_of_its_own(server: Server) -> None:
    first, second = Redis(server.unix_url, "first"), Redis(server.unix_url.replace("db=0", "db=3"), "second")
    async with running([first, second]):
        await first.run(SET, ("k",), (1,))
        assert await second.run(GET, ("k",)) is None
        assert await first.run(GET, ("k",)) == b"1"


async def test_the_server_knows_who_we_are(server: Server) -> None:
    redis = Redis(server.url, "sessions")
    async with running(Service("ledger", None, [redis], settings=settings())):
        assert b"name=bedplate:ledger:sessions" in server.call("CLIENT", "LIST")


@pytest.mark.parametrize(
    "words",
    ["BLPOP q 1", "XREAD COUNT 1 BLOCK 0 STREAMS s $", "SUBSCRIBE c", "multi", "CLIENT REPLY OFF", "select 1", ""],
)
async def test_commands_that_would_harm_others_are_refused(server: Server, words: str) -> None:
    redis = Redis(server.url)
    async with running(redis):
        with pytest.raises(BedplateError):
            redis.execute(*words.split())
        assert await redis.execute("XREAD", "COUNT", 1, "STREAMS", "block", "0") is None


async def test_blocking_commands_have_connections_of_their_own(server: Server) -> None:
    redis = Redis(server.url)
    async with running(redis):
        async with redis.blocking() as waiting:
            popped = asyncio.ensure_future(waiting.execute("BLPOP", "queue", 5, timeout=6))
            await redis.execute("RPUSH", "queue", "a")  # nobody waits behind it
            assert await popped == [b"queue", b"a"]
        async with redis.blocking() as again:
            assert again is waiting  # kept for the next


async def test_a_blocking_command_that_nobody_waits_for_takes_its_connection_with_it(server: Server) -> None:
    redis = Redis(server.url)
    async with running(redis):
        async with redis.blocking() as waiting:
            popped = asyncio.ensure_future(waiting.execute("BLPOP", "queue", 5, timeout=6))
            await asyncio.sleep(0)
            popped.cancel()
            await asyncio.wait([popped])
            with pytest.raises(StoreUnavailableError):
                await waiting.execute("PING", timeout=1)
        async with redis.blocking() as other:
            assert other is not waiting and await other.execute("PING", timeout=1) == b"PONG"
        await redis.execute("RPUSH", "queue", "a")
        assert await redis.execute("LLEN", "queue") == 1  # it was not given to the one who had gone


async def test_more_than_may_be_in_flight_are_refused_and_were_not_done(server: Server) -> None:
    redis = Redis(server.url, settings=RedisSettings(in_flight=10))
    async with running(redis):
        replies = await redis.run_many([Call(ADD, ("n",), (1, 0))] * 15)
        refused = [reply for reply in replies if isinstance(reply, StoreUnavailableError)]
        # The component's own questions are among those in flight.
        assert 5 <= len(refused) <= 7 and not any(reply.sent for reply in refused)
        assert await redis.run(GET, ("n",)) == b"%d" % (15 - len(refused))


async def test_what_it_does_is_counted(server: Server) -> None:
    redis = Redis(server.url)
    async with running(redis) as harness:
        await asyncio.gather(*(redis.run(GET, ("k",)) for _ in range(5)))
        await redis.execute("LPUSH", "list", "a")
        with pytest.raises(StoreReplyError):
            await redis.run(GET, ("list",))
        await harness.clock.advance(16)
        await harness.eventually(lambda: harness.value(MEMORY))
        assert await harness.value(OPERATIONS, operation="get", outcome="ok") == 5
        assert await harness.value(OPERATIONS, operation="get", outcome="error") == 1
        assert 1 <= await harness.value(DURATION(operation="get").count) <= 5
        assert (await harness.value(UP), await harness.value(EVICTED)) == (1, 0)
        assert redis.overview()["available"] is True
        assert redis.overview()["redisInfo"][0]["role"] == "master"
        assert (await redis.ping()).startswith(("redis 7.", "valkey 9."))


def test_a_store_is_given_its_settings() -> None:
    made = store("redis://localhost", "c", role="cache", settings=RedisSettings(timeout=0.5))
    assert isinstance(made, Redis)
    assert (made.name, made.role, made.settings.timeout) == ("c", "cache", 0.5)


async def test_settings_are_read_from_the_section_and_the_standard_variables() -> None:
    assert RedisSettings.of(settings(redis_timeout=0.25, redis_max_connections=7)).timeout == 0.25
    both = RedisSettings.of(settings(redis_timeout=0.25, redis={"timeout": 0.5, "quiet": 2}))
    assert (both.timeout, both.quiet, both.max_connections) == (0.5, 2, 50)
