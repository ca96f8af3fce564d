"""Several real servers for tests: behind Sentinels, or in a Cluster; see :mod:`tests.redis`."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from urllib.parse import quote

from redis.exceptions import RedisError

from tests.certificates import Certificates, certificates
from tests.redis_server import Kind, Server, folder_of_its_own, free_port, started, until

__all__ = ["Cluster", "Sentinels", "cluster", "sentinels"]

_SLOTS = 16384
#: The name under which Sentinels know the primary.
PRIMARY = "state"

#: What Sentinels do every ten seconds or two, these do several times a second (ms). Four times the second is how long a
#: primary that they take for a replica is left alone: it must be longer than they take to hear of a fail-over. Five
#: times the third is how old what they know of a replica may be while its primary is down: more than the second after
#: which they ask then.
_HASTE = ("INFO-PERIOD", 300, "PUBLISH-PERIOD", 600, "PING-PERIOD", 400, "ASK-PERIOD", 100)


class Sentinels:
    """A primary, a replica, and three Sentinels that watch them."""

    def __init__(self, servers: list[Server], watchers: list[Server]) -> None:
        self.servers, self.watchers = servers, watchers
        self.tls = servers[0].tls

    @property
    def url(self) -> str:
        """The address of the primary, whoever that is."""
        hosts = ",".join(f"127.0.0.1:{watcher.port}" for watcher in self.watchers)
        return f"{_scheme(self.tls)}+sentinel://{hosts}/{PRIMARY}/0{_trust(self.tls)}"

    @property
    def primary(self) -> Server:
        """The server that most of the Sentinels take for the primary."""
        ports = []
        for watcher in self.watchers:
            if watcher.running:
                with contextlib.suppress(RedisError, OSError):
                    ports.append(_named(watcher))
        port = max(set(ports), key=ports.count)
        return next(server for server in self.servers if server.port == port)

    @property
    def replica(self) -> Server:
        """The other one."""
        primary = self.primary
        return next(server for server in self.servers if server is not primary)

    def failover(self) -> Server:
        """Let the replica take over, as an operator does; return the new primary once all agree."""
        before, after = self.primary, self.replica
        for _ in range(5):
            until(lambda: self.watchers[0].call("SENTINEL", "FAILOVER", PRIMARY) == b"OK", "a failover begins")
            # On a busy machine a promotion may take longer than Sentinel waits for it; then it is given up.
            with contextlib.suppress(AssertionError):
                until(lambda: _named(self.watchers[0]) == after.port, "a failover ends", 4.0)
                break
        self.agreed(after)
        until(lambda: before.info("replication")["role"] == "slave", "the old primary follows")
        return after

    def agreed(self, primary: Server) -> None:
        """Wait until this server is the primary for every Sentinel, and takes writes."""
        for watcher in self.watchers:
            try:
                until(lambda watcher=watcher: _named(watcher) == primary.port, "a Sentinel knows the new primary")  # type: ignore[misc]
            except AssertionError as error:
                logs = "\n".join(each.log()[-3000:] for each in [*self.watchers, *self.servers])
                raise AssertionError(f"{error}\n{primary.port} should be it\n{logs}") from None
        until(lambda: primary.info("replication")["role"] == "master", "the new primary is one")

    def healed(self) -> None:
        """Start what was killed, and wait until there is a primary with a replica that is up to date."""
        for each in [*self.servers, *self.watchers]:
            if not each.running:
                each.start()
                if each in self.watchers:
                    each.call("SENTINEL", "DEBUG", *_HASTE)
        until(self._in_order, "a replica follows the primary")

    def _in_order(self) -> bool:
        told = self.primary.info("replication")
        return told["role"] == "master" and "state=online" in told.get("slave0", "")

    def flush(self) -> None:
        """Forget all keys."""
        self.primary.flush()


@contextmanager
def sentinels(
    kind: Kind = "valkey9", config: Sequence[str] = (), *, down_after_ms: int = 400, tls: bool = False
) -> Iterator[Sentinels]:
    """Run a primary, a replica and three Sentinels while inside; they fail over on their own in about two seconds."""
    with ExitStack() as stack:
        certified = certificates(stack.enter_context(folder_of_its_own())) if tls else None
        servers = [started(stack, kind, config, tls=certified)]
        follower = [*config, f"replicaof 127.0.0.1 {servers[0].port}"]
        servers.append(started(stack, kind, follower, tls=certified))
        watched = [
            f"sentinel monitor {PRIMARY} 127.0.0.1 {servers[0].port} 2",
            f"sentinel down-after-milliseconds {PRIMARY} {down_after_ms}",
            f"sentinel failover-timeout {PRIMARY} 2000",
            "sentinel announce-ip 127.0.0.1",
        ]
        watchers = [started(stack, kind, watched, arguments=["--sentinel"], tls=certified) for _ in range(3)]
        for watcher in watchers:
            watcher.call("SENTINEL", "DEBUG", *_HASTE)
        made = Sentinels(servers, watchers)
        until(made._in_order, "a replica follows the primary")
        for watcher in watchers:
            until(lambda watcher=watcher: _knows_all(watcher), "a Sentinel knows the others and the replica")  # type: ignore[misc]
        yield made


def _named(watcher: Server) -> int:
    return int(watcher.call("SENTINEL", "GET-MASTER-ADDR-BY-NAME", PRIMARY)[1])


def _knows_all(watcher: Server) -> bool:
    told = watcher.call("SENTINEL", "MASTER", PRIMARY)
    return (int(told[b"num-other-sentinels"]), int(told[b"num-slaves"])) == (2, 1)


class Cluster:
    """Three nodes with a third of the slots each; perhaps with a replica for each."""

    def __init__(self, nodes: list[Server], replicas: list[Server]) -> None:
        self.nodes, self.replicas = nodes, replicas
        self.tls = nodes[0].tls

    @property
    def url(self) -> str:
        """The address of all its nodes."""
        hosts = ",".join(f"127.0.0.1:{node.port}" for node in self.nodes)
        return f"{_scheme(self.tls)}+cluster://{hosts}{_trust(self.tls)}"

    def node_of(self, key: str) -> Server:
        """Return the node that a key was given to when the cluster was made."""
        slot = int(next(node for node in self.nodes if node.running).call("CLUSTER", "KEYSLOT", key))
        return self.nodes[slot * len(self.nodes) // _SLOTS]

    def begin_move(self, slot: int, source: Server, target: Server) -> None:
        """Let a slot be under way: keys that are not at the source any more are asked for at the target (ASK)."""
        names = {node: node.call("CLUSTER", "MYID").decode() for node in (source, target)}
        target.call("CLUSTER", "SETSLOT", slot, "IMPORTING", names[source])
        source.call("CLUSTER", "SETSLOT", slot, "MIGRATING", names[target])

    def move_keys(self, slot: int, source: Server, target: Server) -> int:
        """Take the keys of a slot over; return how many there were."""
        keys = source.call("CLUSTER", "GETKEYSINSLOT", slot, 1000)
        if keys:
            source.call("MIGRATE", "127.0.0.1", target.port, "", 0, 5000, "KEYS", *keys)
        return len(keys)

    def end_move(self, slot: int, target: Server) -> None:
        """Give the slot to the target for good (MOVED), and wait until all know."""
        name = target.call("CLUSTER", "MYID").decode()
        for node in [target, *(node for node in self.nodes if node is not target)]:
            node.call("CLUSTER", "SETSLOT", slot, "NODE", name)

    def failover(self, number: int) -> Server:
        """Let the replica of a node take over; return the new one."""
        replica, node = self.replicas[number], self.nodes[number]
        until(lambda: replica.info("replication")["master_link_status"] == "up", "the replica follows")
        replica.call("CLUSTER", "FAILOVER")
        until(lambda: replica.info("replication")["role"] == "master", "the replica takes over")
        until(lambda: node.info("replication")["role"] == "slave", "the old node follows")
        self.nodes[number], self.replicas[number] = replica, node
        return replica

    def flush(self) -> None:
        """Forget all keys."""
        for node in self.nodes:
            node.flush()


@contextmanager
def cluster(
    kind: Kind = "valkey9", config: Sequence[str] = (), *, replicas: bool = False, tls: bool = False
) -> Iterator[Cluster]:
    """Run a Cluster of three nodes while inside."""
    with ExitStack() as stack:
        certified = certificates(stack.enter_context(folder_of_its_own())) if tls else None
        options = ["cluster-enabled yes", "cluster-node-timeout 2000", "cluster-announce-ip 127.0.0.1", *config]
        count = 6 if replicas else 3
        options += ["tls-cluster yes"] if tls else []
        nodes = [started(stack, kind, [*options, f"cluster-port {free_port()}"], tls=certified) for _ in range(count)]
        made = Cluster(nodes[:3], nodes[3:])
        for number, node in enumerate(made.nodes):
            first, last = -(-_SLOTS * number // 3), -(-_SLOTS * (number + 1) // 3) - 1
            node.call("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
            node.call("CLUSTER", "ADDSLOTSRANGE", first, last)
        for node in nodes[1:]:
            bus = node.call("CONFIG", "GET", "cluster-port")[b"cluster-port"]
            nodes[0].call("CLUSTER", "MEET", "127.0.0.1", node.port, bus)
        for node in nodes:
            until(lambda node=node: _knows_cluster(node, count), "a node knows the cluster")  # type: ignore[misc]
        for node, replica in zip(made.nodes, made.replicas, strict=False):
            replica.call("CLUSTER", "REPLICATE", node.call("CLUSTER", "MYID").decode())
        yield made


def _knows_cluster(node: Server, count: int) -> bool:
    told = node.call("CLUSTER", "INFO").decode()
    return "cluster_state:ok" in told and f"cluster_known_nodes:{count}" in told


def _scheme(tls: Certificates | None) -> str:
    return "redis" if tls is None else "rediss"


def _trust(tls: Certificates | None) -> str:
    return "" if tls is None else f"?ssl_ca_certs={quote(str(tls.authority))}"
