"""What a component can say of itself: probes, alerts, objectives, panels, checks, actions, routes.

All are frozen values without I/O; whatever watches, renders or serves a component reads them and nothing else.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, get_args

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
    "AlertGroup",
    "Check",
    "Dashboard",
    "Middleware",
    "Migrations",
    "Moment",
    "Panel",
    "Probe",
    "Routes",
    "Runbook",
    "Section",
    "Series",
    "Severity",
    "Suite",
    "Threshold",
    "Variable",
    "Verdict",
    "seconds",
]

AccessRole = Literal["viewer", "operator", "admin"]
Severity = Literal["critical", "warning", "info"]
Stage = Literal["edge", "identity", "guard", "replay"]
Suite = Literal["smoke", "observability"]
PanelKind = Literal["line", "stat", "gauge", "table", "bar", "heatmap", "state"]

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


def _duration(where: str, text: str) -> float:
    try:
        return seconds(text)
    except DeclarationError as error:
        raise DeclarationError(f"{where}: {error.what}", error.mend) from None


def _one_of(what: str, value: str, words: Any) -> None:
    known = get_args(words)
    if value not in known:
        raise DeclarationError(f"{what} {value!r}.", f"It is one of {', '.join(known)}.")


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
class AlertGroup:
    """Alerts that are evaluated together, by the process itself and as one group of Prometheus' rules.

    :param name: unique in a service: ``critical``. :param interval: time between two evaluations.
    """

    name: str
    interval: str = "30s"

    def __post_init__(self) -> None:
        _slug("Alert group", self.name)
        if _duration(f"Alert group {self.name}, interval", self.interval) <= 0:
            raise DeclarationError(f"Alert group {self.name} has no interval.", "Give a duration such as 30s.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """A condition that a person must know of.

    :param name: ``<Component><Symptom>``, such as ``CacheHitRateLow``; unique in a service.
    :param expr: PromQL with metric objects interpolated; it fires for every series of its value.
    :param summary: what it means to users, in one sentence; ``{{ $labels.name }}`` and ``{{ $value }}`` are filled in.
    :param for_: how long the condition must hold, in Prometheus' notation.
    :param keep_firing_for: how long it goes on firing once the condition no longer holds, against flapping.
    :param group: with which others it is evaluated; None for those of its component, every 30 seconds.
    :param explains: while it fires, alerts of the components that need this one follow from it, and nobody is told of
        them apart: for what says that something shared is away.
    :param external: only somebody outside can tell, since the process that is gone cannot: it is Prometheus' alone.
    :param fires: series that must make it fire. :param quiet: series that must not. A sample a minute, as in promtool.
    """

    name: str
    expr: str
    summary: str
    severity: Severity = "warning"
    for_: str = "5m"
    keep_firing_for: str = "0s"
    group: AlertGroup | None = None
    explains: bool = False
    external: bool = False
    fires: tuple[Series, ...] = ()
    quiet: tuple[Series, ...] = ()

    def __post_init__(self) -> None:
        if not _ALERT.match(self.name):
            raise DeclarationError(f"Alert name {self.name!r} is not in CamelCase.", "Name it <Component><Symptom>.")
        if not self.summary.strip():
            raise DeclarationError(f"Alert {self.name} has no summary.", "Say what it means to users.")
        _one_of(f"Alert {self.name} has the severity", self.severity, Severity)
        _duration(f"Alert {self.name}, for_", self.for_)
        _duration(f"Alert {self.name}, keep_firing_for", self.keep_firing_for)


@dataclass(frozen=True, slots=True, kw_only=True)
class SLO:
    """A service level objective: the share of ``good`` in ``total`` over ``window`` is at least ``objective``.

    Burn-rate alerts, panels of the error budget and Prometheus' rules are derived from it.

    :param good: the selector of a counter of good events, summed over its series. :param total: that of all events.
    :param least: fewer events than this in an alert's long window tell nothing: the alerts stay quiet.
    :param fires: series in which the objective is missed for long enough, ``0+60x5000``: a sample a minute.
    :param quiet: series in which it is kept.
    """

    name: str
    objective: float
    good: str
    total: str
    window: str = "30d"
    summary: str = ""
    least: float = 100.0
    fires: tuple[Series, ...] = ()
    quiet: tuple[Series, ...] = ()

    def __post_init__(self) -> None:
        _slug("SLO", self.name)
        if not 0 < self.objective < 1:
            raise DeclarationError(
                f"SLO {self.name} has the objective {self.objective}.", "Give a share such as 0.999."
            )
        if _duration(f"SLO {self.name}, window", self.window) < 86400:
            raise DeclarationError(
                f"SLO {self.name} has the window {self.window}, in which one bad moment is all.", "Give a day or more."
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Threshold:
    """A line in a panel where good turns into bad.

    :param value: in the panel's unit. :param above: whether greater values are the bad ones; else smaller ones are.
    """

    value: float
    severity: Severity = "warning"
    label: str = ""
    above: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Variable:
    """A choice at the top of a dashboard: one or more values of a label.

    Every selector of the dashboard whose metric has the label is narrowed by it; nothing is written in expressions.
    """

    label: str
    title: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Dashboard:
    """A page of panels that belong together. Panels name it; it lists none of them.

    :param name: part of its address, unique in a service: ``fraud-detection``.
    :param rows: the order of its rows; rows that panels name and this does not come after.
    :param refresh: how often it is drawn anew. :param window: the time that it shows at first.
    """

    name: str
    title: str
    summary: str = ""
    variables: tuple[Variable, ...] = ()
    rows: tuple[str, ...] = ()
    refresh: str = "10s"
    window: str = "1h"

    def __post_init__(self) -> None:
        _slug("Dashboard", self.name)
        _duration(f"Dashboard {self.name}, refresh", self.refresh)
        _duration(f"Dashboard {self.name}, window", self.window)


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """A chart: a question answered by one or more PromQL expressions.

    :param expr: an expression, or pairs of legend and expression; a legend may hold ``{{label}}``.
    :param unit: Grafana's name of the unit: ``s``, ``bytes``, ``percentunit``, ``ops``, ``short``.
    :param summary: the question, or how to read the answer.
    :param dashboard: the dashboard it belongs to; by default the component's own. :param row: its row there.
    :param thresholds: lines beyond those that alerts on the same expression draw by themselves.
    :param low: the least value of the axis, :param high: the greatest; None for what the data say.
    :param width: in 24ths of the page; 0 for what is usual for its kind.
    :param stacked: draw the series on top of each other, where their sum means something.
    """

    title: str
    expr: str | tuple[tuple[str, str], ...]
    unit: str = ""
    summary: str = ""
    dashboard: Dashboard | None = None
    row: str = ""
    kind: PanelKind = "line"
    thresholds: tuple[Threshold, ...] = ()
    low: float | None = None
    high: float | None = None
    width: int = 0
    stacked: bool = False

    def __post_init__(self) -> None:
        if not self.title.strip() or not self.exprs:
            raise DeclarationError(f"Panel {self.title!r} lacks a title or an expression.", "Give both.")
        _one_of(f"Panel {self.title!r} is of the kind", self.kind, PanelKind)
        if not 0 <= self.width <= 24:
            raise DeclarationError(f"Panel {self.title!r} is {self.width} wide.", "A page is 24 wide; 0 is the usual.")

    @property
    def exprs(self) -> tuple[str, ...]:
        """The expressions without their legends."""
        return (self.expr,) if isinstance(self.expr, str) else tuple(expr for _, expr in self.expr)


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """A check of a running deployment, run in the process and from outside by ``bedplate smoke``.

    :param path: the path to ask for; :param expect: the status that passes. :param role: the role that it needs.
    :param within: seconds; slower than this is a warning, slower than five times this a failure.
    :param fields: what the JSON answer must hold, as dotted paths: ``system.status``, ``items.0.name``.
    :param contains: texts that the answer must hold. :param method: GET, or HEAD or OPTIONS; checks change nothing.
    :param suite: ``smoke`` says that it works, ``observability`` that it can be watched.
    :param optional: a failure is a warning.
    """

    name: str
    path: str
    summary: str = ""
    group: str = ""
    expect: int = 200
    within: float = 1.0
    role: AccessRole | None = None
    fields: tuple[str, ...] = ()
    contains: tuple[str, ...] = ()
    method: Literal["GET", "HEAD", "OPTIONS"] = "GET"
    suite: Suite = "smoke"
    optional: bool = False

    def __post_init__(self) -> None:
        _slug("Check", self.name)
        if not self.path.startswith("/"):
            raise DeclarationError(f"Check {self.name} asks for {self.path!r}.", "Begin the path with a slash.")
        _one_of(f"Check {self.name} is of the suite", self.suite, Suite)


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
    :param state: returns what it acts upon as plain data; the audit log has it from before and after.
    :param path: where it is pressed, too, by POST, below the management prefix: ``/cache/reset-metrics``. All actions
        of a service with this path are pressed together.
    """

    name: str
    summary: str
    run: Callable[[Any, Actor], Awaitable[Any]]
    parameters: type[BaseModel] | None = None
    refused: Callable[[], str | None] | None = None
    state: Callable[[], Any] | None = None
    role: AccessRole = "operator"
    danger: bool = False
    path: str = ""

    def __post_init__(self) -> None:
        _slug("Action", self.name)
        if self.path and not self.path.startswith("/"):
            raise DeclarationError(f"Action {self.name} is at {self.path!r}.", "Begin the path with a slash.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """A line of a :class:`Section`: something that happened, or a step of a way.

    :param text: what, in a few words. :param detail: more of it. :param at: when, in Unix seconds.
    :param tone: ``good``, ``warn``, ``bad``, ``info`` or ``idle``; colour and sign.
    :param present: whether this is where things are now.
    """

    text: str
    detail: str = ""
    at: float | None = None
    tone: Literal["good", "warn", "bad", "info", "idle"] = "idle"
    present: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """A part of a component's page in the console, as plain data.

    :param kind: ``steps`` are a way with a present place, ``timeline`` what happened, newest first.
    :param actions: names of the component's actions that belong here; those that are allowed now are shown as buttons.
    """

    title: str
    kind: Literal["steps", "timeline"]
    moments: tuple[Moment, ...] = ()
    summary: str = ""
    actions: tuple[str, ...] = ()


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
class Migrations:
    """The tables of a component, as Alembic revisions that its package brings along.

    :param name: names the version table, ``bedplate_<name>_version``; unique in a service.
    :param package: the importable package that holds the revision modules: ``bedplate.monitor.alerts.migrations``.
    :param numbers: what stands on SQLite, which has none, for sequences of PostgreSQL that belong to no column: a row
        of a table with the columns ``name`` and ``next``, and the sequence: ``("shop_numbers.orders", "shop_orders")``.
    """

    name: str
    package: str
    numbers: tuple[tuple[str, str], ...] = ()

    def __post_init__(self) -> None:
        _slug("Migrations", self.name)
        for row, sequence in self.numbers:
            if row.count(".") != 1 or not sequence:
                what = f"Migrations {self.name} count by {row!r}, which is no TABLE.NAME."
                raise DeclarationError(what, 'Write numbers=(("shop_numbers.orders", "shop_orders"),).')


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
