"""Locks on a driven clock: taking, waiting, renewal, loss, hand-over, cancellation."""

from __future__ import annotations

import asyncio
import math
from typing import Any

import pytest

from bedplate.state.locks import (
    LockError,
    LockHeldError,
    Locks,
    LockTakenError,
)
from bedplate.state.locks.metrics import ACQUISITIONS, HELD, LONGEST, LOST
from bedplate.state.memory.component import Memory
from bedplate.testing import CASES
from bedplate.testing.clock import settle
from tests.unit.state.locks.instances import Instances, expire, hold_once


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
async def test_locks_conform(case: Any) -> None:
    await case(lambda: Locks(Memory(), "portfolios"))


async def test_one_at_a_time_holds_it(instances: Instances) -> None:
    async with instances.one.hold("a") as held:
        assert await instances.held()
        assert await instances.other.try_acquire("a") is None
        with pytest.raises(LockTakenError):
            await instances.other.acquire("a", wait=0)
        other = await instances.other.try_acquire("b")
        assert other is not None, "a lock of another name is another lock"
        await other.release()
    assert not await instances.held()
    again = await instances.other.try_acquire("a")
    assert again is not None and again.fence > held.fence
    await again.release()


async def test_info_says_who_has_it(instances: Instances) -> None:
    free = await instances.one.info("a")
    assert (free.held, free.holder, free.fence, free.left, free.waiting) == (False, "", 0, 0.0, 0)
    async with instances.one.hold("a", ttl=10) as held:
        waiting = asyncio.create_task(hold_once(instances.other, "a"))
        await settle()
        seen = await instances.other.info("a")
        assert seen.held and seen.fence == held.fence and seen.waiting == 1 and 9 < seen.left <= 10
        assert seen.holder in held.token
    await waiting


async def test_a_name_may_hold_anything_but_nothing(instances: Instances) -> None:
    for name in ("portfolio:{7}", "ä ö", "a}b{c", "%7B", "{"):
        async with instances.one.hold(name):
            assert await instances.other.try_acquire(name) is None
    with pytest.raises(ValueError, match="name"):
        await instances.one.acquire("")
    async with instances.one.hold("{"), instances.one.hold("%7B", wait=0):
        pass  # two names are never one lock


@pytest.mark.parametrize("ttl", [0, 0.01, -1])
async def test_a_time_that_cannot_be_kept_is_refused(instances: Instances, ttl: float) -> None:
    with pytest.raises(ValueError, match="at least"):
        await instances.one.acquire("a", ttl=ttl)
    with pytest.raises(ValueError, match="at least"):
        Locks(Memory(), ttl=ttl)


async def test_waiters_of_all_instances_get_it_in_the_order_in_which_they_came(instances: Instances) -> None:
    order: list[int] = []
    fences: list[int] = []

    async def work(number: int) -> None:
        locks = (instances.one, instances.other)[number % 2]
        async with locks.hold("a", wait=math.inf) as held:
            order.append(number)
            fences.append(held.fence)
            await asyncio.sleep(0)

    async with instances.one.hold("a"):
        tasks = []
        for number in range(10):
            tasks.append(asyncio.create_task(work(number)))
            await settle()
        assert (await instances.one.info("a")).waiting == 10
    await asyncio.gather(*tasks)
    assert order == list(range(10))
    assert fences == sorted(set(fences)), "each has a fence that is greater than those before"
    assert not await instances.held()


async def test_a_hand_over_needs_no_time(instances: Instances) -> None:
    held = await instances.one.acquire("a")
    for locks in (instances.one, instances.other):
        waiting = asyncio.create_task(locks.acquire("a"))
        await settle()
        await held.release()
        await settle()
        assert waiting.done(), "the clock did not move, so nobody polled"
        held = await waiting
    await held.release()


async def test_who_asks_once_does_not_overtake_those_who_wait(instances: Instances) -> None:
    held = await instances.one.acquire("a", ttl=1)
    waiting = asyncio.create_task(instances.other.acquire("a", wait=math.inf))
    await settle()
    instances.one._forget(held)  # the holder dies: nobody renews it
    await expire(instances, "a")
    assert await instances.one.try_acquire("a") is None
    await settle()
    assert waiting.done()
    await (await waiting).release()


async def test_waiting_ends_in_time_and_leaves_nothing(instances: Instances) -> None:
    async with instances.one.hold("a"):
        waiting = asyncio.create_task(instances.other.acquire("a", wait=2))
        await instances.clock.advance(1.9)
        assert not waiting.done()
        await instances.clock.advance(0.2)
        with pytest.raises(LockTakenError, match="held by somebody else"):
            await waiting
        await settle()
        assert (await instances.one.info("a")).waiting == 0
    assert await instances.harness.value(ACQUISITIONS(outcome="taken")) == 1


