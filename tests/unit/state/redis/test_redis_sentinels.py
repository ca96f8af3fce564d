"""Sentinels that disagree, lie behind, want a password, or know no such primary."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest

from bedplate.service import Service
from bedplate.state.redis import Redis
from bedplate.state.redis.hosts import watched
from bedplate.state.store import Operation, StoreUnavailableError
from bedplate.testing import CASES, Harness, running, settings
from tests.redis import Servers
from tests.stores import RealClock

GET = Operation(name="get", command=("GET",), memory=lambda space, keys, _: space.get(keys[0]), reads=True)


class FakeSentinel:
    """A Sentinel that says what a test wants."""

    def __init__(self) -> None:
        self.port = 0
        self.names: dict[str, tuple[int, int]] = {}
        self.password = ""
        self._listeners: list[asyncio.StreamWriter] = []
        self._writers: list[asyncio.StreamWriter] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.append(writer)
        try:
            while head := await reader.readline():
                words = []
                for _ in range(int(head[1:])):
                    size = int((await reader.readline())[1:])
                    words.append((await reader.readexactly(size + 2))[:-2].decode())
                writer.write(self._reply(words, writer))
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    def _reply(self, words: list[str], writer: asyncio.StreamWriter) -> bytes:
        word = words[0].upper()
        if word == "HELLO":
            if self.password and self.password not in words:
                return b"-NOAUTH Authentication required.\r\n"
            return b"%1\r\n+proto\r\n:3\r\n"
        if word == "SUBSCRIBE":
            self._listeners.append(writer)
            return b">3\r\n+subscribe\r\n$14\r\n+switch-master\r\n:1\r\n"
        if word == "INFO":
            return b"$21\r\nredis_mode:sentinel\r\n\r\n"
        if word == "PING" and len(words) > 1:
            return f"${len(words[1])}\r\n{words[1]}\r\n".encode()
        if word != "SENTINEL":
            return b"+OK\r\n"
        if words[2] not in self.names:
            return b"-ERR No such master with that name\r\n"
        epoch, port = self.names[words[2]]
        pairs = {"ip": "127.0.0.1", "port": str(port), "config-epoch": str(epoch)}
        flat = "".join(f"${len(part)}\r\n{part}\r\n" for pair in pairs.items() for part in pair)
        return f"%{len(pairs)}\r\n{flat}".encode()

    def tell(self, message: str) -> None:
        for writer in self._listeners:
            writer.write(f">3\r\n$7\r\nmessage\r\n$14\r\n+switch-master\r\n${len(message)}\r\n{message}\r\n".encode())

    def close(self) -> None:
        for writer in self._writers:
            writer.close()


@asynccontextmanager
async def _fakes(count: int = 3) -> AsyncIterator[list[FakeSentinel]]:
    async with AsyncExitStack() as stack:
        made = []
        for _ in range(count):
            fake = FakeSentinel()
            server = await asyncio.start_server(fake.serve, "127.0.0.1", 0)
            fake.port = server.sockets[0].getsockname()[1]
            stack.callback(server.close)
            stack.callback(fake.close)
            made.append(fake)
        yield made


def _url(fakes: list[FakeSentinel], rest: str = "state/0") -> str:
    return f"redis+sentinel://{','.join(f'127.0.0.1:{fake.port}' for fake in fakes)}/{rest}"


@asynccontextmanager
async def _running(redis: Redis) -> AsyncIterator[Harness]:
    async with running(Service("test", None, [redis], settings=settings()), clock=RealClock()) as harness:
        yield harness


async def _said(redis: Redis, reason: str) -> bool:
    """Whether an operation is refused for this reason."""
    try:
        await redis.run(GET, ["a"])
    except StoreUnavailableError as error:
        return reason in str(error)
    return False


def _at(redis: Redis) -> int:
    return redis._router.nodes[0].address.port  # type: ignore[union-attr]


async def test_the_answer_of_the_latest_failover_counts(redis_servers: Servers) -> None:
    new, old = redis_servers.server("valkey9"), redis_servers.server("redis7")
    async with _fakes() as fakes:
        fakes[0].names["state"] = fakes[1].names["state"] = (4, old.port)
        fakes[2].names["state"] = (5, new.port)
        redis = Redis(_url(fakes))
        async with _running(redis):
            assert await redis.run(GET, ["a"]) is None
            assert _at(redis) == new.port


async def test_an_announced_failover_is_followed_at_once_and_those_behind_do_not_bring_it_back(
    redis_servers: Servers,
) -> None:
    new, old = redis_servers.server("valkey9"), redis_servers.server("redis7")
    async with _fakes() as fakes:
        for fake in fakes:
            fake.names["state"] = (4, old.port)
        redis = Redis(_url(fakes))
        async with _running(redis) as harness:
            await redis.run(GET, ["a"])
            assert _at(redis) == old.port
            await harness.eventually(lambda: all(fake._listeners for fake in fakes))
            fakes[0].names["state"] = (5, new.port)
            fakes[0].tell(f"state 127.0.0.1 {old.port} 127.0.0.1 {new.port}")
            await harness.eventually(lambda: redis.available and _at(redis) == new.port, timeout=0.9)
            # The one that knows is gone; the one that is left is behind.
            fakes[0].names.clear()
            fakes[1].names.clear()
            redis._router.nodes[0].drop("a test")  # type: ignore[union-attr]
            await harness.eventually(lambda: _said(redis, "behind the others"))
            # Most of them agree on an older one: they were set up anew.
            fakes[0].names["state"] = fakes[1].names["state"] = (4, old.port)
            await harness.eventually(lambda: redis.available and _at(redis) == old.port)


async def test_a_failover_that_nobody_announced_is_found(redis_servers: Servers) -> None:
    new, old = redis_servers.server("valkey9"), redis_servers.server("redis7")
    async with _fakes() as fakes:
        for fake in fakes:
            fake.names["state"] = (4, old.port)
        redis = Redis(_url(fakes))
        async with _running(redis) as harness:
            for fake in fakes:
                fake.names["state"] = (5, new.port)
            await harness.eventually(lambda: redis.available and _at(redis) == new.port)


async def test_a_replica_that_is_named_is_not_used(redis_servers: Servers) -> None:
    guarded = redis_servers.sentinels()
    async with _fakes(1) as fakes:
        fakes[0].names["state"] = (1, guarded.replica.port)
        redis = Redis(_url(fakes))
        async with _running(redis) as harness:
            with pytest.raises(StoreUnavailableError, match="replica"):
                await redis.run(GET, ["a"])
            fakes[0].names["state"] = (1, guarded.primary.port)
            await harness.eventually(lambda: redis.available)


@pytest.mark.parametrize("known", [True, False])
async def test_what_is_wrong_with_sentinels_is_said(redis_servers: Servers, known: bool) -> None:
    server = redis_servers.server("valkey9")
    async with _fakes(1) as fakes:
        fakes[0].names["state"] = (1, server.port)
        if known:
            fakes[0].password = "s3cret"
        redis = Redis(_url(fakes, "state/0" if known else "other/0"))
        async with _running(redis):
            reason = "Authentication required" if known else "know no primary named other"
            with pytest.raises(StoreUnavailableError, match=reason):
                await redis.run(GET, ["a"])
        redis = Redis(_url(fakes, "state/0?sentinel_username=app&sentinel_password=s3cret"))
        async with _running(redis):
            assert redis.available


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
async def test_redis_behind_sentinels_conforms(case: Any, redis_servers: Servers) -> None:
    url = redis_servers.sentinels().url
    await case(lambda: Redis(url))


def test_an_address_says_where_sentinels_are_and_who_we_are() -> None:
    found = watched("redis+sentinel://me:pw@a:1,[::1]:2,c/st%20ate/3?sentinel_password=other")
    assert found.hosts == (("a", 1), ("::1", 2), ("c", 26379))
    assert (found.primary, found.db, found.username, found.password) == ("st ate", 3, "", "other")


@pytest.mark.parametrize("url", ["redis+sentinel://a:1", "redis+sentinel:///x", "redis+sentinel://a/x/y"])
def test_an_address_that_says_too_little_is_refused_without_its_password(url: str) -> None:
    [refusal] = Redis(url.replace("//a", "//:hidden@a")).refusals("test", {})
    assert "does not say" in refusal.what
    assert "hidden" not in str(refusal)
