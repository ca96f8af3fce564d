"""The connection on which a server's messages are heard; it is made when somebody listens.

Not the one on which operations are answered, though RESP3 could do both: a server counts a connection that listens
among its ``pubsub`` clients, and ends those with more than 32 MB of replies under way (``client-output-buffer-limit``).
Four hundred values of 100 kB, asked for in one turn, are more. Invalidations come on the connection that reads, where
their order against replies matters; they do not make it one that listens.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from bedplate.state.redis.breaker import Backoff
from bedplate.state.redis.opening import opened
from bedplate.state.redis.replies import away, refusal
from bedplate.state.redis.slots import ErrorReply, Slot
from bedplate.state.store import StoreError, StoreTimeoutError

if TYPE_CHECKING:
    from bedplate.state.redis.common import Common
    from bedplate.state.redis.connection import Connection
    from bedplate.state.redis.node import Node

__all__ = ["Ear"]


class Ear:
    """The listening connection to one server; it goes with the one for operations, and comes after it.

    :ivar connection: the present one; None while there is none, or nobody listens.
    """

    def __init__(self, common: Common, node: Node) -> None:
        self._common, self._node = common, node
        self._wanted, self._lost = asyncio.Event(), asyncio.Event()
        self._attempt: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.connection: Connection | None = None

    @property
    def reachable(self) -> bool:
        """Whether the server is there."""
        return self._node.present.is_set()

    def want(self) -> None:
        """See that there is a connection from now on."""
        self._wanted.set()

    async def ready(self) -> None:
        """Return when there is a connection.

        :raises StoreUnavailableError: when the server is away, or cannot be connected to.
        """
        if self.connection is not None:
            return
        if not self.reachable:
            raise away(self._common.name, self._node.refusal or "it has not been reached yet")
        self.want()
        await asyncio.shield(self._attempt)

    async def keep(self) -> None:
        """Keep up a connection while the server is there and somebody listens, until cancelled."""
        settings = self._common.settings
        backoff = Backoff(settings.backoff, settings.backoff_limit)
        try:
            while True:
                await self._wanted.wait()
                await self._node.present.wait()
                self._lost.clear()
                if await self._connect():
                    backoff.failures = 0
                    await self._lost.wait()
                else:
                    await asyncio.sleep(backoff.next())
        finally:
            self.drop("the service stops")

    async def _connect(self) -> bool:
        address = self._node.address
        assert address is not None
        try:
            connection, _ = await opened(self._common, self, address, replica=True)
        except (StoreError, OSError, TimeoutError) as error:
            self._end(f"it cannot be listened to: {str(error) or 'it does not answer'}")
            return False
        if connection.closed or not self.reachable:
            connection.abort("it is not needed any more")
            self._end(self._node.refusal or "it closed the connection")
            return False
        self.connection = connection
        self._common.pushes.joined(self)
        self._attempt.set_result(None)
        return True

    def drop(self, why: str) -> None:
        """End the connection; whoever waits for one is told."""
        if self.connection is not None:
            self.connection.abort(why)
        elif not self._attempt.done():
            self._end(why)

    def _end(self, why: str) -> None:
        """Tell who waits for this attempt, and let others wait for the next."""
        attempt, self._attempt = self._attempt, asyncio.get_running_loop().create_future()
        if not attempt.done():
            attempt.set_exception(away(self._common.name, why.removesuffix(".")))
            attempt.exception()  # nobody may be waiting

    # What the connection tells

    def pushed(self, message: Sequence[Any]) -> None:
        """Pass on a message."""
        self._common.pushes.heard(message)

    def refused(self, slot: Slot, error: ErrorReply) -> None:
        """Tell who asked."""
        if not slot[0].done():
            slot[0].set_exception(refusal(self._common.name, error, slot[5].name))

    def late(self, slots: Sequence[Slot], silent: float) -> None:
        """Tell who asked."""
        for slot in slots:
            slot[0].set_exception(StoreTimeoutError(f"{self._common.name} did not answer in time.", sent=True))

    def moving(self, connection: Connection) -> None:
        """Nobody waits for anything here."""

    def lost(self, connection: Connection, sent: Sequence[Slot], unsent: Sequence[Slot], why: str) -> None:
        """Let another be made."""
        for slot in (*sent, *unsent):
            if not slot[0].done():
                slot[0].set_exception(away(self._common.name, why, sent=True))
        if connection is self.connection:
            self.connection = None
            self._common.pushes.left(connection)
            self._end(why)
            self._lost.set()
