"""The store away: nothing fails, old values answer for a stated time, and what was dropped meanwhile stays dropped."""

from __future__ import annotations

import asyncio

import pytest

from bedplate.state.cache import CacheSettings
from bedplate.state.cache.metrics import INVALIDATIONS, ONLINE, REMEMBERED
from bedplate.testing.clock import settle
from tests.linked import restore, snapshot
from tests.unit.state.cache.instances import Node, nodes
from tests.unit.state.cache.test_cache_stale import Source


async def test_what_is_near_answers_and_the_rest_is_computed_and_kept() -> None:
    async with nodes(ttl=300, settings=CacheSettings(away_ttl=30)) as (node,):
        await node.cache.set("near", "near", type=str)
        await node.cache.get("near", type=str)
        source = Source()
        node.link.cut()
        assert node.state == "degraded"
        node.link.asked.clear()
        assert await node.cache.get("near", type=str) == "near"
        assert [await node.cache.get_or_set("new", source.read, type=int) for _ in range(5)] == [1] * 5
        await node.cache.set("set", 7)
        assert await node.cache.get("set") == 7
        assert node.link.asked == []  # nobody waited for a store that is away
        await node.clock.advance(31)
        # Beyond the stated time it is not trusted any more.
        assert await node.cache.get("near", type=str) is None
        assert await node.cache.get_or_set("new", source.read, type=int) == 2


async def test_an_old_value_outlives_the_stated_time_when_nothing_newer_can_be_had() -> None:
    async with nodes(ttl=300, keep=600, settings=CacheSettings(away_ttl=30)) as (node,):
        source = Source()
        await node.cache.get_or_set("k", source.read, type=int)
        await node.cache.get_or_set("k", source.read, type=int)
        node.link.cut()
        await node.clock.advance(60)
        source.fails = True
        assert await node.cache.get_or_set("k", source.read, type=int) == 1


@pytest.mark.parametrize("drop", [{"keys": ("k",)}, {"tags": ("t",)}, {"pattern": "k*"}, {"pattern": "*"}])
async def test_what_is_dropped_meanwhile_is_gone_here_at_once_and_everywhere_afterwards(
    drop: dict[str, object],
) -> None:
    async with nodes(2) as (one, other):
        for node in (one, other):
            await node.cache.set("k", "old", tags=("t",), type=str)
            await node.cache.get("k", type=str)
        one.link.cut()
        await one.cache.invalidate(**drop)  # type: ignore[arg-type]
        assert await one.cache.get("k", type=str) is None
        await one.cache.get_or_set("k", _newer, tags=("t",), type=str)
        await one.cache.invalidate(**drop)  # type: ignore[arg-type]
        assert await one.cache.get("k", type=str) is None
        assert await other.cache.get("k", type=str) == "old"  # it cannot know
        await one.heal()
        assert await one.cache.get("k", type=str) is await other.cache.get("k", type=str) is None
        assert one.state == "running"


async def _newer() -> str:
    return "newer"


async def test_a_value_set_meanwhile_does_not_leave_an_older_one_to_others() -> None:
    async with nodes(2) as (one, other):
        await one.cache.set("k", "old", type=str)
        one.link.cut()
        await one.cache.set("k", "new", type=str)
        assert await one.cache.get("k", type=str) == "new"
        await one.heal()
        assert await one.cache.get("k", type=str) is await other.cache.get("k", type=str) is None


async def test_more_than_can_be_remembered_drops_everything_and_never_less() -> None:
    async with nodes(2, settings=CacheSettings(remembered=3)) as (one, other):
        await one.cache.set_many({f"k:{number}": number for number in range(6)})
        one.link.cut()
        for number in range(5):
            await one.cache.delete(f"k:{number}")
        assert await one.value(REMEMBERED) <= 4
        await one.heal()
        assert await other.cache.get_many([f"k:{number}" for number in range(6)]) == {}


async def test_what_is_near_is_let_go_when_the_store_is_back() -> None:
    async with nodes(2) as (one, other):
        await one.cache.set("k", "old", type=str)
        await one.cache.get("k", type=str)
        one.link.cut()
        await other.cache.set("k", "new", type=str)
        assert await one.cache.get("k", type=str) == "old"
        await one.heal()
        assert await one.cache.get("k", type=str) == "new"


async def test_a_connection_that_was_gone_for_a_moment_lets_go_of_what_is_near() -> None:
    async with nodes(2) as (one, other):
        await one.cache.set("k", "old", tags=("t",), type=str)
        await one.cache.get("k", type=str)
        one.link._cut = True  # nobody says so
        await other.cache.invalidate(tags=("t",))
        one.link.heal()
        assert await one.cache.get("k", type=str) is None


