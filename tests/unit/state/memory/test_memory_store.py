"""The store in the process, as a component: what it promises to primitives and to operators."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from bedplate.service import RunOptions, Service
from bedplate.state.memory import Keyspace, Memory, MemorySettings
from bedplate.state.memory.metrics import BYTES, KEYS, OPERATIONS, REFUSED, REMOVED
from bedplate.state.store import Argument, Call, Operation, Store, StoreReplyError, StoreUnavailableError
from bedplate.testing import CASES, running, settings

GET = Operation(name="get", command=("GET",), memory=lambda space, keys, _: space.get(keys[0]), reads=True)
SET = Operation(name="set", command=("SET",), memory=lambda space, keys, args: space.set(keys[0], args[0]))
PUSH = Operation(name="push", command=("RPUSH",), memory=lambda space, keys, args: space.rpush(keys[0], *args))
DELETE = Operation(name="delete", command=("DEL",), memory=lambda space, keys, _: space.delete(*keys))


def _set_for(space: Keyspace, keys: Sequence[str], args: Sequence[Argument]) -> Any:
    space.publish("news", args[0])
    return space.set(keys[0], args[0], px=args[1])


SET_FOR = Operation(name="set_for", script="return 1", memory=_set_for)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
@pytest.mark.parametrize("role", ["state", "cache"])
async def test_memory_conforms(case: Any, role: Any) -> None:
    await case(lambda: Memory(role=role))


async def test_an_operation_is_done_when_it_is_called_and_its_reply_takes_no_turn_of_the_loop() -> None:
    store: Store = Memory()
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    async with running(store):
        counting = asyncio.create_task(count())
        await asyncio.sleep(0)
        before = turns
        waiting = store.run(SET, ["a"], ["1"])
        assert await store.run(GET, ["a"]) == b"1"
        assert await waiting == b"OK"
        assert turns == before
        counting.cancel()


async def test_several_operations_stand_for_themselves() -> None:
    store = Memory()
    async with running(store):
        replies = await store.run_many([Call(SET, ["a"], [1]), Call(PUSH, ["a"], [1]), Call(GET, ["a"])])
        assert (replies[0], replies[2]) == (b"OK", b"1")
        assert isinstance(replies[1], StoreReplyError)
        assert replies[1].code == "WRONGTYPE"


async def test_a_refused_operation_raises_where_it_is_awaited_and_is_counted() -> None:
    store = Memory()
    async with running(store) as harness:
        await store.run(SET, ["a"], [1])
        waiting = store.run(PUSH, ["a"], [1])
        with pytest.raises(StoreReplyError) as caught:
            await waiting
        assert caught.value.code == "WRONGTYPE"
        assert await harness.value(OPERATIONS) == 2
        assert await harness.value(REFUSED, reason="wrongtype") == 1


async def test_before_its_start_and_after_its_end_it_is_away_and_nothing_is_left_of_its_data() -> None:
    store = Memory()
    assert not store.available
    with pytest.raises(StoreUnavailableError):
        await store.run(GET, ["a"])
    with pytest.raises(StoreUnavailableError):
        await store.listen("news", lambda _: None).ready()
    async with running(store):
        assert store.available
        await store.run(SET, ["a"], [1])
    with pytest.raises(StoreUnavailableError):
        await store.run_many([Call(GET, ["a"])])
    with pytest.raises(StoreUnavailableError):
        await store.publish("news", b"1")
    async with running(store):
        assert await store.run(GET, ["a"]) is None


async def test_keys_end_by_the_service_s_clock_and_those_nobody_asks_for_are_removed() -> None:
    store = Memory()
    async with running(store) as harness:
        await store.run(SET_FOR, ["a"], ["1", 1500])
        await harness.clock.advance(1.4)
        assert await store.run(GET, ["a"]) == b"1"
        for key in range(3000):
            await store.run(SET_FOR, [f"b{key}"], ["1", 500])
        await harness.clock.advance(4.0)
        assert await harness.value(KEYS) == await harness.value(BYTES) == 0
        assert await harness.value(REMOVED, reason="ended") == 3001


async def test_what_is_published_is_heard_in_order_and_in_a_later_turn() -> None:
    store = Memory()
    heard: list[bytes] = []
    async with running(store) as harness:
        listening = store.listen("news", heard.append)
        other = store.listen("news", heard.append)
        await listening.ready()
        assert await store.publish("news", b"1") == 2
        other.close()
        await store.run(SET_FOR, ["a"], ["2", 1000])
        assert await store.publish("else", b"3") == 0
        assert heard == []
        await harness.eventually(lambda: heard == [b"1", b"2"])
        listening.close()
        listening.close()
        assert await store.publish("news", b"4") == 0


async def test_a_listener_that_fails_harms_neither_the_publisher_nor_others() -> None:
    store = Memory()
    heard: list[bytes] = []

    def broken(_: bytes) -> None:
        raise RuntimeError("broken on purpose")

    async with running(store) as harness:
        store.listen("news", broken)
        store.listen("news", heard.append)
        assert await store.publish("news", b"1") == 2
        await harness.eventually(lambda: heard == [b"1"])


async def test_changes_are_told_after_the_reply_was_parsed_and_before_anything_else() -> None:
    store = Memory()
    seen: list[object] = []
    async with running(store) as harness:
        end = store.track("a", lambda keys: seen.append(None if keys is None else list(keys)))
        await store.run(SET_FOR, ["a1"], ["1", 1000], parsed=seen.append)
        assert seen == [b"OK", ["a1"]]
        await store.run(SET, ["b1"], ["1"])
        await store.run(DELETE, ["a1", "b1"])
        assert seen[2:] == [["a1"]]
        await store.run(SET_FOR, ["a2"], ["1", 1000])
        await harness.clock.advance(5)
        assert seen[3:] == [["a2"], ["a2"]]
        end()
        await store.run(SET, ["a3"], ["1"])
        assert len(seen) == 5


async def test_who_holds_data_is_told_to_drop_it_when_the_store_ends() -> None:
    store = Memory()
    seen: list[Sequence[str] | None] = []
    store.track("a", seen.append)
    async with running(store):
        await store.run(SET, ["a"], ["1"])
    assert seen == [["a"], None]


async def test_a_full_cache_forgets_what_was_used_longest_ago() -> None:
    store = Memory(role="cache", settings=MemorySettings(most=64 * 1024))
    async with running(store) as harness:
        await store.run(SET, ["first"], ["x"])
        for number in range(200):
            await store.run(SET, [f"k{number}"], ["x" * 1000])
            assert await store.run(GET, ["first"]) == b"x"
        assert await store.run(GET, ["k199"]) is not None
        assert await store.run(GET, ["k0"]) is None
        await harness.clock.advance(2)
        assert await harness.value(REMOVED, reason="evicted") > 100
        assert await harness.value(BYTES) <= 65 * 1024


async def test_full_state_refuses_to_grow_and_still_reads_and_removes() -> None:
    store = Memory(settings=MemorySettings(most=64 * 1024))
    async with running(store) as harness:
        replies = await store.run_many([Call(SET, [f"k{number}"], ["x" * 1000]) for number in range(100)])
        errors = [reply for reply in replies if isinstance(reply, StoreReplyError)]
        assert {error.code for error in errors} == {"OOM"}
        assert 30 < len(errors) < 50
        assert await store.run(GET, ["k0"]) is not None
        assert await store.run(DELETE, [f"k{number}" for number in range(20)]) == 20
        assert await store.run(SET, ["new"], ["x"]) == b"OK"
        assert await harness.value(REFUSED, reason="oom") == len(errors)


async def test_its_numbers_are_on_one_page_with_everything_else() -> None:
    store = Memory("reports", role="cache")
    async with running(store) as harness:
        await store.run(SET, ["a"], ["x"])
        told = (await harness.client.get("/monitoring/unified/metrics")).json()["memory"]
        assert (told["type"], told["available"], told["role"], told["memoryEntries"]) == ("memory", True, "cache", 1)
        assert 0 < told["memoryBytes"] < told["memoryLimitBytes"]
    assert not store.overview()["available"]


async def test_production_refuses_it_unless_it_was_asked_for_by_name() -> None:
    assert [refusal.mend for refusal in Memory().refusals("production", {})] != []
    assert list(Memory(chosen=True).refusals("production", {})) == []
    assert list(Memory().refusals("development", {})) == []


async def test_one_of_several_workers_says_that_it_shares_nothing(tmp_path: Any) -> None:
    store = Memory()
    service = Service("ledger", None, [store], settings=settings())
    async with service.running(RunOptions(directory=tmp_path, instance="1")):
        view = next(view for view in service.views if view.component is store)
        assert view.state == "degraded"
        assert "other" in view.reason
    async with running(Service("ledger", None, [other := Memory()], settings=settings())) as harness:
        view = next(view for view in harness.service.views if view.component is other)
        assert view.state == "running"
