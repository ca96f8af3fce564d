"""What other caches were found to do wrong, as behaviours: FusionCache, aiocache, lada-cache, flask-caching."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bedplate.state.cache import MISSING, CacheSettings
from bedplate.state.cache.book import Log
from bedplate.state.cache.metrics import COMPUTATIONS, UNKEPT
from bedplate.state.cache.outage import Recent, Remembered
from bedplate.testing.clock import settle
from tests.unit.state.cache.instances import nodes
from tests.unit.state.cache.test_cache_stale import Source


async def test_a_computation_that_fails_after_its_soft_timeout_leaves_the_old_value() -> None:
    """FusionCache 332."""
    async with nodes(ttl=10, keep=1000, settings=CacheSettings(soft_timeout=1, retry=5, jitter=0)) as (node,):
        source = Source()

        async def ask() -> int:
            value: int = await node.cache.get_or_set("k", source.read, type=int)
            return value

        assert await ask() == 1
        await node.clock.advance(11)
        source.free.clear()
        source.fails = True
        asked = asyncio.create_task(ask())
        await settle()
        await node.clock.advance(1)
        assert await asked == 1
        source.free.set()
        await settle()
        assert await node.value(COMPUTATIONS, outcome="failed") == 1
        assert await node.value(COMPUTATIONS, outcome="late") == 1
        source.fails = False
        assert await ask() == 3


async def test_nobody_gets_an_older_value_again_once_a_newer_one_was_seen_under_slowness() -> None:
    """FusionCache 560: under load and time-outs, callers got stuck with an old value."""
    async with nodes(2, ttl=5, keep=1000, settings=CacheSettings(soft_timeout=0.5, jitter=0)) as both:
        source, seen = Source(), [0]
        for round_ in range(12):
            if round_ % 3 == 1:
                source.free.clear()
            asked = [
                asyncio.create_task(node.cache.get_or_set("k", source.read, type=int))
                for node in both
                for _ in range(5)
            ]
            await settle()
            await both[0].clock.advance(1)
            values = await asyncio.gather(*asked)
            assert min(values) >= max(seen)
            seen = values
            source.free.set()
            await settle()
            latest = await both[0].cache.get("k", seen[0], type=int)
            assert latest >= max(seen)
            seen = [latest]
            await both[0].clock.advance(5)
        assert max(seen) >= 10


async def test_a_tag_that_is_read_again_after_a_long_time_drops_nothing() -> None:
    """FusionCache 627: a tag's marker that was written anew dropped what was younger than the real drop."""
    async with nodes(2, ttl=350, settings=CacheSettings(longest=400, jitter=0)) as (one, other):
        await one.cache.set("old", 1, tags=("t",))
        await one.cache.invalidate(tags=("t",))
        await one.cache.set("new", 2, tags=("t",))
        for _ in range(3):
            await one.clock.advance(105)  # longer than a version that was read is relied upon
            for node in (one, other):
                assert (await node.cache.get("old"), await node.cache.get("new")) == (None, 2)
        await other.cache.invalidate(tags=("t",))
        assert await one.cache.get("new") is None


async def test_what_is_written_while_its_tag_is_dropped_is_dropped_by_the_next_drop() -> None:
    """lada-cache 124: an entry that came in between was in no tag any more, and stayed."""
    async with nodes(2) as (one, other):
        for number in range(20):
            await asyncio.gather(
                one.cache.set(f"k:{number}", number, tags=("t",)),
                other.cache.invalidate(tags=("t",)),
                other.cache.set(f"l:{number}", number, tags=("t",)),
            )
        await one.cache.invalidate(tags=("t",))
        keys = [f"{letter}:{number}" for letter in "kl" for number in range(20)]
        assert await one.cache.get_many(keys) == await other.cache.get_many(keys) == {}


async def test_a_value_read_early_and_written_late_replaces_no_newer_one() -> None:
    """aiocache 95: two nodes read the source, it changes in between, and the slower one writes last."""
    async with nodes(2) as (slow, fast):
        began, go = asyncio.Event(), asyncio.Event()

        async def early() -> str:
            began.set()
            await go.wait()
            return "early"

        first = asyncio.create_task(slow.cache.get_or_set("k", early, type=str))
        await began.wait()
        await fast.cache.invalidate(keys=("k",))
        assert await fast.cache.get_or_set("k", _late, type=str) == "late"
        go.set()
        assert await first == "early"  # it was asked for before the change
        for node in (slow, fast):
            assert await node.cache.get("k", type=str) == "late"
        assert await slow.value(UNKEPT, reason="outdated") == 1


async def _late() -> str:
    return "late"


async def test_none_is_cached_like_any_value() -> None:
    """aiocache 452, 540, 1033; flask-caching 135: None was computed each time, or taken for a miss."""
    async with nodes() as (node,):
        calls = []

        @node.cache.cached(key="user:{name}")
        async def user(name: str) -> str | None:
            calls.append(name)
            return None

        assert [await user("x") for _ in range(3)] == [None] * 3
        assert calls == ["x"]
        assert await node.cache.get("user:x", MISSING, type=str | None) is None


async def test_an_exception_is_neither_cached_nor_lost() -> None:
    async with nodes() as (node,):
        calls = []

        @node.cache.cached(key="k")
        async def fails() -> int:
            calls.append(1)
            raise LookupError("no such thing")

        for number in (1, 2):
            with pytest.raises(LookupError, match="no such thing"):
                await fails()
            assert len(calls) == number


NAMES = st.sampled_from("abcdefgh")


@given(st.lists(st.tuples(st.sampled_from(["key", "tag", "pattern", "all"]), NAMES)), st.integers(1, 8))
def test_what_is_remembered_is_told_once_or_everything_is_dropped(wanted: list[tuple[str, str]], most: int) -> None:
    remembered = Remembered(most)
    for one in wanted:
        remembered.put_back([one])
    told: list[tuple[str, str]] = []
    while len(remembered):
        assert len(remembered) <= most
        told += remembered.take(3)
    if ("all", "") not in told:
        assert sorted(told) == sorted(set(wanted))
    else:
        assert any(kind == "all" for kind, _ in wanted) or len(set(wanted)) > most


@given(st.lists(st.tuples(st.floats(0, 10), NAMES)), st.integers(1, 5))
def test_what_was_done_recently_is_done_again_and_never_less(done: list[tuple[float, str]], most: int) -> None:
    recent, now = Recent(20, most), 100.0
    for after, name in done:
        now += after
        recent.add([("key", name)], now)
    times, at = [], 100.0
    for after, name in done:
        at += after
        times.append((at, name))
    needed = {("key", name) for at, name in times if at >= now - 20}
    taken = recent.take(now)
    assert taken == [("all", "")] or needed == set(taken)
    assert recent.take(now) in ([], [("all", "")])


@given(st.lists(st.tuples(st.sampled_from(["a*", "b?", "*", "ab"]), st.integers(1, 20))), st.integers(0, 25), NAMES)
def test_the_log_drops_what_is_older_than_a_pattern_it_matches(
    drops: list[tuple[str, int]], born: int, letter: str
) -> None:
    key = letter + "b"
    fields = {b"floor": b"0", b"number": b"%d" % max([0, *(number for _, number in drops)])}
    fields |= {b"p:" + pattern.encode(): b"%d" % number for pattern, number in drops}
    latest = dict(drops)
    hit = {"a*": letter == "a", "b?": letter == "b", "*": True, "ab": key == "ab"}
    gone = any(number > born and hit[pattern] for pattern, number in latest.items())
    assert Log(fields, 0.0).allows(key, born) is not gone