async def test_a_hung_store_is_waited_for_once() -> None:
    async with nodes() as (node,):
        source = Source()
        node.link.hang()
        assert await node.cache.get_or_set("k", source.read, type=int) == 1
        assert len(node.link.asked) >= 1
        node.link.asked.clear()
        assert [await node.cache.get_or_set(key, source.read, type=int) for key in "klmk"] == [1, 2, 3, 1]
        assert node.link.asked == []


async def test_an_invalidation_that_was_not_answered_is_done_again() -> None:
    async with nodes(2) as (one, other):
        await one.cache.set("k", "old", tags=("t",), type=str)
        await other.cache.get("k", type=str)
        one.link.hang()
        await one.cache.invalidate(tags=("t",))
        assert await one.value(INVALIDATIONS, outcome="failed") == 1
        assert await other.cache.get("k", type=str) == "old"
        await one.heal()
        assert await other.cache.get("k", type=str) is None


async def test_a_server_that_took_over_without_the_last_invalidations_gets_them_again() -> None:
    async with nodes(2, settings=CacheSettings(replay=60)) as (one, other):
        for key, tag in (("a", "t"), ("b", "u")):
            await one.cache.set(key, key, tags=(tag,), type=str)
        before = await snapshot(one.store)
        await one.cache.invalidate(keys=("a",))
        await one.cache.invalidate(tags=("u",))
        for node in (one, other):
            node.link.cut()
        await restore(one.store, before)
        for node in (one, other):
            await node.heal()
        assert await other.cache.get("a", type=str) is await other.cache.get("b", type=str) is None


async def test_it_starts_without_its_store_and_follows_when_it_comes() -> None:
    async with nodes(cut=True) as (node,):
        source = Source()
        assert await node.cache.get_or_set("k", source.read, type=int) == 1
        assert await node.value(ONLINE) == 0
        assert node.state == "degraded" and "has not been reached yet" in node.view.reason
        await node.heal()
        assert await node.value(ONLINE) == 1
        assert (node.state, node.view.reason) == ("running", "")
        await node.cache.set("k", 5)
        assert await node.cache.get("k") == 5


async def test_a_store_that_comes_back_unannounced_is_found_by_itself() -> None:
    async with nodes() as (node,):
        node.link.hang()
        await node.cache.get("k")
        assert node.state == "degraded"
        node.link._cut = False
        await node.clock.advance(1)
        assert node.state == "running"


async def test_a_computation_begun_before_the_outage_is_kept_here_when_it_ends_in_it(node: Node) -> None:
    source = Source()
    source.free.clear()
    asked = asyncio.create_task(node.cache.get_or_set("k", source.read, type=int))
    await settle()
    node.link.cut()
    source.free.set()
    assert await asked == 1
    assert await node.cache.get("k", type=int) == 1


async def test_a_computation_begun_in_the_outage_is_not_written_when_it_ends_after_it(node: Node) -> None:
    source = Source()
    source.free.clear()
    node.link.cut()
    asked = asyncio.create_task(node.cache.get_or_set("k", source.read, type=int))
    await settle()
    await node.heal()
    source.free.set()
    assert await asked == 1
    # Others may have dropped it meanwhile, and nobody would have been told here.
    assert await node.cache.get("k", type=int) is None


@pytest.mark.parametrize("drop", [{"keys": ("k",)}, {"tags": ("t",)}, {"pattern": "k*"}, {"pattern": "*"}])
async def test_what_was_being_computed_when_it_was_dropped_in_the_outage_is_not_kept(drop: dict[str, object]) -> None:
    async with nodes() as (node,):
        source = Source()
        source.free.clear()
        node.link.cut()
        first = asyncio.create_task(node.cache.get_or_set("k", source.read, tags=("t",), type=int))
        await settle()
        await node.cache.invalidate(**drop)  # type: ignore[arg-type]
        second = asyncio.create_task(node.cache.get_or_set("k", source.read, tags=("t",), type=int))
        await settle()
        source.free.set()
        assert (await first, await second) == (1, 2)
        assert await node.cache.get("k", type=int) in (2, None)


@pytest.mark.parametrize("where", [0, 1])
@pytest.mark.parametrize("drop", [{"keys": ("k",)}, {"tags": ("t",)}, {"pattern": "k*"}, {"pattern": "*"}])
async def test_what_was_dropped_just_before_the_outage_is_not_served_in_it(drop: dict[str, object], where: int) -> None:
    async with nodes(2) as both:
        for node in both:
            await node.cache.set("k", "old", tags=("t",), type=str)
            await node.cache.get("k", type=str)
        await both[where].cache.invalidate(**drop)  # type: ignore[arg-type]
        for node in both:
            node.link.cut()
            assert await node.cache.get("k", type=str) is None
