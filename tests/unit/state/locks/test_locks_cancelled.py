"""Attempts that are cancelled at any moment, on a line where calls and replies are late or lost: nothing is left."""

from __future__ import annotations

import asyncio
import random
from contextlib import suppress

import pytest

from bedplate.state.locks import LockError, Locks
from bedplate.state.locks.metrics import HELD
from bedplate.testing import Harness, running
from bedplate.testing.clock import settle
from tests.unit.state.far_store import FarStore


async def _nothing_is_left(store: FarStore, locks: Locks, harness: Harness) -> None:
    store.lost = 0.0
    for _ in range(60):
        await settle(60)
        await harness.clock.advance(0.5)
    await settle(60)
    for number in range(5):
        info = await locks.info(f"lock:{number}")
        assert not info.held and info.waiting == 0, info
    assert not locks.held and not locks.waiting and len(locks.debts) == 0
    assert await harness.value(HELD) == 0


@pytest.mark.parametrize("line", ["late", "lossy", "unordered"])
async def test_500_cancelled_attempts_leave_nothing_held(line: str) -> None:
    dice = random.Random(line)
    store = FarStore(dice, lost=0.2 if line != "late" else 0.0, unordered=line == "unordered")
    locks = Locks(store)
    async with running(locks) as harness:

        async def want(number: int) -> None:
            with suppress(LockError):
                async with locks.hold(f"lock:{number % 5}", ttl=20, wait=dice.choice([0, 1, 30])):
                    await asyncio.sleep(0)

        tasks: list[asyncio.Task[None]] = []
        for number in range(500):
            tasks.append(asyncio.create_task(want(number)))
            for _ in range(dice.randrange(4)):
                await asyncio.sleep(0)
            dice.choice(tasks[-6:]).cancel()
            if number % 50 == 49:
                await harness.clock.advance(0.3)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert sum(task.cancelled() for task in tasks) > 200
        await _nothing_is_left(store, locks, harness)


async def test_never_two_hold_it_whatever_is_lost() -> None:
    dice = random.Random(7)
    store = FarStore(dice, lost=0.1)
    one = Locks(store)
    inside: list[int] = []
    worst = 0
    fences: list[int] = []
    async with running(one) as harness:

        async def work() -> None:
            nonlocal worst
            for _ in range(10):
                with suppress(LockError):
                    async with one.hold("lock:0", ttl=5, wait=60) as held:
                        inside.append(1)
                        worst = max(worst, len(inside))
                        fences.append(held.fence)
                        try:
                            for _ in range(dice.randrange(5)):
                                await asyncio.sleep(0)
                        finally:
                            inside.pop()

        tasks = [asyncio.create_task(work()) for _ in range(10)]
        while not all(task.done() for task in tasks):
            await harness.clock.advance(0.05)
        await asyncio.gather(*tasks)
        assert worst == 1
        assert len(fences) > 60 and fences == sorted(set(fences))
        await _nothing_is_left(store, one, harness)


async def test_an_acquire_that_reaches_the_store_after_it_was_given_up_is_given_back() -> None:
    store = FarStore(random.Random(1))
    locks = Locks(store)
    async with running(locks) as harness:
        # The server hangs with the question in its buffers; who asked is gone when it goes on.
        await store._line.acquire()
        asking = asyncio.create_task(locks.acquire("lock:0", ttl=60))
        await settle()
        asking.cancel()
        with suppress(asyncio.CancelledError):
            await asking
        await settle()
        store._line.release()
        await _nothing_is_left(store, locks, harness)


async def test_an_acquire_that_arrives_even_after_it_was_given_back_is_given_back_once_more() -> None:
    store = FarStore(random.Random(1))
    locks = Locks(store)
    async with running(locks) as harness:
        late = store.late = asyncio.Event()
        asking = asyncio.create_task(locks.acquire("lock:0", ttl=60))
        await settle()
        asking.cancel()
        with suppress(asyncio.CancelledError):
            await asking
        await settle()
        late.set()  # its answer is lost with the old connection
        await settle()
        assert (await locks.info("lock:0")).held
        await harness.clock.advance(2)
        assert not (await locks.info("lock:0")).held
        await harness.clock.advance(60)
        await _nothing_is_left(store, locks, harness)


async def test_a_release_that_is_cancelled_releases_nevertheless() -> None:
    store = FarStore(random.Random(1))
    locks = Locks(store)
    async with running(locks) as harness:
        held = await locks.acquire("lock:0", ttl=600)
        releasing = asyncio.create_task(held.release())
        await asyncio.sleep(0)
        releasing.cancel()
        with suppress(asyncio.CancelledError):
            await releasing
        await _nothing_is_left(store, locks, harness)


async def test_a_waiter_of_the_process_gets_the_lock_though_its_holder_was_cancelled_while_giving_it_back() -> None:
    store = FarStore(random.Random(3))
    locks = Locks(store)
    async with running(locks) as harness:
        held = await locks.acquire("lock:0", ttl=600)
        waiting = asyncio.create_task(locks.acquire("lock:0", ttl=600, wait=100))
        await settle(60)
        releasing = asyncio.create_task(held.release())
        await asyncio.sleep(0)
        releasing.cancel()
        await settle(60)
        assert waiting.done(), "and needs no time for it"
        await (await waiting).release()
        await _nothing_is_left(store, locks, harness)
