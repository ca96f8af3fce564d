"""The component that knows how its fellow components fare: states, crashes, restarts."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from bedplate.component import ComponentState, Host, Logger, Spec
from bedplate.declarations import Alert, AlertGroup, Panel, Runbook, Series
from bedplate.metric import Counter, Gauge

__all__ = ["AVAILABILITY", "Supervision"]

UP = Gauge(
    "bedplate_service_component_up", "1 while the component runs, whole or degraded; 0 otherwise.", {"component": 200},
    merge="min",
)  # fmt: skip
DEGRADED = Gauge(
    "bedplate_service_component_degraded", "1 while the component works with less than it should.", {"component": 200},
    merge="max",
)  # fmt: skip
CRASHES = Counter(
    "bedplate_service_task_crashes_total", "Crashes of supervised tasks, each followed by a restart.",
    {"component": 200, "task": 200},
)  # fmt: skip
ABANDONED = Counter(
    "bedplate_service_abandoned_total", "Components that did not stop within the deadline.", {"component": 200}
)
INFO = Gauge("bedplate_service_info", "The running version; always 1.", {"version": 5, "role": 4}, merge="max")

#: Whether the service can be reached at all; a service adds alerts of its own to it, of an equal group.
AVAILABILITY = AlertGroup(name="availability", interval="1m")

_RUNBOOK = """
## ServiceDown
Prometheus cannot scrape an instance of the service, or knows of none. Look first whether the process runs and answers
`/livez`; if it ended, its last log records and its exit status say why: 3 means that a component did not start, 4 that
one was lost while it ran. If it does answer, Prometheus cannot get through: its page *Targets* shows the error; 401 and
403 mean that the scraper's token is missing or no longer listed. While it is down its other alerts are silent, since
nothing is known of it.

## ServiceComponentDown
A component of the service does not run. Look at its state and reason under `components` of the management API, and
at the log records that carry its name. A component that failed to start stops the whole service; one that is down in
a running service is stopping or was left behind by a shutdown.

## ServiceComponentDegraded
A component's backend is away, and the component does what it declared for that case. Find the backend in the
component's `needs` and its reason in the management API, and bring the backend back; nothing else has to be done, the
component recovers by itself.

## ServiceTaskCrashing
A background task of a component crashes again and again; it is restarted with back-off. The grouped errors show the
exception with its trace. Restarting the service rarely helps: the cause is in the data or in what the task calls.
"""


class Supervision:
    """Observes the lifecycle of all components and says it in metrics and logs.

    It is told of changes before it has started itself, so it keeps what it is told until its metrics are bound.

    :param capture: is given every exception of a crashed task, to be grouped with other errors.
    """

    def __init__(self, capture: Callable[[BaseException, str], None] | None = None) -> None:
        self._capture = capture
        self._host: Host | None = None
        self._logger: Logger | None = None
        self._states: dict[str, ComponentState] = {}
        self._missing = False

    @property
    def spec(self) -> Spec:
        """What it is."""
        return Spec(
            kind="service",
            summary="Starts, supervises and stops the components.",
            metrics=(UP, DEGRADED, CRASHES, ABANDONED, INFO),
            alerts=(
                Alert(
                    name="ServiceDown",
                    expr="up == 0 or absent(up)",
                    for_="1m",
                    severity="critical",
                    summary="The service, or one of its instances, cannot be reached.",
                    group=AVAILABILITY,
                    external=True,
                    fires=(Series('up{instance="a:8000"}', "1 0x10"),),
                    quiet=(Series('up{instance="a:8000"}', "1x10"),),
                ),
                Alert(
                    name="ServiceComponentDown",
                    expr=f"{UP} == 0",
                    for_="1m",
                    severity="critical",
                    summary="The component {{ $labels.component }} does not run; what needs it fails.",
                    fires=(Series('bedplate_service_component_up{component="redis"}', "0x10"),),
                    quiet=(Series('bedplate_service_component_up{component="redis"}', "1x10"),),
                ),
                Alert(
                    name="ServiceComponentDegraded",
                    expr=f"{DEGRADED} == 1",
                    for_="1m",
                    summary="The component {{ $labels.component }} works with less than it should.",
                    fires=(Series('bedplate_service_component_degraded{component="cache"}', "1x10"),),
                    quiet=(Series('bedplate_service_component_degraded{component="cache"}', "0x10"),),
                ),
                Alert(
                    name="ServiceTaskCrashing",
                    expr=f"increase({CRASHES}[10m]) > 3",
                    for_="0s",
                    summary="The task {{ $labels.task }} of {{ $labels.component }} crashes again and again.",
                    fires=(Series('bedplate_service_task_crashes_total{component="feed",task="poll"}', "0+1x20"),),
                    quiet=(Series('bedplate_service_task_crashes_total{component="feed",task="poll"}', "0 1x20"),),
                ),
            ),
            panels=(
                Panel(title="Components that run", expr=f"sum({UP})", kind="stat"),
                Panel(title="Crashes of background tasks", expr=f"sum by (component, task) (increase({CRASHES}[5m]))"),
            ),
            runbook=Runbook(text=_RUNBOOK),
        )

    def attach(self, logger: Logger) -> None:
        """Say where to log, before any component starts."""
        self._logger = logger

    @asynccontextmanager
    async def lifespan(self, host: Host) -> AsyncIterator[None]:
        """Bind the metrics and count what was told so far."""
        self._host = host
        host.bind(INFO, version=_version(), role=host.role).set(1)
        for label, state in self._states.items():
            self._show(label, state)
        self._show_missing()
        try:
            yield
        finally:
            self._host = None
            self._states.clear()

    def missing(self, missing: bool) -> None:
        """Say whether a worker of this host is missing: one has ended, and its replacement does not serve yet."""
        if missing != self._missing:
            self._missing = missing
            self._show_missing()

    def changed(self, label: str, state: ComponentState, reason: str) -> None:
        """Count a component's new state and log what a person should see."""
        before = self._states.get(label)
        self._states[label] = state
        self._show(label, state)
        if self._logger is None:
            return
        if state == "degraded":
            self._logger.warning("component_degraded", component=label, reason=reason)
        elif state == "failed":
            self._logger.error("component_failed", component=label, reason=reason)
        elif state == "running" and before == "degraded":
            self._logger.info("component_recovered", component=label)
        else:
            self._logger.debug("component_state", component=label, state=state)

    def crashed(self, label: str, task: str, error: BaseException) -> None:
        """Count and log a crash, and group its exception."""
        if self._host is not None:
            self._host.bind(CRASHES, component=label, task=task).inc()
        if self._logger is not None:
            self._logger.error("task_crashed", component=label, task=task, exc_info=error)
        if self._capture is not None:
            self._capture(error, f"{label}/{task}")

    def abandoned(self, label: str, what: str) -> None:
        """Count and log what was left behind."""
        if self._host is not None:
            self._host.bind(ABANDONED, component=label).inc()
        if self._logger is not None:
            self._logger.error("component_abandoned", component=label, what=what)

    def _show_missing(self) -> None:
        if self._host is not None:
            self._host.degraded("a worker has ended and its replacement does not serve yet" if self._missing else None)

    def _show(self, label: str, state: ComponentState) -> None:
        if self._host is None:
            return
        bind: Any = self._host.bind
        bind(UP, component=label).set(1 if state in ("running", "degraded") else 0)
        bind(DEGRADED, component=label).set(1 if state == "degraded" else 0)


@cache
def _version() -> str:
    try:
        return version("bedplate")
    except PackageNotFoundError:
        return "unknown"
