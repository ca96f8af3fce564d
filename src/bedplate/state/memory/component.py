"""The component: the store of a service that is one process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Literal

from bedplate.component import BoundCounter, Environment, Host, Spec
from bedplate.declarations import Runbook
from bedplate.problems import Refusal
from bedplate.state.memory.channels import Channels, Subscription
from bedplate.state.memory.keyspace import Keyspace
from bedplate.state.memory.metrics import (
    BYTES,
    BYTES_LIMIT,
    KEYS,
    METRICS,
    OPERATIONS,
    REFUSED,
    REMOVED,
    alerts,
    panels,
)
from bedplate.state.memory.reply import failure, reply
from bedplate.state.memory.settings import MemorySettings
from bedplate.state.store import Argument, Call, Operation, StoreError, StoreReplyError, StoreUnavailableError

__all__ = ["Memory"]

_RUNBOOK = Runbook(text=Path(__file__).with_name("runbook.md").read_text(encoding="utf-8"))
_MEND = "Set REDIS_URL, or ask for it by name: REDIS_URL=memory://"


class Memory:
    """A store in the process: ``Memory()``; implements :class:`bedplate.state.store.Store`.

    It is for one process. Data ends with it, and several workers would each have their own.

    :param role: ``cache`` forgets what was used longest ago when it is full; ``state`` refuses to grow.
    :param chosen: whether somebody asked for it by name; else production refuses it.
    """

    shared = False

    def __init__(
        self,
        name: str = "default",
        *,
        role: Literal["cache", "state"] = "state",
        chosen: bool = False,
        settings: MemorySettings | None = None,
    ) -> None:
        self.name = name
        self.role = role
        self.settings = settings or MemorySettings()
        self._chosen = chosen
        self._space: Keyspace | None = None
        self._channels = Channels(name)
        self._asked: BoundCounter | None = None
        self._refused: dict[str, BoundCounter] = {}
        self._spec = Spec(
            kind="memory",
            name=name,
            summary="Keeps in the process what primitives share, while there is no Redis.",
            settings=self.settings,
            scope="process",
            metrics=tuple(metric(memory=name) for metric in METRICS),
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
        """Whether it runs."""
        return self._space is not None

    def refusals(self, environment: Environment, settings: Mapping[str, Any]) -> Iterable[Refusal]:
        """Refuse production, unless somebody asked for it by name."""
        if environment == "production" and not self._chosen:
            yield Refusal(self._spec.label, "it keeps shared state in the process, which a restart ends.", _MEND)

    @asynccontextmanager
    async def lifespan(self, host: Host) -> AsyncIterator[None]:
        """Begin with nothing, and end with nothing."""
        space = Keyspace(host.clock, most=self.settings.most, evicts=self.role == "cache")
        self._asked = host.bind(OPERATIONS)
        self._refused = {reason: host.bind(REFUSED, reason=reason) for reason in ("oom", "wrongtype", "other")}
        host.bind(BYTES_LIMIT).set(float(self.settings.most))
        if not host.alone:
            host.degraded("Each process keeps its own data: what one worker knows, the others do not. Set REDIS_URL.")
        self._channels.attach(space, host.log)
        self._space = space
        host.spawn("sweep", lambda: self._keep(host, space))
        try:
            yield
        finally:
            self._space = None
            self._channels.detach()

    def run(
        self,
        operation: Operation,
        keys: Sequence[str],
        args: Sequence[Argument] = (),
        *,
        timeout: float | None = None,
        parsed: Callable[[Any], None] | None = None,
    ) -> Awaitable[Any]:
        """Do an operation now, within this call; to await it takes no time and no turn of the event loop."""
        try:
            return reply(self._do(operation, keys, args, parsed))
        except StoreError as error:
            return failure(error)

    def run_many(self, calls: Sequence[Call], *, timeout: float | None = None) -> Awaitable[list[Any]]:
        """Do several operations, one after the other; an error stands in the place of its reply."""
        replies: list[Any] = []
        for call in calls:
            try:
                replies.append(self._do(call.operation, call.keys, call.args, None))
            except StoreReplyError as error:
                replies.append(error)
            except StoreError as error:
                return failure(error)
        return reply(replies)

    def publish(self, channel: str, message: bytes) -> Awaitable[int]:
        """Tell all who listen to a channel; return how many they are."""
        if self._space is None:
            return failure(self._away())
        return reply(self._channels.tell(channel, message))

    def listen(
        self, channel: str, heard: Callable[[bytes], None], *, missed: Callable[[], None] | None = None
    ) -> Subscription:
        """Hear what is published; nothing is ever missed."""
        return self._channels.listen(channel, heard)

    def track(self, prefix: str, changed: Callable[[Sequence[str] | None], None]) -> Callable[[], None]:
        """Be told of changes to keys that begin with ``prefix``, whoever read them, before anything else happens."""
        return self._channels.track(prefix, changed)

    def watch(self, told: Callable[[bool], None]) -> Callable[[], None]:
        """Be told of nothing: it does not go away."""
        return lambda: None

    def overview(self) -> Mapping[str, Any]:
        """Return its present numbers, as ``redisStats`` has them."""
        space = self._space
        return {
            "type": "memory",
            "available": space is not None,
            "role": self.role,
            "memoryEntries": 0 if space is None else len(space),
            "memoryBytes": 0 if space is None else space.used,
            "memoryLimitBytes": self.settings.most,
        }

    def _do(
        self,
        operation: Operation,
        keys: Sequence[str],
        args: Sequence[Argument],
        parsed: Callable[[Any], None] | None,
    ) -> Any:
        space, asked = self._space, self._asked
        if space is None or asked is None:
            raise self._away()
        space.begin()
        asked.inc()
        try:
            answer = operation.memory(space, keys, args)
        except StoreReplyError as error:
            self._refused[{"OOM": "oom", "WRONGTYPE": "wrongtype"}.get(error.code, "other")].inc()
            raise
        else:
            if parsed is not None:
                parsed(answer)
            return answer
        finally:
            self._channels.tell_changes()

    async def _keep(self, host: Host, space: Keyspace) -> None:
        """Remove what has ended, and count."""
        used, keys = host.bind(BYTES), host.bind(KEYS)
        removed = {reason: host.bind(REMOVED, reason=reason) for reason in ("ended", "evicted")}
        ended = evicted = 0
        while True:
            while space.sweep():
                self._channels.tell_changes()
                await asyncio.sleep(0)
            self._channels.tell_changes()
            used.set(float(space.used))
            keys.set(float(len(space)))
            removed["ended"].inc(space.expired - ended)
            removed["evicted"].inc(space.evicted - evicted)
            ended, evicted = space.expired, space.evicted
            await host.clock.sleep(self.settings.sweep)

    def _away(self) -> StoreUnavailableError:
        what = f"The store {self.name} does not run."
        return StoreUnavailableError(what, "Use it inside the service, between its start and its stop.")
