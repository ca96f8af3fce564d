"""The component that watches the others."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

from bedplate.clock import Clock, SystemClock
from bedplate.component import ComponentView, Host, Logger, Spec
from bedplate.declarations import Probe
from bedplate.monitor.health.board import HealthBoard
from bedplate.monitor.health.machine import LoopLag, machine_probes
from bedplate.monitor.health.metrics import (
    ALERTS,
    CHECKS,
    DURATION,
    PANELS,
    PROBE_UP,
    READY,
    RUNS,
    TRANSITIONS,
)
from bedplate.monitor.health.record import ProbeRecord, Run, Transition
from bedplate.monitor.health.settings import HealthSettings
from bedplate.monitor.health.status import Phase, Reason, Status, derive
from bedplate.monitor.health.watch import ProbeWatch
from bedplate.monitor.runbooks import runbook
from bedplate.telemetry.redaction import Redactor

__all__ = ["Health"]

_RUNBOOK = runbook(__file__)
_RUNNING = ("running", "degraded")


class Health:
    """Runs the probes of all components in the background and keeps the service's status ready to be told.

    ``health.board`` answers ``/livez`` and ``/readyz`` from construction on. The service is ready once every
    component runs, every critical probe has passed once and nothing blocks it (:meth:`block`). Probes of a component
    that does not run are not asked.

    :param redactor: takes secrets out of errors before they are kept or shown.
    """

    def __init__(self, settings: HealthSettings | None = None, *, redactor: Redactor | None = None) -> None:
        self.settings = settings or HealthSettings()
        self._redactor = redactor or Redactor()
        self._lag = LoopLag()
        self._clock: Clock = SystemClock()
        self._host: Host | None = None
        self._log: Logger | None = None
        self._phase: Phase = "starting"
        self._records: dict[tuple[str, str], ProbeRecord] = {}
        self._watches: dict[tuple[str, str], tuple[ProbeWatch, asyncio.Task[None]]] = {}
        self._states: dict[str, tuple[str, str, float]] = {}
        self._blocks: dict[str, Reason] = {}
        self._transitions: list[Transition] = []
        self._draining = False
        self.board = HealthBoard(derive("starting", (), (), {}, self._clock.time()))
        self._spec = Spec(
            kind="health",
            summary="Asks every component how it is, and says whether the service can take requests.",
            settings=self.settings,
            metrics=(PROBE_UP, DURATION, RUNS, TRANSITIONS, READY),
            probes=machine_probes(self.settings, self._lag),
            alerts=ALERTS,
            panels=PANELS,
            checks=CHECKS,
            runbook=_RUNBOOK,
        )

    @property
    def spec(self) -> Spec:
        """The component's declaration."""
        return self._spec

    @property
    def status(self) -> Status:
        """How the service is now."""
        return self.board.status

    @property
    def asking(self) -> bool:
        """Whether a probe is being answered."""
        return any(watch.check is not None for watch, _ in self._watches.values())

    @asynccontextmanager
    async def lifespan(self, host: Host) -> AsyncIterator[None]:
        """Watch the components of ``host`` while inside."""
        self._host, self._clock, self._log = host, host.clock, host.log
        # Told to go away while what starts before was starting, it never becomes ready.
        self._phase = "stopping" if self._draining else "starting"
        self._records, self._states, self._transitions = {}, {}, []
        host.bind(READY).set(0.0)
        self._lag.start()
        host.spawn("states", self._follow_states)
        try:
            yield
        finally:
            self.drain()
            self._lag.stop()
            await self._stop_watches()
            self._host = self._log = None
            self._draining = False

    def block(self, source: str, meaning: str | None) -> None:
        """Keep the service unready for a reason that is no component's, or withdraw that with None.

        ``health.block("app", "The application has not finished starting.")``
        """
        if meaning is None:
            self._blocks.pop(source, None)
        else:
            self._blocks[source] = Reason(source, "", "unhealthy", self._clock.time(), "", meaning)
        self.refresh()

    def drain(self) -> None:
        """Say that the service is going away: unready at once and for good, while it still answers."""
        self._draining = True
        self._become("stopping")

    def fail(self) -> None:
        """Say that the service could not start."""
        self._become("failed")

    def refresh(self) -> None:
        """Look at the states of the components now; call it when one has changed."""
        views = list(self._host.components) if self._host is not None else []
        self._note_states(views)
        status = self._judge(views)
        before = self.board.status
        if (status.level, status.ready, status.phase) == (before.level, before.ready, before.phase):
            status = replace(status, since=before.since)
        else:
            self._changed(before, status)
        if status == before:
            return
        self.board.publish(status)
        if self._host is not None:
            self._host.bind(READY).set(float(status.ready))

    def report(self, *, history: bool = False) -> dict[str, Any]:
        """Return the status, its reasons, and every component with its probes, as JSON-able data.

        Times are Unix seconds, durations seconds.

        :param history: add the past runs and transitions of the probes, and the service's own transitions.
        """
        views = self._host.components if self._host is not None else ()
        document = self.status.document()
        document["components"] = [
            {
                "kind": view.spec.kind,
                "name": view.spec.name,
                "label": view.spec.label,
                "state": view.state,
                "reason": self._redactor.text(view.reason),
                "since": self._states.get(view.spec.label, ("", "", self._clock.time()))[2],
                "probes": self.probes(view.spec.label, history=history),
            }
            for view in views
        ]
        if history:
            document["transitions"] = [
                {name: getattr(one, name) for name in Transition.__slots__} for one in reversed(self._transitions)
            ]
        return document

    def probes(self, label: str, *, history: bool = True) -> list[dict[str, Any]]:
        """Return what is known of the probes of one component, by its label."""
        records = [record for record in self._records.values() if record.component == label]
        return [record.document(history=history) for record in records]

    async def _follow_states(self) -> None:
        while True:
            self._watch_all()
            self.refresh()
            await self._clock.sleep(self.settings.tick)

    def _watch_all(self) -> None:
        assert self._host is not None
        for view in self._host.components:
            for probe in view.spec.probes:
                key = (view.spec.label, probe.name)
                watched = self._watches.get(key)
                if watched is None or watched[1].done():
                    self._watch(key, probe, self._host)

    def _watch(self, key: tuple[str, str], probe: Probe, host: Host) -> None:
        label = key[0]
        record = self._records.get(key)
        if record is None:
            record = ProbeRecord(label, probe, host.clock.time(), self.settings.history)
            self._records[key] = record
            host.bind(PROBE_UP, component=label, probe=probe.name).set(0.0)
            # Counters begin at 0, so that the first failure is an increase.
            for outcome in RUNS.labels[2].values or ():
                host.bind(RUNS, component=label, probe=probe.name, outcome=outcome)
            host.bind(TRANSITIONS, component=label, probe=probe.name)
        watch = ProbeWatch(
            record,
            self.settings,
            host.clock,
            is_due=self._runs(label),
            report=self._take,
            clean=self._redactor.text,
        )
        task = asyncio.create_task(watch.run(), name=f"health {label}/{probe.name}")
        self._watches[key] = (watch, task)

    def _runs(self, label: str) -> Callable[[], bool]:
        return lambda: self._states.get(label, ("", "", 0.0))[0] in _RUNNING

    def _take(self, record: ProbeRecord, run: Run) -> None:
        """Take in one run of one probe."""
        host = self._host
        if host is None:
            return
        labels = {"component": record.component, "probe": record.probe.name}
        host.bind(RUNS, **labels, outcome=run.outcome).inc()
        if run.outcome != "hung":
            host.bind(DURATION, **labels).observe(run.seconds)
        transition = record.add(run)
        if transition is not None:
            host.bind(PROBE_UP, **labels).set(float(record.is_up))
            self._log_transition(record, transition, host)
        self.refresh()

    def _log_transition(self, record: ProbeRecord, transition: Transition, host: Host) -> None:
        known = transition.before != "pending"
        if known:
            host.bind(TRANSITIONS, component=record.component, probe=record.probe.name).inc()
        fields = {"of": record.component, "probe": record.probe.name, "lasted": round(transition.lasted, 3)}
        if not record.is_up:
            host.log.warning("probe_down", **fields, critical=record.probe.critical, error=record.error)
        elif known:
            host.log.info("probe_up", **fields)

    def _note_states(self, views: list[ComponentView]) -> None:
        for view in views:
            label = view.spec.label
            state, reason, _ = self._states.get(label, ("", "", 0.0))
            if (view.state, view.reason) != (state, reason):
                self._states[label] = (view.state, view.reason, self._clock.time())

    def _judge(self, views: list[ComponentView]) -> Status:
        now = self._clock.time()
        cleaned = [self._clean(view) for view in views]
        since = {label: at for label, (_, _, at) in self._states.items()}
        status = derive(self._phase, cleaned, self._records.values(), since, now, tuple(self._blocks.values()))
        if self._phase == "starting" and views and status.ready:
            self._phase = "running"
            status = replace(status, phase="running")
        return status

    def _clean(self, view: ComponentView) -> ComponentView:
        if not view.reason and not any(task.last_error for task in view.tasks):
            return view
        tasks = tuple(replace(task, last_error=self._redactor.text(task.last_error)) for task in view.tasks)
        return replace(view, reason=self._redactor.text(view.reason), tasks=tasks)

    def _become(self, phase: Phase) -> None:
        if self._phase not in ("stopping", "failed"):
            self._phase = phase
            self.refresh()

    def _changed(self, before: Status, after: Status) -> None:
        """Remember and log that the service's status is another one."""
        words = (_word(before), _word(after))
        why = "; ".join(f"{r.component}{'/' + r.probe if r.probe else ''}" for r in after.reasons)
        self._transitions.append(Transition(after.since, *words, max(0.0, after.since - before.since), why))
        del self._transitions[: -self.settings.history]
        if self._log is not None:
            log = self._log.info if after.level == "healthy" or after.phase != "running" else self._log.warning
            log("status_changed", before=words[0], after=words[1], because=why)

    async def _stop_watches(self) -> None:
        """Cancel every watch and check; leave behind, and name, a check that does not end."""
        tasks = [task for _, task in self._watches.values()]
        checks = {check: key for key, (watch, _) in self._watches.items() if (check := watch.check) is not None}
        self._watches = {}
        for task in (*tasks, *checks):
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        if not checks:
            return
        _, abandoned = await asyncio.wait(checks, timeout=self.settings.cancel_grace)
        for check in abandoned:
            component, probe = checks[check]
            if self._log is not None:
                self._log.warning("probe_abandoned", of=component, probe=probe)


def _word(status: Status) -> str:
    return status.level if status.phase == "running" else status.phase
