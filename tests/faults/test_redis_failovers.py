"""Sentinels and a Cluster whose servers are replaced again and again, under load.

Shown, with counts: nobody gets another's reply; after each harm everything is written again, without a restart of the
service; what was acknowledged since the last harm is where it belongs; in the end a replica has what its primary has.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from random import Random

import pytest

from bedplate.service import Service
from bedplate.state.redis import Redis, RedisSettings
from bedplate.state.store import Operation, StoreReplyError, StoreUnavailableError
from bedplate.testing import running, settings
from tests.endurance import dice, size, tell
from tests.redis import Cluster, Sentinels, Server, cluster, sentinels, until
from tests.stores import RealClock

_KEPT = ["appendonly yes", "appendfsync everysec"]
_SETTINGS = RedisSettings(timeout=0.5, quiet=0.2, patience=0.6, connect_timeout=0.5, backoff=0.01, backoff_limit=0.2)
_WRITERS = 12

pytestmark = pytest.mark.timeout(size(120, 900))

#: Sets a key and returns what it was asked for, so that a reply tells whose it is.
_WRITE = Operation(
    name="write",
    script="redis.call('SET', KEYS[1], ARGV[1]) return {KEYS[1], ARGV[1]}",
    memory=lambda space, keys, args: None,
)


class Load:
    """Writers, each of one key, that write ever greater numbers."""

    def __init__(self, redis: Redis) -> None:
        self.redis = redis
        self.acknowledged: dict[str, int] = {}
        self.seen: Counter[str] = Counter()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Load]:
        async with asyncio.TaskGroup() as tasks:
            writers = [tasks.create_task(self._write(f"k{number}")) for number in range(_WRITERS)]
            await self.everywhere()
            yield self
            for writer in writers:
                writer.cancel()

    async def everywhere(self) -> None:
        """Return when every key was written once more."""
        before = dict(self.acknowledged)
        async with asyncio.timeout(60):
            while any(self.acknowledged.get(f"k{n}", 0) <= before.get(f"k{n}", 0) for n in range(_WRITERS)):
                await asyncio.sleep(0.005)

    async def _write(self, key: str) -> None:
        number = 0
        while True:
            number += 1
            try:
                reply = await self.redis.run(_WRITE, [key], [number])
            except StoreUnavailableError as error:
                self.seen["unknown" if error.sent else "not done"] += 1
                await asyncio.sleep(0.01)
            except StoreReplyError as error:
                raise AssertionError(f"a server refused what it should have taken: {error}") from error
            else:
                assert reply == [key.encode(), str(number).encode()], "somebody else's reply"
                self.acknowledged[key] = number
                self.seen["done"] += 1
            await asyncio.sleep(0.001)


@asynccontextmanager
async def _loaded(url: str) -> AsyncIterator[Load]:
    redis = Redis(url, settings=_SETTINGS)
    async with running(Service("test", None, [redis], settings=settings()), clock=RealClock()) as harness:
        await harness.eventually(lambda: redis.available, timeout=20)
        async with Load(redis).running() as load:
            yield load


def _values(server: Server) -> dict[str, int]:
    replies = server.calls([("GET", f"k{number}") for number in range(_WRITERS)])
    return {f"k{n}": int(reply) for n, reply in enumerate(replies) if isinstance(reply, bytes)}


def _hurt(dead: Server, how: str, replaced: Callable[[], object]) -> None:
    """Kill or hang a server until another has taken its place, and bring it back."""
    if how == "kill":
        dead.kill()
        replaced()
        dead.start()
    else:
        dead.pause()
        try:
            replaced()
        finally:
            dead.resume()


def _harm_sentinels(guarded: Sentinels, how: str, random: Random) -> None:
    primary, replica = guarded.primary, guarded.replica
    if how == "order":
        guarded.failover()
    elif how == "watcher":
        random.choice(guarded.watchers).kill()
    elif how == "restart":
        primary.restart()
    else:
        _hurt(primary, how, lambda: guarded.agreed(replica))
    guarded.healed()


async def test_sentinels_replace_servers_again_and_again() -> None:
    random = dice()
    harms = ["hang", "order", "kill", "watcher", "restart"]
    counts: Counter[str] = Counter()
    with sentinels(config=_KEPT) as guarded:
        async with _loaded(guarded.url) as load:
            for turn in range(size(1, 24)):
                how = harms[turn] if turn < len(harms) else random.choice(harms)
                counts[how] += 1
                await asyncio.to_thread(_harm_sentinels, guarded, how, random)
                await load.everywhere()
        primary, replica = guarded.primary, guarded.replica
        for key, number in load.acknowledged.items():
            assert _values(primary)[key] >= number, f"{key} was acknowledged and is lost"
        await asyncio.to_thread(until, lambda: _values(replica) == _values(primary), "the replica has the same")
    _tell("Sentinels replace servers", counts, load)


def _tell(what: str, counts: Counter[str], load: Load) -> None:
    tell(what, writes=load.seen["done"], kills=sum(counts.values()), missing=0, **counts, **load.seen)


def _harm_cluster(made: Cluster, how: str, random: Random) -> None:
    number = random.randrange(len(made.nodes))
    node, replica = made.nodes[number], made.replicas[number]
    until(lambda: replica.info("replication")["master_link_status"] == "up", "the replica follows")
    if how == "order":
        made.failover(number)
        return
    _hurt(node, how, lambda: until(lambda: replica.info("replication")["role"] == "master", "it takes over"))
    until(lambda: node.info("replication")["role"] == "slave", "the old one follows")
    made.nodes[number], made.replicas[number] = replica, node


async def test_a_cluster_replaces_servers_again_and_again() -> None:
    random = dice()
    harms = ["hang", "kill", "order"]
    counts: Counter[str] = Counter()
    with cluster(config=_KEPT, replicas=True) as made:
        async with _loaded(made.url) as load:
            for turn in range(size(1, 16)):
                how = harms[turn] if turn < len(harms) else random.choice(harms)
                counts[how] += 1
                await asyncio.to_thread(_harm_cluster, made, how, random)
                await load.everywhere()
        for key, number in load.acknowledged.items():
            owner = next(node for node in made.nodes if key in _values(node))
            assert _values(owner)[key] >= number, f"{key} was acknowledged and is lost"
    _tell("a Cluster replaces servers", counts, load)
