"""No reply ever reaches another caller: calls are cancelled and time out while the server hangs and the network breaks.

Each value names its key, and each reply is looked at as it is parsed, whether or not somebody still waits for it. What
is written is written once: what was answered is there, what is said not to have left is not.
"""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from functools import partial
from random import Random
from typing import Any

import pytest
import uvloop

from bedplate.state.redis import Redis, RedisSettings
from bedplate.state.store import Operation, StoreTimeoutError, StoreUnavailableError
from bedplate.testing import running
from tests.endurance import dice, size, tell
from tests.harm import EVILS, harm
from tests.proxy import proxy
from tests.redis import Server, server

_KEYS = 500
_CALLERS = 100
_GET = Operation(name="get", command=("GET",), memory=lambda space, keys, args: None, reads=True)
_ECHO = Operation(
    name="echo",
    script="return {KEYS[1], redis.call('GET', KEYS[1])}",
    memory=lambda space, keys, args: None,
    reads=True,
)
_NOTE = Operation(name="note", command=("RPUSH",), memory=lambda space, keys, args: None)


def _value(number: int) -> bytes:
    # Some are longer than one read of a socket.
    return b"k%d=" % number + b"x" * (number % 7 * 40 if number % 50 else 70_000)


class Witness:
    """What happened to the calls, and whether a reply was somebody else's."""

    def __init__(self) -> None:
        self.seen: Counter[str] = Counter()
        self.notes = itertools.count()
        self.noted: set[bytes] = set()
        self.never: set[bytes] = set()

    def parsed(self, number: int, reply: Any) -> None:
        self.seen["parsed"] += 1
        if (reply[1] if isinstance(reply, list) else reply) != _value(number):
            self.seen["misdelivered"] += 1

    async def call(self, redis: Redis, thrown: Random) -> None:
        """Call once; perhaps end it before it was sent, on its way, or let it time out."""
        timeout = thrown.choice((0.002, 0.01, 0.05, 1.0))
        note = b""
        if thrown.random() < 0.1:
            note = b"%d" % next(self.notes)
            future: Any = redis.run(_NOTE, ("notes",), (note,), timeout=timeout)
            self.never.add(note)
        else:
            number = thrown.randrange(_KEYS)
            operation = _ECHO if thrown.random() < 0.2 else _GET
            future = redis.run(operation, (f"k{number}",), timeout=timeout, parsed=partial(self.parsed, number))
        fate = thrown.random()
        if fate < 0.2:
            future.cancel()
        elif fate < 0.4:
            asyncio.get_running_loop().call_later(thrown.random() * 0.004, future.cancel)
        await self._outcome(redis, future, note, -1 if note else number)

    async def _outcome(self, redis: Redis, future: Any, note: bytes, number: int) -> None:
        unknown = True
        try:
            reply = await future
        except asyncio.CancelledError:
            self.seen["cancelled"] += 1
        except StoreTimeoutError:
            self.seen["timeout"] += 1
        except StoreUnavailableError as error:
            unknown = error.sent
            self.seen["lost" if error.sent else "refused"] += 1
            while not redis.available:
                await asyncio.sleep(0.002)
        else:
            self.seen["answered"] += 1
            if note:
                self.noted.add(note)
            elif (reply[1] if isinstance(reply, list) else reply) != _value(number):
                self.seen["misdelivered"] += 1
        if unknown:
            self.never.discard(note)

    def judge(self, notes: list[bytes]) -> None:
        """Look at what was written."""
        self.seen["written"] = len(notes)
        self.seen["written twice"] = len(notes) - len(set(notes))
        self.seen["written and lost"] = len(self.noted - set(notes))
        self.seen["written though refused"] = len(self.never & set(notes))


async def _endure(target: Server, ended: int, thrown: Random) -> tuple[Counter[str], Counter[str]]:
    """Call until ``ended`` calls were cancelled or timed out; return what became of all, and what was done to them."""
    settings = RedisSettings(quiet=0.1, patience=0.5, connect_timeout=0.5, backoff=0.005, backoff_limit=0.05)
    target.calls([("SET", f"k{number}", _value(number)) for number in range(_KEYS)])
    witness = Witness()

    async def caller(redis: Redis, done: Counter[str]) -> None:
        while witness.seen["cancelled"] + witness.seen["timeout"] < ended or len(done) < len(EVILS):
            await witness.call(redis, thrown)

    async with proxy(target.port) as network:
        redis = Redis(network.url, settings=settings)
        async with running(redis) as harness:
            async with harm(target, network, thrown) as done:
                await asyncio.gather(*(caller(redis, done) for _ in range(_CALLERS)))
            # It comes back by itself, and nothing is left behind.
            await harness.eventually(lambda: redis.available, timeout=10)
            for number in range(_KEYS):
                assert await redis.run(_GET, (f"k{number}",)) == _value(number)
            witness.judge(await redis.execute("LRANGE", "notes", 0, -1, timeout=30))
            return witness.seen, done


@pytest.mark.timeout(size(120, 1500))
def test_no_reply_reaches_another_caller() -> None:
    with server("redis7") as target:
        seen, done = uvloop.run(_endure(target, size(10_000, 400_000), dice()))
    tell("replies of Redis over a network that breaks", **seen, harms=sum(done.values()))
    for sin in ("misdelivered", "written twice", "written and lost", "written though refused"):
        assert seen[sin] == 0, sin
    # The harm was real, and so was the service.
    assert all(seen[fate] for fate in ("answered", "cancelled", "timeout", "refused", "written")), done
    assert seen["parsed"] > seen["answered"]