async def test_it_is_renewed_for_as_long_as_it_is_held(instances: Instances) -> None:
    async with instances.one.hold("a", ttl=10) as held:
        for _ in range(20):
            await instances.clock.advance(7)
            assert await instances.held() and not held.is_lost and held.left > 0
            held.check()
    assert await instances.harness.value(LOST) == 0


async def test_the_lock_of_a_holder_that_died_is_free_after_its_time(instances: Instances) -> None:
    held = await instances.one.acquire("a", ttl=10)
    instances.one._forget(held)
    waiting = asyncio.create_task(instances.other.acquire("a", wait=60))
    await instances.clock.advance(9.5)
    assert not waiting.done()
    await instances.clock.advance(1)
    assert waiting.done() and (await waiting).fence > held.fence
    await (await waiting).release()


async def test_waiters_that_died_are_skipped(instances: Instances) -> None:
    held = await instances.one.acquire("a", ttl=60)
    dead = [asyncio.create_task(instances.other.acquire("a", wait=math.inf)) for _ in range(5)]
    await settle()
    alive = asyncio.create_task(instances.one.acquire("a", wait=math.inf))
    await settle()
    for attempt in list(instances.other.waiting.values()):
        instances.other.timers.remove(attempt)  # a process that was killed asks no more
    await instances.clock.advance(10)
    await held.release()
    await settle()
    assert alive.done()
    await (await alive).release()
    for task in dead:
        task.cancel()
    await asyncio.gather(*dead, return_exceptions=True)


async def test_a_waiter_that_died_a_moment_ago_costs_a_second(instances: Instances) -> None:
    held = await instances.one.acquire("a", ttl=60)
    dead = asyncio.create_task(instances.other.acquire("a", wait=math.inf))
    await settle()
    alive = asyncio.create_task(instances.one.acquire("a", wait=math.inf))
    await settle()
    attempt = instances.other.waiting.popitem()[1]
    instances.other.timers.remove(attempt)
    await held.release()
    await settle()
    assert not alive.done()
    await instances.clock.advance(2.1)
    assert alive.done()
    await (await alive).release()
    dead.cancel()
    await asyncio.gather(dead, return_exceptions=True)


async def test_an_error_of_the_body_comes_through_and_the_lock_is_free(instances: Instances) -> None:
    with pytest.raises(KeyError):
        async with instances.one.hold("a"):
            raise KeyError("x")
    assert not await instances.held()


async def test_a_cancellation_from_outside_stays_one(instances: Instances) -> None:
    async def work() -> None:
        async with instances.one.hold("a"):
            await asyncio.Event().wait()

    working = asyncio.create_task(work())
    await settle()
    working.cancel()
    with pytest.raises(asyncio.CancelledError):
        await working
    assert not await instances.held()


async def test_extending_it_sets_its_time_anew(instances: Instances) -> None:
    async with instances.one.hold("a", ttl=10) as held:
        await held.extend(100)
        assert (await instances.one.info("a")).left == 100
        assert held.left == pytest.approx(80)
        instances.one.timers.remove(held)
        await instances.clock.advance(70)
        held.check()
        await held.extend(1)
        assert (await instances.one.info("a")).left == 1
        await instances.clock.advance(30)
        held.check()
        with pytest.raises(ValueError, match="at least"):
            await held.extend(0)


async def test_it_is_not_reentrant_and_says_so(instances: Instances) -> None:
    async with instances.one.hold("a"):
        with pytest.raises(LockHeldError, match="not reentrant"):
            async with instances.one.hold("a"):
                pass
        async with instances.one.hold("b"):
            pass
        other = asyncio.create_task(hold_once(instances.one, "a"))
        await settle()
        assert not other.done(), "another task waits as everybody does"
    await other


async def test_errors_answer_requests(instances: Instances) -> None:
    async with instances.one.hold("a"):
        with pytest.raises(LockTakenError) as caught:
            await instances.other.acquire("a", wait=0)
    assert caught.value.status_code == 409 and "a" in str(caught.value) and isinstance(caught.value, LockError)
    assert "lock" not in caught.value.detail, "what is locked is nobody's business"


async def test_what_is_held_is_counted_and_shown(instances: Instances) -> None:
    async with instances.other.hold("a") as held:
        await instances.clock.advance(12)
        assert instances.other.overview()["held"] == {"a": {"seconds": 12.0, "fence": held.fence}}
        assert await instances.harness.value(HELD) == 1
        assert 5 <= await instances.harness.value(LONGEST) <= 12


async def test_an_operator_looks_at_a_lock_and_releases_it(instances: Instances) -> None:
    client, path = instances.harness.client, "/monitoring/components/locks/default/actions"
    held = await instances.one.acquire("a")
    looked = (await client.post(f"{path}/look", json={"name": "a"})).json()
    assert str(held.fence) in str(looked)
    assert (await client.post(f"{path}/release", json={})).status_code == 422
    answer = await client.post(f"{path}/release", json={"name": "a"})
    assert answer.status_code == 200, answer.text
    await settle()
    assert held.is_lost and not await instances.held()
