"""Leaders: one of all instances leads, the next follows, and everybody knows whether somebody does."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from bedplate.component import Host, Lease, Spec
from bedplate.state.locks import Leader, LockLostError, Locks
from bedplate.state.locks.metrics import CANDIDATES, LEADERS, LEADING, LED
from bedplate.state.memory.component import Memory
from bedplate.testing import running
from bedplate.testing.clock import settle
from tests.unit.state.far_store import FarStore


class Digest:
    """A component one instance of which is at work."""

    def __init__(self, locks: Locks, name: str) -> None:
        self.locks, self.name = locks, name
        self.working = False
        self.runs = 0
        self.lease = locks.lease("digest")

    @property
    def spec(self) -> Spec:
        return Spec(kind="digest", name=self.name, summary="Sends digests.", needs=(self.locks,))

    async def work(self) -> None:
        self.working, self.runs = True, self.runs + 1
        try:
            await asyncio.Event().wait()
        finally:
            self.working = False

    @asynccontextmanager
    async def lifespan(self, host: Host) -> AsyncIterator[None]:
        self.host = host
        host.spawn("work", self.work, lease=self.lease)
        yield


def test_it_is_a_lease() -> None:
    lease: Lease = Locks(Memory()).lease("digest")
    assert lease.name == "digest" and isinstance(lease, Leader)


async def test_one_of_all_leads_and_the_next_follows() -> None:
    locks = Locks(Memory())
    one, other = Digest(locks, "one"), Digest(locks, "other")
    async with running([one, other]) as harness:
        await settle()
        assert one.working != other.working
        assert await harness.value(LEADING) == 1 and await harness.value(LED) == 1
        assert await harness.value(CANDIDATES) == 2
        assert locks.overview()["leads"] == ["digest"]
        await harness.clock.advance(300)
        assert one.runs + other.runs == 1, "nobody else had a turn"
        fence = locks.lease("digest").fence
        assert fence > 0

        await locks.force("lease:digest")
        await harness.clock.advance(1)
        assert one.working != other.working
        assert one.runs + other.runs == 2 and locks.lease("digest").fence > fence
        assert await harness.value(LEADERS) == 2


async def test_a_leader_that_dies_is_followed_after_its_time() -> None:
    locks = Locks(Memory())
    digest = Digest(locks, "one")
    async with running(digest) as harness:
        await settle()
        dead = next(iter(locks.held.values()))
        locks._forget(dead)
        other = Locks(locks.store)
        follower = asyncio.create_task(_lead(locks, digest.host))
        await harness.clock.advance(14)
        assert not follower.done()
        await harness.clock.advance(2)
        assert follower.done()
        assert other.overview()["leads"] == []


async def test_nobody_leads_while_the_store_is_away_and_everybody_knows() -> None:
    store = FarStore(random.Random(1))
    locks = Locks(store)
    one, other = Digest(locks, "one"), Digest(locks, "other")
    async with running([one, other]) as harness:
        await settle(100)
        store.set_away(True)
        await harness.clock.advance(11)
        assert [one.working, other.working].count(True) == 1, "80 % of 15 s are not over"
        await harness.clock.advance(2)
        assert [one.working, other.working].count(True) == 0
        await harness.clock.advance(60)
        assert await harness.value(LED) == 0 and await harness.value(LEADING) == 0
        assert await harness.value(CANDIDATES) > 0
        store.set_away(False)
        for _ in range(50):
            await harness.clock.advance(1)
        assert [one.working, other.working].count(True) == 1
        assert await harness.value(LED) == 1


async def test_whoever_leads_can_ask_whether_it_still_does() -> None:
    locks = Locks(Memory())
    digest = Digest(locks, "one")
    async with running(digest) as harness:
        await settle()
        lease = locks.lease("digest")
        lease.check()
        harness.clock._monotonic += 100  # the process was paused
        with pytest.raises(LockLostError):
            lease.check()
        assert not lease.leading


async def _lead(locks: Locks, host: Host) -> None:
    async with locks.lease("digest").hold(host):
        pass
