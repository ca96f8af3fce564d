"""What was dropped is gone: for whoever asks afterwards, on every node, and for what was computed meanwhile."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bedplate.problems import DeclarationError
from bedplate.state.cache import MISSING, CacheSettings
from bedplate.state.store import Operation
from bedplate.testing.clock import settle
from tests.unit.state.cache.instances import Node, nodes
from tests.unit.state.cache.test_cache_stampede import Source


async def _warm(node: Node, keys: dict[str, tuple[str, ...]]) -> None:
    for key, tags in keys.items():
        await node.cache.set(key, key, tags=tags, type=str)
        await node.cache.get(key, type=str)


async def _there(node: Node, *keys: str) -> set[str]:
    return {key for key in keys if await node.cache.get(key, type=str) is not None}


KEYS = {
    "report:1:may": ("org:1",),
    "report:1:june": ("org:1",),
    "report:2:may": ("org:2", "may"),
    "balance:1": ("org:1",),
}


@pytest.mark.parametrize(
    ("drop", "left"),
    [
        ({"keys": ("report:1:may",)}, {"report:1:june", "report:2:may", "balance:1"}),
        ({"tags": ("org:1",)}, {"report:2:may"}),
        ({"tags": ("may", "org:1")}, set()),
        ({"pattern": "report:1:*"}, {"report:2:may", "balance:1"}),
        ({"pattern": "report:?:may"}, {"report:1:june", "balance:1"}),
        ({"pattern": "balance:1"}, {"report:1:may", "report:1:june", "report:2:may"}),
        ({"pattern": "*"}, set()),
        ({"tags": ("org:3",)}, set(KEYS)),
        ({"pattern": "nothing:*"}, set(KEYS)),
    ],
)
async def test_what_is_dropped_is_gone_on_every_node_and_the_rest_is_not(drop: Any, left: set[str]) -> None:
    async with nodes(2) as (one, other):
        await _warm(one, KEYS)
        assert await _there(other, *KEYS) == set(KEYS)
        await one.cache.invalidate(**drop)
        assert await _there(one, *KEYS) == left
        assert await _there(other, *KEYS) == left
        # What is written after the drop is there.
        await _warm(other, KEYS)
        assert await _there(one, *KEYS) == set(KEYS)


@pytest.mark.parametrize("drop", [{"keys": ("k",)}, {"tags": ("t",)}, {"pattern": "k*"}, {"pattern": "*"}])
@pytest.mark.parametrize("where", [0, 1])
async def test_what_was_being_computed_when_it_was_dropped_is_not_kept(drop: Any, where: int) -> None:
    async with nodes(2) as both:
        source = Source()
        first = asyncio.create_task(both[0].cache.get_or_set("k", source.read, tags=("t",), type=str))
        await settle()
        source.value = "newer"
        await both[where].cache.invalidate(**drop)
        # Whoever asks now does not get what was read before the drop, though that is still under way.
        second = asyncio.create_task(both[0].cache.get_or_set("k", source.read, tags=("t",), type=str))
        await settle()
        source.go.set()
        assert await first == "value"
        assert await second == "newer"
        for node in both:
            assert await node.cache.get("k", MISSING, type=str) in ("newer", MISSING)


async def test_a_value_that_somebody_sets_beats_one_that_is_being_computed(node: Node) -> None:
    source = Source()
    asked = asyncio.create_task(node.cache.get_or_set("k", source.read, type=str))
    await settle()
    await node.cache.set("k", "set", type=str)
    source.go.set()
    await asked
    assert await node.cache.get("k", type=str) == "set"


def _evict(name: str) -> Operation:
    return Operation(name="evict", command=("DEL",), memory=lambda space, keys, args: space.delete(keys[0]))


@pytest.mark.parametrize("name", ["test:cache:reports:t:{t}", "test:cache:reports:log"])
async def test_what_was_dropped_does_not_come_back_when_the_store_forgets_what_dropped_it(name: str) -> None:
    async with nodes(2) as (one, other):
        await _warm(one, {"k": ("t",)})
        await one.cache.invalidate(**({"tags": ("t",)} if "t:" in name[-6:] else {"pattern": "k*"}))
        await one.store.run(_evict(name), (name,))
        await one.clock.advance(0.001)  # what the store gives out anew is numbered by its clock
        assert await _there(one, "k") == await _there(other, "k") == set()
        await _warm(other, {"k": ("t",)})
        assert await _there(one, "k") == {"k"}


async def test_more_patterns_than_can_be_told_apart_drop_more_and_never_less() -> None:
    async with nodes(settings=CacheSettings(patterns=3)) as (node,):
        await _warm(node, {"a:1": (), "b:1": (), "keep": ()})
        await node.cache.invalidate(pattern="a:*")
        assert await _there(node, "a:1", "b:1", "keep") == {"b:1", "keep"}
        for number in range(3):
            await node.cache.invalidate(pattern=f"b:{number}")
        assert await _there(node, "a:1", "b:1") == set()
        await _warm(node, {"a:1": ()})
        assert await _there(node, "a:1") == {"a:1"}


async def test_the_same_pattern_again_takes_no_more_room() -> None:
    async with nodes(settings=CacheSettings(patterns=2)) as (node,):
        await _warm(node, {"keep": ()})
        for _ in range(10):
            await node.cache.invalidate(pattern="a:*")
        assert await _there(node, "keep") == {"keep"}


async def test_one_text_where_several_names_belong_is_refused(node: Node) -> None:
    with pytest.raises(DeclarationError, match=r"\('org:1',\)"):
        await node.cache.invalidate(tags="org:1")


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("set"), st.integers(0, 1), st.sampled_from("abc"), st.sets(st.sampled_from("xy"))),
        st.tuples(st.just("get"), st.integers(0, 1), st.sampled_from("abc"), st.just(None)),
        st.tuples(st.just("tag"), st.integers(0, 1), st.sampled_from("xy"), st.just(None)),
        st.tuples(st.just("key"), st.integers(0, 1), st.sampled_from("abc"), st.just(None)),
        st.tuples(st.just("pattern"), st.integers(0, 1), st.sampled_from(["a*", "*", "?"]), st.just(None)),
        st.tuples(st.just("wait"), st.integers(0, 1), st.sampled_from([1, 4, 20]), st.just(None)),
        st.tuples(st.just("heal"), st.integers(0, 1), st.just(None), st.just(None)),
    ),
    max_size=25,
)


@given(STEPS)
@settings(max_examples=100)
async def test_two_nodes_always_agree_with_one_that_remembers_everything(steps: list[Any]) -> None:
    async with nodes(2, ttl=10) as both:
        clock = both[0].clock
        known: dict[str, tuple[int, set[str], float]] = {}
        for number, (what, where, name, tags) in enumerate(steps):
            cache = both[where].cache
            if what == "set":
                await cache.set(name, number, tags=tuple(tags))
                known[name] = (number, tags, clock.monotonic())
            elif what == "tag":
                await cache.invalidate(tags=(name,))
                known = {key: one for key, one in known.items() if name not in one[1]}
            elif what in ("key", "pattern"):
                await cache.invalidate(**({"keys": (name,)} if what == "key" else {"pattern": name}))
                known = {key: one for key, one in known.items() if not (name in ("*", "?") or name[0] == key)}
            elif what == "wait":
                await clock.advance(name)
            elif what == "heal":
                both[where].link.cut()
                both[where].link.heal()
                await settle()
            for node in both:
                for key in "abc":
                    found = await node.cache.get(key)
                    value, _, since = known.get(key, (None, None, 0.0))
                    age = clock.monotonic() - since
                    assert found == value or (found is None and age >= 9.5), (what, key)
                    assert found is None or age < 10
