"""What a component can say of itself: probes, alerts, objectives, panels, checks, actions, routes.

All are frozen values without I/O; whatever watches, renders or serves a component reads them and nothing else.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from bedplate.metric import Metric
from bedplate.problems import DeclarationError

if TYPE_CHECKING:
    from pydantic import BaseModel
    from starlette.routing import BaseRoute
    from starlette.types import ASGIApp

__all__ = [
    "SLO",
    "AccessRole",
    "Action",
    "Actor",
    "Alert",
    "Check",
    "Degradation",
    "Middleware",
    "Panel",
    "Probe",
    "Routes",
    "Series",
    "Verdict",
    "seconds",
]

AccessRole = Literal["viewer", "operator", "admin"]
Severity = Literal["critical", "warning", "info"]
Stage = Literal["edge", "identity", "guard", "replay"]

_SLUG = re.compile(r"[a-z][a-z0-9_-]*\Z")
_ALERT = re.compile(r"[A-Z][A-Za-z0-9]*\Z")
_DURATION = re.compile(r"(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m(?!s))?(?:(\d+)s)?(?:(\d+)ms)?\Z")


def seconds(duration: str) -> float:
    """Return the seconds of a Prometheus duration such as ``90s``, ``5m`` or ``1h30m``.

    :raises DeclarationError: when it is none.
    """
    match = _DURATION.match(duration)
    if not duration or match is None:
        raise DeclarationError(f"{duration!r} is not a duration.", "Write it as Prometheus does: 30s, 5m, 1h30m.")
    d, h, m, s, ms = (int(part or 0) for part in match.groups())
    return d * 86400 + h * 3600 + m * 60 + s + ms / 1000


def _slug(kind: str, name: str) -> None:
    if not _SLUG.match(name):
        raise DeclarationError(f"{kind} name {name!r} is not a plain word.", "Use lower-case letters, digits, - and _.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Degradation:
    """What a component does while its backend is away.

    :param policy: ``serve`` (from memory, marked stale), ``limit`` (locally), ``known`` (what is known, for a stated
        time), ``refuse`` (a clear 503, nothing lost), ``queue`` (kept in an outbox until it can be delivered).
    :param summary: the promise in one sentence, for the person on call.
    """

    policy: Literal["serve", "limit", "known", "refuse", "queue"]
    summary: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """A health question that is asked in the background.

    :param check: an async function that returns (optionally a detail to show) when all is well and raises when not.
    :param critical: when true, failing makes the service *unready*; else only *degraded*.
    :param interval: seconds between two runs.
    :param timeout: seconds after which a run counts as failed.
    :param failures: consecutive failed runs before the probe is down (hysteresis).
    :param successes: consecutive good runs before it is up again.
    """

    name: str
    check: Callable[[], Awaitable[str | None]]
    summary: str = ""
    critical: bool = True
    interval: float = 10.0
    timeout: float = 2.0
    failures: int = 2
    successes: int = 1

    def __post_init__(self) -> None:
        _slug("Probe", self.name)
        if self.interval <= 0 or self.timeout <= 0 or self.failures < 1 or self.successes < 1:
            raise DeclarationError(
                f"Probe {self.name} has an interval, timeout or count that is not positive.", "Give positive values."
            )


@dataclass(frozen=True, slots=True)
class Series:
    """One input series of a rule test, in promtool's notation: ``Series('up{job="x"}', "1x10 0x10")``."""

    series: str
    values: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """A condition that a person must know of.

    :param name: ``<Component><Symptom>``, such as ``CacheHitRateLow``.
    :param expr: PromQL with metric objects interpolated.
    :param for_: how long the condition must hold, in Prometheus' notation.
    :param fires: series that must make it fire. :param quiet: series that must not.
    """

    name: str
    expr: str
    summary: str
    severity: Severity = "warning"
    for_: str = "5m"
    keep_firing_for: str = "0s"
    group: str = ""
    fires: tuple[Series, ...] = ()
    quiet: tuple[Series, ...] = ()

    def __post_init__(self) -> None:
        if not _ALERT.match(self.name):
            raise DeclarationError(f"Alert name {self.name!r} is not in CamelCase.", "Name it <Component><Symptom>.")
        if not self.summary.strip():
            raise DeclarationError(f"Alert {self.name} has no summary.", "Say what it means to users.")
        seconds(self.for_)
        seconds(self.keep_firing_for)


