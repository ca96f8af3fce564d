"""Errors as a component: the store, the hooks that fill it, its metrics and actions, and Sentry."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from bedplate.component import BoundCounter, Environment, Host, Spec
from bedplate.declarations import Action, Actor, Panel
from bedplate.metric import Counter, Gauge
from bedplate.problems import Refusal
from bedplate.telemetry.context import WorkContext
from bedplate.telemetry.errors.groups import ErrorGroup
from bedplate.telemetry.errors.hooks import attached, hooks, on_loop
from bedplate.telemetry.errors.sentry import SentryReporter, is_installed
from bedplate.telemetry.errors.settings import ErrorSettings
from bedplate.telemetry.errors.store import ErrorStore
from bedplate.telemetry.redaction import Redactor

__all__ = ["Errors"]

ERRORS = Counter(
    "bedplate_errors_total",
    "Exceptions captured, by type: unhandled ones, and those that were logged as errors. Each is counted once.",
    {"error_type": 100},
)
GROUPS = Gauge("bedplate_errors_groups", "Groups of errors kept in memory.", merge="max")
EVICTED = Counter("bedplate_errors_groups_evicted_total", "Groups of errors that made room for others.")
REPORTS = Counter(
    "bedplate_errors_reports_total",
    "Reports to Sentry: handed over, held back because the group was reported often enough this minute, or failed.",
    {"outcome": ("sent", "limited", "failed")},
)

#: Seconds between two updates of what is not counted as it happens.
_TICK = 1.0


class WhichError(BaseModel):
    """Which group of errors."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    fingerprint: Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")]


class MuteError(WhichError):
    """Which group of errors, and for how long."""

    for_seconds: Annotated[float, Field(gt=0)] | None = None
    """After how many seconds it is reported again; null for never."""


class Errors:
    """Groups the errors of a service and tells of them.

    Errors come in through :meth:`capture`, and by themselves: exceptions in log records of level ERROR, in threads,
    in the event loop's handler, and those that end the process. Each exception is counted once.

    :param settings: see :class:`~bedplate.telemetry.errors.ErrorSettings`.
    :param redactor: takes secrets out of messages and stacks; one with default rules if None.
    :ivar store: the groups.
    """

    def __init__(self, settings: ErrorSettings | None = None, *, redactor: Redactor | None = None) -> None:
        self.settings = settings or ErrorSettings()
        self.redactor = redactor or Redactor()
        self.store = ErrorStore(self.settings.max_groups, self.settings.max_bytes, redactor=self.redactor)
        self._host: Host | None = None
        self._sentry: SentryReporter | None = None
        self._counting = threading.Lock()
        self._cells: dict[str, BoundCounter] = {}
        self._published: dict[str, int] = {}

    @property
    def spec(self) -> Spec:
        """What it is."""
        return Spec(
            kind="errors",
            summary="Groups exceptions by where they come from, with counts, a stack, a trace and a log record.",
            settings=self.settings,
            metrics=(ERRORS, GROUPS, EVICTED, REPORTS),
            panels=(
                Panel(
                    title="Errors by type",
                    expr=(("{{error_type}}", f"sum by (error_type) (increase({ERRORS}[5m]))"),),
                    summary="Exceptions in five minutes.",
                ),
                Panel(title="Groups of errors", expr=f"max({GROUPS})", kind="stat"),
            ),
        )

    def refusals(self, environment: Environment, settings: Mapping[str, Any]) -> Iterable[Refusal]:
        """Refuse a DSN that nothing can report to."""
        if self.settings.sentry_dsn is not None and not is_installed():
            mend = "Install it: pip install 'bedplate[sentry]'; or unset SENTRY_DSN."
            yield Refusal("errors", "SENTRY_DSN is set, but the Sentry SDK is not installed.", mend)

    def actions(self) -> Sequence[Action]:
        """Resolve, mute and reopen groups."""
        return (
            Action(
                name="resolve",
                summary="Call a group of errors resolved until it happens again.",
                parameters=WhichError,
                run=self._resolve,
            ),
            Action(
                name="mute",
                summary="Count a group of errors on, but report it nowhere.",
                parameters=MuteError,
                run=self._mute,
            ),
            Action(
                name="reopen",
                summary="Take a resolution or muting back.",
                parameters=WhichError,
                run=self._reopen,
            ),
        )

    @asynccontextmanager
    async def lifespan(self, host: Host) -> AsyncIterator[None]:
        """Fill the store by itself while inside."""
        self._host = host
        self._cells.clear()
        self.store.clock, self.store.service = host.clock, host.service
        self.store.listeners = (self._count,)
        try:
            if self.settings.sentry_dsn is not None:
                self._sentry = SentryReporter(self.settings, host.service, host.environment, self.redactor)
                self.store.listeners += (self._sentry,)
            self.mark()
            hooks.attach(self)
            self._publish(host)
            host.spawn("watch", self._watch)
            with on_loop(asyncio.get_running_loop(), self.store):
                yield
        finally:
            hooks.detach(self)
            self.store.listeners = ()
            sentry, self._sentry = self._sentry, None
            try:
                if sentry is not None:
                    await asyncio.to_thread(sentry.close)
            finally:
                self._publish(host, sentry)
                self._host = None

    def capture(
        self, error: BaseException, context: WorkContext | None = None, *, route: str = "", handled: bool = False
    ) -> str:
        """Count an error and return its group's fingerprint; see :meth:`ErrorStore.capture`."""
        return self.store.capture(error, context, route=route, handled=handled)

    def mark(self) -> None:
        """Mark the present context as this service's, where a process runs several of them."""
        attached.mark(self)

    def _count(self, group: ErrorGroup, error: BaseException, handled: bool) -> None:
        host = self._host
        if host is None:
            return
        with self._counting:
            cell = self._cells.get(group.type)
            if cell is None:
                cell = host.bind(ERRORS, error_type=group.type[:200])
                if len(self._cells) < 1_000:
                    self._cells[group.type] = cell
            cell.inc()

    async def _watch(self) -> None:
        host = self._host
        while host is not None:
            await host.clock.sleep(_TICK)
            self._publish(host)

    def _publish(self, host: Host, sentry: SentryReporter | None = None) -> None:
        host.bind(GROUPS).set(len(self.store))
        self._bring(host, EVICTED, "", self.store.evicted)
        sentry = sentry or self._sentry
        if sentry is not None:
            for outcome, total in sentry.outcomes.items():
                self._bring(host, REPORTS, outcome, total)

    def _bring(self, host: Host, metric: Counter, outcome: str, total: int) -> None:
        key = f"{metric.name}/{outcome}"
        before = self._published.get(key, 0)
        labels = {"outcome": outcome} if outcome else {}
        host.bind(metric, **labels).inc(total - before if total >= before else total)
        self._published[key] = total

    async def _resolve(self, which: WhichError, actor: Actor) -> dict[str, Any]:
        return self._changed("error_resolved", which, actor, self.store.resolve(which.fingerprint))

    async def _mute(self, which: MuteError, actor: Actor) -> dict[str, Any]:
        return self._changed("error_muted", which, actor, self.store.mute(which.fingerprint, which.for_seconds))

    async def _reopen(self, which: WhichError, actor: Actor) -> dict[str, Any]:
        return self._changed("error_reopened", which, actor, self.store.reopen(which.fingerprint))

    def _changed(self, event: str, which: WhichError, actor: Actor, known: bool) -> dict[str, Any]:
        if known and self._host is not None:
            self._host.log.info(event, fingerprint=which.fingerprint, by=actor.name)
        return {"fingerprint": which.fingerprint, "known": known}
