"""The contract of Bedplate. Read this first.

A component is one Python value that says what it is (its :class:`Spec`: metrics, probes, alerts, panels, checks,
runbook) and one async context that runs it (its ``lifespan``). Everything else (exposition, health, alerts,
dashboards, the management API, checks, docs) is derived from the spec, so nothing is listed twice.

.. code-block:: python

    class Greeter:
        def __init__(self, name: str = "default") -> None:
            self.name = name

        @property
        def spec(self) -> Spec:
            return Spec(kind="greeter", name=self.name, summary="Greets people.", metrics=(GREETINGS,))

        @asynccontextmanager
        async def lifespan(self, host: Host) -> AsyncIterator[None]:
            self.greetings = host.bind(GREETINGS)
            yield
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, overload, runtime_checkable

from bedplate.clock import Clock
from bedplate.declarations import (
    SLO,
    Action,
    Alert,
    Check,
    Dashboard,
    Middleware,
    Migrations,
    Panel,
    Probe,
    Routes,
    Runbook,
    Section,
    Verdict,
)
from bedplate.degradation import Degradation
from bedplate.metric import Counter, Gauge, Histogram, Metric, Summary
from bedplate.problems import DeclarationError, Refusal

if TYPE_CHECKING:
    from pydantic import BaseModel
    from starlette.types import Scope

__all__ = [
    "BoundCounter",
    "BoundGauge",
    "BoundHistogram",
    "BoundSummary",
    "Component",
    "ComponentState",
    "ComponentView",
    "Environment",
    "HasActions",
    "HasGuard",
    "HasMiddleware",
    "HasMigrations",
    "HasOverview",
    "HasRefusals",
    "HasRoutes",
    "HasSections",
    "Host",
    "Instrument",
    "Key",
    "Lease",
    "Logger",
    "Role",
    "Sample",
    "Spec",
    "TaskView",
    "Vector",
]

Role = Literal["web", "worker", "beat", "ops"]
Environment = Literal["development", "test", "staging", "production"]
Key = tuple[str, str]

_KIND = re.compile(r"[a-z][a-z0-9_]*\Z")
_NAME = re.compile(r"[a-z0-9][a-z0-9_.-]*\Z")


@dataclass(frozen=True, kw_only=True)
class Spec:
    """What a component is; a pure function of its constructor's arguments, computed without I/O.

    :param kind: the noun, ``cache``. :param name: which of them, ``reports``; ``(kind, name)`` is unique in a service.
    :param summary: one sentence for people who have never heard of it.
    :param needs: the components that it uses, as objects; they start before it and stop after it.
    :param settings: its effective configuration, a frozen pydantic model; secrets are ``SecretStr`` and stay masked.
    :param scope: what its state spans, one ``process`` or the whole ``cluster``.
    :param degradation: what it does while its backend is away; None when it has none. With a gauge, the metric, the
        alert, the panel and what the runbook says of every such alert are derived from it.
    :param runbook: Markdown with a ``## <AlertName>`` section an alert.
    """

    kind: str
    name: str = "default"
    summary: str
    needs: tuple[Component, ...] = ()
    settings: BaseModel | None = None
    scope: Literal["process", "cluster"] = "process"
    degradation: Degradation | None = None
    metrics: tuple[Metric, ...] = ()
    probes: tuple[Probe, ...] = ()
    alerts: tuple[Alert, ...] = ()
    slos: tuple[SLO, ...] = ()
    panels: tuple[Panel, ...] = ()
    checks: tuple[Check, ...] = ()
    runbook: Runbook | None = None

    @property
    def dashboards(self) -> tuple[Dashboard, ...]:
        """The dashboards that its panels name, each once."""
        return tuple(dict.fromkeys(panel.dashboard for panel in self.panels if panel.dashboard is not None))

    def __post_init__(self) -> None:
        if not _KIND.match(self.kind):
            raise DeclarationError(f"Component kind {self.kind!r} is not a noun.", "Use lower-case letters and _.")
        if not _NAME.match(self.name):
            raise DeclarationError(
                f"Component name {self.name!r} cannot be a label or a path.", "Use lower-case letters, digits, . _ -"
            )
        if not self.summary.strip():
            raise DeclarationError(f"Component {self.kind} has no summary.", "Say in one sentence what it does.")
        if self.degradation is not None:
            self._derive(self.degradation)

    def _derive(self, degradation: Degradation) -> None:
        """Add what follows from the degradation, once: a spec that is made of another one has it already."""
        gauges = () if degradation.gauge is None else (degradation.gauge,)
        for field, derived in (
            ("metrics", gauges),
            ("alerts", degradation.alerts()),
            ("panels", degradation.panels(self.panels)),
        ):
            given = getattr(self, field)
            object.__setattr__(self, field, (*(one for one in derived if one not in given), *given))
        object.__setattr__(self, "runbook", degradation.runbook(self.runbook))

    @property
    def key(self) -> Key:
        """``(kind, name)``, unique in a service."""
        return (self.kind, self.name)

    @property
    def label(self) -> str:
        """``kind`` alone for the default one, else ``kind:name``; how people read it."""
        return self.kind if self.name == "default" else f"{self.kind}:{self.name}"


@runtime_checkable
class Component(Protocol):
    """Anything with a spec and a lifespan. Constructors do no I/O."""

    @property
    def spec(self) -> Spec:
        """What the component is; pure and stable: two reads are equal."""
        ...

    def lifespan(self, host: Host) -> AbstractAsyncContextManager[None]:
        """Run the component: what is before the ``yield`` starts it, what is after stops it."""
        ...


class Logger(Protocol):
    """A structured logger: an event name and its context, ``log.info("cache_flushed", keys=3)``."""

    def debug(self, event: str, /, **context: Any) -> Any: ...
    def info(self, event: str, /, **context: Any) -> Any: ...
    def warning(self, event: str, /, **context: Any) -> Any: ...
    def error(self, event: str, /, **context: Any) -> Any: ...
    def exception(self, event: str, /, **context: Any) -> Any: ...
    def critical(self, event: str, /, **context: Any) -> Any: ...
    def bind(self, **context: Any) -> Logger: ...


class BoundCounter(Protocol):
    """A counter's cell."""

    def inc(self, amount: float = 1.0, /) -> None:
        """Add ``amount``, which is not negative."""
        ...