@dataclass(frozen=True, slots=True, kw_only=True)
class SLO:
    """A service level objective: the share of ``good`` in ``total`` over ``window`` is at least ``objective``."""

    name: str
    objective: float
    good: str
    total: str
    window: str = "30d"
    summary: str = ""

    def __post_init__(self) -> None:
        _slug("SLO", self.name)
        if not 0 < self.objective < 1:
            raise DeclarationError(
                f"SLO {self.name} has the objective {self.objective}.", "Give a share such as 0.999."
            )
        seconds(self.window)


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """A chart: a question answered by one or more PromQL expressions.

    :param expr: an expression, or pairs of legend and expression.
    :param dashboard: the dashboard it belongs to; by default the component's own.
    """

    title: str
    expr: str | tuple[tuple[str, str], ...]
    unit: str = ""
    summary: str = ""
    dashboard: str = ""
    row: str = ""
    kind: Literal["line", "stat", "table", "heatmap", "bar"] = "line"

    @property
    def exprs(self) -> tuple[str, ...]:
        """The expressions without their legends."""
        return (self.expr,) if isinstance(self.expr, str) else tuple(expr for _, expr in self.expr)


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """A check of a running deployment, run in the process and from outside by ``bedplate smoke``.

    :param path: the path to ask for; :param expect: the status that passes. :param role: the role that it needs.
    """

    name: str
    path: str
    summary: str = ""
    group: str = ""
    expect: int = 200
    within: float = 1.0
    role: AccessRole | None = None

    def __post_init__(self) -> None:
        _slug("Check", self.name)


@dataclass(frozen=True, slots=True)
class Actor:
    """Who does something: a name for the audit record, and the role that was proven."""

    name: str
    role: AccessRole


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """A button: something a person may do to a running component.

    :param parameters: a pydantic model of what it takes, validated before ``run``; None when it takes nothing.
    :param refused: returns the reason why it cannot be done now, or None. It is shown beside the disabled button.
    :param run: does it, or writes the intent that a leased loop acts upon. Its result is returned as JSON.
    :param role: the least role that may press it. :param danger: ask to confirm, say what cannot be undone.
    """

    name: str
    summary: str
    run: Callable[[Any, Actor], Awaitable[Any]]
    parameters: type[BaseModel] | None = None
    refused: Callable[[], str | None] | None = None
    role: AccessRole = "operator"
    danger: bool = False

    def __post_init__(self) -> None:
        _slug("Action", self.name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Routes:
    """HTTP routes that a component brings along.

    :param routes: Starlette routes or the ``routes`` of a FastAPI router.
    :param prefix: where they are served, ``/cache``; relative to the management prefix when ``management`` is true.
    :param access: the least role that may read them, None for everybody; unsafe methods ask for ``operator`` at least
        when ``access`` is a role.
    """

    routes: Sequence[BaseRoute]
    prefix: str = ""
    management: bool = True
    access: AccessRole | None = "viewer"


@dataclass(frozen=True, slots=True, kw_only=True)
class Middleware:
    """An ASGI middleware at a named stage; ``edge`` is outermost, then ``identity``, ``guard`` and ``replay``."""

    stage: Stage
    factory: Callable[[ASGIApp], ASGIApp]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a guard says of a request: headers to add to its answer, and a refusal if it may not pass.

    :param headers: raw ASGI headers for the answer, whether refused or not.
    :param status: 0 to let the request pass, else the status of the problem that answers it.
    """

    headers: tuple[tuple[bytes, bytes], ...] = ()
    status: int = 0
    title: str = ""
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Runbook:
    """A page for the person on call: Markdown with one ``## <AlertName>`` section an alert."""

    text: str = field(repr=False)

    def sections(self) -> dict[str, str]:
        """Return the sections by heading."""
        parts = re.split(r"^## +(.+?) *$", self.text, flags=re.MULTILINE)
        return {parts[i]: parts[i + 1].strip() for i in range(1, len(parts) - 1, 2)}


def metric_names(metrics: Sequence[Metric]) -> dict[str, Metric]:
    """Return every sample name that the families can expose, with its family."""
    return {sample: metric for metric in metrics for sample in metric.sample_names}
