"""From components and probes to one verdict; a pure function."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from bedplate.component import ComponentView, Spec
from bedplate.monitor.health.record import ProbeRecord

__all__ = ["Level", "Phase", "Reason", "Status", "derive"]

Level = Literal["healthy", "degraded", "unhealthy"]
Phase = Literal["starting", "running", "stopping", "failed"]


@dataclass(frozen=True, slots=True)
class Reason:
    """One thing that is not well.

    :ivar component: the component's label, ``cache:reports``. :ivar probe: the probe's name, empty for states.
    :ivar level: what it makes of the service. :ivar since: since when, in Unix seconds.
    :ivar error: the last error, without secrets. :ivar meaning: what it means to whoever uses the service.
    """

    component: str
    probe: str
    level: Level
    since: float
    error: str
    meaning: str


@dataclass(frozen=True, slots=True)
class Status:
    """How the service is: a level, whether it takes requests, in which phase of its life it is, and why."""

    level: Level
    ready: bool
    phase: Phase
    since: float
    reasons: tuple[Reason, ...] = ()

    def bare(self) -> dict[str, Any]:
        """Return what everybody may know."""
        return {"status": self.level, "ready": self.ready, "phase": self.phase}

    def document(self) -> dict[str, Any]:
        """Return the status with its reasons as JSON-able data."""
        reasons = [{name: getattr(reason, name) for name in Reason.__slots__} for reason in self.reasons]
        return {**self.bare(), "since": self.since, "reasons": reasons}


def derive(
    phase: Phase,
    views: Sequence[ComponentView],
    records: Iterable[ProbeRecord],
    since: dict[str, float],
    now: float,
    blocks: tuple[Reason, ...] = (),
) -> Status:
    """Judge the service.

    Unhealthy: a component has failed or does not run yet, or a critical probe is down or has never passed.
    Degraded: a component says so, one of its tasks keeps crashing, or a probe that is not critical is down.

    :param since: since when each component has been in its present state.
    :param blocks: reasons that no component has.
    """
    specs = {view.spec.label: view.spec for view in views}
    reasons = list(blocks)
    reasons += [reason for view in views for reason in _state(view, since.get(view.spec.label, now))]
    running = {view.spec.label for view in views if view.state in ("running", "degraded")}
    for record in records:
        spec = specs.get(record.component)
        if spec is not None and record.component in running and not record.is_up:
            reason = _probe(record, spec)
            if reason is not None:
                reasons.append(reason)
    if phase in _ENDING or not views:
        meaning = _ENDING.get(phase, "It has not finished starting.")
        reasons.insert(0, Reason("service", "", "unhealthy", since.get("", now), "", meaning))
    levels = {reason.level for reason in reasons}
    level: Level = "unhealthy" if "unhealthy" in levels else "degraded" if levels else "healthy"
    reasons.sort(key=lambda reason: reason.level != "unhealthy")
    return Status(level, level != "unhealthy", phase, now, tuple(reasons))


_ENDING: dict[str, str] = {
    "stopping": "It is shutting down and takes no new requests.",
    "failed": "It could not start.",
}
_NOT_RUNNING: dict[str, str] = {
    "waiting": "It waits for what it needs to start.",
    "starting": "It has not finished starting.",
    "stopping": "It is being stopped.",
    "stopped": "It was stopped.",
    "failed": "It could not run; whatever needs it does not work.",
}


def _state(view: ComponentView, since: float) -> list[Reason]:
    spec, reasons = view.spec, []
    if view.state in _NOT_RUNNING:
        reasons.append(Reason(spec.label, "", "unhealthy", since, view.reason, _NOT_RUNNING[view.state]))
    elif view.state == "degraded":
        reasons.append(Reason(spec.label, "", "degraded", since, view.reason, _promise(spec)))
    reasons.extend(
        Reason(spec.label, "", "degraded", since, task.last_error, f"Its task {task.name} keeps crashing.")
        for task in view.tasks
        if task.state == "restarting"
    )
    return reasons


def _probe(record: ProbeRecord, spec: Spec) -> Reason | None:
    probe = record.probe
    level: Level = "unhealthy" if probe.critical else "degraded"
    if record.status == "pending":
        if not probe.critical:
            return None
        meaning = "It has not passed yet; no requests are taken before that."
    else:
        meaning = _promise(spec) if not probe.critical else "No requests are taken until it passes again."
    if probe.summary:
        meaning = f"Expected: {probe.summary} {meaning}"
    return Reason(spec.label, probe.name, level, record.since, record.error, meaning)


def _promise(spec: Spec) -> str:
    return spec.degradation.summary if spec.degradation is not None else "The service goes on with less than it should."
