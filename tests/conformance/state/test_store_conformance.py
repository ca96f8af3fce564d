"""What every store promises to primitives."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from bedplate.state.memory import Keyspace
from bedplate.state.store import Argument, Call, Operation, Store, StoreReplyError, StoreUnavailableError
from tests.stores import Backend

GET = Operation(name="get", command=("GET",), memory=lambda space, keys, _: space.get(keys[0]), reads=True)
SET = Operation(name="set", command=("SET",), memory=lambda space, keys, args: space.set(keys[0], args[0]))
PUSH = Operation(name="push", command=("RPUSH",), memory=lambda space, keys, args: space.rpush(keys[0], *args))


def _take(space: Keyspace, keys: Sequence[str], args: Sequence[Argument]) -> Any:
    if space.get(keys[0]) == b"taken":
        return [0, None]
    space.set(keys[0], "taken", px=args[0])
    space.publish("taken", keys[0])
    return [1, space.get(keys[0])]


TAKE = Operation(
    name="take",
    script="""
        if redis.call('GET', KEYS[1]) == 'taken' then return {0, false} end
        redis.call('SET', KEYS[1], 'taken', 'PX', ARGV[1])
        redis.call('PUBLISH', 'taken', KEYS[1])
        return {1, redis.call('GET', KEYS[1])}
    """,
    memory=_take,
)


def _now(space: Keyspace, keys: Sequence[str], args: Sequence[Argument]) -> Any:
    return space.now


NOW = Operation(
    name="now",
    script="local t = redis.call('TIME'); return t[1] * 1000000 + t[2]",
    memory=_now,
    reads=True,
)


async def test_every_backend_is_a_store(backend: Backend) -> None:
    assert isinstance(backend.store, Store)
    assert backend.store.shared is (backend.url != "memory://")
    async with backend.running():
        assert backend.store.available


async def test_what_is_set_is_there_for_all_instances(backend: Backend) -> None:
    async with backend.stores() as (one, other):
        assert await one.run(SET, ["a"], ["é"]) == b"OK"
        assert await other.run(GET, ["a"]) == "é".encode()
        assert await other.run(GET, ["b"]) is None


@pytest.mark.parametrize("given", [b"\x00\xff\r\n", "text", 7, -(2**63), 1.5, 1e300, ""])
async def test_arguments_of_every_type_arrive_as_redis_would_write_them(backend: Backend, given: Any) -> None:
    expected = given if isinstance(given, bytes) else str(given).encode()
    async with backend.running():
        await backend.store.run(SET, ["a"], [given])
        assert await backend.store.run(GET, ["a"]) == expected


async def test_a_script_happens_at_once_or_not_at_all(backend: Backend) -> None:
    async with backend.stores() as (one, other):
        taken = await asyncio.gather(*(store.run(TAKE, ["lock"], [60_000]) for store in [one, other] * 50))
        assert sorted(reply[0] for reply in taken) == [0] * 99 + [1]
        assert [1, b"taken"] in taken
        assert [0, None] in taken


async def test_what_has_an_end_ends(backend: Backend) -> None:
    async with backend.running():
        await backend.store.run(TAKE, ["lock"], [int(backend.short * 1000)])
        await backend.pass_(2 * backend.short)
        assert (await backend.store.run(TAKE, ["lock"], [60_000]))[0] == 1
        await backend.pass_(2 * backend.short)
        assert (await backend.store.run(TAKE, ["lock"], [60_000]))[0] == 0


async def test_time_is_the_store_s_and_goes_on(backend: Backend) -> None:
    async with backend.running():
        before = await backend.store.run(NOW, ["any"])
        await backend.pass_(backend.short)
        after = await backend.store.run(NOW, ["any"])
        assert after - before >= backend.short * 1e6 * 0.9
        assert abs(before / 1e6 - backend.clock.time()) < 60


async def test_many_stand_for_themselves(backend: Backend) -> None:
    async with backend.running():
        calls = [Call(SET, [f"k{number}"], [number]) for number in range(300)]
        assert await backend.store.run_many(calls) == [b"OK"] * 300
        reads = [Call(GET, [f"k{number}"]) for number in range(300)]
        reads[7] = Call(PUSH, ["k7"], ["x"])
        replies = await backend.store.run_many(reads)
        wrong = replies.pop(7)
        assert isinstance(wrong, StoreReplyError)
        assert wrong.code == "WRONGTYPE"
        assert replies == [b"%d" % number for number in range(300) if number != 7]
        assert await backend.store.run_many([]) == []


async def test_what_is_refused_says_why(backend: Backend) -> None:
    async with backend.running():
        await backend.store.run(SET, ["a"], [1])
        with pytest.raises(StoreReplyError) as caught:
            await backend.store.run(PUSH, ["a"], ["x"])
        assert caught.value.code == "WRONGTYPE"


async def test_a_reply_is_parsed_once_whether_or_not_somebody_waits(backend: Backend) -> None:
    parsed: list[Any] = []
    async with backend.running() as harness:
        await backend.store.run(SET, ["a"], [1], parsed=parsed.append)
        assert parsed == [b"OK"]

        async def ask() -> Any:
            return await backend.store.run(GET, ["a"], parsed=parsed.append)

        task = asyncio.create_task(ask())
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await harness.eventually(lambda: parsed == [b"OK", b"1"])


async def test_messages_are_heard_by_all_instances_in_order_from_a_call_or_a_script(backend: Backend) -> None:
    heard: list[tuple[str, bytes]] = []
    async with backend.stores() as (one, other):
        subscriptions = [
            one.listen("taken", lambda message: heard.append(("one", message))),
            other.listen("taken", lambda message: heard.append(("other", message))),
        ]
        for subscription in subscriptions:
            await subscription.ready()
        await one.publish("taken", b"first")
        await other.run(TAKE, ["lock"], [60_000])
        await one.publish("else", b"never")
        await one.publish("taken", b"last")
        await _eventually(lambda: len(heard) == 6)
        for who in ("one", "other"):
            assert [message for name, message in heard if name == who] == [b"first", b"lock", b"last"]
        subscriptions[0].close()
        await other.publish("taken", b"again")
        await _eventually(lambda: ("other", b"again") in heard)
        assert ("one", b"again") not in heard


async def test_several_in_one_process_hear_the_same_channel_and_one_may_leave(backend: Backend) -> None:
    heard: list[str] = []
    async with backend.running() as harness:
        first = backend.store.listen("news", lambda _: heard.append("first"))
        second = backend.store.listen("news", lambda _: heard.append("second"))
        await first.ready()
        await second.ready()
        await backend.store.publish("news", b"1")
        await harness.eventually(lambda: sorted(heard) == ["first", "second"])
        first.close()
        heard.clear()
        await backend.store.publish("news", b"2")
        await harness.eventually(lambda: heard == ["second"])
        third = backend.store.listen("news", lambda _: heard.append("third"))
        await third.ready()
        second.close()
        heard.clear()
        await backend.store.publish("news", b"3")
        await harness.eventually(lambda: heard == ["third"])


async def test_changes_by_others_to_what_was_read_are_told(backend: Backend) -> None:
    told: list[str | None] = []
    async with backend.stores() as (one, other):
        end = one.track("cache:", lambda keys: told.extend([None] if keys is None else keys))
        await other.run(SET, ["cache:a"], [1])
        await _tracked(backend, one, other, told)
        await one.run(GET, ["cache:a"])
        await one.run(GET, ["other:a"])
        told.clear()
        await other.run(SET, ["other:a"], [2])
        await other.run(SET, ["cache:a"], [2])
        await _eventually(lambda: "cache:a" in told)
        assert "other:a" not in told
        assert await one.run(GET, ["cache:a"]) == b"2"
        end()


async def _tracked(backend: Backend, one: Store, other: Store, told: list[Any]) -> None:
    """Return when changes are told: after the first one that was."""
    for number in range(200):
        await one.run(GET, ["cache:probe"])
        await other.run(SET, ["cache:probe"], [number])
        for _ in range(20):
            if "cache:probe" in told:
                return
            await asyncio.sleep(0.001)
    raise AssertionError("changes are not told")


async def test_what_ends_is_told_too(backend: Backend) -> None:
    told: list[Any] = []
    async with backend.stores() as (one, other):
        one.track("cache:", lambda keys: told.extend([None] if keys is None else keys))
        await _tracked(backend, one, other, told)
        await other.run(TAKE, ["cache:lock"], [int(backend.short * 1000)])
        await one.run(GET, ["cache:lock"])
        told.clear()
        await backend.pass_(2 * backend.short)
        await other.run(GET, ["cache:lock"])
        await backend.pass_(2 * backend.short)
        await _eventually(lambda: "cache:lock" in told)


async def test_after_its_end_it_is_away(backend: Backend) -> None:
    async with backend.running():
        listening = backend.store.listen("news", lambda _: None)
        await listening.ready()
    assert not backend.store.available
    with pytest.raises(StoreUnavailableError) as caught:
        await backend.store.run(GET, ["a"])
    assert not caught.value.sent
    with pytest.raises(StoreUnavailableError):
        await backend.store.publish("news", b"1")


async def _eventually(condition: Any) -> None:
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0.002)
