"""What a rate limit does while its store is away, and when it comes back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest
from fastapi import FastAPI
from hypothesis import given
from hypothesis import strategies as st

from bedplate.service import Service
from bedplate.state.limits import Limit, RateLimit
from bedplate.state.limits.metrics import DEGRADED, ERRORS, FORGOTTEN, INSTANCES, KEYS, LOCAL
from bedplate.state.limits.share import Share
from bedplate.state.memory import Memory
from bedplate.testing import Harness, ManualClock, running, settings
from tests.unit.state.limits.faulty_store import Fault, Faulty

SECOND = 1_000_000


@asynccontextmanager
async def fleet(count: int, **terms: Any) -> AsyncIterator[tuple[list[RateLimit], list[Faulty], Harness]]:
    """Run instances of one service on the same data, each with a connection of its own that can break."""
    memory, clock = Memory(), ManualClock()
    stores = [Faulty(memory) for _ in range(count)]
    limits = [RateLimit(store, **terms) for store in stores]
    async with AsyncExitStack() as stack:
        owner = await stack.enter_async_context(running(memory, clock=clock))
        for store, limit in zip(stores, limits, strict=True):
            service = Service("shop", None, [store, limit], settings=settings())
            await stack.enter_async_context(running(service, clock=clock))
        await clock.advance(6)
        yield limits, stores, owner


async def passes(limit: RateLimit, times: int, key: str = "a") -> int:
    """Return how many of so many requests pass."""
    return sum([(await limit.take(key)).allowed for _ in range(times)])


@pytest.mark.parametrize("count", [1, 2, 4])
async def test_instances_learn_how_many_they_are_and_share_when_alone(count: int) -> None:
    async with fleet(count, limits="100/minute") as (limits, stores, _):
        assert [limit.overview()["instances"] for limit in limits] == [count] * count
        for store in stores:
            store.breaks("gone")
        assert [await passes(limit, 150) for limit in limits] == [100 // count] * count
        decision = await limits[0].take("a")
        assert (decision.allowed, decision.alone, decision.remaining) == (False, True, 0)
        assert decision.retry_after == pytest.approx(0.6 * count, abs=1e-5)


async def test_one_that_stops_leaves_its_part_to_the_others() -> None:
    memory, clock = Memory(), ManualClock()
    staying, leaving = (RateLimit(Faulty(memory), limits="10/minute") for _ in range(2))

    async def known() -> Any:
        await clock.advance(21)
        return staying.overview()["instances"]

    async with running(memory, clock=clock), running(staying, clock=clock):
        assert await known() == 1
        async with running(leaving, clock=clock):
            assert await known() == 2
        assert await known() == 1


async def test_one_that_dies_is_forgotten_by_the_others() -> None:
    async with fleet(3, limits="10/minute") as (limits, stores, owner):
        stores[2].breaks("gone")
        await owner.clock.advance(40)
        assert limits[0].overview()["instances"] == 2
        assert limits[2].overview() | {"limits": [], "keys": 0} == {
            "limits": [],
            "keys": 0,
            "alone": True,
            "instances": 3,
            "refused_for_now": 0,
        }


async def test_a_store_that_lost_its_data_and_goes_again_makes_nobody_generous() -> None:
    async with fleet(4, limits="100/minute") as (limits, stores, owner):
        for fault in ("gone", "", "gone"):
            stores[0].forget()
            for store in stores:
                store.breaks(fault)  # type: ignore[arg-type]
            await owner.clock.advance(0.1)
        assert sum([await passes(limit, 150, "b") for limit in limits]) == 100


async def test_how_many_there_are_at_least_can_be_said() -> None:
    store = Faulty()
    store.fault = "gone"
    limit = RateLimit(store, limits="100/minute", instances=4)
    async with running(limit):
        assert await passes(limit, 100) == 25


async def test_a_hung_store_costs_one_wait_once() -> None:
    async with fleet(1, limits="5/minute", timeout=0.1) as (limits, stores, owner):
        stores[0].breaks("hung", told=False)
        waiting = [asyncio.create_task(limits[0].take("a")) for _ in range(3)]
        await owner.clock.advance(0.05)
        assert not any(task.done() for task in waiting)
        await owner.clock.advance(0.06)
        assert [task.result().alone for task in waiting] == [True] * 3
        takes = stores[0].takes
        # From now on nobody waits, and nobody asks; a task of its own does.
        assert (await limits[0].take("a")).alone
        assert (await limits[0].take("b")).alone
        assert stores[0].takes == takes
        await owner.clock.advance(20)
        assert stores[0].takes == takes
        stores[0].breaks("", told=False)
        await owner.clock.advance(1.2)
        assert not (await limits[0].take("c")).alone
        assert stores[0].takes == takes + 1


async def test_one_late_answer_is_no_outage() -> None:
    async with fleet(1, limits="5/minute", timeout=0.1) as (limits, stores, owner):
        stores[0].breaks("hung", told=False)
        waiting = asyncio.create_task(limits[0].take("a"))
        await owner.clock.advance(0.05)
        stores[0].breaks("", told=False)
        await owner.clock.advance(0.06)
        assert (await waiting).alone
        assert not (await limits[0].take("a")).alone


@pytest.mark.parametrize("fault", ["gone", "hung", "OOM"])
async def test_no_request_fails_and_people_are_told(fault: Fault) -> None:
    store = Faulty()
    limit = RateLimit(store, limits="100/hour")
    app = FastAPI()
    app.get("/")(lambda: 1)
    async with running(Service("ledger", app, [limit], settings=settings())) as harness:
        await harness.client.get("/")
        store.breaks(fault, told=False)
        first = asyncio.create_task(harness.client.get("/"))
        await harness.clock.advance(0.2)
        answers = [await first, *[await harness.client.get("/") for _ in range(5)]]
        assert {answer.status_code for answer in answers} == {200}
        assert answers[-1].headers["ratelimit"].startswith('"default";r=94;')
        kind = {"gone": "unavailable", "hung": "timeout", "OOM": "reply"}[fault]
        assert await harness.value(ERRORS(kind=kind)) >= 1
        assert await harness.value(LOCAL(why="away")) == 6
        assert await harness.value(DEGRADED) == 1
        (view,) = [view for view in harness.service.views if view.component is limit]
        assert view.state == "degraded"
        assert "all of every quota" in view.reason
        await harness.clock.advance(2)
        assert await harness.value(KEYS) == 1
        store.breaks("")
        await harness.clock.advance(2)
        assert await harness.value(DEGRADED) == 0
        assert await harness.value(INSTANCES) == 1
        (view,) = [view for view in harness.service.views if view.component is limit]
        assert view.state == "running"
        # What was let through alone was charged.
        assert 93 <= (await limit.peek("127.0.0.1")).remaining <= 95


async def test_an_error_of_one_key_leaves_the_others_alone() -> None:
    async with fleet(1, limits="5/minute") as (limits, stores, _):
        stores[0].breaks("WRONGTYPE", told=False)
        decision = await limits[0].take("a")
        assert (decision.allowed, decision.alone) == (True, True)
        stores[0].breaks("", told=False)
        assert not (await limits[0].take("b")).alone
        assert not limits[0].overview()["alone"]


@pytest.mark.parametrize("lost", [False, True])
@pytest.mark.parametrize("strategy", ["gcra", "fixed_window", "sliding_window"])
async def test_nobody_starts_anew_when_the_store_is_back(strategy: Any, lost: bool) -> None:
    async with fleet(2, limits="100/hour", strategy=strategy) as (limits, stores, owner):
        for store in stores:
            store.breaks("gone")
        assert sum([await passes(limit, 200) for limit in limits]) == 100
        if lost:
            owner.service.components[0]
            stores[0].forget()
        for store in stores:
            store.breaks("")
        await owner.clock.advance(3)
        # A few were refilled while it came back.
        assert sum([await passes(limit, 200) for limit in limits]) <= 1
        assert not limits[0].overview()["alone"]


async def test_several_limits_come_back_each_with_its_own_debt() -> None:
    both = [Limit(5, 1, "second"), Limit(100, 86400, "day")]
    async with fleet(1, limits=both) as (limits, stores, owner):
        stores[0].breaks("gone")
        for _ in range(4):
            assert await passes(limits[0], 9) == 5
            await owner.clock.advance(1)
        stores[0].breaks("")
        await owner.clock.advance(1)
        decision = await limits[0].peek("a", 5)
        assert decision.allowed
        day = dict(decision.headers)[b"ratelimit"].decode().split(", ")[1]
        assert day.startswith('"day";r=80;')


async def test_debts_that_cannot_be_told_are_kept() -> None:
    async with fleet(1, limits="1000/day") as (limits, stores, owner):
        stores[0].breaks("gone")
        for number in range(600):
            await limits[0].charge(f"k{number}", 7)
        told = 0
        real = stores[0].memory.run

        def breaks_soon(*args: Any, **given: Any) -> Any:
            nonlocal told
            told += 1
            if told == 250:
                stores[0].fault = "gone"
            return real(*args, **given)

        stores[0].memory.run = breaks_soon  # type: ignore[method-assign]
        stores[0].breaks("")
        await owner.clock.advance(0)
        assert limits[0].overview()["alone"]
        stores[0].memory.run = real  # type: ignore[method-assign]
        stores[0].breaks("")
        await owner.clock.advance(2)
        left = [(await limits[0].peek(f"k{number}")).remaining for number in range(600)]
        # Some were told twice, since nobody knows what a store did that went away; none was forgotten.
        assert set(left) <= {993, 986, 994}
        assert left.count(986) <= 200


async def test_what_is_refused_by_the_store_stays_refused_when_it_goes() -> None:
    async with fleet(1, limits="2/hour") as (limits, stores, _):
        assert await passes(limits[0], 3) == 2
        stores[0].breaks("gone")
        assert await passes(limits[0], 3) == 0


async def test_plain_calls_work_alone() -> None:
    async with fleet(1, limits="10/hour") as (limits, stores, _):
        limit = limits[0]
        stores[0].breaks("gone")
        await limit.charge("a", 4)
        seen = await limit.peek("a", 6)
        assert (seen.allowed, seen.remaining, seen.alone) == (True, 6, True)
        assert not (await limit.peek("a", 7)).allowed
        await limit.charge("a", -4)
        assert (await limit.peek("a")).remaining == 10
        (probe,) = limit.spec.probes
        with pytest.raises(RuntimeError, match="counts alone"):
            await probe.check()


async def test_keys_that_are_counted_alone_are_bounded() -> None:
    async with fleet(1, limits="10/hour", capacity=50) as (limits, stores, _):
        stores[0].breaks("gone")
        for number in range(200):
            await limits[0].take(f"k{number}")
        assert limits[0].overview()["keys"] == 50


async def test_keys_that_are_forgotten_are_counted() -> None:
    store = Faulty()
    store.fault = "gone"
    limit = RateLimit(store, limits="10/hour", capacity=50)
    async with running(limit) as harness:
        for number in range(200):
            await limit.take(f"k{number}")
        await harness.clock.advance(2)
        assert await harness.value(FORGOTTEN) == 150


async def test_the_process_that_watches_takes_no_part() -> None:
    memory, clock = Memory(), ManualClock()
    one, watching = (RateLimit(Faulty(memory), limits="10/minute") for _ in range(2))
    async with running(memory, clock=clock), running(one, clock=clock), running(watching, clock=clock, role="ops"):
        await clock.advance(6)
        assert [limit.overview()["instances"] for limit in (one, watching)] == [1, 1]


limits_ = st.builds(Limit, st.integers(1, 30), st.sampled_from([1, 60]), burst=st.integers(0, 30))
arrivals = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 400), st.integers(1, 4)), max_size=80)


@given(limits_, st.integers(1, 4), arrivals)
def test_all_parts_together_let_through_what_is_stated(
    limit: Limit, instances: int, arrivals: list[tuple[int, int, int]]
) -> None:
    parts = [Share([limit], 100) for _ in range(instances)]
    for part in parts:
        part.divide(instances)
    now, passed, largest = 0.0, [], 0
    for number, wait, cost in arrivals:
        now += wait * limit.window * 1000
        if cost <= limit.burst:
            reply = parts[number % instances].take([0], ["a"], cost, now)
            if reply[0]:
                passed.append((now, cost))
                largest = max(largest, cost)
    for first, (begun, _) in enumerate(passed):
        total = 0
        for at, cost in passed[first:]:
            total += cost
            refilled = (at - begun) / (limit.window * SECOND) * limit.quota
            assert total <= limit.burst + refilled + instances * largest + 1e-6


@given(limits_, st.integers(1, 4), st.integers(1, 30))
def test_who_waits_as_long_as_told_passes_alone_too(limit: Limit, instances: int, cost: int) -> None:
    part = Share([limit], 100)
    part.divide(instances)
    now, cost = 0.0, min(cost, limit.burst)
    for _ in range(20):
        reply = part.take([0], ["a"], cost, now)
        if not reply[0]:
            assert reply[3] > 0
            now += reply[3] + 1
            assert part.take([0], ["a"], cost, now)[0]


def test_many_keys_take_turns_in_little_room() -> None:
    part = Share([Limit(2, 3600)], 1000)
    part.take([0], ["mine"], 2, 0.0)
    for number in range(20_000):
        part.take([0], [f"k{number}"], 1, 0.0)
        assert len(part) <= 1000
        if number % 100 == 0:
            assert not part.take([0], ["mine"], 1, 0.0)[0]
            part.charge([0], ["mine"], 0, 0.0)
    assert part.forgotten >= 18_000


async def test_to_come_back_with_many_keys_keeps_nobody_waiting() -> None:
    """Keys are told in parts, and whoever else wants to run does so in between."""
    async with fleet(1, limits="1000/day", capacity=100_000) as (limits, stores, owner):
        stores[0].breaks("gone")
        for number in range(20_000):
            await limits[0].take(f"k{number}")
        turns = 0

        async def others() -> None:
            nonlocal turns
            while limits[0].overview()["alone"]:
                turns += 1
                await asyncio.sleep(0)

        stores[0].breaks("")
        await asyncio.gather(others(), owner.clock.advance(1))
        await owner.clock.advance(1)
        assert not limits[0].overview()["alone"]
        assert turns > 20
        assert (await limits[0].peek("k19999")).remaining == 999
        assert limits[0].overview()["keys"] == 0
