"""Redis killed, hung, slow, parted, demoted, loading, not letting us in: what callers get, and that it comes back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest

from bedplate.service import Service
from bedplate.service.lifecycle import StartError
from bedplate.settings import Settings, Sources
from bedplate.state.redis import Redis
from bedplate.state.redis.breaker import Backoff, Slowness
from bedplate.state.redis.metrics import BREAKER, OPERATIONS, UP
from bedplate.state.store import StoreReplyError, StoreTimeoutError, StoreUnavailableError
from bedplate.testing import Harness, running
from bedplate.testing.harness import TOKEN
from tests.proxy import Proxy, proxy
from tests.redis import Server, until
from tests.redis import server as started
from tests.unit.state.redis.redis_operations import ADD, GET, SET, hasty


@pytest.fixture
def own() -> Iterator[Server]:
    """A server that a test may harm."""
    with started("redis7") as server:
        yield server


@asynccontextmanager
async def _parted(server: Server, **values: Any) -> AsyncIterator[tuple[Redis, Proxy, Harness]]:
    """A Redis behind a network that can be harmed."""
    async with proxy(server.port) as network:
        redis = Redis(network.url, settings=hasty(**values))
        async with running(redis) as harness:
            yield redis, network, harness


def _reason(harness: Harness, name: str = "default") -> str:
    return next(view.reason for view in harness.service.views if view.spec.kind == "redis" and view.spec.name == name)


async def test_the_service_starts_without_it_and_reaches_it_when_it_comes() -> None:
    with started("redis7", started=False) as server:
        redis = Redis(server.url, settings=hasty())
        told: list[bool] = []
        redis.watch(told.append)
        async with running(redis) as harness:
            assert not redis.available and "away" in _reason(harness)
            with pytest.raises(StoreUnavailableError) as refused:
                await redis.run(SET, ("k",), ("v",))
            assert not refused.value.sent
            server.start()
            await harness.eventually(lambda: redis.available)
            assert await redis.run(SET, ("k",), ("v",)) == b"OK"
            assert told == [True] and not _reason(harness)
            assert (await harness.value(UP), await harness.value(BREAKER)) == (1, 0)


async def test_it_is_refused_while_it_is_gone_and_back_without_a_restart(own: Server) -> None:
    redis = Redis(own.url, settings=hasty())
    told: list[bool] = []
    async with running(redis) as harness:
        redis.watch(told.append)
        own.kill()
        await harness.eventually(lambda: not redis.available)
        replies = await redis.run_many([])
        for _ in range(3):
            with pytest.raises(StoreUnavailableError, match="away"):
                await redis.run(GET, ("k",))
        assert replies == [] and await harness.value(UP) == 0 and await harness.value(BREAKER) == 2
        assert await harness.value(OPERATIONS, operation="get", outcome="refused") == 3
        own.start()
        await harness.eventually(lambda: redis.available)
        assert await redis.run(GET, ("k",)) is None
        assert told == [False, True]


async def test_of_calls_to_a_hung_server_one_waits_and_the_next_are_refused_at_once(own: Server) -> None:
    redis = Redis(own.url, settings=hasty(patience=30))
    async with running(redis) as harness:
        own.pause()
        with pytest.raises(StoreTimeoutError) as late:
            await redis.run(GET, ("k",), timeout=0.05)
        assert late.value.sent
        for _ in range(100):
            with pytest.raises(StoreUnavailableError) as refused:
                await redis.run(SET, ("k",), (1,), timeout=0.05)
            assert not refused.value.sent and not isinstance(refused.value, StoreTimeoutError)
        # Who is willing to wait for longer may, until that was too long, too.
        with pytest.raises(StoreTimeoutError):
            await redis.run(GET, ("k",), timeout=0.3)
        await harness.eventually(lambda: not redis.available)
        assert "does not answer" in _reason(harness)
        own.resume()
        await harness.eventually(lambda: redis.available)
        assert await redis.run(GET, ("k",), timeout=1) is None


async def test_a_server_that_hangs_for_long_is_left_and_reached_again(own: Server) -> None:
    redis = Redis(own.url, settings=hasty())
    async with running(redis) as harness:
        own.pause()
        # Nobody asks anything: it is found out by itself.
        await harness.eventually(lambda: not redis.available)
        own.resume()
        await harness.eventually(lambda: redis.available)
        assert await redis.run(GET, ("k",)) is None


async def test_a_network_that_swallows_everything_is_noticed(own: Server) -> None:
    async with _parted(own) as (redis, network, harness):
        changes: list[Any] = []
        redis.track("k", changes.append)
        await redis.run(GET, ("k",))
        network.partition()
        await harness.eventually(lambda: not redis.available)
        own.call("SET", "k", "new")  # and nobody tells us
        network.heal()
        await harness.eventually(lambda: redis.available)
        assert changes == [None]


async def test_a_read_whose_answer_was_lost_is_sent_once_more_and_a_write_is_not(own: Server) -> None:
    async with _parted(own) as (redis, network, _):
        await redis.run(SET, ("k",), ("x" * 1000,))
        network.cut_after(500)
        assert len(await redis.run(GET, ("k",))) == 1000
        network.cut_after(1)
        with pytest.raises(StoreUnavailableError) as lost:
            await redis.run(ADD, ("n",), (1, 0))
        assert lost.value.sent


async def test_most_calls_too_late_open_the_breaker_and_a_quick_ping_closes_it(own: Server) -> None:
    async with _parted(own, patience=30) as (redis, network, harness):
        network.delay = 0.2

        async def away() -> bool:
            with suppress(StoreUnavailableError):
                await redis.run(GET, ("k",), timeout=0.1)
            return "too late" in _reason(harness)

        await harness.eventually(away)
        assert not redis.available
        network.heal()
        await harness.eventually(lambda: redis.available)
        assert await redis.run(GET, ("k",)) is None


async def test_a_primary_that_becomes_a_replica_is_left_and_nothing_is_lost(own: Server) -> None:
    redis = Redis(own.url, settings=hasty())
    async with running(redis) as harness:
        own.call("REPLICAOF", "127.0.0.1", "1")
        with pytest.raises(StoreUnavailableError, match="replica") as refused:
            await redis.run(SET, ("k",), (1,))
        assert not refused.value.sent
        await harness.eventually(lambda: "replica" in _reason(harness))
        own.call("REPLICAOF", "NO", "ONE")
        await harness.eventually(lambda: redis.available)
        assert await redis.run(SET, ("k",), (1,)) == b"OK"


async def test_a_server_that_is_busy_with_a_script_is_away_until_it_is_done(own: Server) -> None:
    own.call("CONFIG", "SET", "busy-reply-threshold", "20")
    redis = Redis(own.url, settings=hasty())
    async with running(redis) as harness:
        endless = asyncio.get_running_loop().run_in_executor(None, _endless, own)

        async def busy() -> bool:
            try:
                await redis.run(SET, ("k",), (1,))
            except StoreUnavailableError as error:
                return "script" in str(error) and not error.sent
            return False

        await harness.eventually(busy)
        own.call("SCRIPT", "KILL")
        await endless
        await harness.eventually(lambda: redis.available)
        assert await redis.run(SET, ("k",), (1,)) == b"OK"


def _endless(server: Server) -> None:
    with pytest.raises(Exception, match="kill"):
        server.call("EVAL", "while true do end", 0)


async def test_a_server_without_room_refuses_what_would_grow(own: Server) -> None:
    redis = Redis(own.url, settings=hasty())
    async with running(redis):
        own.fill()
        with pytest.raises(StoreReplyError, match="memory is full") as full:
            await redis.run(SET, ("k",), (1,))
        assert full.value.code == "OOM"
        assert await redis.run(GET, ("k",)) is None and redis.available
        own.empty()
        assert await redis.run(SET, ("k",), (1,)) == b"OK"


async def test_users_and_their_rights(tmp_path: Any) -> None:
    with started("redis7", users={"app": "on >secret ~app:* &* +@all -client|tracking", "none": "on >x"}) as server:
        address = f"127.0.0.1:{server.port}"
        redis, wrong = Redis(f"redis://app:secret@{address}/0"), Redis(f"redis://app:no@{address}", "wrong")
        async with running([redis, wrong]) as harness:
            assert await redis.run(SET, ("app:k",), (1,)) == b"OK"
            with pytest.raises(StoreReplyError, match="Grant its user") as refused:
                await redis.run(GET, ("other",))
            assert refused.value.code == "NOPERM"
            assert not wrong.available
            reason = _reason(harness, "wrong")
            assert "WRONGPASS" in reason and "secret" not in reason
            # Nothing may be held of what nobody tells the changes of.
            changes: list[Any] = []
            redis.track("app:", changes.append)
            await redis.run(GET, ("app:k",))
            assert changes == [["app:k"]] or changes == [("app:k",)]


async def test_tls_needs_a_certificate_that_can_be_trusted() -> None:
    with started("redis7", tls=True) as server:
        assert server.tls is not None
        good = Redis(f"{server.url}?ssl_ca_certs={server.tls.authority}&ssl_check_hostname=false", "good")
        unsure = Redis(server.url, "unsure", settings=hasty())
        async with running([good, unsure]) as harness:
            assert await good.run(SET, ("k",), ("x" * 100_000,)) == b"OK"
            assert len(await good.run(GET, ("k",))) == 100_000
            assert not unsure.available
            reason = _reason(harness, "unsure")
            assert "certificate" in reason.lower()


def _in(environment: Any) -> Settings:
    calm = {"logs": {"stream": "off"}, "alerts": {"enabled": False}, "auth": {"tokens": f"test:admin:{TOKEN}"}}
    return Settings(environment=environment, _sources=Sources.none(), **calm)


async def test_a_state_store_that_throws_keys_away_is_refused_in_production(own: Server) -> None:
    own.call("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")

    def service(environment: Any, redis: Redis) -> Service:
        return Service("shop", None, [redis], settings=_in(environment))

    with pytest.raises(StartError, match="allkeys-lru"):
        async with running(service("production", Redis(own.url, role="state"))):
            pass
    async with running(service("staging", state := Redis(own.url, role="state"))) as harness:
        assert state.available and "noeviction" in _reason(harness)
    async with running(service("production", cache := Redis(own.url, role="cache"))) as harness:
        assert cache.available and not _reason(harness)


async def test_production_stops_using_a_state_store_that_begins_to_throw_keys_away(own: Server) -> None:
    redis = Redis(own.url, role="state", settings=hasty())
    async with running(Service("shop", None, [redis], settings=_in("production"))) as harness:
        assert redis.available
        own.call("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
        await harness.clock.advance(16)
        await harness.eventually(lambda: not redis.available)
        own.call("CONFIG", "SET", "maxmemory-policy", "noeviction")
        await harness.eventually(lambda: redis.available)


async def test_a_script_survives_a_restart_of_the_server(own: Server) -> None:
    redis = Redis(own.url, settings=hasty())
    async with running(redis) as harness:
        assert await redis.run(ADD, ("n",), (1, 0)) == 1
        own.kill()
        await harness.eventually(lambda: not redis.available)
        own.start()
        await harness.eventually(lambda: redis.available)
        assert await redis.run(ADD, ("n",), (1, 0)) == 1


async def test_stopping_leaves_nobody_waiting(own: Server) -> None:
    redis = Redis(own.url, settings=hasty(timeout=30))
    async with running(redis):
        own.pause()
        waiting = [asyncio.ensure_future(redis.run(GET, ("k",))) for _ in range(3)]
        await asyncio.sleep(0)
    replies = await asyncio.gather(*waiting, return_exceptions=True)
    own.resume()
    assert all(isinstance(reply, StoreUnavailableError) for reply in replies)
    for _ in range(3):
        await asyncio.sleep(0)
    until(lambda: b"name=bedplate" not in own.call("CLIENT", "LIST"), "the connection is closed")


def test_slowness_is_a_share_of_what_was_asked() -> None:
    slowness, heard = Slowness(), iter(range(100))

    def late(count: int, good: int, now: float) -> bool:
        return slowness.late(count, good=good, heard=next(heard), now=now)

    assert not late(9, 100, 0.0)
    assert not late(5, 200, 0.5)  # 14 of 114
    assert late(110, 210, 0.9)
    assert not late(9, 300, 5.0)  # another second


def test_slowness_is_waiting_in_vain_again_and_again() -> None:
    slowness = Slowness()
    assert not slowness.late(0, good=1, heard=0.0, now=0.0)
    assert not any(slowness.late(0, good=1, heard=1.0, now=1.0 + n) for n in range(50))  # one silence, many who wait
    assert slowness.late(0, good=1, heard=2.0, now=2.0)
    assert not slowness.late(0, good=2, heard=3.0, now=3.0)  # somebody was answered


def test_waits_grow_to_their_limit_and_are_spread() -> None:
    backoff = Backoff(0.1, 2.0)
    waits = [backoff.next() for _ in range(10)]
    assert 0.05 <= waits[0] <= 0.1 and 1.0 <= waits[-1] <= 2.0 and waits[-1] != waits[-2]
