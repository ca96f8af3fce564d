"""Where events could be lost without a word: each of these was, once."""

from __future__ import annotations

import asyncio
import errno
import os
import random
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from bedplate.service import Service
from bedplate.state.events import BadResumeError, Events, EventsUnavailableError
from bedplate.state.events.bridge import _id
from bedplate.state.events.operations import CLAIM, HOLD, OPEN, TAKE
from bedplate.state.memory.component import Memory
from bedplate.state.memory.settings import MemorySettings
from bedplate.state.store import Operation, StoreReplyError
from bedplate.testing import Harness, running, settings
from tests.unit.state.far_store import FarStore

ALL = Operation(name="xrange", command=("XRANGE",), memory=lambda space, keys, _: space.xrange(keys[0]), reads=True)


async def test_what_is_heard_while_a_long_history_is_read_does_not_hide_the_rest_of_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    events = Events(Memory(), history=1000)
    async with running(Service("test", None, [events], settings=settings())):
        first = await events.publish("a", 0)
        for number in range(1, 150):
            await events.publish("a", number)
        since, published = events.since, 150

        async def slowly(topic: str, after: str, count: int) -> Any:
            nonlocal published
            answer = await since(topic, after, count)
            if published < 153:
                await events.publish("a", published)
                await asyncio.sleep(0.001)  # it is heard before the answer comes
                published += 1
            return answer

        monkeypatch.setattr(events, "since", slowly)
        async with asyncio.timeout(60), events.subscribe("a", after=first) as subscription:
            got = [(await anext(subscription)).payload for _ in range(151)]
    assert got == list(range(1, 152))


async def test_what_is_heard_while_the_history_cannot_be_read_does_not_hide_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    events = Events(Memory())
    async with running(Service("test", None, [events], settings=settings())) as harness:
        first = await events.publish("a", 0)
        await events.publish("a", 1)
        since, failed = events.since, False

        async def failing(topic: str, after: str, count: int) -> Any:
            nonlocal failed
            if not failed:
                failed = True
                await events.publish("a", 2)
                await asyncio.sleep(0.001)
                raise EventsUnavailableError("it is away")
            return await since(topic, after, count)

        monkeypatch.setattr(events, "since", failing)
        async with asyncio.timeout(60), events.subscribe("a", after=first) as subscription:
            got = asyncio.ensure_future(anext(subscription))
            while not got.done():
                await harness.clock.advance(1)
                await asyncio.sleep(0)
            assert [got.result().payload, (await anext(subscription)).payload] == [1, 2]


async def test_a_history_that_ended_meanwhile_is_said_to_miss_some() -> None:
    events = Events(Memory(), history_seconds=10)
    async with running(Service("test", None, [events], settings=settings())) as harness:
        first = await events.publish("a", 0)
        await events.publish("a", "nobody is given this")
        await harness.clock.advance(11)
        async with events.subscribe("a", after=first) as resumed:
            following = asyncio.ensure_future(anext(resumed))
            await asyncio.sleep(0.001)  # it finds the history empty
            await events.publish("a", 2)
            event = await following
        assert (event.payload, event.missed) == (2, True)


async def test_a_topic_that_was_only_silent_misses_nothing() -> None:
    events = Events(Memory(), history_seconds=10)
    async with running(Service("test", None, [events], settings=settings())) as harness:
        async with events.subscribe("a") as subscription:
            await events.publish("a", 1)
            assert (await anext(subscription)).payload == 1
            got = asyncio.ensure_future(anext(subscription))
            for _ in range(60):
                await harness.clock.advance(1)
                await asyncio.sleep(0)
            await events.publish("a", 2)
            assert ((await got).payload, (await got).missed) == (2, False)


@pytest.mark.parametrize("text", ["-5", "1_000", "+7", " 7", "٣", "9" * 30, "7-", "7-x"])
def test_what_no_store_takes_for_an_id_is_refused_at_once(text: str) -> None:
    with pytest.raises(BadResumeError):
        _id(text)


