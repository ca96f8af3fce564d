"""What locks promise, on every backend; what redis-py's own tests ask of its lock among it."""

from __future__ import annotations

import asyncio
import math
from contextlib import suppress

import pytest

from bedplate.state.locks import Fenced, LockInfo, LockLostError, Locks, LockTakenError, StaleFenceError
from tests.stores import Backend

LONG = 60.0


def make(store: object) -> Locks:
    return Locks(store, ttl=LONG)  # type: ignore[arg-type]


async def info(locks: Locks, name: str = "a") -> LockInfo:
    return await locks.info(name)


async def waiters(locks: Locks, count: int, name: str = "a") -> None:
    while (await locks.info(name)).waiting != count:
        await asyncio.sleep(0.001)


async def test_one_instance_at_a_time_has_it(backend: Backend) -> None:
    async with backend.instances(make) as (one, other):
        held = await one.try_acquire("a")
        assert held is not None
        assert await other.try_acquire("a") is None and await one.try_acquire("a") is None
        with pytest.raises(LockTakenError):
            await other.acquire("a", wait=0)
        assert await held.release() and not await held.release()
        other_held = await other.try_acquire("a")
        assert other_held is not None and other_held.fence > held.fence
        assert await one.try_acquire("a") is None
        await other_held.release()


async def test_everybody_sees_who_has_it_and_for_how_long(backend: Backend) -> None:
    async with backend.instances(make) as (one, other):
        assert await info(other) == LockInfo("a", "", 0.0, 0, 0)
        async with one.hold("a", ttl=9.5) as held:
            seen = await info(other)
            assert seen.held and seen.fence == held.fence and 8.5 < seen.left <= 9.5
            assert seen.holder and seen.holder in held.token
        seen = await info(other)
        assert not seen.held and seen.fence == held.fence


async def test_a_body_holds_it_and_leaves_it_free(backend: Backend) -> None:
    async with backend.instances(make) as (one, other):
        with pytest.raises(KeyError):
            async with one.hold("a"):
                assert await other.try_acquire("a") is None
                raise KeyError("a")
        assert not (await info(other)).held
        async with one.hold("a"):
            with pytest.raises(LockTakenError):
                async with other.hold("a", wait=0):
                    raise AssertionError("two are inside")


async def test_waiting_ends_in_time(backend: Backend) -> None:
    async with backend.instances(make) as (one, other):
        held = await one.acquire("a")
        waiting = asyncio.create_task(other.acquire("a", wait=10 * backend.short))
        await waiters(one, 1)
        await backend.pass_(13 * backend.short)
        with pytest.raises(LockTakenError):
            await waiting
        await waiters(one, 0)
        await held.release()


async def test_turns_come_in_order_over_all_instances_each_with_a_greater_fence(backend: Backend) -> None:
    async with backend.instances(make) as (one, other):
        order: list[tuple[int, int]] = []

        async def work(number: int) -> None:
            async with (one, other)[number % 2].hold("a", wait=math.inf) as held:
                order.append((number, held.fence))
                await asyncio.sleep(0)

        first = await one.acquire("a")
        tasks = []
        for number in range(12):
            tasks.append(asyncio.create_task(work(number)))
            await waiters(one, number + 1)
        await first.release()
        await asyncio.wait_for(asyncio.gather(*tasks), 60)
        assert [number for number, _ in order] == list(range(12))
        assert first.fence < order[0][1] and [f for _, f in order] == sorted({f for _, f in order})
        assert not (await info(one)).held


async def test_it_ends_by_itself_when_nobody_renews_it(backend: Backend) -> None:
    async with backend.instances(make) as (one, other):
        held = await one.acquire("a", ttl=0.1)
        one._forget(held)  # its holder dies
        await backend.pass_(0.25)
        next_held = await other.acquire("a")
        assert next_held.fence > held.fence
        assert not await held.release(), "it is another's"
        assert (await info(one)).fence == next_held.fence
        await next_held.release()


async def test_who_waits_takes_over_from_a_holder_that_died(backend: Backend) -> None:
    async with backend.instances(make) as (one, other):
        held = await one.acquire("a", ttl=0.2)
        waiting = asyncio.create_task(other.acquire("a", wait=math.inf))
        await waiters(one, 1)
        one._forget(held)
        await backend.pass_(0.5)
        await (await asyncio.wait_for(waiting, 60)).release()


async def test_it_is_renewed_while_it_is_held(backend: Backend) -> None:
    async with backend.instances(make) as (one, other):
        async with one.hold("a", ttl=0.9):
            for _ in range(4):
                await backend.pass_(0.3)
                assert await other.try_acquire("a") is None
        assert not (await info(one)).held


async def test_extending_sets_its_time_anew(backend: Backend) -> None:
    async with backend.instances(make) as (one, other):
        held = await one.acquire("a", ttl=10)
        await held.extend(20)
        assert 15 < (await info(other)).left <= 20
        assert await other.try_acquire("a") is None
        waiting = asyncio.create_task(other.acquire("a", wait=math.inf))
        await waiters(other, 1)
        assert 15 < (await info(other)).left <= 20, "and nobody who waits shortens it"
        waiting.cancel()
        await waiters(other, 0)
        assert (await info(other)).fence == held.fence
        await held.extend(5.5)
        assert 4.5 < (await info(other)).left <= 5.5
        await held.release()
        held = await one.acquire("a", ttl=10)
        await other.force("a")
        async with other.hold("a"):
            with pytest.raises(LockLostError):
                await held.extend(10)


