"""Where connections come in: listening that can be left to other processes, and taken up again."""

from __future__ import annotations

import asyncio
import os
import resource
import socket
from collections.abc import Callable, Sequence

__all__ = ["Door"]

#: Files that a process keeps for what its requests open; it has room again when there are twice as many.
_SPARE = 32


class Door:
    """Takes connections from sockets while it is open.

    Processes that share a socket share its queue: what comes while this one's door is shut waits for one whose is open.

    :param sockets: listening sockets; they stay open, and with them the queue, until their owner closes them.
    :param protocol: makes what serves one connection. :param backlog: connections that wait to be taken.
    """

    def __init__(
        self, sockets: Sequence[socket.socket], protocol: Callable[[], asyncio.Protocol], *, backlog: int
    ) -> None:
        self._sockets = sockets
        self._protocol = protocol
        self._backlog = backlog
        self._servers: list[asyncio.Server] = []
        self.is_open = False

    def is_full(self, before: bool) -> bool:
        """Return whether the process has hardly a file left to open.

        A connection that it takes when it has none is reset by it, without a word: the event loop knows nothing better.

        :param before: what was returned last.
        """
        limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        if limit == resource.RLIM_INFINITY or not self._sockets:
            return False
        try:
            lowest = os.dup(self._sockets[0].fileno())
        except OSError:
            return True
        os.close(lowest)
        # The kernel gives the lowest number that is free: all below it are in use.
        return lowest >= limit - min(_SPARE, limit // 8) * (2 if before else 1)

    async def open(self) -> None:
        """Take connections from now on. :raises OSError: when that cannot be done; none are taken then."""
        if self.is_open:
            return
        loop = asyncio.get_running_loop()
        try:
            for listener in self._sockets:
                # A server closes what it listens on when it closes.
                own = listener.dup()
                try:
                    server = await loop.create_server(self._protocol, sock=own, backlog=self._backlog)
                except BaseException:
                    own.close()
                    raise
                self._servers.append(server)
        except BaseException:
            self.close()
            raise
        self.is_open = True

    def close(self) -> None:
        """Leave connections to others; those that were taken are kept."""
        for server in self._servers:
            server.close()
        self._servers.clear()
        self.is_open = False
