"""PgBouncer and Redis, started by the files that Bedplate renders for a service."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Mapping
from pathlib import Path

from bedplate.database import Database, DatabaseSettings
from bedplate.render import Container, Subject
from bedplate.render.pgbouncer import pgbouncer_files
from bedplate.render.redis import redis_files
from bedplate.state.memory import Memory
from demo.servers.programs import program
from demo.servers.server import Server

__all__ = ["Rendered", "render"]

#: Of the sizes that are rendered, the one for one machine.
_ENVIRONMENT = "development"


def render(service: str, folder: Path) -> None:
    """Write what `bedplate render` writes for a service that shares state and reaches its database by a pooler."""
    specs = (Memory().spec, Database(settings=DatabaseSettings(pooler="transaction")).spec)
    subject = Subject(name=service, specs=specs, container=Container(name=service, target=f"{service}.service:build"))
    for path, content in {**pgbouncer_files(subject), **redis_files(subject)}.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(content, encoding="utf-8")


class Rendered(Server):
    """A server that the rendered script of a service starts, on a port of the loopback.

    :param script: the script. :param words: what it is given after the environment, ``state`` for a Redis.
    :param told: variables that it takes. :param secrets: the folder of passwords.
    """

    ends_by = signal.SIGTERM

    def __init__(
        self,
        script: Path,
        folder: Path,
        port: int,
        *,
        secrets: Path,
        words: tuple[str, ...] = (),
        told: Mapping[str, str] | None = None,
    ) -> None:
        self.folder = folder
        self.port = port
        self._command = ["sh", str(script), _ENVIRONMENT, *words]
        self._told = {"DATA": str(folder), "SECRETS": str(secrets), "PORT": str(port), **(told or {})}

    def command(self) -> list[str]:
        """Return the command that starts it."""
        return self._command

    def options(self) -> dict[str, object]:
        """Return its environment; the script knows whom it becomes."""
        programs = {"REDIS_SERVER": program("redis-server"), "PGBOUNCER": program("pgbouncer")}
        return {"env": {**os.environ, **programs, **self._told}}

    def answers(self) -> bool:
        """Say whether somebody listens on its port."""
        try:
            socket.create_connection(("127.0.0.1", self.port), 1.0).close()
        except OSError:
            return False
        return True
