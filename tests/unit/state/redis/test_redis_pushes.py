"""Listening and tracking: what is heard, in which order, and what is said of gaps."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from bedplate.state.redis import Redis
from bedplate.state.store import Call, StoreUnavailableError
from bedplate.testing import running
from tests.redis import Server
from tests.redis import server as started
from tests.unit.state.redis.redis_operations import BUMP, GET, GLANCE, PEEK, SET, hasty


async def test_messages_are_heard_by_all_who_listen_and_by_nobody_else(server: Server) -> None:
    redis = Redis(server.url)
    one: list[bytes] = []
    two: list[bytes] = []
    async with running(redis) as harness:
        first, second = redis.listen("news", one.append), redis.listen("news", two.append)
        await first.ready()
        await second.ready()
        assert await redis.publish("other", b"no") == 0
        assert await redis.publish("news", b"a\x00b") == 1  # one connection listens for both
        await harness.eventually(lambda: one == two == [b"a\x00b"])
        first.close()
        first.close()
        await redis.execute("EVAL", "redis.call('PUBLISH', 'news', 'from a script')", 0)
        await harness.eventually(lambda: len(two) == 2)
        assert len(one) == 1
        second.close()
        assert await redis.publish("news", b"nobody") == 0


async def test_a_channel_can_be_left_and_listened_to_again_at_once(server: Server) -> None:
    redis = Redis(server.url)
    heard: list[bytes] = []
    async with running(redis) as harness:
        for _ in range(5):
            redis.listen("news", heard.append).close()
        listening = redis.listen("news", heard.append)
        await listening.ready()
        assert await redis.publish("news", b"x") == 1
        await harness.eventually(lambda: heard == [b"x"])


async def test_one_who_fails_keeps_nobody_from_hearing(server: Server) -> None:
    redis = Redis(server.url)
    heard: list[bytes] = []
    failures: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: failures.append(context))

    def fails(message: bytes) -> None:
        raise RuntimeError("mine")

    async with running(redis) as harness:
        redis.listen("news", fails)
        await redis.listen("news", heard.append).ready()
        await redis.publish("news", b"x")
        await harness.eventually(lambda: heard == [b"x"])
        assert len(failures) == 1


async def test_who_listens_is_told_of_a_gap_and_hears_again() -> None:
    with started("redis7") as own:
        redis = Redis(own.url, settings=hasty())
        told: list[Any] = []
        early = redis.listen("news", told.append, missed=lambda: told.append("missed"))
        with pytest.raises(StoreUnavailableError):
            await early.ready()
        async with running(redis) as harness:
            await early.ready()
            assert told == ["missed"]  # nothing was heard before
            own.kill()
            await harness.eventually(lambda: not redis.available)
            with pytest.raises(StoreUnavailableError):
                await early.ready()
            own.start()
            await harness.eventually(lambda: told == ["missed", "missed"])
            await redis.publish("news", b"again")
            await harness.eventually(lambda: told[-1] == b"again")


async def test_large_replies_do_not_cost_one_who_listens_the_connection(server: Server) -> None:
    """A server ends connections that listen and have more than 32 MB of replies under way."""
    redis = Redis(server.url)
    changes: list[bool] = []
    async with running(redis):
        redis.watch(changes.append)
        await redis.run(SET, ("large",), (b"x" * 100_000,))
        await redis.listen("news", print).ready()
        replies: list[Any] = await redis.run_many([Call(GET, ("large",))] * 400, timeout=30)
        assert {len(reply) for reply in replies} == {100_000} and not changes


class Near:
    """A near cache as simple as can be: filled while parsing, emptied by what the store tells."""

    def __init__(self, redis: Redis) -> None:
        self.held: dict[str, Any] = {}
        self.redis = redis
        self.flushes = 0
        self.end = redis.track("app:", self._changed)

    def _changed(self, keys: Sequence[str] | None) -> None:
        if keys is None:
            self.flushes += 1
            self.held.clear()
        for key in keys or ():
            self.held.pop(key, None)

    async def get(self, key: str) -> Any:
        if key in self.held:
            return self.held[key]

        def fill(reply: Any) -> None:
            self.held[key] = reply

        return await self.redis.run(GET, (key,), parsed=fill)


async def test_what_was_read_is_dropped_when_anybody_changes_it(server: Server) -> None:
    one, other = Redis(server.url, "one"), Redis(server.url, "other")
    async with running([one, other]) as harness:
        near = Near(one)
        await other.run(SET, ("app:k",), (1,))
        assert await near.get("app:k") == b"1" and "app:k" in near.held
        await other.run(SET, ("app:k",), (2,))
        await harness.eventually(lambda: "app:k" not in near.held)
        assert await near.get("app:k") == b"2"
        # One's own change, an expiry, a script's read, and all at once.
        await one.run(SET, ("app:k",), (3,))
        await harness.eventually(lambda: "app:k" not in near.held)
        await near.get("app:k")
        await other.execute("PEXPIRE", "app:k", 1)

        async def ended() -> bool:
            return await near.get("app:k") is None

        await harness.eventually(ended)
        server.flush()
        await harness.eventually(lambda: not near.held)


async def test_scripts_reads_are_remembered_also_by_a_server_that_did_not_know_them(server: Server) -> None:
    redis = Redis(server.url)
    changes: list[Any] = []
    async with running(redis) as harness:
        redis.track("app:", changes.append)
        await redis.run(PEEK, ("app:k",))
        server.call("SET", "app:k", 1)
        await harness.eventually(lambda: changes == [["app:k"]])


async def test_who_writes_and_then_reads_is_told_of_its_own_change_once_and_first(server: Server) -> None:
    redis = Redis(server.url)
    told: list[Any] = []
    async with running(redis) as harness:
        redis.track("app:", told.append)
        await redis.run(BUMP, ("app:k",))  # the server does not know the script yet, so this one is sent twice
        for count in (2, 3, 4):
            told.clear()
            answers = [redis.run(BUMP, ("app:k",), parsed=told.append), redis.run(GET, ("other",), parsed=told.append)]
            await asyncio.gather(*answers)
            assert told == [count, ["app:k"], None]
        server.call("SET", "app:k", 9)
        await harness.eventually(lambda: told == [4, ["app:k"], None, ["app:k"]])


async def test_only_what_is_tracked_is_told(server: Server) -> None:
    redis = Redis(server.url)
    changes: list[Any] = []
    async with running(redis) as harness:
        end = redis.track("app:", changes.append)
        await redis.run(GET, ("other:k",))
        await redis.run(GET, ("app:k",))
        await redis.run(GLANCE, ("app:glance",))
        server.call("MSET", "other:k", 1, "app:unread", 1, "app:glance", 1, "app:k", 1)
        await harness.eventually(lambda: changes)
        assert changes == [["app:k"]]
        await redis.run(GET, ("app:k",))
        end()
        server.call("SET", "app:k", 2)
        await redis.run(GET, ("app:k",))
        assert len(changes) == 1


async def test_a_near_cache_never_keeps_what_was_overtaken(server: Server) -> None:
    """Reads and writes race; when all is over, what is held is what the server has."""
    one, other = Redis(server.url, "one"), Redis(server.url, "other")
    async with running([one, other]) as harness:
        near = Near(one)
        keys = [f"app:{number}" for number in range(20)]

        async def write(turn: int) -> None:
            for number in range(50):
                await other.run(SET, (keys[(number * 7 + turn) % 20],), (f"{turn}-{number}",))

        async def read(turn: int) -> None:
            for number in range(200):
                await near.get(keys[(number + turn) % 20])
                if number % 5 == 0:
                    await asyncio.sleep(0)

        await asyncio.gather(*(write(turn) for turn in range(4)), *(read(turn) for turn in range(10)))
        truth = dict(zip(keys, await other.execute("MGET", *keys), strict=True))
        await harness.eventually(lambda: all(truth[key] == value for key, value in near.held.items()))
        for key in keys:
            assert await near.get(key) == truth[key]
        assert near.held == truth
