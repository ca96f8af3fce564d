"""Which server an operation goes to. A single server and Sentinels have one; a cluster asks the keys.

A topology is a module with a class that is a :class:`Router`; :func:`router` makes the right one. What it builds on:

- :class:`.node.Node` keeps up the connection to one server, retries, and judges whether the server is well. It asks its
  ``locate`` where the server is before each attempt to connect, and leaves a server that has become a replica. So
  Sentinels are a ``locate`` that asks them, and a call of ``node.drop("…")`` when they tell of a fail-over.
- :class:`.common.Common` is what nodes share; its ``redirect`` is a cluster's answer to ``MOVED`` and ``ASK``: the node
  to send the operation to, which does the rest (``Node.resend``). Its ``turned`` is called when a node comes or goes.
- :func:`.opening.opened` opens a connection of one's own, for asking Sentinels or a cluster's map:
  ``await connection.control(words("CLUSTER", "SLOTS"), timeout)``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from bedplate.problems import BedplateError
from bedplate.state.redis.address import Address, Topology
from bedplate.state.redis.common import Common
from bedplate.state.redis.node import Node

__all__ = ["Router", "Single", "router"]


class Router(Protocol):
    """A topology: which servers there are, and which of them has a key."""

    @property
    def nodes(self) -> Sequence[Node]:
        """The servers that take operations, as far as they are known."""
        ...

    @property
    def available(self) -> bool:
        """Whether an operation would be tried now."""
        ...

    def route(self, keys: Sequence[str]) -> Node:
        """Return the server that has the keys; one that is away refuses by itself.

        :raises StoreUnavailableError: when nobody knows of any. :raises StoreReplyError: ``CROSSSLOT``.
        """
        ...

    def home(self, channel: str) -> Node | None:
        """Return the server on which a channel is heard; None while nobody knows of any."""
        ...

    async def keep(self) -> None:
        """Keep up the connections, until cancelled; it is restarted when it fails."""
        ...

    async def tried(self) -> None:
        """Return when the first attempt to connect was made, whether or not it came about."""
        ...


class Single:
    """One server, always at the same address."""

    def __init__(self, common: Common, address: Address) -> None:
        async def locate() -> Address:
            return address

        self._node = Node(common, locate)
        self.nodes: Sequence[Node] = (self._node,)

    @property
    def available(self) -> bool:
        """Whether the server takes operations."""
        return self._node.available

    def route(self, keys: Sequence[str]) -> Node:
        """Return the server."""
        return self._node

    def home(self, channel: str) -> Node | None:
        """Return the server."""
        return self._node

    async def keep(self) -> None:
        """Keep up its connection."""
        await self._node.keep()

    async def tried(self) -> None:
        """Return when the first attempt was made."""
        await self._node.tried.wait()


def router(common: Common, topology: Topology, url: str, address: Address) -> Router:
    """Return the router for a URL.

    :param address: the first server of the URL, with user, password and TLS.
    :raises BedplateError: when there is none for it.
    """
    if topology == "single":
        return Single(common, address)
    if topology == "sentinel":
        from bedplate.state.redis.sentinel import Sentinels

        return Sentinels(common, url, address)
    if topology == "cluster":
        from bedplate.state.redis.cluster import Cluster

        return Cluster(common, url, address)
    raise BedplateError(f"{address.shown} is a {topology}, which is not supported yet.", "Name a single server.")
