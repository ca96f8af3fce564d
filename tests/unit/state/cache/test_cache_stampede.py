"""Many ask for what is not there: it is computed once, whoever dies, gives up or fails meanwhile."""

from __future__ import annotations

import asyncio

import pytest

from bedplate.state.cache import CacheSettings
from bedplate.testing.clock import settle
from tests.unit.state.cache.instances import Node, nodes


class Source:
    """What is dear to compute: it takes until it is let go."""

    def __init__(self) -> None:
        self.calls = 0
        self.go = asyncio.Event()
        self.fails = False
        self.value = "value"

    async def read(self) -> str:
        self.calls += 1
        value = self.value
        await self.go.wait()
        if self.fails:
            raise LookupError("the source is down")
        return value


async def test_four_hundred_cold_requests_on_two_nodes_compute_once() -> None:
    async with nodes(2) as both:
        source = Source()
        asked = [
            asyncio.create_task(node.cache.get_or_set("k", source.read, type=str)) for node in both for _ in range(200)
        ]
        await settle()
        assert source.calls == 1
        source.go.set()
        assert set(await asyncio.gather(*asked)) == {"value"}
        assert source.calls == 1
        for node in both:
            assert await node.cache.get("k", type=str) == "value"


async def test_what_one_node_computes_wakes_the_other_without_its_clock() -> None:
    async with nodes(2) as (one, other):
        source = Source()
        first = asyncio.create_task(one.cache.get_or_set("k", source.read, type=str))
        await settle()
        second = asyncio.create_task(other.cache.get_or_set("k", source.read, type=str))
        await settle()
        source.go.set()
        assert await asyncio.wait_for(asyncio.gather(first, second), 60) == ["value", "value"]
        assert source.calls == 1


async def test_a_lease_whose_holder_died_is_free_again_soon() -> None:
    async with nodes(2, settings=CacheSettings(lease=3)) as (one, other):
        dead, source = Source(), Source()
        asked = asyncio.create_task(one.cache.get_or_set("k", dead.read, type=str))
        await settle()
        one.link.cut()  # the process is gone: it neither renews nor writes
        source.go.set()
        waiting = asyncio.create_task(other.cache.get_or_set("k", source.read, type=str))
        await one.clock.advance(1)
        assert not waiting.done()
        await one.clock.advance(3)
        assert await waiting == "value"
        assert source.calls == 1
        dead.go.set()
        await asked


async def test_a_lease_is_kept_for_as_long_as_the_computation_takes() -> None:
    async with nodes(2, settings=CacheSettings(lease=3)) as (one, other):
        source = Source()
        asked = [asyncio.create_task(node.cache.get_or_set("k", source.read, type=str)) for node in (one, other)]
        for _ in range(20):
            await one.clock.advance(1)
        assert source.calls == 1
        source.go.set()
        assert await asyncio.gather(*asked) == ["value", "value"]
        assert source.calls == 1


async def test_a_failure_is_everybodys_who_waits_and_is_not_cached() -> None:
    async with nodes(2) as (one, other):
        source = Source()
        source.fails = True
        asked = [asyncio.create_task(one.cache.get_or_set("k", source.read, type=str)) for _ in range(5)]
        await settle()
        late = asyncio.create_task(other.cache.get_or_set("k", source.read, type=str))
        await settle()
        source.go.set()
        results = await asyncio.gather(*asked, return_exceptions=True)
        assert all(isinstance(result, LookupError) for result in results)
        # The other node is told that the lease is free, tries for itself, and fails for itself.
        with pytest.raises(LookupError):
            await asyncio.wait_for(late, 60)
        assert source.calls == 2
        source.fails = False
        assert await one.cache.get_or_set("k", source.read, type=str) == "value"


async def test_whoever_gives_up_ends_nothing_for_others(node: Node) -> None:
    source = Source()
    first = asyncio.create_task(node.cache.get_or_set("k", source.read, type=str))
    await settle()
    second = asyncio.create_task(node.cache.get_or_set("k", source.read, type=str))
    await settle()
    first.cancel()
    await settle()
    source.go.set()
    assert await second == "value"
    assert source.calls == 1


async def test_what_nobody_waits_for_any_more_is_kept_all_the_same(node: Node) -> None:
    source = Source()
    only = asyncio.create_task(node.cache.get_or_set("k", source.read, type=str))
    await settle()
    only.cancel()
    source.go.set()
    await settle()
    assert await node.cache.get("k", type=str) == "value"


async def test_those_who_share_a_computation_do_not_share_what_can_be_changed(node: Node) -> None:
    async def make() -> dict[str, list[int]]:
        await asyncio.sleep(0)
        return {"a": []}

    found = await asyncio.gather(*(node.cache.get_or_set("k", make) for _ in range(3)))
    found[0]["a"].append(1)
    assert found[1:] == [{"a": []}, {"a": []}]


async def test_a_computation_may_ask_for_other_values_and_for_its_own(node: Node) -> None:
    depth = 0

    async def inner() -> int:
        return 1

    async def outer() -> int:
        nonlocal depth
        depth += 1
        if depth < 3:
            # It would wait for itself.
            return await ask()
        return 1 + await node.cache.get_or_set("inner", inner, type=int)

    async def ask() -> int:
        value: int = await node.cache.get_or_set("outer", outer, type=int)
        return value

    assert await asyncio.wait_for(ask(), 60) == 2
    assert await node.cache.get("outer", type=int) == 2


async def test_what_hangs_is_ended_and_everybody_told() -> None:
    async with nodes(settings=CacheSettings(give_up=10)) as (node,):
        source = Source()
        asked = asyncio.create_task(node.cache.get_or_set("k", source.read, type=str))
        await settle()
        await node.clock.advance(12)
        with pytest.raises(TimeoutError, match="far too long"):
            await asked
        source.go.set()
        assert await node.cache.get_or_set("k", source.read, type=str) == "value"


async def test_stopping_ends_what_is_being_computed() -> None:
    async with nodes() as (node,):
        source = Source()
        asked = asyncio.create_task(node.cache.get_or_set("k", source.read, type=str))
        await settle()
    with pytest.raises(TimeoutError):
        await asked