class BoundGauge(Protocol):
    """A gauge's cell."""

    def set(self, value: float, /) -> None:
        """Set the value."""
        ...

    def inc(self, amount: float = 1.0, /) -> None:
        """Add to the value."""
        ...

    def dec(self, amount: float = 1.0, /) -> None:
        """Subtract from the value."""
        ...

    def ratio(self, numerator: float, denominator: float, /) -> None:
        """Set a gauge of merge ``ratio``; a denominator of 0 shows as NaN, which is *no data*."""
        ...


class BoundHistogram(Protocol):
    """A histogram's cells."""

    def observe(self, value: float, /) -> None:
        """Count one observation; it keeps the current sampled trace as exemplar when the family asks for it."""
        ...


class BoundSummary(Protocol):
    """A summary's cells."""

    def observe(self, value: float, /) -> None:
        """Count one observation."""
        ...


Instrument = BoundCounter | BoundGauge | BoundHistogram | BoundSummary


@dataclass(frozen=True, slots=True)
class Sample:
    """One element of a PromQL vector: the labels of a series, ``__name__`` among them if it has one, and its value."""

    labels: Mapping[str, str]
    value: float


#: The value of an expression at one moment; a scalar is one sample without labels.
Vector = tuple[Sample, ...]


class Lease(Protocol):
    """The right to be the only one who runs something."""

    name: str

    def hold(self, host: Host) -> AbstractAsyncContextManager[None]:
        """Wait until the lease is ours, keep it while inside, give it back after.

        The body is cancelled when the lease is lost.
        """
        ...


ComponentState = Literal["waiting", "starting", "running", "degraded", "stopping", "stopped", "failed"]


@dataclass(frozen=True, slots=True)
class TaskView:
    """A supervised task as seen from outside: ``state`` is running, restarting or finished."""

    name: str
    state: str
    restarts: int
    last_error: str = ""


@dataclass(frozen=True, slots=True)
class ComponentView:
    """A component of the running service, as seen from outside."""

    component: Component
    spec: Spec
    state: ComponentState
    reason: str = ""
    tasks: tuple[TaskView, ...] = ()


