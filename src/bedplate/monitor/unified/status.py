"""From health and alerts to one verdict; a pure function."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from bedplate.monitor.alerts.notices import AlertView
from bedplate.monitor.health.status import Level, Reason, Status

__all__ = ["LEVELS", "Cause", "Verdict", "count", "judge", "sentences"]

#: From the best to the worst.
LEVELS: tuple[Level, ...] = ("healthy", "degraded", "unhealthy")

_MAKES: dict[str, Level] = {"critical": "unhealthy", "warning": "degraded"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """One thing that is not well, and what it makes of the service.

    :ivar since: Unix seconds. :ivar text: what it means, in a sentence.
    :ivar alert: the alert's name, and ``fingerprint`` its fingerprint; empty where health says it.
    :ivar acknowledged: who looks after it; empty when nobody does.
    """

    source: Literal["health", "alert"]
    level: Level
    component: str
    since: float
    text: str
    probe: str = ""
    alert: str = ""
    fingerprint: str = ""
    acknowledged: str = ""

    def document(self) -> dict[str, Any]:
        """Return it as JSON-able data."""
        return {name: getattr(self, name) for name in self.__slots__}


@dataclass(frozen=True, slots=True)
class Verdict:
    """How the service is: a level and everything that speaks against a better one, the worst first."""

    level: Level
    causes: tuple[Cause, ...] = ()


def judge(health: Status, alerts: Sequence[AlertView]) -> Verdict:
    """Judge the service by its health and by the alerts that fire.

    A critical alert makes it unhealthy, a warning degraded, and an info nothing. One that is silenced does not count:
    somebody decided that. One that is acknowledged does: somebody looks after it, and it is not well yet.
    """
    causes = [_of_reason(reason) for reason in health.reasons]
    seen: set[str] = set()
    for alert in alerts:
        level = _MAKES.get(alert.severity)
        if alert.state == "firing" and level is not None and not alert.silenced and alert.fingerprint not in seen:
            seen.add(alert.fingerprint)
            causes.append(_of_alert(alert, level))
    causes.sort(key=lambda cause: (-LEVELS.index(cause.level), cause.since))
    worst = max((LEVELS.index(cause.level) for cause in causes), default=0)
    return Verdict(LEVELS[max(worst, LEVELS.index(health.level))], tuple(causes))


def count(alerts: Sequence[AlertView]) -> dict[str, int]:
    """Return how many alerts fire by severity, and how many are silenced, acknowledged and pending.

    Instances of one alert count once; silenced ones only as silenced.
    """
    result = dict.fromkeys(("critical", "warning", "info", "silenced", "acknowledged", "pending"), 0)
    seen: set[tuple[str, str]] = set()
    for alert in alerts:
        key = (alert.fingerprint, alert.state)
        if alert.state not in ("firing", "pending") or key in seen:
            continue
        seen.add(key)
        if alert.state == "pending":
            result["pending"] += (alert.fingerprint, "firing") not in seen
        elif alert.silenced:
            result["silenced"] += 1
        else:
            result[alert.severity] += 1
            result["acknowledged"] += alert.acknowledged is not None
    return result


def sentences(service: str, verdict: Verdict, counts: dict[str, int]) -> list[str]:
    """Return how the service is in sentences, the most important first."""
    firing = [f"{counts[severity]} {severity}" for severity in ("critical", "warning", "info") if counts[severity]]
    said = [f"{service} is {verdict.level}."]
    said += [cause.text for cause in verdict.causes]
    if firing:
        number = sum(counts[severity] for severity in ("critical", "warning", "info"))
        said.append(f"{'One alert fires' if number == 1 else f'{number} alerts fire'}: {', '.join(firing)}.")
    else:
        said.append("No alert fires.")
    silenced = counts["silenced"]
    if silenced:
        said.append("One more is silenced." if silenced == 1 else f"{silenced} more are silenced.")
    return said


def _of_reason(reason: Reason) -> Cause:
    what = f"The probe {reason.probe} of {reason.component} is down" if reason.probe else reason.component
    error = f" ({reason.error})" if reason.error else ""
    return Cause(
        source="health",
        level=reason.level,
        component=reason.component,
        probe=reason.probe,
        since=reason.since,
        text=f"{what}{error}: {reason.meaning}",
    )


def _of_alert(alert: AlertView, level: Level) -> Cause:
    who = alert.acknowledged.actor if alert.acknowledged is not None else ""
    return Cause(
        source="alert",
        level=level,
        component=alert.source,
        since=alert.fired_at if alert.fired_at is not None else alert.since,
        text=f"{alert.summary}{f' {who} looks after it.' if who else ''}",
        alert=alert.name,
        fingerprint=alert.fingerprint,
        acknowledged=who,
    )
