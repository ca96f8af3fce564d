"""What is held near is never older than is promised, whatever happens to the network and to Redis.

One instance writes; another reads near, through a network that is harmed. Each value is the number of its writing, so a
read tells how old it is.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter, deque
from collections.abc import Sequence
from random import Random
from typing import Any

import pytest
import uvloop

from bedplate.state.redis import Redis, RedisSettings
from bedplate.state.store import Operation, StoreUnavailableError
from bedplate.testing import running
from tests.endurance import dice, size, tell
from tests.harm import EVILS, harm
from tests.proxy import proxy
from tests.redis import Server, server

_KEYS = [f"app:{number}" for number in range(64)]
_GET = Operation(name="get", command=("GET",), memory=lambda space, keys, args: None, reads=True)
_SET = Operation(name="set", command=("SET",), memory=lambda space, keys, args: None)

_SETTINGS = RedisSettings(quiet=0.1, patience=0.4, connect_timeout=0.5, backoff=0.005, backoff_limit=0.05)
#: How old may be what is read near: a cut that nobody is told of is noticed after both; a busy machine is late itself.
_BOUND = _SETTINGS.quiet + _SETTINGS.patience + 0.5


class Near:
    """A near cache in its simplest form, and the judgement of what it answers."""

    def __init__(self, redis: Redis) -> None:
        self.redis = redis
        self.held: dict[str, int] = {}
        #: Of each key the writings that were answered and are not yet older than the bound, and the last one that is.
        self.recent: dict[str, deque[tuple[float, int]]] = {key: deque() for key in _KEYS}
        self.settled = dict.fromkeys(_KEYS, 0)
        self.seen: Counter[str] = Counter()
        redis.track("app:", self._changed)

    def _changed(self, keys: Sequence[str] | None) -> None:
        self.seen["flushed" if keys is None else "dropped"] += 1
        if keys is None:
            self.held.clear()
        for key in keys or ():
            self.held.pop(key, None)

    async def read(self, key: str) -> None:
        """Read a key, near if it is there, and judge how old it is."""
        if key in self.held and self.redis.available:
            self.seen["near"] += 1
            self._judge(key, self.held[key])
            return

        def fill(reply: Any) -> None:
            self.held[key] = int(reply or 0)

        try:
            await self.redis.run(_GET, (key,), parsed=fill)
            self.seen["far"] += 1
        except StoreUnavailableError:
            self.seen["away"] += 1
            await asyncio.sleep(0.002)

    def _judge(self, key: str, number: int) -> None:
        recent, old = self.recent[key], time.monotonic() - _BOUND
        while recent and recent[0][0] < old:
            self.settled[key] = recent.popleft()[1]
        if number < self.settled[key]:
            self.seen["stale"] += 1


async def _endure(target: Server, writes: int, thrown: Random) -> tuple[Counter[str], Counter[str]]:
    numbers = dict.fromkeys(_KEYS, 0)
    written = 0
    async with proxy(target.port) as network:
        reader, writer = Redis(network.url, "reader", settings=_SETTINGS), Redis(target.url, "writer")
        async with running([reader, writer]) as harness:
            near = Near(reader)

            async def write(own: list[str], done: Counter[str]) -> None:
                nonlocal written
                while written < writes or min(done.values(), default=0) < 2 or len(done) < len(EVILS):
                    key = thrown.choice(own)
                    numbers[key] += 1
                    number = numbers[key]
                    try:
                        await writer.run(_SET, (key,), (number,))
                    except StoreUnavailableError:
                        await asyncio.sleep(0.002)
                        continue  # perhaps it is there; nothing is promised of it
                    near.recent[key].append((time.monotonic(), number))
                    written += 1
                    if written % 40 == 0:
                        await asyncio.sleep(0.001)  # let something be read in between

            async def read(stop: asyncio.Event) -> None:
                while not stop.is_set():
                    for _ in range(20):
                        await near.read(thrown.choice(_KEYS))
                    await asyncio.sleep(0)

            stop = asyncio.Event()
            readers = [asyncio.create_task(read(stop)) for _ in range(32)]
            async with harm(target, network, thrown) as done:
                await asyncio.gather(*(write(_KEYS[place::8], done) for place in range(8)))
            stop.set()
            await asyncio.gather(*readers)
            await harness.eventually(lambda: reader.available and writer.available, timeout=10)
            truth = [int(value or 0) for value in await writer.execute("MGET", *_KEYS)]

            async def agrees() -> bool:
                for key in _KEYS:
                    await near.read(key)
                return [near.held.get(key) for key in _KEYS] == truth

            await harness.eventually(agrees)
            return near.seen, done


@pytest.mark.timeout(size(120, 1500))
def test_what_is_held_near_is_never_older_than_is_promised() -> None:
    with server("redis7") as target:
        seen, done = uvloop.run(_endure(target, size(4_000, 400_000), dice()))
    tell("what is held near of Redis over a network that breaks", **seen, harms=sum(done.values()))
    assert seen["stale"] == 0
    assert all(seen[what] for what in ("near", "far", "dropped", "flushed")), done
