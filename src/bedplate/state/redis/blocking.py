"""Connections of their own for commands that wait at the server: ``XREADGROUP … BLOCK``, ``BLPOP``.

On the shared connection such a command would keep everybody waiting.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

from bedplate.state.redis.common import Common
from bedplate.state.redis.connection import Connection
from bedplate.state.redis.node import Node
from bedplate.state.redis.opening import opened
from bedplate.state.redis.packing import words
from bedplate.state.redis.replies import away, refusal
from bedplate.state.redis.slots import ErrorReply, Slot
from bedplate.state.store import Argument, Reply, StoreTimeoutError

__all__ = ["Blocking", "BlockingPool"]

#: A server is not asked whether it is there while a command waits at it; the command's own deadline shows it.
_NEVER = 10.0**6
#: Seconds after which one that was not used may have ended without a word.
_FRESH = 10.0


class Blocking:
    """A connection for one caller; see :meth:`bedplate.state.redis.Redis.blocking`."""

    def __init__(self, name: str) -> None:
        self._name = name
        self.connection: Connection | None = None

    async def execute(self, *parts: Argument, timeout: float) -> Reply:
        """Return the reply to a command. One that was cancelled or timed out takes the connection with it.

        :param timeout: seconds for everything: longer than the command waits at the server.
        :raises StoreTimeoutError: when no answer came in time. :raises StoreUnavailableError: when Redis is away.
        :raises StoreReplyError: when it refused.
        """
        connection = self.connection
        if connection is None or connection.closed:
            raise away(self._name, "the connection for blocking commands has ended")
        try:
            return await connection.control(words(*parts), timeout)
        except (asyncio.CancelledError, StoreTimeoutError):
            connection.abort("nobody waits for its answer any more")
            raise

    # What the connection tells

    def refused(self, slot: Slot, error: ErrorReply) -> None:
        """Tell who asked."""
        if not slot[0].done():
            slot[0].set_exception(refusal(self._name, error, "a blocking command"))

    def pushed(self, message: Sequence[Any]) -> None:
        """Nobody listens here."""

    def late(self, slots: Sequence[Slot], silent: float) -> None:
        """Tell who asked."""
        for slot in slots:
            slot[0].set_exception(StoreTimeoutError(f"{self._name} did not answer in time.", sent=True))

    def moving(self, connection: Connection) -> None:
        """Whoever waited is gone."""

    def lost(self, connection: Connection, sent: Sequence[Slot], unsent: Sequence[Slot], why: str) -> None:
        """Tell who asked."""
        for slots, left in ((sent, True), (unsent, False)):
            for slot in slots:
                if not slot[0].done():
                    slot[0].set_exception(away(self._name, why, sent=left))


class BlockingPool:
    """The connections that are kept for the next who needs one.

    :param counted: called with how many there are, in use or kept.
    """

    def __init__(self, common: Common, counted: Callable[[int], None]) -> None:
        self._common, self._counted = common, counted
        self._idle: list[tuple[Node, Blocking]] = []
        self._room = asyncio.Semaphore(common.settings.max_connections)
        self._open: set[Blocking] = set()

    @asynccontextmanager
    async def lease(self, node: Node) -> AsyncIterator[Blocking]:
        """Lend a connection to a server; wait for one when there are as many as there may be.

        :raises StoreUnavailableError: when the server is away.
        """
        async with self._room:
            blocking = self._kept(node) or await self._opened(node)
            try:
                yield blocking
            finally:
                connection = blocking.connection
                if connection is not None and not connection.closed and not connection.slots:
                    self._idle.append((node, blocking))
                else:
                    self._drop(blocking)

    def _kept(self, node: Node) -> Blocking | None:
        for entry in [entry for entry in self._idle if entry[0] is node]:
            self._idle.remove(entry)
            connection = entry[1].connection
            if connection is not None and not connection.closed and time.monotonic() - connection.heard < _FRESH:
                return entry[1]
            self._drop(entry[1])
        return None

    async def _opened(self, node: Node) -> Blocking:
        common = self._common
        if node.refusal is not None or node.address is None:
            raise away(common.name, node.refusal or "it has not been reached yet")
        blocking = Blocking(common.name)
        try:
            blocking.connection, _ = await opened(common, blocking, node.address, quiet=_NEVER, patience=_NEVER)
        except TimeoutError:
            raise away(common.name, "it did not answer in time") from None
        except OSError as error:
            raise away(common.name, str(error.strerror or error)) from error
        self._open.add(blocking)
        self._counted(len(self._open))
        return blocking

    def _drop(self, blocking: Blocking) -> None:
        if blocking.connection is not None:
            blocking.connection.abort("it is not needed any more")
        self._open.discard(blocking)
        self._counted(len(self._open))

    def close(self) -> None:
        """End them all; who waits is told."""
        self._idle.clear()
        for blocking in list(self._open):
            self._drop(blocking)
