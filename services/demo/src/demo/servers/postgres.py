"""PostgreSQL: a primary, and replicas that stream from it."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from demo.servers.programs import who
from demo.servers.server import Server, ServerError

__all__ = ["Postgres", "make_primary", "make_replica"]

_QUIET: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
#: Whatever happens to what is thrown away: a power cut would not matter.
_FAST = ("fsync=off", "max_connections=200", "max_wal_size=256MB")


class Postgres(Server):
    """A running server, on a socket in its folder where the superuser ``postgres`` needs no password.

    :param programs: the folder of its programs. :param folder: of the server; its data are in ``data``.
    :param settings: lines such as ``work_mem=64MB``. :param port: of the loopback; None for the socket alone.
    """

    def __init__(self, programs: Path, folder: Path, settings: Sequence[str] = (), *, port: int | None = None) -> None:
        self.programs = programs
        self.folder = folder
        self.port = port
        self._settings = settings

    def command(self) -> list[str]:
        """Return the command that starts it."""
        listens = ("listen_addresses=",) if self.port is None else ("listen_addresses=127.0.0.1", f"port={self.port}")
        words = [word for setting in (*listens, *_FAST, *self._settings) for word in ("-c", setting)]
        return [str(self.programs / "postgres"), "-D", str(self.folder / "data"), *words, "-k", str(self.folder)]

    def options(self) -> dict[str, Any]:
        """Return whom it runs as."""
        return who()

    def answers(self) -> bool:
        """Say whether it accepts connections."""
        return self.run("pg_isready", "-q").returncode == 0

    def sql(self, statement: str, database: str = "postgres") -> str:
        """Carry out a statement and return what it says, a row a line.

        :raises ServerError: when it is refused.
        """
        done = self.run("psql", "-XAtqc", statement, database)
        if done.returncode:
            raise ServerError(done.stdout.decode().strip())
        return done.stdout.decode().strip()

    @property
    def client(self) -> str:
        """The command of a shell that asks it as its superuser, by the socket, which needs no password."""
        port = "" if self.port is None else f" -p {self.port}"
        return f"{self.programs / 'psql'} -h {self.folder}{port} -U postgres"

    def run(self, program: str, *arguments: str) -> subprocess.CompletedProcess[bytes]:
        """Run one of its programs against it."""
        where = ["-h", str(self.folder), "-U", "postgres", *(() if self.port is None else ("-p", str(self.port)))]
        return subprocess.run([str(self.programs / program), *where, *arguments], check=False, **_QUIET)


def make_primary(programs: Path, folder: Path, *, over_the_network: str = "trust") -> None:
    """Make a primary's data in a folder.

    :param over_the_network: how those must identify themselves who do not come by the socket: ``scram-sha-256``.
    """
    _made(
        [
            *(str(programs / "initdb"), "-D", str(folder / "data"), "-U", "postgres", "--no-sync"),
            *("--auth-local=trust", f"--auth-host={over_the_network}", "-E", "UTF8", "--locale=C"),
        ],
        folder,
    )


def make_replica(primary: Postgres, folder: Path) -> None:
    """Copy a running primary's data into a folder, for a replica that streams from it."""
    port = () if primary.port is None else ("-p", str(primary.port))
    _made(
        [
            *(str(primary.programs / "pg_basebackup"), "-h", str(primary.folder), *port, "-U", "postgres"),
            *("-D", str(folder / "data"), "-R", "-X", "stream", "-c", "fast", "--no-sync"),
        ],
        folder,
    )


def _made(command: list[str], folder: Path) -> None:
    done = subprocess.run(command, cwd=folder, check=False, **_QUIET, **who())
    if done.returncode:
        raise ServerError(f"{Path(command[0]).name} fails:\n{done.stdout.decode().strip()[-2_000:]}")
