"""Caches on every backend: values, drops, one computation for many, old values, and nodes that agree."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from bedplate.state.cache import MISSING, Cache, CacheSettings
from bedplate.state.cache.names import Names
from bedplate.state.store import Operation
from tests.stores import Backend

DELETE = Operation(name="del", command=("DEL",), memory=lambda space, keys, args: space.delete(*keys))
ENDS = Operation(name="pttl", command=("PTTL",), memory=lambda space, keys, args: space.pttl(keys[0]), reads=True)
SPOIL = Operation(name="set", command=("SET",), memory=lambda space, keys, args: space.set(keys[0], args[0]))

#: The machine is busy: no store of a test is away because of that. What must end soon may.
PATIENT = CacheSettings(store_timeout=5.0, lease=1.0, jitter=0.0)
NAMES = Names("test", "reports")


def make(**changes: Any) -> Callable[[Any], Cache]:
    """Return what makes an instance's cache."""
    own = PATIENT.model_copy(update=changes)
    return lambda store: Cache(store, "reports", settings=own)


async def eventually(backend: Backend, holds: Callable[[], Any]) -> None:
    """Wait until something holds; what one instance is told of another takes a moment."""
    for _ in range(6000):
        if await holds():
            return
        await backend.pass_(0.01)
    raise AssertionError("It never came to hold.")


async def test_values_come_back_as_they_were(backend: Backend) -> None:
    cache = make()(backend.store)
    async with backend.running(cache):
        values: list[tuple[Any, Any]] = [
            (Decimal, Decimal("0.10")),
            (tuple[int, ...], (1, 2)),
            (set[str], {"ü"}),
            (bytes, b"x" * 1000),
            (Any, {"a": [1, None, "b"]}),
        ]
        for number, (kind, value) in enumerate(values):
            await cache.set(f"k:{number}", value, type=kind)
            for _ in range(3):
                assert await cache.get(f"k:{number}", MISSING, type=kind) == value
        assert await cache.get("unknown", "default") == "default"
        await cache.set("braces {a}:{b} ü", 1)
        assert await cache.get("braces {a}:{b} ü") == 1


async def test_values_end(backend: Backend) -> None:
    cache = make()(backend.store)
    async with backend.running(cache):
        await cache.set("short", 1, ttl=backend.short)
        await cache.set("long", 1, ttl=60)
        assert await cache.get("long") == 1
        await backend.pass_(2 * backend.short)
        assert await cache.get("short") is None
        assert await cache.get("long") == 1
        left = await backend.store.run(ENDS, (NAMES.entry("long"),))
        assert 0 < left <= 60_000


@pytest.mark.parametrize("drop", [{"keys": ("k",)}, {"tags": ("t",)}, {"pattern": "k*"}, {"pattern": "*"}])
async def test_what_one_drops_is_gone_for_all(backend: Backend, drop: Any) -> None:
    async with backend.instances(make()) as (one, other):
        await one.set("k", "old", tags=("t",))
        await one.set("other", "kept", tags=("u",))
        for cache in (one, other, one, other):
            assert (await cache.get("k"), await cache.get("other")) == ("old", "kept")
        await one.invalidate(**drop)
        assert await one.get("k") is None

        async def gone() -> bool:
            return await other.get("k") is None

        await eventually(backend, gone)
        kept = None if drop == {"pattern": "*"} else "kept"
        assert await one.get("other") == await other.get("other") == kept
        await other.set("k", "new", tags=("t",))

        async def new() -> bool:
            return await one.get("k") == "new"

        await eventually(backend, new)


async def test_a_value_that_another_instance_writes_replaces_what_is_near(backend: Backend) -> None:
    async with backend.instances(make()) as (one, other):
        for number in range(20):
            await one.set("k", number)

            async def seen(number: int = number) -> bool:
                return await other.get("k") == number

            await eventually(backend, seen)


async def test_four_hundred_cold_requests_on_two_instances_compute_once(backend: Backend) -> None:
    async with backend.instances(make()) as both:
        calls = []

        async def dear() -> int:
            calls.append(1)
            await asyncio.sleep(0.02)
            return 7

        asked = [cache.get_or_set("k", dear, tags=("t",)) for cache in both for _ in range(200)]
        assert set(await asyncio.gather(*asked)) == {7}
        assert len(calls) == 1


async def test_what_was_being_computed_when_it_was_dropped_is_not_kept(backend: Backend) -> None:
    async with backend.instances(make()) as (one, other):
        for number, drop in enumerate(({"keys": ("k0",)}, {"tags": ("t",)}, {"pattern": "k2"}, {"pattern": "*"})):
            key, began, go = f"k{number}", asyncio.Event(), asyncio.Event()

            async def dear(began: asyncio.Event = began, go: asyncio.Event = go) -> str:
                began.set()
                await go.wait()
                return "old"

            asked = asyncio.create_task(one.get_or_set(key, dear, tags=("t",)))
            await began.wait()
            await other.invalidate(**drop)  # type: ignore[arg-type]
            go.set()
            assert await asked == "old"

            async def gone(key: str = key) -> bool:
                return await one.get(key) is None

            await eventually(backend, gone)
            assert await other.get(key) is None


