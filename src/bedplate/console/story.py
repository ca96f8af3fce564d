"""What is not well, told to people: what it means, since when, and what to do about it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from bedplate.component import ComponentView, Spec
from bedplate.monitor.alerts.causes import causes
from bedplate.monitor.alerts.notices import AlertView
from bedplate.monitor.health.status import Reason

__all__ = ["Finding", "advice", "findings", "headline", "section_of"]

_LABEL = re.compile(r"^\*\*What to do\.?\*\*\s*")
#: Alerts that say what a reason of the health report says.
_SAME = _PROBE, _DEGRADED, _DOWN = "HealthProbeDown", "ServiceComponentDegraded", "ServiceComponentDown"
#: How many things one alert may fire for and still be told of each by itself.
_ALIKE = 3
_GRAVITY = {"bad": 0, "warn": 1, "info": 2, "idle": 3}
_TONES = {"critical": "bad", "warning": "warn", "info": "info", "unhealthy": "bad", "degraded": "warn"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that is not well.

    :ivar title: what is wrong. :ivar meaning: what that does to whoever uses the service.
    :ivar fix: Markdown, what to do; empty where no runbook tells. :ivar runbook: where the whole of it is.
    :ivar quiet: why nobody is told of it any more, if so.
    :ivar follows: what follows from it, and is not told apart. :ivar alike: the same of others, where many have it.
    """

    tone: str
    title: str
    meaning: str = ""
    since: float
    error: str = ""
    component: str
    probe: str = ""
    alert: str = ""
    fix: str = ""
    runbook: str = ""
    path: str = ""
    quiet: str = ""
    follows: tuple[Finding, ...] = ()
    alike: tuple[Finding, ...] = ()

    @property
    def about_requests(self) -> bool:
        """Whether failed requests are likely to show what happens."""
        return self.component in ("http", "errors") or "Error" in self.alert or "Latency" in self.alert


def findings(reasons: Iterable[Reason], alerts: Iterable[AlertView], views: Sequence[ComponentView]) -> list[Finding]:
    """Return everything that is not well, the gravest first and the oldest of those first.

    What follows from something else that is not well stands with that.
    """
    specs = {view.spec.label: view.spec for view in views}
    firing = {alert.key: alert for alert in alerts if alert.state == "firing"}
    following: dict[str, list[Finding]] = {}
    first: dict[str, Finding] = {}
    beneath: dict[str, list[Finding]] = {}
    found: list[Finding] = []
    reasons = sorted(reasons, key=lambda one: (_GRAVITY[_TONES[one.level]], one.since))
    same = {
        (alert.labels.get("component", ""), alert.labels.get("probe", "")): key
        # Of those of several instances a loud one: that one of them is silenced says nothing of the others.
        for key, alert in sorted(firing.items(), key=lambda each: not _quiet(each[1]))
        if alert.name in _SAME
    }
    # The alert on a probe says what the probe says itself, which has the error besides.
    said = {key for one in reasons if (key := same.get((one.component, one.probe))) is not None}
    for key, alert in firing.items():
        if key in said:
            continue
        cause = _root(key, firing)
        (found if cause == key else following.setdefault(cause, [])).append(_of_alert(alert, specs))
    explaining = {(cause.name, cause.source): cause.dependents for cause in causes(view.spec for view in views)}
    under = _under(reasons, views)
    for reason in reasons:
        why = next(
            (key for key, one in firing.items() if reason.component in explaining.get((one.name, one.source), ())), ""
        )
        told = firing.get(same.get((reason.component, reason.probe), ""))
        one = _of_reason(reason, specs, told)
        if why:
            following.setdefault(_root(why, firing), []).append(one)
        elif (cause := under[reason.component]) == reason.component and cause not in first:
            first[cause] = one
        else:
            # No alert fires yet, but what it needs is not well either; or it is one more trouble of the same component.
            beneath.setdefault(cause, []).append(one)
    found += [replace(one, follows=tuple(_sorted(beneath.pop(cause, ())))) for cause, one in first.items()]
    # Of causes that an alert tells of, what follows stands there.
    found += [one for those in beneath.values() for one in those]
    by_path = {f"/alerts/{key}": _sorted(those) for key, those in following.items()}
    whole = (replace(one, follows=(*one.follows, *by_path.get(one.path, ()))) for one in found)
    return _folded(_sorted(whole))


def _under(reasons: Sequence[Reason], views: Sequence[ComponentView]) -> dict[str, str]:
    """Return, by component, which of those that are not well it stands on in the end; itself where on none."""
    needs = {view.spec.label: [need.spec.label for need in view.spec.needs] for view in views}
    unwell = {reason.component for reason in reasons}

    def lowest(label: str, seen: frozenset[str]) -> str:
        for need in needs.get(label, ()):
            if need not in seen and (found := lowest(need, seen | {need})) in unwell:
                return found
        return label

    return {label: lowest(label, frozenset({label})) for label in unwell}


