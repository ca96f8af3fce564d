"""Old values: when they answer, for how long, and when they do not."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from bedplate.state.cache import CacheSettings, CacheTimeoutError
from bedplate.state.cache.metrics import COMPUTATIONS
from bedplate.testing.clock import settle
from tests.unit.state.cache.instances import nodes


class Source:
    """Values that are counted; it may fail, and it may be held."""

    def __init__(self) -> None:
        self.calls = 0
        self.fails = False
        self.free = asyncio.Event()
        self.free.set()

    async def read(self) -> int:
        self.calls += 1
        number = self.calls
        await self.free.wait()
        if self.fails:
            raise LookupError("the source is down")
        return number


async def test_an_old_value_answers_at_once_while_a_new_one_is_computed() -> None:
    async with nodes(2, ttl=10, stale=20, settings=CacheSettings(jitter=0)) as (one, other):
        source = Source()

        def ask(node: Any = one) -> Any:
            return node.cache.get_or_set("k", source.read, type=int)

        assert await ask() == 1
        await one.clock.advance(11)
        source.free.clear()
        # However many ask, on whichever node: one computes.
        assert await asyncio.gather(*(ask(node) for node in (one, other) for _ in range(5))) == [1] * 10
        await settle()
        assert source.calls == 2
        source.free.set()
        await settle()
        assert await ask() == await ask(other) == 2
        await one.clock.advance(31)
        assert await ask() == 3  # older than that it answers nobody


async def test_an_old_value_hides_a_failure_and_is_not_tried_again_at_once() -> None:
    async with nodes(ttl=10, keep=100, settings=CacheSettings(retry=5, jitter=0)) as (node,):
        source = Source()

        async def ask() -> int:
            value: int = await node.cache.get_or_set("k", source.read, type=int)
            return value

        assert await ask() == 1
        source.fails = True
        await node.clock.advance(11)
        assert [await ask() for _ in range(10)] == [1] * 10
        assert source.calls == 2
        await node.clock.advance(6)
        assert await ask() == 1
        assert source.calls == 3
        assert await node.value(COMPUTATIONS, outcome="failed") == 2
        source.fails = False
        await node.clock.advance(6)
        assert await ask() == 4
        source.fails = True
        await node.clock.advance(111)
        with pytest.raises(LookupError):
            await ask()  # beyond `keep` there is no old value


async def test_a_slow_computation_is_waited_for_a_little_and_goes_on() -> None:
    async with nodes(ttl=10, keep=100, settings=CacheSettings(soft_timeout=1, jitter=0)) as (node,):
        source = Source()
        assert await node.cache.get_or_set("k", source.read, type=int) == 1
        await node.clock.advance(11)
        source.free.clear()
        asked = asyncio.create_task(node.cache.get_or_set("k", source.read, type=int))
        await settle()
        assert not asked.done()
        await node.clock.advance(1)
        assert await asked == 1
        source.free.set()
        await settle()
        assert await node.cache.get("k", type=int) == 2
        assert source.calls == 2


async def test_without_an_old_value_there_is_a_last_moment_and_the_computation_goes_on() -> None:
    async with nodes() as (node,):
        source = Source()
        source.free.clear()
        asked = asyncio.create_task(node.cache.get_or_set("k", source.read, type=int, hard_timeout=2))
        await settle()
        await node.clock.advance(2)
        with pytest.raises(CacheTimeoutError, match="within 2 s"):
            await asked
        source.free.set()
        await settle()
        assert await node.cache.get_or_set("k", source.read, type=int, hard_timeout=2) == 1
        assert source.calls == 1


async def test_what_was_dropped_is_not_an_old_value_either() -> None:
    for drop in ({"keys": ("k",)}, {"tags": ("t",)}, {"pattern": "*"}):
        async with nodes(ttl=10, stale=50, keep=100) as (node,):
            source = Source()
            await node.cache.get_or_set("k", source.read, type=int, tags=("t",))
            await node.clock.advance(11)
            await node.cache.invalidate(**drop)  # type: ignore[arg-type]
            source.fails = True
            with pytest.raises(LookupError):
                await node.cache.get_or_set("k", source.read, type=int, tags=("t",))


async def test_get_does_not_return_old_values() -> None:
    async with nodes(ttl=10, stale=50) as (node,):
        await node.cache.set("k", 1)
        await node.clock.advance(11)
        assert await node.cache.get("k") is None


async def test_that_there_is_no_such_thing_is_remembered_for_less() -> None:
    async with nodes(ttl=100, settings=CacheSettings(jitter=0)) as (node,):
        calls: list[str] = []

        @node.cache.cached(key="user:{name}", negative=5)
        async def user(name: str) -> str | None:
            calls.append(name)
            return None if name == "nobody" else name

        @node.cache.cached(key="never:{name}", negative=0)
        async def never(name: str) -> str | None:
            calls.append(name)
            return None

        await user("nobody"), await user("nobody"), await user("ann")
        assert calls == ["nobody", "ann"]
        await node.clock.advance(6)
        await user("nobody"), await user("ann")
        assert calls == ["nobody", "ann", "nobody"]
        await never("x"), await never("x")
        assert calls[3:] == ["x", "x"]


async def test_what_was_cached_together_does_not_end_together() -> None:
    async with nodes(ttl=100, settings=CacheSettings(jitter=0.5, longest=1000)) as (node,):
        await node.cache.set_many({f"k:{number}": number for number in range(200)}, type=int)
        keys = [f"k:{number}" for number in range(200)]
        assert len(await node.cache.get_many(keys, type=int)) == 200
        await node.clock.advance(75)
        assert 50 < len(await node.cache.get_many(keys, type=int)) < 150
        await node.clock.advance(25)
        assert await node.cache.get_many(keys, type=int) == {}