async def test_a_failure_lets_another_try(backend: Backend) -> None:
    async with backend.instances(make()) as (one, other):
        began, go = asyncio.Event(), asyncio.Event()

        async def fails() -> int:
            began.set()
            await go.wait()
            raise LookupError("down")

        async def works() -> int:
            return 7

        first = asyncio.create_task(one.get_or_set("k", fails))
        await began.wait()
        second = asyncio.create_task(other.get_or_set("k", works))
        go.set()
        with pytest.raises(LookupError):
            await first
        assert await second == 7


async def test_an_old_value_answers_while_a_new_one_is_computed(backend: Backend) -> None:
    short = backend.short
    async with backend.instances(make(ttl=short, stale=60)) as (one, other):
        numbers = iter(range(10))

        async def dear() -> int:
            return next(numbers)

        assert await one.get_or_set("k", dear) == 0
        await backend.pass_(1.5 * short)
        found = await asyncio.gather(*(cache.get_or_set("k", dear) for cache in (one, other)))
        assert set(found) <= {0, 1} and 0 in found
        assert next(numbers) >= 2 - len(set(found))


async def test_an_old_value_hides_a_failure(backend: Backend) -> None:
    cache = make(ttl=backend.short, keep=60)(backend.store)
    async with backend.running(cache):

        async def works() -> int:
            return 7

        async def fails() -> int:
            raise LookupError("down")

        assert await cache.get_or_set("k", works) == 7
        await backend.pass_(1.5 * backend.short)
        assert await cache.get_or_set("k", fails) == 7
        await cache.invalidate(keys=("k",))
        with pytest.raises(LookupError):
            await cache.get_or_set("k", fails)


async def test_what_was_dropped_does_not_come_back_when_the_store_forgets(backend: Backend) -> None:
    async with backend.instances(make()) as (one, other):
        for name, drop in ((NAMES.tag("t"), {"tags": ("t",)}), (NAMES.log, {"pattern": "k*"})):
            await one.set("k", "old", tags=("t",))
            await one.get("k")
            await one.invalidate(**drop)  # type: ignore[arg-type]
            await backend.store.run(DELETE, (name,))
            await backend.pass_(0.01)
            assert await one.get("k") is None

            async def gone() -> bool:
                return await other.get("k") is None

            await eventually(backend, gone)


async def test_more_patterns_than_are_told_apart_drop_more_and_never_less(backend: Backend) -> None:
    cache = make(patterns=2)(backend.store)
    async with backend.running(cache):
        for key in ("a:1", "b:1", "c:1"):
            await cache.set(key, 1)
        await cache.invalidate(pattern="a:*")
        assert await cache.get_many(["a:1", "b:1", "c:1"]) == {"b:1": 1, "c:1": 1}
        await cache.invalidate(pattern="b:*")
        await cache.invalidate(pattern="b:*")
        assert await cache.get_many(["a:1", "b:1", "c:1"]) == {"c:1": 1}
        await cache.invalidate(pattern="d:*")
        assert await cache.get_many(["a:1", "b:1"]) == {}
        await cache.set("a:1", 2)
        assert await cache.get("a:1") == 2


async def test_what_somebody_else_wrote_under_a_key_is_a_miss(backend: Backend) -> None:
    cache = make()(backend.store)
    async with backend.running(cache):
        await backend.store.run(SPOIL, (NAMES.entry("k"),), (b"nonsense",))
        assert await cache.get("k") is None

        async def dear() -> int:
            return 7

        assert await cache.get_or_set("k", dear) == 7
        assert await cache.get("k") == 7


async def test_many_are_written_and_read_in_one_go(backend: Backend) -> None:
    cache = make()(backend.store)
    async with backend.running(cache):
        values = {f"k:{number}": number for number in range(300)}
        await cache.set_many(values, tags=("all",), type=int)
        assert await cache.get_many(list(values), type=int) == values
        await cache.delete(*list(values)[:100])
        assert len(await cache.get_many(list(values), type=int)) == 200
        await cache.invalidate(tags=("all",))
        assert await cache.get_many(list(values), type=int) == {}


async def test_nodes_agree_however_they_write_and_drop(backend: Backend) -> None:
    """Each writer's value goes up; once a node was told of a write, no node it tells may see an older one for long."""
    async with backend.instances(make()) as both:
        dice = random.Random(7)
        newest = dict.fromkeys("abcd", -1)
        for number in range(200):
            key, cache = dice.choice("abcd"), dice.choice(both)
            what = dice.random()
            if what < 0.4:
                await cache.set(key, number, tags=(f"tag-{key}",))
                newest[key] = number
            elif what < 0.5:
                await cache.invalidate(tags=(f"tag-{key}",))
                newest[key] = -1
            elif what < 0.55:
                await cache.invalidate(pattern=f"{key}*")
                newest[key] = -1
            found = await cache.get(key, -1)
            assert found == newest[key] or what >= 0.55, "a node sees its own writes and drops"
        for key, value in newest.items():
            for cache in both:

                async def agrees(cache: Cache = cache, key: str = key, value: int = value) -> bool:
                    return bool(await cache.get(key, -1) == value)

                await eventually(backend, agrees)