def _folded(found: Sequence[Finding]) -> list[Finding]:
    """Return them with one alert that fires for many things told once: a page of the same sentence hides the rest."""
    kinds: dict[tuple[str, str, bool], list[Finding]] = {}
    for place, one in enumerate(found):
        # What the health report says of many is alike whether alerts on it fire already or not yet.
        kind = (
            ("", f"{one.probe} {one.meaning or place}") if one.meaning or not one.alert else (one.component, one.alert)
        )
        kinds.setdefault((*kind, bool(one.quiet)), []).append(one)
    told: list[Finding] = []
    for those in kinds.values():
        if len(those) <= _ALIKE:
            told += those
        else:
            follows = _sorted(each for one in those for each in one.follows)
            told.append(replace(those[0], alike=tuple(those[1:]), follows=tuple(follows)))
    return _sorted(told)


def _root(key: str, firing: Mapping[str, AlertView]) -> str:
    """Return the key of what explains an alert in the end, among those that fire; its own when nothing does."""
    while (cause := firing[key].because) in firing:
        key = cause
    return key


def _sorted(found: Iterable[Finding]) -> list[Finding]:
    return sorted(found, key=lambda one: (bool(one.quiet), _GRAVITY.get(one.tone, 9), one.since))


def headline(level: str, phase: str, firing: Sequence[AlertView]) -> tuple[str, str]:
    """Return the tone of the whole and how to say it after the service's name."""
    if phase in ("starting", "stopping"):
        return "warn", f"is {phase}"
    if phase == "failed":
        return "bad", "could not start"
    loud = [alert for alert in firing if not alert.silenced]
    if level == "unhealthy" or any(alert.severity == "critical" for alert in loud):
        return "bad", "is not well"
    if level == "degraded" or any(alert.severity == "warning" for alert in loud):
        return "warn", "is degraded"
    return "good", "is well"


def advice(section: str) -> str:
    """Return the part of a runbook's section that says what to do; all of it where no part does."""
    parts = section.split("\n\n")
    found = [place for place, part in enumerate(parts) if part.lstrip().startswith("**What to do")]
    if not found:
        return section
    return _LABEL.sub("", "\n\n".join(parts[found[0] :]).lstrip(), count=1)


def section_of(spec: Spec | None, heading: str) -> str:
    """Return a section of a component's runbook, empty when it has none."""
    if spec is None or spec.runbook is None:
        return ""
    return spec.runbook.sections().get(heading, "")


def _of_reason(reason: Reason, specs: Mapping[str, Spec], told: AlertView | None = None) -> Finding:
    spec = specs.get(reason.component)
    if reason.probe:
        title = f"The probe {reason.probe} of {reason.component} is down"
        alert = _PROBE
    elif reason.level == "degraded":
        title, alert = f"{reason.component} is degraded", _DEGRADED
    else:
        title, alert = f"{reason.component} does not work", _DOWN
    owner = _owner(alert, specs)
    fix = section_of(specs.get(owner), alert)
    return Finding(
        tone=_TONES[reason.level],
        title=title,
        meaning=reason.meaning,
        since=reason.since,
        error=reason.error,
        component=reason.component,
        probe=reason.probe,
        fix=advice(fix),
        runbook=f"{_path(specs.get(owner))}/runbook#{alert}" if fix else "",
        alert="" if told is None else told.name,
        path=_path(spec) if told is None else f"/alerts/{told.key}",
        quiet="" if told is None else _quiet(told),
    )


def _of_alert(alert: AlertView, specs: Mapping[str, Spec]) -> Finding:
    spec = specs.get(alert.source)
    return Finding(
        tone=_TONES[alert.severity],
        title=alert.summary or alert.name,
        since=alert.fired_at or alert.since,
        component=alert.source,
        alert=alert.name,
        fix=advice(alert.section or section_of(spec, alert.name)),
        runbook=f"/alerts/{alert.key}#runbook",
        path=f"/alerts/{alert.key}",
        quiet=_quiet(alert),
    )


def _quiet(alert: AlertView) -> str:
    if alert.silenced:
        return "It is silenced."
    return f"{alert.acknowledged.actor} looks after it." if alert.acknowledged is not None else ""


def _owner(alert: str, specs: Mapping[str, Spec]) -> str:
    return next((label for label, spec in specs.items() if any(one.name == alert for one in spec.alerts)), "")


def _path(spec: Any) -> str:
    return f"/components/{spec.kind}/{spec.name}" if spec is not None else "/components"
