"""The component: one cache, with what a service's code calls."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, overload

from bedplate.component import Host, Spec
from bedplate.declarations import Action, Routes, Runbook
from bedplate.degradation import Degradation
from bedplate.problems import BedplateError, DeclarationError
from bedplate.state.cache.buttons import actions_of
from bedplate.state.cache.cached import Decorator, Key, Tags, decorate
from bedplate.state.cache.codec import JSON, Codec, codec_of
from bedplate.state.cache.entries import RAW
from bedplate.state.cache.keys import pattern_of, stored
from bedplate.state.cache.meters import Meters
from bedplate.state.cache.metrics import METRICS, ONLINE, alerts, checks, panels
from bedplate.state.cache.near import Near
from bedplate.state.cache.plan import Plan
from bedplate.state.cache.routes import routes_of
from bedplate.state.cache.running import Running
from bedplate.state.cache.settings import CacheSettings
from bedplate.state.cache.stats import PatternStats, Stats
from bedplate.state.store import Store

if TYPE_CHECKING:
    from bedplate.state.cache.flights import Make

__all__ = ["MISSING", "Cache"]

T = TypeVar("T")
D = TypeVar("D")

#: Stands for *there is none*, where None is a value.
MISSING: Any = type("Missing", (), {"__repr__": lambda self: "MISSING", "__bool__": lambda self: False})()

_RUNBOOK = Runbook(text=Path(__file__).with_name("runbook.md").read_text(encoding="utf-8"))
_NOTHING = Near(0, 0)


class Parts:
    """What the hit path touches; it outlives a run, so that decorators can hold on to it.

    :ivar near: the near cache, an empty one while the cache does not run.
    """

    __slots__ = ("near", "stats")

    def __init__(self) -> None:
        self.near = _NOTHING
        self.stats = Stats()


class Cache:
    """Answers that are dear to compute, kept near in each process and in a store that all instances share.

    .. code-block:: python

        cache = Cache(store, name="reports", ttl=300)

        @cache.cached(key="report:{organization}", tags=("org:{organization}",))
        async def report(organization: int) -> Report: ...

        await cache.invalidate(tags=("org:7",))

    While the store is away it serves from memory and computes what is not there; nothing fails because of it.

    :param store: where instances share values, ``Memory()`` or ``Redis(url)``.
    :param name: unique among a service's caches; names that are equal in two services share nothing.
    :param ttl: seconds that a value is fresh, at most; this and the others go before ``settings``.
    :param settings: everything else; see :class:`CacheSettings`.
    :param section: the section of a service's settings that ``settings`` come from; its thresholds follow reloads.
    :param prefix: where the management API is, for checks.
    :raises DeclarationError: when the times do not fit each other.
    """

    def __init__(
        self,
        store: Store,
        name: str = "default",
        *,
        ttl: float | None = None,
        stale: float | None = None,
        keep: float | None = None,
        negative: float | None = None,
        settings: CacheSettings | None = None,
        section: str = "cache",
        prefix: str = "/monitoring",
    ) -> None:
        self.name = name
        self.store = store
        self.section = section
        given = {"ttl": ttl, "stale": stale, "keep": keep, "negative": negative}
        changes = {key: value for key, value in given.items() if value is not None}
        base = settings or CacheSettings()
        try:
            self.settings = CacheSettings.model_validate({**base.model_dump(), **changes}) if changes else base
        except ValueError as error:
            raise DeclarationError(f"Cache {name} cannot be as it is: {error}.", "Mend its times.") from None
        #: For the hit path of decorated functions.
        self.parts = Parts()
        self._running: Running | None = None
        self._codecs: dict[Any, Codec] = {Any: JSON}
        self._plans: dict[Any, Plan] = {}
        self._spec = Spec(
            kind="cache",
            name=name,
            summary="Keeps answers that are dear to compute, near in each process and in a store for all.",
            needs=(store,),
            settings=self.settings,
            scope="cluster" if store.shared else "process",
            degradation=Degradation(
                policy="serve",
                summary="Each process serves from its memory and computes the rest; drops are made up for later.",
                gauge=ONLINE(cache=name),
                alert="CacheDegraded",
            ),
            metrics=tuple(metric(cache=name) for metric in METRICS),
            alerts=alerts(name),
            panels=panels(name),
            checks=checks(name, prefix),
            runbook=_RUNBOOK,
        )

    @property
    def spec(self) -> Spec:
        """The component's declaration."""
        return self._spec

    @property
    def running(self) -> Running | None:
        """What there is while it runs."""
        return self._running

    @asynccontextmanager
    async def lifespan(self, host: Host) -> AsyncIterator[None]:
        """Keep values while inside; at the end what is being computed is cancelled."""
        self.parts.stats.reset()
        meters = Meters(host, self.parts.stats, self.settings, self.section)
        running = Running(self.store, self.settings, host, self._spec, meters, self.parts.stats)
        self.parts.near = running.shelf.near
        self._running = running
        try:
            async with running:
                yield
        finally:
            self._running = None
            self.parts.near = _NOTHING

    def routes(self) -> Sequence[Routes]:
        """Return the routes of all caches of a service: each cache brings them, the first one answers for all."""
        return routes_of(lambda: self._running)

    def actions(self) -> Sequence[Action]:
        """Return the buttons that drop values and forget counts."""
        return actions_of(self)

    def overview(self) -> Mapping[str, Any]:
        """Return how it fares, in this process."""
        running = self._running
        return {"state": "stopped"} if running is None else running.overview()

    # Values

    @overload
    async def get(self, key: str, default: D, *, type: type[T]) -> T | D: ...
    @overload
    async def get(self, key: str, *, type: type[T]) -> T | None: ...
    @overload
    async def get(self, key: str, default: Any = None, *, type: Any = Any) -> Any: ...
    async def get(self, key: str, default: Any = None, *, type: Any = Any) -> Any:
        """Return a fresh value; ``default`` when there is none: give :data:`MISSING` where None is a value.

        :param type: what it is, if it is more than JSON.
        """
        near = self.parts.near
        entry = near.young.get(key)
        codec = self._codecs.get(type)
        if (
            entry is not None
            and entry.codec is codec
            and codec is not None
            and entry.generation == near.generation
            and near.now() < entry.fresh
        ):
            self.parts.stats.near_hits += 1
            entry.stats.near += 1
            value = entry.value
            return value if value is not RAW else codec.decode(entry.text)
        return await self._get(key, default, type)

    async def _get(self, key: str, default: Any, kind: Any) -> Any:
        running = self._running
        if running is None:
            return default
        key = stored(key)
        stats, codec = self._stats(key), self.codec(kind)
        entry, _, near = await running.shelf.look(key, stats)
        if entry is not None and running.shelf.near.now() < entry.fresh:
            with suppress(ValueError):
                value = entry.read(codec)
                (self.parts.stats.near if near else self.parts.stats.store)(stats)
                return value
        self.parts.stats.miss(stats)
        return default

    async def get_many(self, keys: Sequence[str], *, type: Any = Any) -> dict[str, Any]:
        """Return the fresh values that there are, by key; what is not near is asked for in one go."""
        values = await asyncio.gather(*(self.get(key, MISSING, type=type) for key in keys))
        return {key: value for key, value in zip(keys, values, strict=True) if value is not MISSING}

    async def set(
        self, key: str, value: Any, *, ttl: float | None = None, tags: Sequence[str] = (), type: Any = Any
    ) -> None:
        """Keep a value; whoever computes it at this moment does so in vain.

        :raises CacheTypeError: when it would not come back as it is.
        """
        await self.set_many({key: value}, ttl=ttl, tags=tags, type=type)

    async def set_many(
        self, values: Mapping[str, Any], *, ttl: float | None = None, tags: Sequence[str] = (), type: Any = Any
    ) -> None:
        """Keep several values in one go; each for itself.

        :raises CacheTypeError: when one would not come back as it is; none is kept then.
        """
        running = self._started()
        plan = self._plan(type) if ttl is None else self.plan(self.codec(type), ttl=ttl)
        items = [(stored(key), value) for key, value in values.items()]
        await running.flights.put(items, plan, [stored(tag) for tag in tags], self._stats)

    async def get_or_set(
        self,
        key: str,
        make: Callable[[], Awaitable[T]],
        *,
        tags: Sequence[str] = (),
        type: Any = Any,
        **options: Any,
    ) -> T:
        """Return a value; compute and keep it when there is none, once for all who ask.

        :param options: as of :meth:`cached`: ``ttl``, ``stale``, ``keep`` …
        """
        plan = self.plan(self.codec(type), **options) if options else self._plan(type)
        key = stored(key)
        result: T = await self.load(key, plan, make, [stored(tag) for tag in tags], self._stats(key))
        return result

    def cached(
        self,
        ttl: float | None = None,
        *,
        key: Key = None,
        tags: Tags = (),
        per_user: bool = False,
        share: bool | None = None,
        stale: float | None = None,
        keep: float | None = None,
        negative: float | None = None,
        jitter: float | None = None,
        soft_timeout: float | None = None,
        hard_timeout: float | None = None,
        retry: float | None = None,
    ) -> Decorator:
        """Return a decorator that caches what a function returns; its return annotation says how.

        A function that is not async becomes one, and runs in a thread. Computing outlives whoever asked for it, so it
        must not use what belongs to one request, such as a session that is closed at its end.

        :param ttl: seconds that a value is fresh. :param key: ``report:{organization}``, of arguments and their
            attributes, or a function of the arguments; by default the function's name and all arguments.
        :param tags: templates, or functions of the arguments, or one function that returns them all.
        :param per_user: keep a value for each user of the work at hand; without one it is not cached.
        :param share: give all callers one object although its type could be changed; they promise not to.
        :param stale: seconds in which an old value answers while a new one is computed in the background.
        :param keep: seconds in which an old value answers when computing fails or takes longer than ``soft_timeout``.
        :param negative: seconds that None is fresh; 0 not to keep it.
        :param hard_timeout: seconds after which whoever has no old value gets a :class:`CacheTimeoutError`.
        :raises DeclarationError: when the key, the tags, the return type or the times cannot be used.
        """
        if callable(ttl):
            raise DeclarationError("@cache.cached is used without parentheses.", "Write @cache.cached().")
        options = {
            "ttl": ttl, "stale": stale, "keep": keep, "negative": negative, "jitter": jitter,
            "soft_timeout": soft_timeout, "hard_timeout": hard_timeout, "retry": retry,
        }  # fmt: skip

        def decorator(fn: Callable[..., Any], /) -> Any:
            return decorate(self, fn, key=key, tags=tags, per_user=per_user, share=share, options=options)

        return decorator

    # Dropping

    async def delete(self, *keys: str) -> None:
        """Drop keys; the same as ``invalidate(keys=…)``."""
        await self.invalidate(keys=keys)

    async def invalidate(self, *, keys: Sequence[str] = (), tags: Sequence[str] = (), pattern: str = "") -> None:
        """Drop values, for all instances: those of keys, all with a tag, all whose key matches a pattern.

        Once it returns, nobody who asks here gets what was there before, nor does anybody else once the store has told
        them, within a millisecond or so. While the store is away, this process drops what it has, and the store is
        told when it is back. Dropping a tag or a pattern is one write, however many values there are.

        :param pattern: ``*`` stands for anything, ``?`` for one character: ``report:7:*``.
        """
        for names in (keys, tags):
            if isinstance(names, str):
                raise DeclarationError("One text is given where several names are asked for.", f"Write ({names!r},).")
        running = self._started()
        wanted = [stored(tag) for tag in tags]
        done = await running.shelf.drop([stored(key) for key in keys], wanted, pattern)
        running.meters.invalidated(len(keys), len(tags), pattern, done=done)

    async def clear(self) -> None:
        """Drop everything that this cache has, for all instances."""
        await self.invalidate(pattern="*")

    # What decorators call

    def codec(self, kind: Any, names: dict[str, Any] | None = None) -> Codec:
        """Return the codec of a type, the same one each time; :param names: see :func:`codec_of`."""
        codec = self._codecs.get(kind)
        if codec is None:
            codec = self._codecs[kind] = codec_of(kind, names=names)
        return codec

    def plan(self, codec: Codec, **options: Any) -> Plan:
        """Return how values are cached when nothing else is said than ``options``."""
        return Plan.of(self.settings, codec, **options)

    async def load(self, key: str, plan: Plan, make: Make, tags: Sequence[str], stats: PatternStats) -> Any:
        """Return a value that was not a plain hit near."""
        running = self._running
        if running is None:
            stats.bypass += 1
            return await make()
        return await running.load(key, plan, make, tags, stats)

    def _started(self) -> Running:
        if self._running is None:
            raise BedplateError(f"The cache {self.name} does not run.", "Use it inside the service.")
        return self._running

    def _plan(self, kind: Any) -> Plan:
        plan = self._plans.get(kind)
        if plan is None:
            plan = self._plans[kind] = self.plan(self.codec(kind))
        return plan

    def _stats(self, key: str) -> PatternStats:
        return self.parts.stats.pattern(pattern_of(key))
