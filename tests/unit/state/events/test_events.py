"""Events on a driven clock and over bad lines: outages, the outbox, actions, metrics."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from bedplate.problems import BedplateError, DeclarationError
from bedplate.service import Service
from bedplate.state.events import Event, Events, EventsUnavailableError
from bedplate.state.events.metrics import AVAILABLE, DEAD, MISSED, OLDEST, OUTBOX, PUBLISHED, SUBSCRIBERS
from bedplate.state.memory.component import Memory
from bedplate.state.store import Operation
from bedplate.testing import CASES, Harness, running, settings
from tests.unit.state.far_store import FarStore


def make(folder: Path | None = None) -> Events:
    events = Events(Memory(), outbox=folder)
    orders = events.stream("orders", int)

    @orders.group("ledger")
    async def work(event: Event[int]) -> None:
        pass

    return events


@asynccontextmanager
async def far(lost: float = 0.0, **options: Any) -> AsyncIterator[tuple[FarStore, Events, Harness]]:
    store = FarStore(random.Random(7), lost=lost)
    events = Events(store, **options)
    events.stream("orders", int)
    async with running(Service("test", None, [events], settings=settings())) as harness:
        yield store, events, harness


LEN = Operation(name="xlen", command=("XLEN",), memory=lambda space, keys, _: space.xlen(keys[0]), reads=True)
ALL = Operation(name="xrange", command=("XRANGE",), memory=lambda space, keys, _: space.xrange(keys[0]), reads=True)


#: Seconds of the clock in which all is done, and looks until that has taken the real time it may take.
ROUNDS, LOOKS = 200, 20_000


async def length(store: Memory, key: str, harness: Harness, wanted: int) -> None:
    for look in range(LOOKS):
        if await store.run(LEN, (key,)) == wanted:
            return
        if look < ROUNDS:
            await harness.clock.advance(1)
        await asyncio.sleep(0.001)
    raise AssertionError(f"{key} never holds {wanted}.")


async def numbers(store: Memory, key: str) -> list[int]:
    return [int(fields[1]) for _, fields in await store.run(ALL, (key,))]


async def eventually(harness: Harness, condition: Callable[[], Any]) -> None:
    for look in range(LOOKS):
        if condition():
            return
        if look < ROUNDS:
            await harness.clock.advance(1)
        await asyncio.sleep(0.001)
    raise AssertionError("It does not happen.")


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
async def test_events_conform(case: Any, tmp_path: Path) -> None:
    await case(lambda: make(tmp_path / "outbox"))


async def test_without_the_store_publishing_and_adding_are_refused_and_counted() -> None:
    async with far() as (store, events, harness):
        store.set_away(True)
        for attempt in (events.publish("a", 1), events.streams["orders"].add(1)):
            with pytest.raises(EventsUnavailableError) as told:
                await attempt
            assert told.value.status_code == 503 and not told.value.sent
        with pytest.raises(EventsUnavailableError):
            async with events.subscribe("a"):
                pass
        assert await harness.value(PUBLISHED, outcome="refused") == 2
        assert await harness.value(AVAILABLE) == 0
        view = next(view for view in harness.service.views if view.component is events)
        assert view.state == "degraded" and "The store is away" in view.reason
        store.set_away(False)
        assert await events.publish("a", 1)
        assert await harness.value(AVAILABLE) == 1


async def test_a_subscriber_waits_an_outage_out_and_is_given_what_came_at_its_end() -> None:
    async with far() as (store, events, harness), events.subscribe("a") as subscription:
        await events.publish("a", 1)
        assert (await anext(subscription)).payload == 1
        store.set_away(True)
        # Somebody who reaches the store publishes, and no message of it comes through.
        heard = asyncio.ensure_future(anext(subscription))
        store.set_away(False)
        await events.publish("a", 2)
        await eventually(harness, heard.done)
        assert (heard.result().payload, heard.result().missed) == (2, False)


async def test_without_a_history_an_outage_is_told_as_missed() -> None:
    async with far(history=0) as (store, events, harness), events.subscribe("a") as subscription:
        store.set_away(True)
        store.set_away(False)
        await events.publish("a", 1)
        assert (await anext(subscription)).missed
        assert await harness.value(MISSED) == 1


async def test_what_is_added_over_a_bad_line_is_there_once() -> None:
    async with far(lost=0.4) as (store, events, _harness):
        for number in range(60):
            while True:
                try:
                    await events.streams["orders"].add(number, key=f"order-{number}")
                except EventsUnavailableError:
                    continue
                break
        assert await numbers(store.near, events.streams["orders"].key) == list(range(60))


async def test_the_outbox_keeps_the_order_and_empties_when_the_store_is_back(tmp_path: Path) -> None:
    async with far(outbox=tmp_path) as (store, events, harness):
        orders = events.streams["orders"]
        assert await orders.add(0)
        store.set_away(True)
        assert [await orders.add(number) for number in (1, 2)] == [None, None]
        assert await harness.value(OUTBOX) == 2
        (file,) = tmp_path.iterdir()
        assert file.stat().st_mode & 0o077 == 0 and len(file.read_bytes().splitlines()) == 2
        store.away = False
        # What comes before it still waits, so it waits, too.
        assert await orders.add(3) is None
        store.set_away(False)
        await length(store.near, orders.key, harness, 4)
        assert await numbers(store.near, orders.key) == [0, 1, 2, 3]
        await eventually(harness, lambda: file.stat().st_size == 0)
        assert await harness.value(OUTBOX) == 0
    assert list(tmp_path.iterdir()) == []


async def test_a_process_that_died_leaves_its_outbox_to_the_next(tmp_path: Path) -> None:
    dead = tmp_path / "test-default-0.jsonl"
    dead.write_bytes(b'["orders","a","7"]\n["orders","b","8"]\n["orders","c",')
    async with far(outbox=tmp_path) as (store, events, harness):
        orders = events.streams["orders"]
        await length(store.near, orders.key, harness, 2)
        assert await numbers(store.near, orders.key) == [7, 8]
        assert not dead.exists()


async def test_an_outbox_of_a_living_process_is_left_alone_and_a_full_one_refuses(tmp_path: Path) -> None:
    async with (
        far(outbox=tmp_path, outbox_most=1) as (store, events, _harness),
        far(outbox=tmp_path) as (_other_store, _other, _),
    ):
        store.set_away(True)
        await events.streams["orders"].add(1)
        with pytest.raises(EventsUnavailableError, match="1 events wait on disk"):
            await events.streams["orders"].add(2)
        async with far(outbox=tmp_path) as (_third, later, _):
            assert later.overview()["outboxEntries"] == 0
        assert events.overview()["outboxEntries"] == 1


async def test_what_waits_on_disk_outlives_the_service(tmp_path: Path) -> None:
    async with far(outbox=tmp_path) as (store, events, harness):
        store.set_away(True)
        await events.streams["orders"].add(1)
    async with far(outbox=tmp_path) as (store, events, harness):
        await length(store.near, events.streams["orders"].key, harness, 1)


async def test_how_far_groups_are_is_measured_and_the_dead_are_revived_by_a_button() -> None:
    store = Memory()
    events = Events(store)
    orders = events.stream("orders", int)
    broken = True

    @orders.group("ledger", tries=1)
    async def work(event: Event[int]) -> None:
        if broken:
            raise ValueError("no")

    async with running(Service("test", None, [events], settings=settings())) as harness:
        await orders.add(1)
        await length(store, orders.dead_key, harness, 1)
        await harness.clock.advance(20)
        assert await harness.value(DEAD, stream="orders") == 1
        assert await harness.value(OLDEST, stream="orders", group="ledger") == 0
        revive, forget = events.actions()
        assert (revive.role, forget.role, forget.danger) == ("operator", "admin", True)
        assert revive.parameters is not None and revive.refused is not None and revive.refused() is None
        broken = False
        actor: Any = None
        assert await revive.run(revive.parameters(stream="orders"), actor) == {"revived": 1}
        await length(store, orders.dead_key, harness, 0)
        with pytest.raises(BedplateError, match="There is no stream others"):
            await forget.run(revive.parameters(stream="others"), actor)


async def test_subscribers_are_counted_and_share_one_subscription_at_the_store() -> None:
    async with far() as (_store, events, harness):
        async with events.subscribe("a"), events.subscribe("a"), events.subscribe("b"):
            assert await harness.value(SUBSCRIBERS) == 3
        assert await harness.value(SUBSCRIBERS) == 0


async def test_an_event_that_is_not_what_a_subscriber_expects_is_logged_and_left_out() -> None:
    async with far() as (_store, events, _harness), events.subscribe("a", int) as subscription:
        await events.publish("a", "seven")
        await events.publish("a", 7)
        assert (await anext(subscription)).payload == 7


async def test_what_cannot_be_is_refused() -> None:
    events = Events(Memory())
    events.stream("orders")
    for name in ("orders", "a b"):
        with pytest.raises(DeclarationError):
            events.stream(name)
    with pytest.raises(DeclarationError):
        Events(Memory(), history=-1)
    orders = events.streams["orders"]
    orders.group("ledger")(lambda event: asyncio.sleep(0))
    with pytest.raises(DeclarationError, match="two groups ledger"):
        orders.group("ledger")
    with pytest.raises(DeclarationError):
        orders.group("mail", tries=0)
    async with running(Service("test", None, [events], settings=settings())):
        with pytest.raises(DeclarationError, match="comes too late"):
            events.stream("late")
        with pytest.raises(ValueError, match="is no topic"):
            await events.publish("a b", 1)
        with pytest.raises(ValueError):
            events.subscribe("a", after="yesterday")
    with pytest.raises(EventsUnavailableError, match="does not run"):
        await events.publish("a", 1)


async def test_the_process_that_watches_does_no_work() -> None:
    events = Events(Memory())
    worked: list[int] = []

    @events.stream("orders", int).group("ledger")
    async def work(event: Event[int]) -> None:
        worked.append(event.payload)

    service = Service("test", None, [events], settings=settings())
    async with running(service, role="ops") as harness:
        await events.streams["orders"].add(1)
        await harness.clock.advance(20)
    assert worked == []


async def test_a_subscription_ends_with_the_service() -> None:
    events = Events(Memory())
    async with running(Service("test", None, [events], settings=settings())):
        subscribing = events.subscribe("a")
        subscription = await subscribing.__aenter__()
        reading = asyncio.ensure_future(anext(subscription))
        await asyncio.sleep(0)
    async with asyncio.timeout(60):
        with pytest.raises(StopAsyncIteration):
            await reading
    await subscribing.__aexit__(None, None, None)
