"""Confirmations while Redis hangs, is cut off, and is killed with what it has written kept: each is decided once.

Everybody repeats what was not answered, as they are told to. The server that is killed writes each change to its disk
before it answers (``appendfsync always``), so whatever was acknowledged must be there when it comes back.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest

from bedplate.service import Service
from bedplate.state.confirmations import (
    AlreadyDecidedError,
    Confirmation,
    Confirmations,
    ConfirmationUnavailableError,
    Expired,
)
from bedplate.state.redis import Redis, RedisSettings
from bedplate.testing import running, settings
from tests.endurance import dice, size, tell
from tests.harm import EVILS, harm
from tests.proxy import proxy
from tests.redis import Server, server
from tests.stores import RealClock

KEPT = ("appendonly yes", "appendfsync always")
IMPATIENT = RedisSettings(quiet=0.1, patience=0.5, connect_timeout=0.5, backoff=0.005, backoff_limit=0.05)
DECIDERS = 4
#: Seconds after which something hangs: the longest of these takes two minutes.
MOST = size(90, 300)


class Load:
    """Questions that are asked on one instance and decided by several people on all of them."""

    def __init__(self, instances: list[Confirmations[dict[str, int]]], thrown: random.Random) -> None:
        self.instances = instances
        self.thrown = thrown
        self.seen: Counter[str] = Counter()
        #: What each question's deciders were told: who has decided how.
        self.answers: dict[str, set[tuple[str, str]]] = defaultdict(set)
        self.told: Counter[tuple[str, str, str]] = Counter()
        self.ended = False
        for each in instances:
            each.on_decision(self._decided)
            each.on_expiry(self._expired)

    async def _decided(self, confirmation: Confirmation[dict[str, int]]) -> None:
        self.told[confirmation.id, confirmation.decided_by, confirmation.status] += 1

    async def _expired(self, expired: Expired) -> None:
        self.told[expired.id, "", "expired"] += 1

    def workers(self) -> list[Awaitable[None]]:
        return [self._work(number) for number in range(6)]

    async def _work(self, worker: int) -> None:
        number = 0
        while not self.ended:
            number += 1
            id = f"{worker}-{number}"
            await self._stubborn("create", "ann", {"n": number}, id=id)
            if number % 5 == 0:
                await self._stubborn("create", "bob", {"n": number}, id=f"{id}-short", ttl=0.2)
                self.seen["short"] += 1
            await asyncio.gather(*(self._decide(id, f"user {who}") for who in range(DECIDERS)))
            assert len(self.answers[id]) == 1, (id, self.answers[id])
            self.seen["decided"] += 1

    async def _decide(self, id: str, who: str) -> None:
        way = self.thrown.choice(("confirm", "reject"))
        found = await self._stubborn(way, id, who)
        self.answers[id].add((found.decided_by, found.status))

    async def _stubborn(self, way: str, *given: Any, **named: Any) -> Confirmation[dict[str, int]]:
        """Call until there is an answer, on whichever instance."""
        while True:
            try:
                found: Confirmation[dict[str, int]] = await getattr(self.thrown.choice(self.instances), way)(
                    *given, **named
                )
                self.seen["answered"] += 1
                return found
            except AlreadyDecidedError as error:
                self.seen["decided before"] += 1
                return error.confirmation
            except ConfirmationUnavailableError as error:
                self.seen["sent and not answered" if error.sent else "refused"] += 1
                await asyncio.sleep(0.005)


async def endure(
    target: Server, urls: list[str], thrown: random.Random, harmed: Callable[[Load], Awaitable[None]]
) -> Counter[str]:
    """Let people decide while something happens; see what has become of it all afterwards."""
    async with AsyncExitStack() as stack:
        stores = [Redis(url, settings=IMPATIENT) for url in urls]
        instances = [Confirmations(store, dict[str, int], retell=1) for store in stores]
        load = Load(instances, thrown)
        harness: Any = None
        for store, its in zip(stores, instances, strict=True):
            service = Service("test", None, [store, its], settings=settings())
            harness = await stack.enter_async_context(running(service, clock=RealClock()))
        working = asyncio.gather(*load.workers())
        await harmed(load)
        await harness.eventually(lambda: all(store.available for store in stores), timeout=15)
        done = load.seen["decided"]
        await harness.eventually(lambda: load.seen["decided"] > done + 10, timeout=15)
        load.ended = True
        await asyncio.wait_for(working, 60)

        # What was acknowledged is what is there, and is told.
        for id, answers in load.answers.items():
            found = await instances[0].get(id)
            assert found is not None and {(found.decided_by, found.status)} == answers, id

        def all_told() -> bool:
            decided = all((id, *next(iter(answers))) in load.told for id, answers in load.answers.items())
            expired = sum(1 for _, _, status in load.told if status == "expired")
            return decided and expired == load.seen["short"]

        # What somebody claimed who was cut off then is told a second later.
        await harness.eventually(all_told, timeout=30)
        assert len({id for id, _, status in load.told if status != "expired"}) == len(load.answers)
        for user in ("ann", "bob"):
            assert await instances[1].count(user) == 0
        assert target.call("SCARD", "user_pending:ann") == 0
        load.seen["told"] = sum(load.told.values())
        tell("confirmations beside a Redis that is harmed", **load.seen)
        return load.seen


@pytest.mark.timeout(MOST)
async def test_each_is_decided_once_while_redis_hangs_and_the_network_breaks() -> None:
    thrown, seconds = dice(), size(2.5, 60.0)
    with server("redis7") as target:
        async with proxy(target.port) as one, proxy(target.port) as other:

            async def harmed(load: Load) -> None:
                async with harm(target, one, thrown) as done, harm(target, other, thrown):
                    await asyncio.sleep(seconds)
                    while len(done) < len(EVILS):
                        await asyncio.sleep(0.1)

            seen = await endure(target, [one.url, other.url], thrown, harmed)
    assert seen["decided before"] and seen["sent and not answered"] + seen["refused"]


@pytest.mark.timeout(MOST)
async def test_no_decision_that_was_acknowledged_is_lost_when_redis_is_killed() -> None:
    thrown, rounds = dice(), size(3, 25)
    with server("redis7", KEPT) as target:

        async def harmed(load: Load) -> None:
            for _ in range(rounds):
                await asyncio.sleep(thrown.uniform(0.1, 0.4))
                await asyncio.to_thread(target.kill)
                await asyncio.sleep(thrown.uniform(0.0, 0.4))
                await asyncio.to_thread(target.start)

        seen = await endure(target, [target.url] * 2, thrown, harmed)
    assert seen["refused"] and seen["decided"]
