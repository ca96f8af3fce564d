"""The component: what is asked for twice is done once."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from functools import partial, wraps
from pathlib import Path
from typing import Any, ParamSpec, TypeVar, get_type_hints

import orjson
from pydantic import Field, TypeAdapter
from starlette.requests import Request
from starlette.types import Scope

from bedplate.component import BoundCounter, Host, Spec
from bedplate.declarations import Action, Actor, Middleware, Probe, Runbook
from bedplate.degradation import Degradation
from bedplate.problems import BedplateError, DeclarationError
from bedplate.settings.markers import Section
from bedplate.state.idempotency.errors import (
    IdempotencyUnavailableError,
    KeyInUseError,
    KeyMissingError,
    KeyReusedError,
)
from bedplate.state.idempotency.keys import Caller, by_caller, digest, fingerprint, key_of
from bedplate.state.idempotency.ledger import Ledger
from bedplate.state.idempotency.metrics import METRICS, OUTCOMES, REQUESTS, UP, alerts, panels
from bedplate.state.idempotency.middleware import PASSING, IdempotencyMiddleware
from bedplate.state.idempotency.once import Once
from bedplate.state.idempotency.record import KEPT_HEADERS
from bedplate.state.idempotency.settings import IdempotencySettings
from bedplate.state.reach import Reach
from bedplate.state.store import Store, StoreError

__all__ = ["Idempotency"]

P = ParamSpec("P")
T = TypeVar("T")

_RUNBOOK = Runbook(text=Path(__file__).with_name("runbook.md").read_text(encoding="utf-8"))


class _Reference(Section):
    """Which key."""

    reference: str = Field(pattern="^[0-9a-f]{40}$")
    """What the problem that the client got, or the log, names as its reference."""


class Idempotency:
    """Executes requests with an ``Idempotency-Key`` header once: ``Idempotency(shared)``.

    As a component of a service it stands in front of the requests that ``paths`` and ``methods`` select. The first
    request with a key is executed and its answer kept for ``ttl``; whoever repeats it gets the same answer with
    ``Idempotency-Replayed: true``. It follows draft 07 of the IETF: 400 for a key that is missing where it must be,
    409 while the first is being executed, 422 when the key comes with another request. Keys are told apart by caller.
    While the store is away requests with a key get 503 and are not executed.

    :param store: where keys are kept; it must never evict.
    :param paths: prefixes of the paths that are looked at. :param required: prefixes of those that need a key; see
        :meth:`required`, too. :param methods: the methods that are looked at.
    :param ttl: seconds for which an answer is kept. :param lease: seconds after which a process that has died is given
        up, and another attempt may begin.
    :param caller: says who calls; by default the session's user, else the ``Authorization`` header. Where credentials
        can be revoked, let it look at them and raise what answers 401: an answer that is kept outlives them otherwise.
    :param headers: names of further headers of an answer to keep.
    :param keep: says of a status whether its answer is kept; by default all but 5xx and those of the moment, such as
        401, 409 and 429. What is not kept is executed again when it is asked for again.
    :param largest: bytes of an answer that are kept. A larger one is passed on and not kept, and not executed again.
    :param largest_request: bytes that a request may have.
    """

    def __init__(
        self,
        store: Store,
        name: str = "default",
        *,
        paths: Sequence[str] = ("/",),
        required: Sequence[str] = (),
        methods: Iterable[str] = ("POST", "PATCH"),
        ttl: float = 86_400.0,
        lease: float = 60.0,
        caller: Caller = by_caller,
        headers: Iterable[str] = (),
        keep: Callable[[int], bool] | None = None,
        largest: int = 1_048_576,
        largest_request: int = 1_048_576,
    ) -> None:
        if not 0 < lease <= ttl:
            raise DeclarationError(
                f"Idempotency {name} gives up after {lease:g} s and forgets after {ttl:g} s.", "Let lease be shorter."
            )
        self.name = name
        self.settings = IdempotencySettings(
            paths=tuple(paths),
            required=tuple(required),
            methods=tuple(sorted(method.upper() for method in methods)),
            ttl=ttl,
            lease=lease,
            largest=largest,
            largest_request=largest_request,
        )
        self.kept_headers = frozenset(header.lower().encode() for header in (*KEPT_HEADERS, *headers))
        self.keeps = keep or _is_of_the_request
        self._store = store
        self._caller = caller
        self._methods = frozenset(self.settings.methods)
        self._ledger: Ledger | None = None
        self._prefix = ""
        self._cells: Mapping[str, BoundCounter] = {}
        self._host: Host | None = None
        self._spec = Spec(
            kind="idempotency",
            name=name,
            summary="Executes what is asked for twice once, and answers both alike.",
            needs=(store,),
            settings=self.settings,
            scope="cluster" if store.shared else "process",
            degradation=Degradation(
                policy="refuse",
                summary="Requests with a key are refused with 503 and not executed. What was being executed is "
                "answered, and its answer recorded when the store is back.",
                gauge=UP(idempotency=name),
                alert="IdempotencyStoreAway",
            ),
            metrics=tuple(metric(idempotency=name) for metric in METRICS),
            probes=(Probe(name="store", check=self.ping, summary="A key can be looked up.", critical=False),),
            alerts=alerts(name),
            panels=panels(name),
            runbook=_RUNBOOK,
        )

    @property
    def spec(self) -> Spec:
        """The component's declaration."""
        return self._spec

    def middleware(self) -> Sequence[Middleware]:
        """Return what stands in front of requests; closest to the application, so that it knows who calls."""
        return (Middleware(stage="replay", factory=partial(IdempotencyMiddleware, idempotency=self)),)

    def overview(self) -> Mapping[str, Any]:
        """Return what this process knows."""
        ledger = self._ledger
        if ledger is None:
            return {"reachable": False}
        return {"reachable": self._store.available, "running": ledger.running, "notRecorded": ledger.unsaved}

    def actions(self) -> Sequence[Action]:
        """Return what operators may do."""

        async def forget(parameters: Any, actor: Actor) -> Any:
            return {"forgotten": await self.ledger.forget(self.key(parameters.reference))}

        return (
            Action(
                name="forget",
                summary="Forget an answer, so that the request is executed again when it is repeated.",
                run=forget,
                parameters=_Reference,
                refused=lambda: None if self._store.available else "The store is away.",
                state=self.overview,
                danger=True,
            ),
        )

    @asynccontextmanager
    async def lifespan(self, host: Host) -> AsyncIterator[None]:
        """Begin and renew attempts while inside; those that are left lapse after."""
        self._cells = {outcome: host.bind(REQUESTS, idempotency=self.name, outcome=outcome) for outcome in OUTCOMES}
        self._prefix = f"{host.service}:idempotency:{self.name}:{{"
        ledger = Ledger(self._store, self.name, self.settings.lease, self.settings.ttl, host)
        self._host, self._ledger = host, ledger
        wanted = asyncio.Event()

        def told(available: bool) -> None:
            ledger.reached(available)
            self._show(available)
            if available:
                wanted.set()

        end = self._store.watch(told)
        self._show(self._store.available)
        host.spawn("renew", lambda: self._renew(host, ledger))
        host.spawn("reconcile", lambda: self._reconcile(ledger, wanted))
        try:
            yield
        finally:
            end()
            self._host = self._ledger = None

    # For services

    async def required(self, request: Request) -> None:
        """Refuse a request without a key; a dependency of FastAPI: ``Depends(idempotency.required)``.

        :raises KeyMissingError: (400) when it has none.
        """
        if key_of(request.scope) is None:
            self.count("malformed")
            raise KeyMissingError
        if "idempotency" not in request.scope.get("state", {}):
            raise BedplateError(
                f"{request.method} {request.url.path} needs a key that nothing looks at.",
                "Name the Idempotency among the service's components, and select the path and the method.",
            )

    @asynccontextmanager
    async def once(self, key: str, fingerprint: str | bytes = b"", *, caller: str = "") -> AsyncIterator[Once]:
        """Do something once.

        .. code-block:: python

            async with idempotency.once(f"payout:{order.id}") as once:
                if not once.done:
                    await once.finish(await pay(order))
            return once.result

        An exception inside lets the next attempt begin at once; without :meth:`Once.finish` the result is None.

        :param fingerprint: what the key stands for; another one for the same key is refused. :param caller: whose key.
        :raises KeyInUseError: when it is being done. :raises KeyReusedError: for another fingerprint.
        :raises IdempotencyUnavailableError: when the store is away; nothing is to be done then.
        """
        ledger = self.ledger
        try:
            found = await ledger.begin(self.key(digest(f"call:{caller}", key)), _printed(fingerprint))
        except KeyInUseError:
            self.count("in_flight")
            raise
        except KeyReusedError:
            self.count("reused")
            raise
        except IdempotencyUnavailableError:
            self.count("refused")
            raise
        if isinstance(found, bytes):
            self.count("replayed")
            yield Once(self, None, orjson.loads(found))
            return
        once = Once(self, found)
        try:
            yield once
        except Exception:
            if not once.is_finished:
                self.count("failed")
                await ledger.release(found)
            raise
        except BaseException:
            if not once.is_finished:
                ledger.abandon(found)
            raise
        if not once.is_finished:
            await once.finish()
        self.count("executed")

    def idempotent(
        self, *, key: Callable[P, str], caller: Callable[P, str] | None = None
    ) -> Callable[[Callable[P, Awaitable[T]]], Callable[P, Awaitable[T]]]:
        """Make an async function one that is executed once for a key; calls after the first get its result again.

        .. code-block:: python

            @idempotency.idempotent(key=lambda order: order.id)
            async def pay(order: Order) -> Receipt: ...

        The result is kept as JSON, and made again as the type that the function is annotated to return.

        :param key: returns the key from the arguments. :param caller: returns whose it is.
        """

        def decorate(function: Callable[P, Awaitable[T]]) -> Callable[P, Awaitable[T]]:
            if not inspect.iscoroutinefunction(function):
                raise DeclarationError(f"{function!r} is not async.", "Use idempotency.once() in what calls it.")
            name = f"{function.__module__}.{function.__qualname__}"
            kept: list[TypeAdapter[Any]] = []

            @wraps(function)
            async def wrapper(*args: P.args, **kwargs: P.kwargs) -> T:
                whose = caller(*args, **kwargs) if caller is not None else ""
                async with self.once(f"{name}:{key(*args, **kwargs)}", caller=whose) as once:
                    if not once.done:
                        result = await function(*args, **kwargs)
                        await once.finish(result)
                        return result
                if not kept:
                    # At the first replay: the types that annotations name may be defined later than the function.
                    kept.append(TypeAdapter(get_type_hints(function, include_extras=True).get("return", Any)))
                made: T = kept[0].validate_json(orjson.dumps(once.result))
                return made

            return wrapper

        return decorate

    async def ping(self) -> str:
        """Look for a key that is not there. :raises StoreError: when the store is away."""
        await self.ledger.forget(self.key(digest("", "probe")))
        return "reachable"

    # For its parts

    @property
    def ledger(self) -> Ledger:
        """What this process knows. :raises BedplateError: when it does not run."""
        if self._ledger is None:
            raise BedplateError(f"Idempotency {self.name} does not run.", "Use it inside the service.")
        return self._ledger

    def key(self, reference: str) -> str:
        """Return what the store calls a key."""
        return f"{self._prefix}{reference}}}"

    def selects(self, scope: Scope) -> bool:
        """Whether a request is looked at."""
        return scope["method"] in self._methods and _local(scope).startswith(self.settings.paths)

    def requires(self, scope: Scope) -> bool:
        """Whether a request needs a key."""
        return bool(self.settings.required) and _local(scope).startswith(self.settings.required)

    async def caller_of(self, scope: Scope) -> str:
        """Return who calls."""
        found = self._caller(scope)
        return found if isinstance(found, str) else await found

    def count(self, outcome: str) -> None:
        """Count a request."""
        self._cells[outcome].inc()

    # What goes on

    def _show(self, available: bool) -> None:
        host = self._host
        if host is not None:
            Reach(host, self._spec).show(available)

    async def _renew(self, host: Host, ledger: Ledger) -> None:
        while True:
            await host.clock.sleep(self.settings.lease / 3)
            with suppress(StoreError):
                await ledger.renew()
            ledger.count()

    async def _reconcile(self, ledger: Ledger, wanted: asyncio.Event) -> None:
        """Renew and record at once when the store is back: marks may be about to lapse."""
        while True:
            await wanted.wait()
            wanted.clear()
            with suppress(StoreError):
                await ledger.renew()


def _is_of_the_request(status: int) -> bool:
    return status < 500 and status not in PASSING


def _printed(given: str | bytes) -> str:
    return fingerprint(given.encode() if isinstance(given, str) else given)


def _local(scope: Scope) -> str:
    path: str = scope["path"]
    return path.removeprefix(scope.get("root_path", ""))
