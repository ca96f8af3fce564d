"""The near cache alone: bounded by number and bytes, the recently used stay, and nothing is lost count of."""

from __future__ import annotations

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from bedplate.state.cache.entries import Entry
from bedplate.state.cache.near import Near
from bedplate.state.cache.stats import PatternStats, Stats
from tests.unit.state.cache.instances import nodes

STATS = PatternStats("k")


def _entry(size: int = 0) -> Entry:
    return Entry(b"x" * size, fresh=1e9, dead=1e9, stats=STATS)


@given(st.lists(st.tuples(st.sampled_from(["put", "find", "pop", "clear"]), st.integers(0, 30), st.integers(0, 2000))))
def test_it_never_holds_more_than_it_may_and_counts_right(steps: list[tuple[str, int, int]]) -> None:
    near = Near(10, 8_000)
    for what, number, size in steps:
        key = str(number)
        if what == "put":
            near.put(key, _entry(size))
        elif what == "find":
            near.find(key)
        elif what == "pop":
            near.pop(key)
            assert near.find(key) is None
        else:
            near.clear()
        held = [*near.young.values(), *near._old.values()]
        assert len(near) == len(held) == len(set(near.keys())) <= 10
        assert near.size == sum(entry.size for entry in held) <= 8_000


def test_what_is_asked_for_stays_and_what_is_not_goes() -> None:
    near = Near(100, 10**9)
    for number in range(1_000):
        near.put(f"cold:{number}", _entry())
        near.put("hot", near.find("hot") or _entry())
    assert near.find("hot") is not None
    assert near.find("cold:0") is None


def test_one_that_would_push_out_everything_else_is_not_kept() -> None:
    near = Near(100, 10_000)
    near.put("small", _entry())
    near.put("large", _entry(9_000))
    assert near.find("large") is None and near.find("small") is not None


async def test_many_are_let_go_in_slices() -> None:
    near = Near(50_000, 10**9)
    for number in range(20_000):
        near.put(str(number), _entry())
    near.clear()
    assert len(near) == 0
    for _ in range(40):
        await asyncio.sleep(0)
    assert near._waste == []


async def test_without_a_near_cache_the_store_answers() -> None:
    from bedplate.state.cache import CacheSettings

    async with nodes(settings=CacheSettings(near_entries=0)) as (node,):
        await node.cache.set("k", 1)
        node.link.asked.clear()
        assert await node.cache.get("k") == await node.cache.get("k") == 1
        assert node.link.asked.count("cache_get") == 2


async def test_a_hit_near_asks_the_store_for_nothing() -> None:
    async with nodes() as (node,):
        await node.cache.set("k", 1, tags=("a", "b"))
        await node.cache.get("k")
        node.link.asked.clear()
        for _ in range(10):
            assert await node.cache.get("k") == 1
        assert node.link.asked == []


@given(st.lists(st.sampled_from(["near", "store", "stale", "miss"]), max_size=2500), st.integers(0, 1500))
def test_the_window_is_that_of_the_last_thousand_operations(outcomes: list[str], hits: int) -> None:
    stats = Stats()
    pattern = stats.pattern("k")
    for _ in range(hits):
        stats.near(pattern)
    for outcome in outcomes:
        getattr(stats, outcome)(pattern)
    last = (["near"] * hits + outcomes)[-1000:]
    assert stats.window() == (len(last) - last.count("miss"), last.count("miss"))


def test_patterns_are_bounded() -> None:
    stats = Stats()
    for number in range(1_000):
        stats.miss(stats.pattern(f"pattern-{number}"))
    assert len(stats.patterns) == 101
    assert stats.pattern("_other").miss == 900
