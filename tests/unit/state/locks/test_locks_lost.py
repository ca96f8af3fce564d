"""Locks when their store is away or full, their time is over, clocks are set, or somebody takes them."""

from __future__ import annotations

import asyncio
import math
import random
from pathlib import Path

import pytest
from fastapi import FastAPI

from bedplate.service import RunOptions, Service
from bedplate.state.locks import (
    LockLostError,
    Locks,
    LockUnavailableError,
)
from bedplate.state.locks.metrics import ACQUISITIONS, LOST
from bedplate.state.memory.component import Memory
from bedplate.testing import running, settings
from bedplate.testing.clock import settle
from tests.unit.state.far_store import FarStore
from tests.unit.state.locks.instances import Instances, Twin, expire


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
    await expire(instances, "a")
    other = await instances.other.acquire("a")
    assert not await held.release()
    other.check()
    assert (await instances.one.info("a")).fence == other.fence
    assert held.is_lost and await other.release() and not await other.release()


async def test_leaving_a_body_whose_lock_had_ended_says_so(instances: Instances) -> None:
    with pytest.raises(LockLostError, match="expired"):
        async with instances.one.hold("a", ttl=10):
            await expire(instances, "a")
    async with instances.one.hold("a", ttl=10, cancel=False) as held:
        await expire(instances, "a")
    assert held.is_lost


async def test_one_that_is_no_longer_ours_cannot_be_extended(instances: Instances) -> None:
    held = await instances.one.acquire("a", ttl=10)
    await expire(instances, "a")
    other = await instances.other.acquire("a", ttl=10)
    with pytest.raises(LockLostError):
        await held.extend(10)
    with pytest.raises(LockLostError):
        await held.extend(10)
    other.check()
    await other.release()


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


async def test_requests_that_need_a_lock_are_answered_when_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    store = Memory()
    locks = Locks(store, wait=0)
    app = FastAPI()

    @app.post("/rebalance")
    async def rebalance() -> str:
        async with locks.hold("portfolio:7"):
            return "done"

    async with running(Service("trades", app, [locks], settings=settings())) as harness:
        assert (await harness.client.post("/rebalance")).status_code == 200
        held = await locks.acquire("portfolio:7")
        taken = await harness.client.post("/rebalance")
        await held.release()
        assert taken.status_code == 409 and taken.headers["content-type"] == "application/problem+json"
        assert "portfolio" not in taken.text, "what is locked is nobody's business"
        monkeypatch.setattr(store, "_do", lambda *_: (_ for _ in ()).throw(store._away()))
        away = await harness.client.post("/rebalance")
        assert away.status_code == 503 and away.headers["retry-after"] == "1"
        monkeypatch.undo()


async def test_locks_that_each_worker_has_for_itself_say_so(tmp_path: Path) -> None:
    locks = Locks(Memory())
    service = Service("trades", None, [locks], settings=settings())
    async with service.running(RunOptions(role="worker", directory=tmp_path)):
        view = next(view for view in service.views if view.component is locks)
        assert view.state == "degraded" and "locks of its own" in view.reason


async def test_the_body_is_cancelled_in_time_though_a_renewal_is_never_answered() -> None:
    store = FarStore(random.Random(1))
    locks = Locks(store)
    async with running(locks) as harness:

        async def work() -> None:
            async with locks.hold("a", ttl=10):
                await asyncio.Event().wait()

        working = asyncio.create_task(work())
        await settle(60)
        store.late = asyncio.Event()  # the server hangs
        await harness.clock.advance(7.9)
        assert not working.done()
        await harness.clock.advance(0.2)
        await settle(60)
        assert working.done()
        with pytest.raises(LockLostError):
            await working


async def test_who_waits_gets_the_lock_though_the_message_was_lost() -> None:
    store = FarStore(random.Random(1))
    locks = Locks(store)
    async with running(locks):
        held = await locks.acquire("a")
        waiting = asyncio.create_task(locks.acquire("a", wait=math.inf))
        await settle(60)
        attempt = locks.waiting.pop(next(iter(locks.waiting)))
        await held.release()  # handed over, and nobody here hears of it
        await settle(60)
        assert not waiting.done()
        locks.waiting[attempt.wanted.token] = attempt
        store.gap()
        await settle(60)
        assert waiting.done()
        await (await waiting).release()
