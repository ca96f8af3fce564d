"""Rate limits as a component: a guard before every request, and plain calls for everything else."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, ParamSpec, TypeVar

from pydantic import BaseModel
from starlette.requests import HTTPConnection

from bedplate.clock import Clock
from bedplate.component import Host, Spec
from bedplate.declarations import Action, Actor
from bedplate.problems import DeclarationError
from bedplate.state.limits.declared import RateLimitSettings, by_limit, declared, in_process
from bedplate.state.limits.inprocess import InProcess
from bedplate.state.limits.keys import Key, by_client
from bedplate.state.limits.limit import Decision, Limit, Strategy
from bedplate.state.limits.shared import Shared
from bedplate.state.limits.terms import Cost, Keyed, Terms
from bedplate.state.limits.using import Dependency, dependency, limited, refused
from bedplate.state.store import Store
from bedplate.telemetry.http.middleware import Guard

__all__ = ["RateLimit", "RateLimitSettings"]

P = ParamSpec("P")
T = TypeVar("T")

#: What is asked by probes and scrapers, which must not be refused.
PROBES = ("/livez", "/readyz", "/healthz", "/metrics")


class ResetParameters(BaseModel):
    """Whom the action *reset* lets start anew."""

    key: str
    """The key as it is counted: a client's address, or whatever the rate limit's key is."""

    limit: str = ""
    """The limit whose key it is, where limits have keys of their own."""


class RateLimit:
    """Limits how often something may be done: ``RateLimit(shared, limits="100/minute")``.

    With a store all instances count together, in one round trip for all limits. Without one each process counts for
    itself, so N workers allow up to N times the quota.

    As a component of a service it guards the requests that ``paths``, ``exempt`` and ``methods`` select; refused ones
    are answered with a 429 problem and ``Retry-After``, all of them carry ``RateLimit`` headers. With
    ``paths=()`` it guards none and is there for :meth:`take`, :meth:`require`, :meth:`limited` and :meth:`dependency`.

    While the store is away each instance lets its part of every quota through, and no request fails for it.

    :param store: where instances count together; a text here is the name, of one that counts in this process.
    :param name: unique among a service's rate limits.
    :param limits: all must allow, or none is used; as :class:`Limit` or text such as ``100/minute``.
    :param strategy: how the limits that are given as text count; see :class:`Limit`.
    :param key: whom to count, see :func:`by_client` and :func:`by_header`; with a store also one for each limit, by
        the limit's name. Who has no key (None) is not limited.
    :param cost: units that a request costs, a number or a function of its scope; what is known only after the answer
        is for :meth:`charge`.
    :param paths: prefixes of paths, as seen from the root of the service.
    :param shadow: only count what would be refused, and refuse nothing.
    :param capacity: keys that are kept in this process at most; about 200 bytes each.
    :param timeout: seconds to wait for the store; the first question that takes longer makes this instance count alone
        until the store answers again.
    :param instances: how many there are at least, for the time when the store has not yet told how many there are.
    :raises DeclarationError: when there is no limit, two have one name, or one cannot be counted this way.
    """

    def __init__(
        self,
        store: Store | str | None = None,
        name: str = "default",
        *,
        limits: Sequence[Limit | str] | Limit | str,
        strategy: Strategy = "gcra",
        key: Key | Mapping[str, Key] | None = None,
        cost: Cost = 1,
        paths: Sequence[str] = ("/",),
        exempt: Iterable[str] = PROBES,
        methods: Iterable[str] = (),
        shadow: bool = False,
        capacity: int = 100_000,
        timeout: float | None = 0.1,
        instances: int = 1,
        clock: Clock | None = None,
    ) -> None:
        if isinstance(store, str):
            name = store
        given = [limits] if isinstance(limits, Limit | str) else limits
        self.name = name
        self.limits = tuple(
            Limit.parse(limit, strategy=strategy) if isinstance(limit, str) else limit for limit in given
        )
        if not self.limits or len({limit.name for limit in self.limits}) != len(self.limits):
            raise DeclarationError(f"Rate limit {name} needs limits of different names.", "Name each Limit.")
        keys = key if isinstance(key, Mapping) else None
        self._terms = Terms(
            name=name,
            limits=self.limits,
            key=by_client() if key is None or isinstance(key, Mapping) else key,
            keys=keys,
            cost=cost,
            paths=tuple(paths),
            exempt=frozenset(exempt),
            methods=frozenset(method.upper() for method in methods),
            capacity=capacity,
            shadow=shadow,
        )
        counted = None if isinstance(store, str) else store
        self._local: InProcess | None = None
        self._shared: Shared | None = None
        if counted is None:
            in_process(self._terms)
            self._local = InProcess(self._terms, clock)
        else:
            by_limit(self._terms)
            self._shared = Shared(self._terms, counted, timeout=timeout, instances=instances)
        counting = self._local or self._shared
        assert counting is not None
        self._counting = counting
        self._take = counting.take
        self._spec = declared(self._terms, counted, self._probe)

    @property
    def spec(self) -> Spec:
        """See :class:`RateLimit`."""
        return self._spec

    @asynccontextmanager
    async def lifespan(self, host: Host) -> AsyncIterator[None]:
        """Measure while inside, and count together; in the process, limits are enforced before and after, too."""
        if self._local is not None:
            self._local.start(host)
            try:
                yield
            finally:
                self._local.stop()
            return
        assert self._shared is not None
        try:
            self._shared.start(host, self._spec)
            yield
        finally:
            await self._shared.stop()

    @property
    def guard(self) -> Guard:
        """Judges a request by its scope: None when it is not limited, a verdict, or the promise of one."""
        return self._counting.guard

    def take(self, key: Keyed, cost: int = 1) -> Awaitable[Decision]:
        """Use ``cost`` units for ``key``, or none when a limit refuses.

        :param key: with a key for each limit, a mapping by their names; limits that are not in it do not apply.
        :returns: the decision; with ``shadow`` everything is allowed, and ``retry_after`` tells what would be refused.
        :raises ValueError: when the cost is negative, or more than a limit allows at once, which would never pass.
        """
        return self._take(key, cost)

    async def require(self, key: Keyed, cost: int = 1) -> Decision:
        """Do :meth:`take`, and answer the request at hand with a 429 problem when it is refused.

        :raises HTTPException: with the status 429 and the headers of the decision.
        """
        decision = await self.take(key, cost)
        if not decision.allowed:
            raise refused(decision)
        return decision

    def peek(self, key: Keyed, cost: int = 1) -> Awaitable[Decision]:
        """Return what :meth:`take` would decide now, and use nothing.

        :raises ValueError: when the cost can never pass.
        """
        return self._counting.look(key, cost)

    def charge(self, key: Keyed, cost: int) -> Awaitable[None]:
        """Use units that are known only afterwards, such as tokens, whatever is left; a negative cost gives back.

        Nobody ever owes more than two full bursts, or two quotas of a window: what goes beyond is forgiven.
        """
        return self._counting.charge(key, cost)

    def reset(self, key: Keyed) -> Awaitable[None]:
        """Let ``key`` start anew. Without a store it is done when this returns; with one, it is for all instances.

        :raises StoreUnavailableError: when the store is away; for this instance it is done.
        """
        return self._counting.reset(key)

    def check(self, key: str, cost: int = 1) -> Decision:
        """Do :meth:`take` without waiting; only for what counts in this process. A cost of 0 only looks.

        :raises ValueError: when the cost can never pass. :raises DeclarationError: when there is a store.
        """
        if self._local is None:
            raise DeclarationError(f"Rate limit {self.name} asks a store.", "Write `await limit.take(key)`.")
        return self._local.check(key, cost)

    def enforce(self, key: str, cost: int = 1) -> Decision:
        """Do :meth:`require` without waiting; only for what counts in this process.

        :raises HTTPException: with the status 429 and the headers of the decision.
        """
        decision = self.check(key, cost)
        if not decision.allowed:
            raise refused(decision)
        return decision

    def key_of(self, request: HTTPConnection) -> Keyed | None:
        """Return whom a request is counted as; None for who is not limited."""
        return self._terms.key_of(request.scope)

    def dependency(self, *, key: Callable[[HTTPConnection], Keyed | None] | None = None, cost: Cost = 1) -> Dependency:
        """Return what an endpoint of FastAPI depends on to be limited: ``Depends(limit.dependency(cost=5))``.

        It returns the decision, and None for who is not limited; the answer gets the headers.

        :param key: whom to count; by default as the rate limit does.
        """
        return dependency(self, key, cost)

    def limited(
        self, *, key: Callable[P, str] | str | None = None, cost: Callable[P, int] | int = 1
    ) -> Callable[[Callable[P, Awaitable[T]]], Callable[P, Coroutine[Any, Any, T]]]:
        """Return a decorator that takes units before each call of an async function.

        A call that is refused raises what answers a request with 429; see :meth:`require`.

        :param key: whom to count, a text or a function of the call's arguments; the function itself by default.
        :param cost: units, or a function of the arguments.
        """
        return limited(self, key, cost)

    def actions(self) -> Sequence[Action]:
        """Let a key start anew, where that reaches all instances."""
        if self._shared is None:
            return ()
        return (
            Action(
                name="reset",
                summary="Let a client, user or key start anew.",
                parameters=ResetParameters,
                run=self._reset,
            ),
        )

    def overview(self) -> Mapping[str, Any]:
        """Return present numbers of this process."""
        return {"limits": [str(limit) for limit in self.limits], **self._counting.overview()}

    async def _reset(self, parameters: ResetParameters, actor: Actor) -> dict[str, str]:
        key: Keyed = {parameters.limit: parameters.key} if parameters.limit else parameters.key
        await self.reset(key)
        return {"reset": parameters.key}

    async def _probe(self) -> str:
        """Ask the store for nothing, as every request asks it for something."""
        assert self._shared is not None
        keys = self._terms.keys
        decision = await self._shared.look("" if keys is None else dict.fromkeys(keys, ""), 0)
        if decision.alone:
            raise RuntimeError("The store does not answer; this instance counts alone.")
        return "the store answers"
