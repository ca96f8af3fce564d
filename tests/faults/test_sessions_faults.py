"""Sessions and idempotency while their Redis is killed, hangs, drops connections and comes back from an old copy.

Nobody who was seen lately gets an error for a read, nobody is signed out who did not ask for it, nobody comes back who
did, and nothing is done twice. Redis writes what it acknowledges to its disk at once, so that a kill loses nothing; the
old copy does.
"""

from __future__ import annotations

import asyncio
import shutil
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from random import Random
from typing import Any

import pytest

from bedplate.service import Service
from bedplate.state import store
from bedplate.state.idempotency import Idempotency, IdempotencyUnavailableError, KeyInUseError
from bedplate.state.sessions import Sessions, SessionsUnavailableError
from bedplate.state.store import StoreError
from bedplate.testing import running, settings
from tests.endurance import dice, size, tell
from tests.redis import Server, server
from tests.stores import RealClock

SECRET = "a secret for tests that is long enough to be one"
INSTANCES = 2
PATIENCE = 60.0
DURABLE = ("appendonly yes", "appendfsync always")


class Instance:
    def __init__(self, sessions: Sessions, idempotency: Idempotency) -> None:
        self.sessions, self.idempotency = sessions, idempotency


@asynccontextmanager
async def instance(redis: Server) -> AsyncIterator[Instance]:
    shared = store(redis.url)
    # Read anew often, so that many reads meet a fault.
    made = Instance(Sessions(shared, secret=SECRET, fresh=0.2), Idempotency(shared))
    service = Service("shop", None, [shared, made.sessions, made.idempotency], settings=settings())
    async with running(service, clock=RealClock()):
        yield made


async def until(condition: Callable[[], Any], what: str) -> None:
    end = time.monotonic() + PATIENCE
    while True:
        found = condition()
        if asyncio.iscoroutine(found):
            found = await found
        if found:
            return
        assert time.monotonic() < end, f"{what}: not within {PATIENCE:g} s"
        await asyncio.sleep(0.01)


class Load:
    """People who read, people who sign in and out, and requests that are repeated until they are answered."""

    def __init__(self, instances: list[Instance], thrown: Random) -> None:
        self.instances = instances
        self.thrown = thrown
        self.steady: dict[str, str] = {}
        self.ended: set[str] = set()
        self.done: Counter[str] = Counter()
        self.seen: Counter[str] = Counter()
        self.stopping = False

    async def settle_in(self) -> None:
        """Sign in the people who stay, and let all instances see them."""
        for number in range(6):
            token, _ = await self.instances[0].sessions.open(f"user-{number}")
            self.steady[token] = f"user-{number}"
            for one in self.instances:
                assert await one.sessions.find(token) is not None

    async def read(self, one: Instance) -> None:
        while not self.stopping:
            for token, user in self.steady.items():
                session = await one.sessions.find(token)
                assert session is not None and session.user == user
                self.seen["read, known" if session.is_known_only else "read"] += 1
            await asyncio.sleep(0.005)

    async def come_and_go(self, number: int) -> None:
        while not self.stopping:
            one = self.thrown.choice(self.instances)
            user = f"guest-{number}"
            try:
                tokens = [(await one.sessions.open(user))[0] for _ in range(2)]
                for token in tokens:
                    await self.thrown.choice(self.instances).sessions.find(token)
            except SessionsUnavailableError:
                self.seen["sign-in refused"] += 1
                await asyncio.sleep(0.02)
                continue
            await self._end(one, user, tokens)
            await asyncio.sleep(0.01)

    async def _end(self, one: Instance, user: str, tokens: list[str]) -> None:
        try:
            if self.thrown.random() < 0.5:
                await one.sessions.revoke_all(user)
            else:
                for token in tokens:
                    # By its public name, which needs no look at the store.
                    names = one.sessions.keeper.names
                    tag, secret = token.split(".")
                    await one.sessions.revoke(f"{tag}.{names.field(secret)}")
        except SessionsUnavailableError:
            self.seen["sign-out refused"] += 1
            return
        self.seen["signed out"] += 1
        self.ended.update(tokens)
        for token in tokens:
            try:
                assert await one.sessions.find(token) is None, "who was signed out is served"
            except SessionsUnavailableError:
                self.seen["unknown"] += 1

    async def pay(self, number: int) -> None:
        order = 0
        while not self.stopping:
            key = f"order-{number}-{order}"
            one = self.thrown.choice(self.instances)
            try:
                async with one.idempotency.once(key) as once:
                    if not once.done:
                        self.done[key] += 1
                        await asyncio.sleep(self.thrown.uniform(0, 0.03))
                        await once.finish(self.done[key])
                    self.seen["replayed" if once.done else "done"] += 1
                    order += once.done
            except (IdempotencyUnavailableError, KeyInUseError) as error:
                self.seen[type(error).__name__] += 1
                await asyncio.sleep(0.02)

    async def nobody_is_back(self, instances: list[Instance]) -> None:
        for one in instances:
            for token in self.ended:
                assert await one.sessions.find(token) is None, "a session that had ended is back"


