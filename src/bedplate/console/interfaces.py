"""What the console asks of those whose knowledge it shows. What a service does not have is None, and pages say so."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from bedplate.component import ComponentView, Environment, Vector
from bedplate.declarations import Action, Actor
from bedplate.monitor.alerts.interfaces import RuleView
from bedplate.monitor.alerts.notices import AlertView, Silence, Transition
from bedplate.monitor.audit import Verification
from bedplate.monitor.management.interfaces import ErrorSource, LogSource, TraceSource
from bedplate.promql import Matrix
from bedplate.settings import LiveSettings
from bedplate.telemetry.metrics.layout import Sample
from bedplate.telemetry.metrics.merge import Exemplar
from bedplate.telemetry.redaction import Redactor

__all__ = ["AlertDesk", "AuditLog", "Change", "ExemplarSource", "HealthSource", "Presses", "Querier", "Sources"]


class HealthSource(Protocol):
    """Who knows how the service is."""

    @property
    def status(self) -> Any:
        """How it is now: :class:`~bedplate.monitor.health.status.Status`."""
        ...

    def report(self, *, history: bool = ...) -> dict[str, Any]:
        """Return the status, its reasons, and every component with its probes."""
        ...

    def probes(self, label: str, *, history: bool = ...) -> list[dict[str, Any]]:
        """Return what is known of the probes of one component."""
        ...


class Querier(Protocol):
    """Who evaluates PromQL, narrowed to this service: :class:`~bedplate.monitor.samples.queries.Queries`."""

    @property
    def fleet_fault(self) -> str | None:
        """Why the whole fleet cannot be asked; None when it can, or this host is all there is."""
        ...

    async def vector(self, expr: str, at: float | None = ..., *, scope: Literal["host", "fleet"] = ...) -> Vector:
        """Return the value at a moment in Unix seconds; :raises BedplateError: when it cannot be evaluated."""
        ...

    async def range(
        self, expr: str, start: float, end: float, step: float, *, scope: Literal["host", "fleet"] = ...
    ) -> Matrix:
        """Return the values from ``start`` to ``end`` every ``step`` seconds, where there are any."""
        ...


@dataclass(frozen=True, slots=True)
class Change:
    """One moment on the time line: what changed, who did it, where to read more.

    :ivar kind: ``start``, ``settings``, ``action``, ``acknowledgement``, ``silence``, ``alert``, ``health``.
    :ivar tone: ``good``, ``bad``, ``warn`` or empty.
    """

    at: float
    kind: str
    text: str
    tone: str = ""
    path: str = ""
    actor: str = ""


class AlertDesk(Protocol):
    """Who keeps alerts: :class:`~bedplate.monitor.alerts.component.Alerts`."""

    @property
    def active(self) -> bool:
        """Whether this process evaluates alerts."""
        ...

    def current(self, *, resolved: bool = ...) -> Sequence[AlertView]:
        """Return the alerts that fire, then those pending, then those resolved lately."""
        ...

    def rules(self) -> Sequence[RuleView]:
        """Return every rule with what became of it."""
        ...

    async def history(
        self, limit: int = ..., *, since: float = ..., name: str = ..., fingerprint: str = ...
    ) -> Sequence[Transition]:
        """Return how alerts changed, the latest first."""
        ...

    def silences(self, *, ended: bool = ...) -> Sequence[Silence]:
        """Return silences that are in force or to come."""
        ...

    def actions(self) -> Sequence[Action]:
        """Return what may be done: ``acknowledge``, ``silence``, ``expire-silence`` …"""
        ...


class ExemplarSource(Protocol):
    """Who keeps traces beside the buckets of histograms: :class:`~bedplate.telemetry.metrics.component.Metrics`."""

    async def exemplars(self, families: Collection[str], /) -> list[tuple[Sample, Exemplar]]:
        """Return buckets with a trace that fell into each."""
        ...


class Presses(Protocol):
    """Who does actions, and keeps the record of them."""

    async def press(self, component: str, action: Action, actor: Actor, body: dict[str, object]) -> Any:
        """Validate the parameters, do it, and return its result; :raises ProblemError: when it is not done."""
        ...

    async def record(
        self,
        component: str,
        action: str,
        actor: Actor,
        outcome: str,
        parameters: dict[str, Any],
        reason: str = ...,
        error: BaseException | None = ...,
        *,
        before: Any = ...,
        after: Any = ...,
    ) -> None:
        """Write the audit record of one attempt, and wait until it will last."""
        ...


class AuditLog(Protocol):
    """Who keeps the audit log: :class:`~bedplate.monitor.audit.component.Audit`."""

    async def latest(self, limit: int = ...) -> Sequence[Mapping[str, Any]]:
        """Return the latest records, the newest first."""
        ...

    async def verify(self) -> Verification:
        """Tell whether the chain is whole, and what was found."""
        ...


@dataclass(kw_only=True)
class Sources:
    """Everything the console reads; set up once by whoever makes the service's components.

    :ivar views: the components with their states. :ivar scoped: narrows an expression to this service.
    :ivar capture: takes an exception and the route where it happened.
    """

    service: str
    environment: Environment
    health: HealthSource
    presses: Presses
    redactor: Redactor
    views: Callable[[], Sequence[ComponentView]] = tuple
    scoped: Callable[[str], str] = str
    logs: LogSource | None = None
    traces: TraceSource | None = None
    errors: ErrorSource | None = None
    settings: LiveSettings[Any] | None = None
    querier: Querier | None = None
    alerts: AlertDesk | None = None
    audit: AuditLog | None = None
    exemplars: ExemplarSource | None = None
    capture: Callable[[BaseException, str], Any] = field(default=lambda error, route: None)
    started: float = 0.0
    instance: str = ""
    version: str = ""
    #: Waits until the stores have what is under way; nothing by default.
    settled: Callable[[], Awaitable[None]] | None = None
