"""A primary that Sentinels watch: whom they name, and what they say when they let another server take over.

All Sentinels are asked at once, and of their answers the one of the latest fail-over counts (its ``config-epoch``): one
that was cut off from the others, and still names the old primary, is outvoted. An answer older than one that was seen
before counts only when most of them give it, which is so after Sentinels were set up anew.

A fail-over is heard at once (``+switch-master``), and looked for every second in case that was missed; the connection
to the old primary is left then, whatever that server says of itself. A server that turns out to be a replica is not
used (:mod:`.opening`), so an old primary that comes back is written to by nobody.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any, NamedTuple

from bedplate.problems import BedplateError
from bedplate.state.redis.address import Address
from bedplate.state.redis.common import Common
from bedplate.state.redis.connection import Connection
from bedplate.state.redis.hosts import watched
from bedplate.state.redis.node import Node
from bedplate.state.redis.opening import opened
from bedplate.state.redis.packing import words
from bedplate.state.redis.replies import away, refusal
from bedplate.state.redis.slots import ErrorReply, Slot
from bedplate.state.store import StoreError, StoreReplyError, StoreTimeoutError

__all__ = ["Sentinels"]

#: Seconds that a Sentinel gets to answer; those that are there answer within a few milliseconds.
_TIMEOUT = 0.25
#: Seconds between two questions whether the primary is still the same.
_EVERY = 1.0
_SWITCHED = "+switch-master"


class Named(NamedTuple):
    """A Sentinel's answer; the greater, the later the fail-over that it tells of."""

    epoch: int
    host: str
    port: int


class Watcher:
    """One Sentinel, on a connection that is made when it is asked."""

    def __init__(self, common: Common, address: Address, primary: str, switched: Callable[[], None]) -> None:
        self._common, self._address = common, address
        self._primary, self._switched = primary, switched
        self._connection: Connection | None = None
        self._connecting = asyncio.Lock()

    async def ask(self) -> Named:
        """Return what it says of the primary.

        :raises StoreError: when it refuses, or is not there. :raises OSError: when it cannot be reached.
        :raises TimeoutError: when it does not answer.
        """
        connection = await self._connected()
        told = await connection.control(words("SENTINEL", "MASTER", self._primary), _TIMEOUT)
        return Named(int(told[b"config-epoch"]), told[b"ip"].decode(), int(told[b"port"]))

    async def _connected(self) -> Connection:
        async with self._connecting, asyncio.timeout(2 * _TIMEOUT):
            if self._connection is None or self._connection.closed:
                connection, _ = await opened(self._common, self, self._address, sentinel=True)
                self._connection = connection
                connection.subscription("SUBSCRIBE", _SWITCHED)
            return self._connection

    def close(self) -> None:
        """End the connection."""
        if self._connection is not None:
            self._connection.abort("the service stops")

    # What the connection tells

    def pushed(self, message: Sequence[Any]) -> None:
        """Hear of a fail-over."""
        if message[0] == b"message" and message[2].startswith(f"{self._primary} ".encode()):
            self._switched()

    def refused(self, slot: Slot, error: ErrorReply) -> None:
        """Tell who asked."""
        if not slot[0].done():
            slot[0].set_exception(refusal("A Sentinel", error, "a question"))

    def late(self, slots: Sequence[Slot], silent: float) -> None:
        """Tell who asked."""
        for slot in slots:
            slot[0].set_exception(StoreTimeoutError("A Sentinel did not answer in time.", sent=True))

    def moving(self, connection: Connection) -> None:
        """It is asked again anyway."""

    def lost(self, connection: Connection, sent: Sequence[Slot], unsent: Sequence[Slot], why: str) -> None:
        """Tell who asked."""
        for slot in (*sent, *unsent):
            if not slot[0].done():
                slot[0].set_exception(away("A Sentinel", why))


class Sentinels:
    """The primary, wherever it is; implements :class:`.router.Router`."""

    def __init__(self, common: Common, url: str, address: Address) -> None:
        self._common = common
        self._watched = watched(url)
        self._address = address
        self._node = Node(common, self._locate)
        self.nodes: Sequence[Node] = (self._node,)
        self._switched = asyncio.Event()
        self._seen = 0
        asked = replace(address, db=0, username=self._watched.username, password=self._watched.password)
        self._watchers = [
            Watcher(common, asked.at(host, port), self._watched.primary, self._switched.set)
            for host, port in self._watched.hosts
        ]

    @property
    def available(self) -> bool:
        """Whether the primary takes operations."""
        return self._node.available

    def route(self, keys: Sequence[str]) -> Node:
        """Return the primary."""
        return self._node

    def home(self, channel: str) -> Node | None:
        """Return the primary."""
        return self._node

    async def tried(self) -> None:
        """Return when the first attempt was made."""
        await self._node.tried.wait()

    async def keep(self) -> None:
        """Keep up the connection to whoever is the primary."""
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._node.keep())
                tasks.create_task(self._look())
        finally:
            for watcher in self._watchers:
                watcher.close()

    async def _locate(self) -> Address:
        """Return where the primary is, for the node's next attempt to connect."""
        named = await self._named()
        return self._address.at(named.host, named.port)

    async def _named(self) -> Named:
        answers = await asyncio.gather(*(self._ask(watcher) for watcher in self._watchers))
        named = [answer for answer in answers if isinstance(answer, Named)]
        if not named:
            raise away(self._common.name, self._silence(answers))
        latest = max(named)
        if latest.epoch < self._seen and 2 * named.count(latest) <= len(answers):
            raise away(self._common.name, "only Sentinels answer that are behind the others")
        self._seen = latest.epoch
        return latest

    async def _ask(self, watcher: Watcher) -> Named | Exception:
        try:
            return await watcher.ask()
        except (StoreError, OSError, TimeoutError) as error:
            return error

    def _silence(self, answers: Sequence[Named | Exception]) -> str:
        primary = self._watched.primary
        refusals = [str(answer.what) for answer in answers if isinstance(answer, StoreReplyError)]
        if any("No such master" in text for text in refusals):
            return f"the Sentinels know no primary named {primary}"
        return f"no Sentinel says where {primary} is" + (f": {refusals[0].rstrip('.')}" if refusals else "")

    async def _look(self) -> None:
        """Ask whether the primary is still the same: when a Sentinel says that it is not, and from time to time."""
        while True:
            self._switched.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(_EVERY):
                    await self._switched.wait()
            await self._compare()

    async def _compare(self) -> None:
        """Leave a server that is not the primary any more, and go to the one that is, without waiting for a turn."""
        node = self._node
        address = node.address
        try:
            named = await self._named()
        except BedplateError:
            return  # nobody knows better than the connection that works
        if address is None or node.address is not address or (named.host, named.port) == (address.host, address.port):
            return
        node.drop("the Sentinels have made another server the primary")
        node.hurry()