async def harm(load: Load, redis: Server, thrown: Random, rounds: int) -> None:
    """Do harm, each kind in turn, in an order that the dice choose; each time wait until all is well."""

    async def hang(seconds: float) -> None:
        redis.pause()
        await asyncio.sleep(seconds)
        redis.resume()

    async def kill(seconds: float) -> None:
        redis.kill()
        await asyncio.sleep(seconds)
        await asyncio.to_thread(redis.start)

    async def cut(seconds: float) -> None:
        redis.disconnect_clients()

    kinds: list[Callable[[float], Any]] = [hang, kill, cut]
    for _ in range(rounds):
        for kind in thrown.sample(kinds, len(kinds)):
            await asyncio.sleep(thrown.uniform(0.1, 0.4))
            load.seen[kind.__name__] += 1
            await kind(thrown.uniform(0.3, size(0.8, 4.0)))
            await well(load.instances)


async def first_failed(harming: asyncio.Task[None], tasks: list[asyncio.Task[None]]) -> AsyncIterator[Any]:
    """Yield each task that has ended, until the harm is done."""
    while not harming.done():
        done, _ = await asyncio.wait([harming, *tasks], return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            yield task


async def well(instances: list[Instance]) -> None:
    """Wait until every instance has its Redis again, and has told it what it had to."""

    async def is_well(one: Instance) -> bool:
        try:
            await one.sessions.ping()
            await one.idempotency.ping()
        except StoreError:
            return False
        waiting = one.sessions.overview()["revocationsWaiting"] + one.idempotency.overview()["notRecorded"]
        return one.sessions.reachable and not waiting

    for one in instances:
        await until(lambda one=one: is_well(one), "all is well again")  # type: ignore[misc]


@pytest.mark.timeout(size(120, 1_200))
async def test_nobody_comes_back_nobody_is_lost_and_nothing_is_done_twice(tmp_path: Path) -> None:
    thrown = dice()
    with server("redis7", config=DURABLE) as redis:
        async with AsyncExitStack() as stack:
            instances = [await stack.enter_async_context(instance(redis)) for _ in range(INSTANCES)]
            load = Load(instances, thrown)
            await load.settle_in()
            tasks = [asyncio.create_task(load.read(one)) for one in instances]
            tasks += [asyncio.create_task(load.come_and_go(number)) for number in range(4)]
            tasks += [asyncio.create_task(load.pay(number)) for number in range(4)]
            harming = asyncio.create_task(harm(load, redis, thrown, size(1, 8)))
            try:
                # Whichever fails first ends it; else it ends when all harm is done.
                async for task in first_failed(harming, tasks):
                    await task
            finally:
                load.stopping = True
                harming.cancel()
                ended = await asyncio.gather(*tasks, return_exceptions=True)
            assert [error for error in ended if error is not None] == []
            await well(instances)
            await load.nobody_is_back(instances)
            tell("sessions beside a Redis that is harmed", **load.seen)
    assert set(load.done.values()) == {1}
    for what in ("hang", "kill", "cut", "read, known", "sign-in refused", "signed out", "done", "replayed"):
        assert load.seen[what], what


async def test_an_old_copy_of_the_store_brings_nobody_back(tmp_path: Path) -> None:
    with server("redis7", config=DURABLE) as redis:
        async with AsyncExitStack() as stack:
            instances = [await stack.enter_async_context(instance(redis)) for _ in range(INSTANCES)]
            load = Load(instances, dice())
            await load.settle_in()
            gone = {(await instances[0].sessions.open(f"guest-{number % 5}"))[0] for number in range(20)}
            copied = tmp_path / "copy"
            redis.kill()
            shutil.copytree(redis.folder / "appendonlydir", copied)
            await asyncio.to_thread(redis.start)
            await well(instances)
            for number in range(4):
                await instances[number % 2].sessions.revoke_all(f"guest-{number}")
            for info in await instances[0].sessions.list("guest-4"):
                await instances[0].sessions.revoke(info)
            redis.kill()
            shutil.rmtree(redis.folder / "appendonlydir")
            shutil.copytree(copied, redis.folder / "appendonlydir")
            await asyncio.to_thread(redis.start)
            await well(instances)
            load.ended = gone
            await load.nobody_is_back(instances)
            # The store has been told again, so that who knows nothing does not serve them either.
            fresh = await stack.enter_async_context(instance(redis))

            async def told() -> bool:
                return not any([await fresh.sessions.list(f"guest-{number}") for number in range(5)])

            await until(told, "the store is told")
            await load.nobody_is_back([fresh])
            for token, user in load.steady.items():
                session = await fresh.sessions.find(token)
                assert session is not None and session.user == user
