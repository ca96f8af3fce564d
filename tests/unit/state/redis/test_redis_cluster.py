"""A Cluster whose slots move, whose servers come and go, and that is told of in different ways."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis.crc import key_slot

from bedplate.service import Service
from bedplate.state.redis import Redis, RedisSettings
from bedplate.state.redis.hashing import slot_of
from bedplate.state.redis.layout import Layout, merged, read_layout
from bedplate.state.redis.packing import words
from bedplate.state.store import Call, Operation, StoreReplyError, StoreUnavailableError
from bedplate.testing import CASES, Harness, running, settings
from tests.redis import Cluster, Servers
from tests.redis import cluster as own_cluster
from tests.stores import RealClock

GET = Operation(name="get", command=("GET",), memory=lambda space, keys, _: space.get(keys[0]), reads=True)
SET = Operation(name="set", command=("SET",), memory=lambda space, keys, args: space.set(keys[0], args[0]))
ADD = Operation(name="add", script="return redis.call('INCRBY', KEYS[1], ARGV[1])", memory=lambda *_: None)
BOTH = Operation(name="both", command=("MGET",), memory=lambda space, keys, _: space.mget(*keys), reads=True)


@asynccontextmanager
async def _running(redis: Redis, *, reached: bool = True) -> AsyncIterator[Harness]:
    async with running(Service("test", None, [redis], settings=settings()), clock=RealClock()) as harness:
        if reached:
            await harness.eventually(lambda: redis.available)
        yield harness


@pytest.fixture
def cluster(redis_servers: Servers) -> Iterator[Cluster]:
    return redis_servers.cluster()


@given(st.text(max_size=20) | st.text(alphabet="{}ab", max_size=12))
def test_slots_are_those_of_redis(key: str) -> None:
    assert slot_of(key) == key_slot(key.encode())


def test_of_layouts_that_disagree_the_latest_counts_for_each_slot() -> None:
    a, b, c = ("a", 1), ("b", 1), ("c", 1)
    old = Layout(((0, 99, a, 1), (100, 199, b, 2)))
    new = Layout(((0, 49, a, 1), (50, 99, c, 3), (100, 199, b, 2)))
    assert merged([old, new]) == merged([new, old]) == new
    assert merged([old, old]) == old


def test_a_server_that_calls_itself_nothing_is_at_the_address_that_was_asked() -> None:
    nodes = b"id1 :7000@17000 myself,master - 0 0 4 connected 0-99\nid2 10.0.0.2:7000@17000 master - 0 0 5 connected\n"
    slots = [[0, 99, [b"", 7000, b"id1"]], [100, 199, [b"?", 7000, b"id3"]], [200, 201, [b"h2", 7001, b"id2"], [b"r"]]]
    expected = Layout(((0, 99, ("10.0.0.1", 7000), 4), (200, 201, ("h2", 7001), 5)))
    assert read_layout(slots, nodes, "10.0.0.1") == expected


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
async def test_redis_in_a_cluster_conforms(case: Any, cluster: Cluster) -> None:
    await case(lambda: Redis(cluster.url))


async def test_one_server_of_the_url_leads_to_all(cluster: Cluster) -> None:
    url = f"redis+cluster://127.0.0.1:1,127.0.0.1:{cluster.nodes[1].port}"
    redis = Redis(url)
    async with _running(redis) as harness:
        keys = [f"k{number}" for number in range(100)]
        assert await redis.run_many([Call(SET, [key], [key]) for key in keys]) == [b"OK"] * 100
        assert await redis.run_many([Call(GET, [key]) for key in keys]) == [key.encode() for key in keys]
        await harness.eventually(lambda: redis.available)
        assert len(redis.servers) == 3
        assert await redis.ping()


async def test_keys_of_one_operation_are_of_one_slot(cluster: Cluster) -> None:
    redis = Redis(cluster.url)
    async with _running(redis):
        assert await redis.run(BOTH, ["{a}1", "{a}2"]) == [None, None]
        with pytest.raises(StoreReplyError, match="hash tag") as caught:
            await redis.run(BOTH, ["a", "b"])
        assert caught.value.code == "CROSSSLOT"
        replies = await redis.run_many([Call(BOTH, ["a", "b"]), Call(GET, ["a"])])
        assert [getattr(reply, "code", reply) for reply in replies] == ["CROSSSLOT", None]


async def test_operations_follow_a_slot_that_moves_while_it_moves_and_after(cluster: Cluster) -> None:
    slot, source = slot_of("moving"), cluster.node_of("moving")
    target = next(node for node in cluster.nodes if node is not source)
    redis = Redis(cluster.url)
    async with _running(redis):
        await redis.run(SET, ["moving"], [1])
        cluster.begin_move(slot, source, target)
        try:
            assert await redis.run(GET, ["moving"]) == b"1"
            assert cluster.move_keys(slot, source, target) == 1
            # The key is at the target, the slot still at the source (ASK); the script is known at neither.
            assert await redis.run(ADD, ["moving"], [2]) == 3
            assert await redis.run(GET, ["moving"]) == b"3"
            cluster.end_move(slot, target)
            assert await redis.run(ADD, ["moving"], [1]) == 4
            assert (await asyncio.gather(*(redis.run(ADD, ["moving"], [1]) for _ in range(50))))[-1] == 54
        finally:
            cluster.end_move(slot, target)
            cluster.begin_move(slot, target, source)
            cluster.move_keys(slot, target, source)
            cluster.end_move(slot, source)
        assert await redis.run(GET, ["moving"]) == b"54"


async def test_keys_that_are_half_moved_are_away_and_others_are_not(cluster: Cluster) -> None:
    slot, source = slot_of("half"), cluster.node_of("half")
    target = next(node for node in cluster.nodes if node is not source)
    redis = Redis(cluster.url)
    async with _running(redis):
        await redis.run(SET, ["{half}1"], [1])
        cluster.begin_move(slot, source, target)
        try:
            cluster.move_keys(slot, source, target)
            source.call("CLUSTER", "SETSLOT", slot, "STABLE")
            await redis.run(SET, ["{half}2"], [2])
            cluster.begin_move(slot, source, target)
            with pytest.raises(StoreUnavailableError, match="moving the keys") as caught:
                await redis.run(BOTH, ["{half}1", "{half}2"])
            assert not caught.value.sent
            assert redis.available
            assert await redis.run(GET, ["{half}2"]) == b"2"
        finally:
            cluster.move_keys(slot, source, target)
            cluster.end_move(slot, target)
            cluster.begin_move(slot, target, source)
            cluster.move_keys(slot, target, source)
            cluster.end_move(slot, source)
        assert await redis.run(BOTH, ["{half}1", "{half}2"]) == [b"1", b"2"]


async def test_what_is_read_of_a_slot_that_moves_is_never_held_stale(cluster: Cluster) -> None:
    slot, source = slot_of("near:moving"), cluster.node_of("near:moving")
    target = next(node for node in cluster.nodes if node is not source)
    redis = Redis(cluster.url)
    told: list[Any] = []
    async with _running(redis) as harness:
        redis.track("near:", lambda keys: told.extend([None] if keys is None else keys))
        await redis.run(SET, ["near:moving"], [1])
        await redis.run(GET, ["near:moving"])
        cluster.begin_move(slot, source, target)
        try:
            told.clear()
            cluster.move_keys(slot, source, target)
            await harness.eventually(lambda: told != [])
            told.clear()
            # Nobody remembers that it was read where the slot is not yet: it is called changed at once.
            assert await redis.run(GET, ["near:moving"]) == b"1"
            assert told == ["near:moving"]
            cluster.end_move(slot, target)
            told.clear()
            # From whom it was read before does not tell any more, so nothing may be held of it.
            assert await redis.run(GET, ["near:moving"]) == b"1"
            assert None in told
        finally:
            cluster.end_move(slot, target)
            cluster.begin_move(slot, target, source)
            cluster.move_keys(slot, target, source)
            cluster.end_move(slot, source)


async def test_a_server_that_is_no_cluster_says_so(redis_servers: Servers) -> None:
    server = redis_servers.server("valkey9")
    redis = Redis(f"redis+cluster://127.0.0.1:{server.port}", settings=RedisSettings(connect_timeout=0.3))
    async with _running(redis, reached=False):
        with pytest.raises(StoreUnavailableError, match="cluster support disabled"):
            await redis.run(GET, ["a"])


async def test_a_node_of_a_cluster_is_no_single_server(cluster: Cluster) -> None:
    redis = Redis(cluster.nodes[0].url)
    async with _running(redis, reached=False):
        with pytest.raises(StoreUnavailableError, match=r"redis\+cluster"):
            await redis.run(GET, ["a"])


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("redis+cluster://:hidden@a:1/3", "names a database"),
        ("redis+cluster://:hidden@a:1,:2", "where the servers are"),
        ("redis+cluster://:hidden@a:x", "cannot be taken apart"),
    ],
)
def test_an_address_that_cannot_be_is_refused_without_its_password(url: str, reason: str) -> None:
    [refusal] = Redis(url).refusals("test", {})
    assert reason in refusal.what
    assert "hidden" not in str(refusal)


async def test_a_server_that_has_lost_the_others_is_away_until_it_is_among_them_again() -> None:
    with own_cluster(config=["cluster-node-timeout 500", "enable-debug-command yes"]) as cluster:
        redis = Redis(cluster.url)
        told: list[bool] = []
        async with _running(redis) as harness:
            await redis.run(SET, ["k"], ["here"])
            redis.watch(told.append)
            cluster.node_of("k").call("DEBUG", "DROP-CLUSTER-PACKET-FILTER", -2)  # it hears nothing of the others

            async def refused() -> bool:
                try:
                    await redis.run(GET, ["k"])
                except StoreUnavailableError as error:
                    return "its cluster is down" in str(error)
                return False

            await harness.eventually(refused)
            # It goes on answering PINGs, which is no reason to come back to it.
            node = redis._router.route(["k"])  # type: ignore[union-attr]
            for _ in range(3):
                info = await node.connection.control(words("CLUSTER", "INFO"), 5)  # type: ignore[union-attr]
                assert b"cluster_state:fail" in info
            assert told == [False] and not redis.available
            cluster.node_of("k").call("DEBUG", "DROP-CLUSTER-PACKET-FILTER", -1)
            await harness.eventually(lambda: redis.available)
            assert told == [False, True]
            assert await redis.run(GET, ["k"]) == b"here"
