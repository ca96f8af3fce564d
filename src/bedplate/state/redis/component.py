"""The component: one Redis for all instances, kept up in the background, refused at once while it is away."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from bedplate.component import Environment, Host, Spec
from bedplate.declarations import Probe, Runbook
from bedplate.degradation import Degradation
from bedplate.problems import BedplateError, Refusal
from bedplate.settings.secret import Secret
from bedplate.state.memory.reply import failure
from bedplate.state.redis.address import address
from bedplate.state.redis.commands import EXECUTE, PING, PUBLISH, check, keys_of, pack_words
from bedplate.state.redis.many import Many, Part
from bedplate.state.redis.metrics import DURATION, METRICS, OPERATIONS, alerts, panels
from bedplate.state.redis.settings import RedisSettings
from bedplate.state.redis.standing import Standing
from bedplate.state.store import Argument, Call, Operation, Reply, StoreError, StoreUnavailableError

if TYPE_CHECKING:
    from bedplate.state.redis.blocking import Blocking, BlockingPool
    from bedplate.state.redis.ear import Ear
    from bedplate.state.redis.node import Node
    from bedplate.state.redis.pushes import Pushes, Subscription
    from bedplate.state.redis.router import Router
    from bedplate.state.redis.server import Server

__all__ = ["Redis"]

_RUNBOOK = Runbook(text=Path(__file__).with_name("runbook.md").read_text(encoding="utf-8"))


class Redis:
    """A Redis or Valkey server that instances share; implements :class:`bedplate.state.store.Store`.

    .. code-block:: python

        redis = Redis("redis://user:password@cache:6379/0", role="cache")
        value = await redis.execute("GET", "greeting")

    It is reached in the background: the service starts without it, and everything is refused at once
    (:class:`~bedplate.state.store.StoreUnavailableError`) until it is there.

    :param url: ``redis://``, ``rediss://`` (TLS), ``unix:///path?db=0``; with ``+sentinel`` or ``+cluster`` after the
        scheme and several hosts: ``redis+sentinel://a:26379,b:26379/primary/0``, ``redis+cluster://a:7000,b:7000``.
    :param role: ``cache`` for what may be forgotten; ``state`` for what must not: production does not use a server then
        that throws keys away when its memory is full.
    :param critical: whether the service is unready while it is away; without, it is degraded.
    """

    shared = True

    def __init__(
        self,
        url: str | Secret,
        name: str = "default",
        *,
        role: Literal["cache", "state"] = "state",
        settings: RedisSettings | None = None,
        critical: bool = False,
    ) -> None:
        self.name, self.role = name, role
        self.settings = settings or RedisSettings()
        self._url = url if isinstance(url, Secret) else Secret(url)
        self._label = "Redis" if name == "default" else f"Redis {name}"
        self._pushes: Pushes | None = None
        self._router: Router | None = None
        self._standing: Standing | None = None
        self._pool: BlockingPool | None = None
        self._host: Host | None = None
        self._timeout = self.settings.timeout
        self._future: Callable[[], asyncio.Future[Any]] | None = None
        self._watchers: list[Callable[[bool], None]] = []
        self._spec = Spec(
            kind="redis",
            name=name,
            summary="Shares between instances what they must agree on, by a Redis or Valkey server.",
            settings=self.settings,
            scope="cluster",
            degradation=Degradation(
                policy="refuse",
                summary="While it is away what needs it is refused at once, and does what it declares; it is tried "
                "again by itself.",
            ),
            metrics=tuple(metric(redis=name) for metric in METRICS),
            probes=(Probe(name="ping", check=self.ping, summary="It answers.", critical=critical),),
            alerts=alerts(name, evicts=role == "cache"),
            panels=panels(name),
            runbook=_RUNBOOK,
        )

    @property
    def spec(self) -> Spec:
        """The component's declaration."""
        return self._spec

    @property
    def available(self) -> bool:
        """Whether an operation would be tried now."""
        return self._router is not None and self._router.available

    @property
    def servers(self) -> Sequence[Server]:
        """What the servers said of themselves at the last look; empty before the first."""
        nodes = self._router.nodes if self._router is not None else ()
        return tuple(node.server for node in nodes if node.server is not None)

    def refusals(self, environment: Environment, settings: Mapping[str, Any]) -> Iterable[Refusal]:
        """Refuse an address that cannot be read, or whose client is not installed."""
        try:
            address(self._url.reveal())
        except BedplateError as error:
            yield Refusal(self._spec.label, error.what, error.mend)

    @asynccontextmanager
    async def lifespan(self, host: Host) -> AsyncIterator[None]:
        """Connect, and keep connected; a server that is away does not keep the service from starting.

        :raises BedplateError: in production, when it is a state store whose server throws keys away.
        """
        from bedplate.state.redis.blocking import BlockingPool
        from bedplate.state.redis.common import Common
        from bedplate.state.redis.meters import Meters
        from bedplate.state.redis.router import router

        topology, first = address(self._url.reveal())
        standing = Standing(host, self, self._label, lambda: bool(self._heard.prefixes))
        meters = Meters(host, OPERATIONS(redis=self.name), DURATION(redis=self.name))
        common = Common(
            self._label,
            f"bedplate:{host.service}:{self.name}".replace(" ", "-"),
            self.settings,
            meters,
            self._heard,
            turned=standing.turned,
            admits=standing.admits,
        )
        common.forms[EXECUTE] = (pack_words, meters.operation(EXECUTE.name))
        chosen = router(common, topology, self._url.reveal(), first)
        self._host, self._standing = host, standing
        self._pool = BlockingPool(common, standing.blocking)
        self._future = asyncio.get_running_loop().create_future
        self._heard.home = lambda channel: _ear(chosen.home(channel))
        self._router = chosen
        standing.begin(chosen, self._watchers)
        host.spawn("connection", chosen.keep)
        try:
            await self._first(chosen, standing)
            host.spawn("inspection", standing.inspect)
            yield
        finally:
            self._router = self._future = self._host = None
            self._pool.close()
            for node in chosen.nodes:
                node.drop("the service stops")
            standing.end()

    async def _first(self, chosen: Router, standing: Standing) -> None:
        """Wait for the first attempt, but not for long."""
        try:
            async with asyncio.timeout(self.settings.connect_timeout):
                await chosen.tried()
        except TimeoutError:
            pass
        if standing.forbidden is not None:
            raise BedplateError(f"{self._label} cannot be used: {standing.forbidden}.", standing.MEND)

    # The store

    def run(
        self,
        operation: Operation,
        keys: Sequence[str],
        args: Sequence[Argument] = (),
        *,
        timeout: float | None = None,
        parsed: Callable[[Reply], None] | None = None,
    ) -> Awaitable[Reply]:
        """Do an operation; whoever awaits it may be cancelled. See :class:`~bedplate.state.store.Store`."""
        router, make = self._router, self._future
        if router is None or make is None:
            return failure(self._stopped())
        future = make()
        try:
            node = router.route(keys)
        except StoreError as error:
            future.set_exception(error)
            return future
        node.send(future, operation, keys, args, self._timeout if timeout is None else timeout, parsed)
        return future

    def run_many(self, calls: Sequence[Call], *, timeout: float | None = None) -> Awaitable[list[Reply | StoreError]]:
        """Do several operations in one go; an error stands in the place of its reply."""
        router = self._router
        if router is None:
            return failure(self._stopped())
        limit = self._timeout if timeout is None else timeout
        many = Many(len(calls))
        for place, call in enumerate(calls):
            part = Part(many, place)
            try:
                router.route(call.keys).send(part, call.operation, call.keys, call.args, limit, None)
            except StoreError as error:
                part.set_exception(error)
        return many.future

    def execute(
        self, *parts: Argument, timeout: float | None = None, keys: Sequence[str] | None = None
    ) -> Awaitable[Reply]:
        """Do any command: ``await redis.execute("TTL", "greeting")``.

        One that keeps the server busy for longer than ``settings.patience`` belongs on :meth:`blocking`: here the
        server would count as dead.

        :param keys: what it touches, where that is not its second word; a cluster finds the server by it.
        :raises BedplateError: when it would harm others who share the connection.
        """
        check(parts)
        return self.run(EXECUTE, keys_of(parts) if keys is None else keys, parts, timeout=timeout)

    def blocking(self, key: str = "") -> AbstractAsyncContextManager[Blocking]:
        """Lend a connection of one's own for commands that wait at the server.

        .. code-block:: python

            async with redis.blocking() as connection:
                item = await connection.execute("BLPOP", "queue", 5, timeout=6)

        :param key: what the command touches; a cluster finds the server by it.
        """
        if self._router is None or self._pool is None:
            raise self._stopped()
        return self._pool.lease(self._router.route((key,)))

    def publish(self, channel: str, message: bytes) -> Awaitable[int]:
        """Tell all who listen to a channel now; return to how many the server gave it."""
        return self.run(PUBLISH, (channel,), (message,))

    def listen(
        self, channel: str, heard: Callable[[bytes], None], *, missed: Callable[[], None] | None = None
    ) -> Subscription:
        """Hear what is published; see :class:`~bedplate.state.store.Store`."""
        return self._heard.listen(channel, heard, missed)

    def track(self, prefix: str, changed: Callable[[Sequence[str] | None], None]) -> Callable[[], None]:
        """Be told of changes to keys that were read here; see :class:`~bedplate.state.store.Store`.

        A connection that was lost is told of when it is back (None), before anything is read on the new one; that it
        is gone, :meth:`watch` says at once.
        """
        return self._heard.track(prefix, changed)

    def watch(self, told: Callable[[bool], None]) -> Callable[[], None]:
        """Be told when it goes away (False) and when it is back (True); return how to end it."""
        entry = told
        self._watchers.append(entry)
        return lambda: self._watchers.remove(entry) if entry in self._watchers else None

    # Being watched

    async def ping(self) -> str:
        """Ask every server whether it is there; return who they are.

        :raises StoreUnavailableError: when one is away.
        """
        router = self._router
        if router is None:
            raise self._stopped()
        if not router.nodes:
            router.route(())
        many = Many(len(router.nodes))
        for place, node in enumerate(router.nodes):
            node.send(Part(many, place), PING, (), (), self._timeout, None)
        for reply in await many.future:
            if isinstance(reply, StoreError):
                raise reply
        return ", ".join(dict.fromkeys(f"{server.product} {server.version}" for server in self.servers))

    def overview(self) -> Mapping[str, Any]:
        """Return its present numbers, as ``redisStats`` has them."""
        servers = self.servers
        return {
            "type": "redis",
            "available": self.available,
            "role": self.role,
            "memoryEntries": sum(server.keys for server in servers),
            "redisInfo": [server.to_json() for server in servers],
        }

    @property
    def _heard(self) -> Pushes:
        if self._pushes is None:
            from bedplate.state.redis.pushes import Pushes

            self._pushes = Pushes(self._label)
        return self._pushes

    def _stopped(self) -> StoreUnavailableError:
        what = f"{self._label} does not run."
        return StoreUnavailableError(what, "Use it inside the service, between its start and its stop.")


def _ear(node: Node | None) -> Ear | None:
    return None if node is None else node.ear
