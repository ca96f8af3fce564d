"""Locks on a driven clock: taking, waiting, renewal, loss, hand-over, cancellation."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from typing import Any

import pytest

from bedplate.component import Host, Spec
from bedplate.state.locks import (
    Held,
    LockError,
    LockHeldError,
    LockLostError,
    Locks,
    LockTakenError,
    LockUnavailableError,
)
from bedplate.state.locks.metrics import ACQUISITIONS, HELD, LONGEST, LOST
from bedplate.state.memory.component import Memory
from bedplate.testing import CASES, Harness, running
from bedplate.testing.clock import settle


class Twin:
    """The same locks in another instance: another component of the test's service that has their very keys."""

    def __init__(self, store: Memory) -> None:
        self.locks = Locks(store)

    @property
    def spec(self) -> Spec:
        return replace(self.locks.spec, kind="twin", alerts=(), panels=(), runbook=None)

    def lifespan(self, host: Host) -> AbstractAsyncContextManager[None]:
        return self.locks.lifespan(host)


class Instances:
    """Two instances that share a store."""

    def __init__(self, store: Memory, one: Locks, other: Locks, harness: Harness) -> None:
        self.store, self.one, self.other, self.harness = store, one, other, harness
        self.clock = harness.clock

    async def held(self, name: str = "a") -> bool:
        return (await self.one.info(name)).held

    def away(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Let the store be away from now on."""
        away = self.store._away
        monkeypatch.setattr(self.store, "_do", lambda *_: (_ for _ in ()).throw(away()))


@pytest.fixture
async def instances() -> AsyncIterator[Instances]:
    store = Memory()
    one, twin = Locks(store), Twin(store)
    async with running([one, twin]) as harness:
        yield Instances(store, one, twin.locks, harness)


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
        waiting = asyncio.create_task(_hold_once(instances.other, "a"))
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
    await _expire(instances, "a")
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


async def test_the_body_is_cancelled_before_anybody_else_can_have_it(
    instances: Instances, monkeypatch: pytest.MonkeyPatch
) -> None:
    began = instances.clock.monotonic()
    ended: list[float] = []

    async def work() -> None:
        try:
            async with instances.one.hold("a", ttl=10):
                await asyncio.Event().wait()
        finally:
            ended.append(instances.clock.monotonic() - began)

    working = asyncio.create_task(work())
    await settle()
    with monkeypatch.context() as patch:
        instances.away(patch)
        for _ in range(200):
            await instances.clock.advance(0.1)
    with pytest.raises(LockLostError, match="expired"):
        await working
    assert ended[0] == pytest.approx(8.0, abs=0.11), "at 80 % of its time"
    assert await instances.harness.value(LOST(reason="expired")) == 1


async def test_a_short_outage_is_bridged(instances: Instances, monkeypatch: pytest.MonkeyPatch) -> None:
    async with instances.one.hold("a", ttl=10) as held:
        with monkeypatch.context() as patch:
            instances.away(patch)
            await instances.clock.advance(7)
        await instances.clock.advance(2)
        assert not held.is_lost and held.left > 5
        await instances.clock.advance(60)
        assert not held.is_lost


async def test_who_only_wants_to_be_told_is(instances: Instances) -> None:
    async with instances.one.hold("a", cancel=False) as held:
        waiting = asyncio.create_task(held.lost.wait())
        await settle()
        assert not waiting.done()
        assert await instances.other.force("a") == held.token.rsplit("/", 2)[0]
        await waiting
        assert held.is_lost and held.lost.is_set() and held.left == 0
        with pytest.raises(LockLostError):
            held.check()
    assert await instances.harness.value(LOST(reason="taken")) == 1


async def test_a_body_that_finds_out_itself_leaves_with_its_error_and_no_cancellation_is_left(
    instances: Instances, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(LockLostError):
        async with instances.one.hold("a", ttl=10) as held:
            # The process was paused: its clock has moved, and nothing in it could run.
            instances.clock._monotonic += 11
            held.check()
    await asyncio.sleep(0)
    await settle()
    task = asyncio.current_task()
    assert task is not None and not task.cancelling()


async def test_taking_it_by_force_cancels_the_body_and_hands_it_on(instances: Instances) -> None:
    async def work() -> None:
        async with instances.one.hold("a"):
            await asyncio.Event().wait()

    working = asyncio.create_task(work())
    await settle()
    waiting = asyncio.create_task(instances.one.acquire("a"))
    await settle()
    await instances.other.force("a")
    await settle()
    with pytest.raises(LockLostError, match="taken"):
        await working
    held = await waiting
    held.check()
    await held.release()
    assert await instances.other.force("a") == "", "it was free"


async def test_who_lost_it_gives_back_nothing_that_is_another_s(instances: Instances) -> None:
    held = await instances.one.acquire("a", ttl=10)
    instances.one.timers.remove(held)
    await _expire(instances, "a")
    other = await instances.other.acquire("a")
    assert not await held.release()
    other.check()
    assert (await instances.one.info("a")).fence == other.fence
    assert held.is_lost and await other.release() and not await other.release()


async def test_leaving_a_body_whose_lock_had_ended_says_so(instances: Instances) -> None:
    with pytest.raises(LockLostError, match="expired"):
        async with instances.one.hold("a", ttl=10):
            await _expire(instances, "a")
    async with instances.one.hold("a", ttl=10, cancel=False) as held:
        await _expire(instances, "a")
    assert held.is_lost


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


async def test_one_that_is_no_longer_ours_cannot_be_extended(instances: Instances) -> None:
    held = await instances.one.acquire("a", ttl=10)
    await _expire(instances, "a")
    other = await instances.other.acquire("a", ttl=10)
    with pytest.raises(LockLostError):
        await held.extend(10)
    with pytest.raises(LockLostError):
        await held.extend(10)
    other.check()
    await other.release()


async def test_it_is_not_reentrant_and_says_so(instances: Instances) -> None:
    async with instances.one.hold("a"):
        with pytest.raises(LockHeldError, match="not reentrant"):
            async with instances.one.hold("a"):
                pass
        async with instances.one.hold("b"):
            pass
        other = asyncio.create_task(_hold_once(instances.one, "a"))
        await settle()
        assert not other.done(), "another task waits as everybody does"
    await other


async def test_while_the_store_is_away_locks_are_refused(instances: Instances, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        instances.away(patch)
        for asking in (
            instances.one.acquire("a"),
            instances.one.try_acquire("a"),
            instances.one.info("a"),
            instances.one.force("a"),
        ):
            with pytest.raises(LockUnavailableError) as caught:
                await asking
            assert caught.value.status_code == 503 and caught.value.headers == {"Retry-After": "1"}
    async with instances.one.hold("a"):
        pass
    assert await instances.harness.value(ACQUISITIONS(outcome="unavailable")) == 2


async def test_who_waits_outlasts_an_outage_in_which_the_store_forgot_everything(
    instances: Instances, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = await instances.one.acquire("a", ttl=60)
    waiting = asyncio.create_task(instances.other.acquire("a", wait=100))
    late = asyncio.create_task(instances.other.acquire("a", wait=5))
    await settle()
    with monkeypatch.context() as patch:
        instances.away(patch)
        await instances.clock.advance(10)
    with pytest.raises(LockUnavailableError):
        await late
    assert not waiting.done()
    assert instances.store._space is not None
    instances.store._space.clear()
    await instances.clock.advance(2)
    assert (await waiting).fence > held.fence
    await settle()
    await instances.clock.advance(30)
    assert held.is_lost, "its next renewal said so"
    await (await waiting).release()


async def test_one_that_could_not_be_given_back_is_given_back_later(
    instances: Instances, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = await instances.one.acquire("a", ttl=600)
    with monkeypatch.context() as patch:
        instances.away(patch)
        assert await held.release(), "it was ours to the end"
        await instances.clock.advance(20)
    assert await instances.held()
    await instances.clock.advance(10)
    assert not await instances.held()


async def test_locks_that_are_held_at_the_stop_are_given_back() -> None:
    store = Memory()
    one, twin = Locks(store), Twin(store)
    async with running([one, twin]):
        held = await one.acquire("a", ttl=600)
        await one._end()
        assert held.is_lost and held.why == "stopped"
        assert not (await twin.locks.info("a")).held
    with pytest.raises(LockUnavailableError, match="does not run"):
        await one.acquire("a")


async def test_fences_grow_over_clocks_that_are_set_back_and_stores_that_forget(instances: Instances) -> None:
    fences = []
    for jump in (0.0, -3600.0, 86400.0, -86400.0 * 3, 0.0):
        instances.clock.jump(jump)
        async with instances.one.hold("a") as held:
            fences.append(held.fence)
    assert fences == sorted(set(fences))
    await instances.clock.advance(1)
    assert instances.store._space is not None
    instances.clock.jump(86400.0 * 2)
    instances.store._space.clear()  # a failover to a replica that had not heard of the last one
    async with instances.one.hold("a") as held:
        assert held.fence > fences[-1] - 86400 * 1e6


async def test_the_lock_of_a_holder_that_died_is_free_after_its_time_though_the_clock_was_set_back(
    instances: Instances,
) -> None:
    held = await instances.one.acquire("a", ttl=10)
    instances.one._forget(held)
    instances.clock.jump(-86_400)
    waiting = asyncio.create_task(instances.other.acquire("a", wait=60))
    await instances.clock.advance(13)
    assert waiting.done()
    await (await waiting).release()


async def test_who_holds_it_is_told_when_the_store_s_clock_was_set_forwards(instances: Instances) -> None:
    async def work() -> None:
        async with instances.one.hold("a", ttl=10):
            await asyncio.Event().wait()

    working = asyncio.create_task(work())
    await settle()
    instances.clock.jump(86_400)
    other = await instances.other.acquire("a", wait=0)
    await instances.clock.advance(3.5)
    with pytest.raises(LockLostError):
        await working
    other.check()
    await other.release()


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


async def _hold_once(locks: Locks, name: str) -> Held:
    async with locks.hold(name) as held:
        return held


async def _expire(instances: Instances, name: str) -> None:
    """Let the store forget a lock, as when its time is over."""
    assert instances.store._space is not None
    instances.store._space.delete(instances.one._places[name].keys[0])


def test_a_store_that_forgets_is_refused() -> None:
    (refusal,) = Locks(Memory(role="cache")).refusals("development", {})
    assert "forgets" in refusal.what and not list(Locks(Memory()).refusals("production", {}))


async def test_a_store_without_room_refuses_new_locks_and_keeps_those_that_are_held() -> None:
    store = Memory()
    locks = Locks(store)
    async with running(locks) as harness:
        held = await locks.acquire("a", ttl=10)
        waiting = asyncio.create_task(locks.acquire("a", wait=math.inf))
        await settle()
        assert store._space is not None
        store._space._most = 1
        with pytest.raises(LockUnavailableError, match="maxmemory"):
            await locks.acquire("b")
        await harness.clock.advance(60)
        held.check()
        assert await held.release() and not waiting.done()
        store._space._most = 10**9
        await harness.clock.advance(2)
        assert await (await waiting).release()
