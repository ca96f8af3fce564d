"""What events promise, on every backend."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import pytest

from bedplate.service import Service
from bedplate.state.events import Event, Events, Stream, StreamFullError, Subscription
from bedplate.state.events.operations import ACK, CLAIM, HOLD, OPEN, TAKE, TIDY
from bedplate.state.store import Operation
from bedplate.testing import running
from tests.stores import Backend, Borrowed


@dataclass(frozen=True)
class Order:
    number: int
    amount: Decimal = Decimal("1.50")


LEN = Operation(name="xlen", command=("XLEN",), memory=lambda space, keys, _: space.xlen(keys[0]), reads=True)
FLUSH = Operation(name="del", command=("DEL",), memory=lambda space, keys, _: space.delete(*keys))


async def eventually(condition: Callable[[], Any]) -> None:
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0.002)


async def taken(subscription: Subscription[Any], count: int) -> list[Any]:
    async with asyncio.timeout(60):
        return [(await anext(subscription)).payload for _ in range(count)]


async def test_who_listens_hears_in_order_on_every_instance(backend: Backend) -> None:
    async with (
        backend.instances(Events) as (one, other),
        one.subscribe("prices.ACME") as here,
        other.subscribe("prices.ACME", Order) as there,
        other.subscribe("prices.OTHER") as elsewhere,
    ):
        ids = [await one.publish("prices.ACME", Order(number)) for number in range(3)]
        assert await taken(here, 3) == [{"number": number, "amount": "1.50"} for number in range(3)]
        assert await taken(there, 3) == [Order(0), Order(1), Order(2)]
        assert sorted(ids) == ids and here.last == there.last == ids[-1]
        await one.publish("prices.OTHER", 7)
        event = await anext(elsewhere)
        assert (event.topic, event.payload, event.missed) == ("prices.OTHER", 7, False)
        assert event.at is not None and abs(event.at.timestamp() - backend.clock.time()) < 5


async def test_who_comes_later_hears_nothing_of_before_unless_asked_for(backend: Backend) -> None:
    events = Events(backend.store)
    async with backend.running(events):
        first = await events.publish("a", 1)
        await events.publish("a", 2)
        async with events.subscribe("a") as fresh, events.subscribe("a", after=first) as resumed:
            await events.publish("a", 3)
            assert await taken(fresh, 1) == [3]
            assert await taken(resumed, 2) == [2, 3]


async def test_a_history_that_does_not_reach_back_is_said_to_miss_some(backend: Backend) -> None:
    events = Events(backend.store, history=3)
    async with backend.running(events):
        first = await events.publish("a", 0)
        for number in range(1, 6):
            await events.publish("a", number)
        async with events.subscribe("a", after=first) as resumed:
            event = await anext(resumed)
            assert (event.payload, event.missed) == (3, True)
            assert await taken(resumed, 2) == [4, 5]
        async with events.subscribe("a", after=event.id) as resumed:
            again = await anext(resumed)
            assert (again.payload, again.missed) == (4, False)


async def test_a_slow_reader_is_given_the_rest_from_the_history(backend: Backend) -> None:
    events = Events(backend.store, history=1000)
    async with backend.running(events), events.subscribe("a", buffer=5) as slow:
        for number in range(300):
            await events.publish("a", number)
        assert await taken(slow, 300) == list(range(300))
        await events.publish("a", "live")
        assert await taken(slow, 1) == ["live"]


async def test_without_a_history_a_slow_reader_is_told_that_it_missed_some(backend: Backend) -> None:
    events = Events(backend.store, history=0)
    async with backend.running(events), events.subscribe("a", buffer=2) as slow, events.subscribe("a") as quick:
        for number in range(5):
            assert await events.publish("a", number) == ""
        assert await taken(quick, 5) == [0, 1, 2, 3, 4]
        first = await anext(slow)
        assert (first.id, first.payload, first.missed, first.at) == ("", 3, True, None)
        assert await taken(slow, 1) == [4]


async def test_each_group_is_given_each_event_and_one_consumer_of_it(backend: Backend) -> None:
    done: dict[str, list[int]] = {"ledger": [], "mail": []}

    def make(store: Any) -> Events:
        events = Events(store)
        orders = events.stream("orders", Order)
        for name, numbers in done.items():

            @orders.group(name)
            async def work(event: Event[Order], numbers: list[int] = numbers) -> None:
                assert event.tries == 1 and event.payload.amount == Decimal("1.50")
                numbers.append(event.payload.number)

        return events

    async with backend.instances(make) as instances:
        for number in range(40):
            assert await instances[number % 2].streams["orders"].add(Order(number))
        await eventually(lambda: all(len(numbers) >= 40 for numbers in done.values()))
        assert all(sorted(numbers) == list(range(40)) for numbers in done.values())


async def test_what_is_added_twice_under_one_key_is_there_once(backend: Backend) -> None:
    events = Events(backend.store)
    orders = events.stream("orders", Order)
    async with backend.running(events):
        one = await orders.add(Order(1), key="order-1")
        assert await orders.add(Order(1), key="order-1") == one
        assert await orders.add(Order(2)) != one
        assert await backend.store.run(LEN, (orders.key,)) == 2


async def test_a_group_begins_with_what_is_there_or_with_what_comes(backend: Backend) -> None:
    seen: list[tuple[str, int]] = []
    producer, worker = Events(backend.store), Events(Borrowed(backend.store))
    before, orders = producer.stream("orders", int), worker.stream("orders", int)

    @orders.group("all")
    async def work(event: Event[int]) -> None:
        seen.append(("all", event.payload))

    @orders.group("new", start="now")
    async def watch(event: Event[int]) -> None:
        seen.append(("new", event.payload))

    async with backend.running(producer):
        await before.add(1)
        async with beside(backend, worker):
            await eventually(lambda: ("all", 1) in seen)
            async with asyncio.timeout(60):
                while len((await backend.store.run(TIDY, (before.key, before.dead_key), (0, 9, 60_000)))[2]) < 2:
                    await asyncio.sleep(0.002)
            await before.add(2)
            await eventually(lambda: {("all", 2), ("new", 2)} <= set(seen))
    assert ("new", 1) not in seen


async def test_a_failure_is_tried_again_and_given_up_in_the_end(backend: Backend) -> None:
    tries: list[int] = []
    broken = True
    events = Events(backend.store)
    orders = events.stream("orders", int)

    @orders.group("ledger", tries=2)
    async def work(event: Event[int]) -> None:
        tries.append(event.tries)
        if broken:
            raise RuntimeError("no such account")

    async with backend.running(events) as harness:
        await orders.add(1)
        await eventually(lambda: tries == [1])
        await _until(backend, lambda: tries == [1, 2])
        await _length(backend, orders.dead_key, 1)
        labels = {"stream": "orders", "group": "ledger"}
        assert await harness.value("bedplate_events_consumed_total", outcome="failed", **labels) == 2
        broken = False
        assert await orders.revive() == 1
        await eventually(lambda: tries == [1, 2, 1])
        await _length(backend, orders.dead_key, 0)


async def test_what_cannot_be_read_is_given_up_at_once_and_can_be_thrown_away(backend: Backend) -> None:
    events = Events(backend.store)
    plain: Stream[Any] = events.stream("orders")
    seen: list[Any] = []
    async with backend.running(events):
        await plain.add({"number": "not a number"})
    typed = Events(backend.store)
    orders = typed.stream("orders", Order)

    @orders.group("ledger")
    async def work(event: Event[Order]) -> None:
        seen.append(event)

    if backend.kind == "memory":  # it forgets when it stops
        return
    async with backend.running(typed):
        await _length(backend, orders.dead_key, 1)
        await orders.forget_dead()
        await _length(backend, orders.dead_key, 0)
    assert seen == []


async def test_a_stream_that_is_full_refuses(backend: Backend) -> None:
    events = Events(backend.store)
    orders = events.stream("orders", int, most=2)
    async with backend.running(events):
        await orders.add(1)
        await orders.add(2)
        with pytest.raises(StreamFullError, match="2 events that are not worked on"):
            await orders.add(3)


async def test_what_all_have_done_goes_when_it_is_old_and_nothing_else(backend: Backend) -> None:
    events = Events(backend.store)
    orders = events.stream("orders", int, keep=0)
    blocked = asyncio.Event()

    @orders.group("ledger", concurrency=1)
    async def work(event: Event[int]) -> None:
        if event.payload == 3:
            await blocked.wait()

    async with backend.running(events):
        for number in range(1, 6):
            await orders.add(number)

        async def rest(kept: int = 0) -> int:
            await backend.pass_(0.002)  # what is of this very moment is not old
            return int((await backend.store.run(TIDY, (orders.key, orders.dead_key), (kept, 100, 60_000)))[0])

        assert await rest(60_000) == 5
        async with asyncio.timeout(60):
            while await rest() != 3:  # 3 is being worked on; 4 and 5 wait
                await asyncio.sleep(0.005)
        blocked.set()
        async with asyncio.timeout(60):
            while await rest() > 1:  # the last one that was given out stays as the mark
                await asyncio.sleep(0.005)


async def test_a_group_that_was_wiped_out_is_made_again(shared_backend: Backend) -> None:
    backend, seen = shared_backend, list[int]()
    events = Events(backend.store)
    orders = events.stream("orders", int)

    @orders.group("ledger", idle=0.3)
    async def work(event: Event[int]) -> None:
        seen.append(event.payload)

    async with backend.running(events):
        await orders.add(1)
        await eventually(lambda: seen == [1])
        await backend.store.run(FLUSH, (orders.key,))
        await orders.add(2)
        await eventually(lambda: seen == [1, 2])


async def test_what_a_dead_consumer_took_is_given_to_another(backend: Backend) -> None:
    seen: list[tuple[int, int]] = []
    producer, worker = Events(backend.store), Events(Borrowed(backend.store))
    before = producer.stream("orders", int)
    orders = worker.stream("orders", int)

    @orders.group("ledger", idle=2 * backend.short)
    async def work(event: Event[int]) -> None:
        seen.append((event.payload, event.tries))

    async with backend.running(producer):
        await before.add(7)
        await backend.store.run(OPEN, (before.key,), ("ledger", "0"))
        assert len(await backend.store.run(TAKE, (before.key,), ("ledger", "dead", 10))) == 1
        async with beside(backend, worker):
            await _until(backend, lambda: seen)
    assert seen == [(7, 2)]


async def test_what_takes_long_is_not_taken_for_dead(backend: Backend) -> None:
    seen: list[int] = []
    release = asyncio.Event()

    def make(store: Any) -> Events:
        events = Events(store)

        @events.stream("orders", int).group("ledger", idle=20 * backend.short, timeout=60)
        async def work(event: Event[int]) -> None:
            seen.append(event.payload)
            await release.wait()

        return events

    async with backend.instances(make) as instances:
        await instances[0].streams["orders"].add(7)
        await eventually(lambda: seen)
        for _ in range(80):
            await backend.pass_(backend.short / 2)
        release.set()
    assert seen == [7]


@asynccontextmanager
async def beside(backend: Backend, events: Events) -> AsyncIterator[None]:
    """Run another instance on the store of the first."""
    service = Service("test", None, [events], settings=backend.settings())
    async with running(service, clock=backend.clock):
        yield


async def _until(backend: Backend, condition: Callable[[], Any]) -> None:
    for look in range(20_000):
        if condition():
            return
        if look < 400:  # after that it only takes real time
            await backend.pass_(backend.short / 2)
        await asyncio.sleep(0.002)
    raise AssertionError("It does not happen.")


async def _length(backend: Backend, key: str, length: int) -> None:
    async with asyncio.timeout(60):
        while await backend.store.run(LEN, (key,)) != length:
            await backend.pass_(backend.short / 4)


GROUPS = Operation(
    name="xgroup", command=("XINFO", "GROUPS"), memory=lambda space, keys, _: space.xinfo_groups(keys[0]), reads=True
)
AT = Operation(
    name="xadd",
    script="return redis.call('XADD', KEYS[1], ARGV[1], 'd', '1', 'k', ARGV[1])",
    memory=lambda space, keys, args: space.xadd(keys[0], {"d": "1", "k": args[0]}, id=args[0]),
)


async def test_what_a_group_has_not_done_stays_when_another_has_done_all_of_its_millisecond(backend: Backend) -> None:
    events = Events(backend.store)
    orders = events.stream("orders")
    async with backend.running(events):
        run, key = backend.store.run, orders.key
        for id in ("100-1", "100-2", "100-10"):
            await run(AT, (key,), (id,))
        for group, many in (("all", 10), ("behind", 1), ("zealous", 10)):
            await run(OPEN, (key,), (group, "0"))
            entries = await run(TAKE, (key,), (group, "one", many))
            await run(ACK, (key,), (group, *(id for id, _ in entries)))
        rest, _, groups = await run(TIDY, (key, orders.dead_key), (1000, 100, 60_000))
        assert rest == 3
        assert {name: count for name, count, _ in groups}[b"behind"] == 2


async def test_what_the_dead_have_left_is_found_behind_what_others_work_on(backend: Backend) -> None:
    events = Events(backend.store)
    orders = events.stream("orders")
    async with backend.running(events):
        run, key = backend.store.run, orders.key
        for number in range(31):
            await run(AT, (key,), (f"{100 + number}-0",))
        await run(OPEN, (key,), ("ledger", "0"))
        busy = await run(TAKE, (key,), ("ledger", "busy", 30))
        await run(TAKE, (key,), ("ledger", "dead", 1))
        await backend.pass_(0.3)
        await run(HOLD, (key,), ("ledger", "busy", *(id for id, _ in busy)))
        found = await run(CLAIM, (key,), ("ledger", "other", 250, 1))
        assert [id for id, _, _ in found] == [b"130-0"]


async def test_processes_that_are_gone_are_forgotten_unless_they_owe_something(shared_backend: Backend) -> None:
    events = Events(shared_backend.store)
    orders = events.stream("orders")
    async with shared_backend.running(events):
        run, keys = shared_backend.store.run, (orders.key, orders.dead_key)
        await run(OPEN, keys[:1], ("ledger", "0"))
        await run(AT, keys[:1], ("100-1",))
        for number in range(5):
            await run(TAKE, keys[:1], ("ledger", f"process-{number}", 1))
        await shared_backend.pass_(0.05)
        await run(TIDY, keys, (0, 100, 20))
        (group,) = await run(GROUPS, keys[:1])
        assert group[b"consumers"] == 1
