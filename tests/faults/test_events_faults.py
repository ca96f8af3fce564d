"""Events while their Redis is killed, hangs and drops connections: what was taken is done, what was published is heard.

Redis writes what it acknowledges to its disk at once, so that a kill loses nothing. Consumers are cut short, too.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from random import Random

import pytest

from bedplate.service import Service
from bedplate.state import store
from bedplate.state.events import Event, Events, EventsUnavailableError
from bedplate.testing import running, settings
from tests.endurance import dice, size, tell
from tests.redis import Server, server
from tests.stores import RealClock

DURABLE = ("appendonly yes", "appendfsync always")
PATIENCE = 60.0


class Load:
    """Senders that repeat what was refused, workers that fail at times, and subscribers that never go away."""

    def __init__(self, thrown: Random) -> None:
        self.thrown = thrown
        self.taken: set[str] = set()
        self.done: Counter[str] = Counter()
        self.seen: Counter[str] = Counter()
        self.published: list[int] = []
        self.stopping = False

    async def work(self, event: Event[str]) -> None:
        assert event.key == event.payload
        if self.thrown.random() < 0.05:
            self.seen["failed"] += 1
            raise RuntimeError("fails on purpose")
        await asyncio.sleep(0.001)
        self.done[event.key] += 1

    async def add(self, events: Events, sender: int) -> None:
        number = 0
        while not self.stopping:
            key = f"{sender}-{number}"
            try:
                await events.streams["orders"].add(key, key=key)
            except EventsUnavailableError:
                self.seen["refused"] += 1
                await asyncio.sleep(0.02)
                continue
            self.taken.add(key)
            number += 1
            await asyncio.sleep(0.002)

    async def publish(self, events: Events) -> None:
        number = 0
        while not self.stopping:
            try:
                await events.publish("prices", number)
                self.published.append(number)
            except EventsUnavailableError as error:
                # It may have been heard, and is not repeated.
                self.seen["unheard, or not" if error.sent else "unheard"] += 1
            number += 1
            await asyncio.sleep(0.002)


@asynccontextmanager
async def instance(redis: Server, load: Load) -> AsyncIterator[Events]:
    shared = store(redis.url)
    events = Events(shared, history=10_000)
    orders = events.stream("orders", str)
    orders.group("ledger", concurrency=8, tries=50, idle=2.0)(load.work)
    service = Service("shop", None, [shared, events], settings=settings())
    async with running(service, clock=RealClock()):
        yield events


async def hear(events: Events, heard: list[int]) -> None:
    async with events.subscribe("prices", int) as subscription:
        async for event in subscription:
            assert not event.missed
            heard.append(event.payload)


async def harm_it(redis: Server, thrown: Random) -> str:
    what = thrown.choice(("kill", "hang", "restart"))
    if what == "hang":
        redis.pause()
        await asyncio.sleep(thrown.uniform(0.2, 1.0))
        redis.resume()
        return what
    await asyncio.to_thread(redis.kill)
    await asyncio.sleep(thrown.uniform(0.0, 0.5) if what == "kill" else 0)
    await asyncio.to_thread(redis.start)
    return what


@pytest.mark.timeout(size(120, 900))
async def test_nothing_that_was_taken_is_left_undone_and_subscribers_miss_nothing() -> None:
    thrown = dice()
    load, rounds = Load(thrown), size(4, 40)
    with server("valkey9", DURABLE) as redis:
        async with AsyncExitStack() as stack:
            instances = [await stack.enter_async_context(instance(redis, load)) for _ in range(2)]
            heard: list[list[int]] = [[], []]
            hearers = [asyncio.create_task(hear(*pair)) for pair in zip(instances, heard, strict=True)]
            await asyncio.sleep(0.1)
            callers = [asyncio.create_task(load.add(events, sender)) for sender, events in enumerate(instances)]
            callers.append(asyncio.create_task(load.publish(instances[0])))
            faults: Counter[str] = Counter()
            for _ in range(rounds):
                await asyncio.sleep(thrown.uniform(0.1, 0.5))
                faults[await harm_it(redis, thrown)] += 1
            await asyncio.sleep(0.5)
            load.stopping = True
            await asyncio.gather(*callers)
            end = time.monotonic() + PATIENCE
            while not (load.taken <= load.done.keys() and all(set(load.published) <= set(one) for one in heard)):
                assert time.monotonic() < end, (
                    f"{len(load.taken - load.done.keys())} not done, "
                    f"{[len(set(load.published) - set(one)) for one in heard]} not heard"
                )
                await asyncio.sleep(0.05)
            for task in hearers:
                task.cancel()
            ended = await asyncio.gather(*hearers, return_exceptions=True)
    assert all(isinstance(error, asyncio.CancelledError) for error in ended), ended
    # In order, and none twice.
    assert all(one == sorted(set(one)) for one in heard)
    twice = sum(1 for count in load.done.values() if count > 1)
    killed = faults["kill"] + faults["restart"]
    tell("events", writes=len(load.taken), kills=killed, missing=0, done_again=twice, **load.seen)
    assert load.taken and load.seen["failed"]