async def test_a_full_store_refuses_what_is_published_and_an_outbox_takes_what_is_added(tmp_path: Path) -> None:
    for folder in (None, tmp_path):
        store = Memory(settings=MemorySettings(most=64 * 1024))
        events = Events(store, outbox=folder)
        orders = events.stream("orders", str)
        async with running(Service("test", None, [events], settings=settings())):
            with suppress(StoreReplyError):
                for _ in range(100):
                    await store.run(FILL, ("other",), ("x" * 1000,))
            with pytest.raises(EventsUnavailableError) as told:
                await events.publish("a", "x" * 2000)
            assert told.value.status_code == 503
            if folder is None:
                with pytest.raises(EventsUnavailableError):
                    await orders.add("x" * 2000)
            else:
                assert await orders.add("x" * 2000) is None


FILL = Operation(name="rpush", command=("RPUSH",), memory=lambda space, keys, args: space.rpush(keys[0], *args))


async def test_a_disk_that_takes_only_a_part_refuses_and_harms_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = FarStore(random.Random(7))
    events = Events(store, outbox=tmp_path)
    orders = events.stream("orders", int)
    async with running(Service("test", None, [events], settings=settings())):
        store.set_away(True)
        write = os.write
        full = False

        def partly(fd: int, data: bytes) -> int:
            if full and len(data) <= 8:
                raise OSError(errno.ENOSPC, "No space left on device")
            return write(fd, data[:8])

        monkeypatch.setattr(os, "write", partly)
        await orders.add(1, key="a")
        full = True
        with pytest.raises(EventsUnavailableError, match="No space left"):
            await orders.add(2, key="b")
        full = False
        await orders.add(3, key="c")
        (file,) = tmp_path.iterdir()
        assert file.read_bytes() == b'["orders","a","1"]\n["orders","c","3"]\n'


async def test_an_outbox_empties_while_more_is_added_all_the_time(tmp_path: Path) -> None:
    store = FarStore(random.Random(7))
    events = Events(store, outbox=tmp_path)
    orders = events.stream("orders", int)
    async with running(Service("test", None, [events], settings=settings())) as harness:
        store.set_away(True)
        for number in range(20):
            await orders.add(number)
        store.set_away(False)
        most = 0

        async def adding() -> None:
            nonlocal most
            for number in range(100):
                await orders.add(number)
                most = max(most, events.overview()["outboxEntries"])

        await asyncio.gather(*(adding() for _ in range(8)), harness.clock.advance(1))
        assert most < 150
        await eventually(harness, lambda: events.overview()["outboxEntries"] == 0)


async def eventually(harness: Harness, condition: Callable[[], Any]) -> None:
    async with asyncio.timeout(60):
        while not condition():
            await harness.clock.advance(1)
            await asyncio.sleep(0.001)


async def test_one_stream_that_is_full_does_not_hold_up_the_others(tmp_path: Path) -> None:
    store = FarStore(random.Random(7))
    events = Events(store, outbox=tmp_path)
    full, orders = events.stream("full", int, most=1), events.stream("orders", int)
    (tmp_path / "test-default-0.jsonl").write_bytes(b'["gone","x","0"]\n')
    async with running(Service("test", None, [events], settings=settings())) as harness:
        await full.put("first", b"1")
        store.set_away(True)
        await full.add(2)
        await orders.add(7)
        store.set_away(False)
        async with asyncio.timeout(60):
            while not await store.near.run(ALL, (orders.key,)):
                await harness.clock.advance(1)
                await asyncio.sleep(0.001)
        # The others still wait, in the process and on the disk.
        assert events.overview()["outboxEntries"] == 2


async def test_what_the_dead_have_left_is_found_behind_much_that_is_being_worked_on() -> None:
    events = Events(Memory())
    orders = events.stream("orders", int)
    async with running(Service("test", None, [events], settings=settings())) as harness:
        store, key = events.store, orders.key
        for number in range(31):
            await orders.add(number)
        await store.run(OPEN, (key,), ("ledger", "0"))
        await store.run(TAKE, (key,), ("ledger", "busy", 30))
        await store.run(TAKE, (key,), ("ledger", "dead", 1))
        await harness.clock.advance(60)
        ids = [id for id, _ in (await store.run(ALL, (key,)))[:30]]
        await store.run(HOLD, (key,), ("ledger", "busy", *ids))
        found = await store.run(CLAIM, (key,), ("ledger", "other", 30_000, 1))
        assert [fields[1] for _, fields, _ in found] == [b"30"]