async def test_force_takes_it_and_the_holder_is_told_at_once(backend: Backend) -> None:
    async with backend.instances(make) as (one, other):
        ended = asyncio.Event()

        async def work() -> None:
            try:
                async with one.hold("a", ttl=LONG):
                    await asyncio.Event().wait()
            finally:
                ended.set()

        working = asyncio.create_task(work())
        while not one.held:
            await asyncio.sleep(0.001)
        assert await other.force("a") == one._me
        await asyncio.wait_for(ended.wait(), 60)
        with pytest.raises(LockLostError, match="taken"):
            await working
        assert await other.force("a") == ""


async def test_who_is_cancelled_while_waiting_has_no_turn_any_more(backend: Backend) -> None:
    async with backend.instances(make) as (one, other):
        held = await one.acquire("a")
        gone = asyncio.create_task(other.acquire("a", wait=math.inf))
        await waiters(one, 1)
        stays = asyncio.create_task(other.acquire("a", wait=math.inf))
        await waiters(one, 2)
        gone.cancel()
        await waiters(one, 1)
        await held.release()
        await (await asyncio.wait_for(stays, 60)).release()


async def test_500_cancelled_attempts_leave_none_held(backend: Backend) -> None:
    async with backend.instances(make) as (one, other):
        tasks: list[asyncio.Task[None]] = []

        async def want(number: int) -> None:
            async with (one, other)[number % 2].hold(f"lock:{number % 7}", wait=math.inf):
                await asyncio.sleep(0)

        for number in range(500):
            tasks.append(asyncio.create_task(want(number)))
            if number % 3 == 0:
                await asyncio.sleep(0)
            tasks[-1 - number % 5 if number > 5 else -1].cancel()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        async with asyncio.timeout(60):
            for number in range(7):
                while (seen := await info(one, f"lock:{number}")).held or seen.waiting:
                    await asyncio.sleep(0.002)
        assert not one.held and not other.held and not one.waiting and not other.waiting


async def test_a_cancelled_release_releases(backend: Backend) -> None:
    async with backend.instances(make) as (one, other):
        held = await one.acquire("a")
        releasing = asyncio.create_task(held.release())
        await asyncio.sleep(0)
        releasing.cancel()
        with suppress(asyncio.CancelledError):
            await releasing
        await (await asyncio.wait_for(other.acquire("a"), 60)).release()


async def test_names_are_never_mistaken_for_each_other(backend: Backend) -> None:
    async with backend.instances(make) as (one, other):
        for name in ("a{b}c", "{}", "}", "%7D", "ä ö\n", "a:fence", "a"):
            held = await one.acquire(name, wait=0)
            assert await other.try_acquire(name) is None
            assert (await info(other, name)).fence == held.fence
        assert len(one.held) == 7


async def test_never_two_are_inside(backend: Backend) -> None:
    async with backend.instances(make) as (one, other):
        inside = 0

        async def work(number: int) -> None:
            nonlocal inside
            for _ in range(5):
                async with (one, other)[number % 2].hold("a", wait=math.inf):
                    inside += 1
                    assert inside == 1
                    await asyncio.sleep(0)
                    inside -= 1

        await asyncio.wait_for(asyncio.gather(*(work(number) for number in range(20))), 60)


async def test_a_fenced_value_refuses_smaller_fences(backend: Backend) -> None:
    async with backend.instances(make) as (one, other):
        values = Fenced(one, "portfolio"), Fenced(other, "portfolio")
        assert await values[0].get("7") == (None, 0)
        first = await one.acquire("a")
        await first.release()
        second = await other.acquire("a")
        await values[1].put("7", b"\x00new", second.fence)
        with pytest.raises(StaleFenceError) as caught:
            await values[0].put("7", "old", first.fence)
        assert (caught.value.offered, caught.value.seen) == (first.fence, second.fence)
        await values[1].put("7", "newer", second.fence)
        assert await values[0].get("7") == (b"newer", second.fence)
        await second.release()


async def test_one_leads_and_the_next_follows_at_once(backend: Backend) -> None:
    async with backend.instances(make) as (one, other):
        leading: list[Locks] = []

        async def lead(locks: Locks) -> None:
            host = locks._host
            assert host is not None
            async with locks.lease("digest").hold(host):
                leading.append(locks)
                await asyncio.Event().wait()

        tasks = {locks: asyncio.create_task(lead(locks)) for locks in (one, other)}
        await waiters(one, 1, "lease:digest")
        assert len(leading) == 1
        tasks[leading[0]].cancel()
        async with asyncio.timeout(60):
            while len(leading) < 2:
                await asyncio.sleep(0.001)
        assert set(leading) == {one, other}
        for task in tasks.values():
            task.cancel()
        await asyncio.gather(*tasks.values(), return_exceptions=True)