class Host(Protocol):
    """What a running component may ask of the service that runs it."""

    @property
    def service(self) -> str:
        """The service's name, its ``job`` in Prometheus."""
        ...

    @property
    def role(self) -> Role:
        """What this process is for: ``web``, ``worker``, ``beat`` or ``ops``."""
        ...

    @property
    def environment(self) -> Environment:
        """Where it runs."""
        ...

    @property
    def alone(self) -> bool:
        """Whether no other process of this host runs the service: what it keeps in memory is then all there is."""
        ...

    @property
    def log(self) -> Logger:
        """A logger that already carries the component's kind and name."""
        ...

    @property
    def clock(self) -> Clock:
        """The service's time; tests drive it."""
        ...

    @property
    def directory(self) -> Path:
        """A private directory that the processes of this service share on this host, and that ends with them."""
        ...

    @property
    def components(self) -> Sequence[ComponentView]:
        """All components of the service in start order, with their present state."""
        ...

    @overload
    def bind(self, metric: Counter, /, **labels: str) -> BoundCounter: ...
    @overload
    def bind(self, metric: Gauge, /, **labels: str) -> BoundGauge: ...
    @overload
    def bind(self, metric: Histogram, /, **labels: str) -> BoundHistogram: ...
    @overload
    def bind(self, metric: Summary, /, **labels: str) -> BoundSummary: ...
    def bind(self, metric: Metric, /, **labels: str) -> Instrument:
        """Return the cell of a declared metric; the only place where cells come to be, cheap when repeated.

        :raises UndeclaredMetricError: when the component's spec does not declare it.
        :raises DeclarationError: when labels are missing or unknown.
        """
        ...

    def spawn(self, name: str, fn: Callable[[], Coroutine[Any, Any, None]], *, lease: Lease | None = None) -> None:
        """Supervise ``fn``: a crash is logged, counted, and restarted with back-off; stopped with the component.

        It takes a function because a coroutine cannot be restarted. With a lease, only its holder runs it.
        """
        ...

    def degraded(self, reason: str | None) -> None:
        """Say that the component works with less than it should, and why; None when it is whole again."""
        ...

    async def query(self, expr: str, *, scope: Literal["host", "fleet"] = "host") -> Vector:
        """Return the present value of a PromQL expression, narrowed to this service.

        :param scope: ``host`` asks the samples that this host takes of itself; ``fleet`` all instances, which only
            Prometheus knows where there is more than one host.
        :raises BedplateError: when it is no PromQL that can be evaluated, or the fleet cannot be asked.
        """
        ...


@runtime_checkable
class HasRoutes(Protocol):
    """A component that serves HTTP of its own."""

    def routes(self) -> Sequence[Routes]:
        """Return its routes; called once, after construction and without I/O."""
        ...


@runtime_checkable
class HasMiddleware(Protocol):
    """A component that stands in the way of requests."""

    def middleware(self) -> Sequence[Middleware]:
        """Return its middleware with their stages."""
        ...


@runtime_checkable
class HasGuard(Protocol):
    """A component that judges every request: a rate limit, a maintenance switch.

    It runs inside the fused middleware, so it costs a call and not a layer. What it can tell at once, it returns; what
    it has to ask somebody for, it promises.
    """

    def guard(self, scope: Scope) -> Verdict | Awaitable[Verdict | None] | None:
        """Return None to let the request pass, a verdict with headers and perhaps a refusal, or the promise of one."""
        ...


@runtime_checkable
class HasActions(Protocol):
    """A component with buttons."""

    def actions(self) -> Sequence[Action]:
        """Return its actions; called again whenever they are shown."""
        ...


@runtime_checkable
class HasMigrations(Protocol):
    """A component with tables in the service's database, which it names in its ``needs``."""

    def migrations(self) -> Migrations:
        """Return where its revisions are; they are applied when the database starts, before the component does."""
        ...


@runtime_checkable
class HasOverview(Protocol):
    """A component whose present numbers belong on one page with everything else."""

    def overview(self) -> Mapping[str, Any]:
        """Return them as JSON-able data, cheaply and without I/O; ``unified/metrics`` shows them under its kind.

        With several workers the process that watches is asked, whose component has seen no request of theirs.
        """
        ...


@runtime_checkable
class HasSections(Protocol):
    """A component whose page in the console has more on it than is derived."""

    def sections(self) -> Sequence[Section]:
        """Return what its page shows besides, cheaply and without I/O; called whenever the page is shown."""
        ...


@runtime_checkable
class HasRefusals(Protocol):
    """A component that may refuse to start, such as an in-memory backend in production."""

    def refusals(self, environment: Environment, settings: Mapping[str, Any]) -> Iterable[Refusal]:
        """Return every reason why it should not start here; called by ``bedplate check`` and at start, without I/O."""
        ...
