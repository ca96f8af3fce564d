"""How the servers stand: what is told to watchers, metrics and people, and what a role does not allow."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Literal, Protocol

from bedplate.component import Host
from bedplate.state.redis.metrics import (
    BREAKER,
    CONNECTIONS,
    EVICTED,
    IN_FLIGHT,
    MEMORY,
    MEMORY_LIMIT,
    RECONNECTS,
    REPLICA_LAG,
    REPLICAS,
    SAVED,
    UP,
)
from bedplate.state.redis.packing import words
from bedplate.state.redis.server import Server
from bedplate.state.store import StoreError

if TYPE_CHECKING:
    from bedplate.state.redis.node import Node
    from bedplate.state.redis.router import Router
    from bedplate.state.redis.settings import RedisSettings

__all__ = ["Standing"]


class Owner(Protocol):
    """The component, as far as it is needed here."""

    @property
    def name(self) -> str: ...
    @property
    def role(self) -> Literal["cache", "state"]: ...
    @property
    def settings(self) -> RedisSettings: ...


class Standing:
    """What is known of the servers of one Redis.

    :param tracks: whether somebody wants to be told of changes.
    :ivar forbidden: why the server may not be used at all, in words; None while nothing speaks against it.
    """

    MEND = (
        "Set maxmemory-policy noeviction, or give what may be forgotten a Redis of its own: "
        "Redis(url, name, role='cache')."
    )

    def __init__(self, host: Host, owner: Owner, label: str, tracks: Callable[[], bool]) -> None:
        self._host, self._label, self._tracks = host, label, tracks
        self._role, self._settings = owner.role, owner.settings
        self._router: Router | None = None
        self._watchers: list[Callable[[bool], None]] = []
        self._told = self._reported = False
        self._losses: dict[Node, int] = {}
        self.forbidden: str | None = None

    def begin(self, router: Router, watchers: list[Callable[[bool], None]]) -> None:
        """Begin with a Redis that is not there yet."""
        self._router, self._watchers = router, watchers
        self._told = self._reported = False
        self._host.bind(UP).set(0.0)
        self._host.bind(BREAKER).set(2.0)
        self._host.bind(RECONNECTS).inc(0.0)
        self.blocking(0)

    def end(self) -> None:
        """Stop: nobody is told of what happens on the way out."""
        self._router = None

    def blocking(self, count: int) -> None:
        """Count the connections for blocking commands."""
        self._host.bind(CONNECTIONS, kind="blocking").set(float(count))

    def admits(self, server: Server) -> str | None:
        """Return why production does not use a server; elsewhere people are told, and it is used."""
        if self._host.environment == "production" and self._unfit(server):
            self.forbidden = self._unfit(server)
            return self.forbidden
        self.forbidden = None
        return None

    def _unfit(self, server: Server) -> str | None:
        if self._role == "cache" or not server.evicts:
            return None
        return f"its maxmemory-policy is {server.policy}: it throws away what must be kept when its memory is full"

    def turned(self, node: Node) -> None:
        """Tell whoever must know that a server came, went, or does not answer."""
        if self._router is None:
            return
        losses = node.reconnects
        self._host.bind(RECONNECTS).inc(float(losses - self._losses.get(node, 0)))
        self._losses[node] = losses
        self._judge(self._router)

    def _judge(self, router: Router) -> None:
        available, host = router.available, self._host
        self._count(router, available)
        away = [node for node in router.nodes if not node.available]
        why = (away[0].refusal or "it does not answer") if away else None if available else "no server is known"
        at = f" at {away[0].address.shown}" if away and away[0].address is not None else ""
        host.degraded(f"{self._label}{at} is away: {why}." if why is not None else self._warning(router.nodes))
        if available is self._told and self._reported:
            return
        was, self._told, self._reported = self._told, available, True
        if available:
            host.log.info("redis_reached", servers=[node.address.shown for node in router.nodes if node.address])
        else:
            host.log.warning("redis_away", reason=why)
        if available is not was:
            for told in list(self._watchers):
                self._tell(told, available)

    def _tell(self, told: Callable[[bool], None], available: bool) -> None:
        try:
            told(available)
        except Exception:  # whoever watches must not keep others from being told
            self._host.log.exception("redis_watcher_failed")

    def _warning(self, nodes: Sequence[Node]) -> str | None:
        for node in nodes:
            if node.server is not None and (unfit := self._unfit(node.server)):
                return f"{self._label} is used, but {unfit}. {self.MEND} Production would refuse it."
            if node.connection is not None and not node.connection.tracked and self._tracks():
                return f"{self._label} refuses CLIENT TRACKING: nothing is cached near. Grant its user +client."
        return None

    def _count(self, router: Router, available: bool) -> None:
        bind = self._host.bind
        nodes = router.nodes
        connected = [node for node in nodes if node.connection is not None]
        bind(UP).set(1.0 if available else 0.0)
        careful = any(node.connection is not None and node.connection.caution for node in nodes)
        bind(BREAKER).set(2.0 if not available else 1.0 if careful else 0.0)
        bind(CONNECTIONS, kind="shared").set(float(len(connected)))
        bind(CONNECTIONS, kind="listening").set(float(sum(node.ear.connection is not None for node in nodes)))
        bind(IN_FLIGHT).set(float(sum(node.in_flight for node in nodes)))

    async def inspect(self) -> None:
        """Look at the servers' memory, role and replicas from time to time."""
        while True:
            router = self._router
            if router is None:
                return
            await asyncio.gather(*(self._look(node) for node in router.nodes))
            self._note(router)
            await self._host.clock.sleep(self._settings.inspect_every)

    async def _look(self, node: Node) -> None:
        connection = node.connection
        if connection is None or not node.available:
            return
        try:
            reply = await connection.control(words("INFO"), self._settings.timeout)
        except StoreError:
            return  # one without INFO, or one that has just gone
        if isinstance(reply, bytes):
            node.server = Server.of(reply.decode(errors="replace"))
            if why := self.admits(node.server):
                node.drop(why)

    def _note(self, router: Router) -> None:
        self._judge(router)
        servers = [node.server for node in router.nodes if node.server is not None]
        if not servers:
            return
        bind = self._host.bind
        fullest = max(servers, key=lambda server: server.memory)
        replicas = [replica for server in servers for replica in server.replicas if replica.online]
        bind(MEMORY).set(float(fullest.memory))
        bind(MEMORY_LIMIT).set(float(fullest.memory_limit))
        bind(EVICTED).set(float(sum(server.evicted for server in servers)))
        bind(REPLICAS).set(float(len(replicas)))
        bind(REPLICA_LAG).set(max((replica.lag for replica in replicas), default=0.0))
        bind(SAVED).set(1.0 if all(server.saved for server in servers) else 0.0)
