"""Rules and alerts, as Prometheus' API shows them; whoever evaluates rules says how they are."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal, Protocol

__all__ = ["ActiveAlert", "AlertingRule", "RuleGroup", "RuleSource", "alert_document", "group_document"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ActiveAlert:
    """An alert that is pending or fires.

    :ivar labels: those of the series and of the rule, ``alertname`` among them.
    :ivar active_at: since when its condition holds, Unix seconds. :ivar value: of the last evaluation.
    :ivar keep_firing_since: since when it only goes on firing, None when its condition holds.
    """

    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    state: Literal["pending", "firing"]
    active_at: float
    value: float
    keep_firing_since: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertingRule:
    """A rule with what became of its last evaluation.

    :ivar duration: ``for``, in seconds. :ivar keep_firing_for: in seconds.
    :ivar labels: those that it adds. :ivar error: of the last evaluation, empty when it succeeded.
    :ivar evaluated_at: Unix seconds, None before the first evaluation. :ivar evaluation_seconds: how long it took.
    """

    name: str
    query: str
    duration: float
    keep_firing_for: float = 0.0
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    alerts: Sequence[ActiveAlert] = ()
    error: str = ""
    evaluated_at: float | None = None
    evaluation_seconds: float = 0.0

    @property
    def state(self) -> str:
        """``firing`` when one of its alerts does, else ``pending`` when one is, else ``inactive``."""
        states = {alert.state for alert in self.alerts}
        return "firing" if "firing" in states else "pending" if "pending" in states else "inactive"


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleGroup:
    """Rules that are evaluated together, every ``interval`` seconds."""

    name: str
    interval: float
    rules: Sequence[AlertingRule]
    file: str = ""
    evaluated_at: float | None = None
    evaluation_seconds: float = 0.0


class RuleSource(Protocol):
    """Whoever evaluates the rules of the service."""

    def rule_groups(self) -> Sequence[RuleGroup]:
        """Return all groups with the present state of their rules; without waiting."""
        ...


def group_document(group: RuleGroup, rules: Iterable[AlertingRule], *, alerts: bool = True) -> dict[str, Any]:
    """Return a group as ``/api/v1/rules`` has it."""
    return {
        "name": group.name,
        "file": group.file,
        "rules": [_rule_document(rule, alerts) for rule in rules],
        "interval": group.interval,
        "limit": 0,
        "evaluationTime": group.evaluation_seconds,
        "lastEvaluation": _time(group.evaluated_at),
    }


def _rule_document(rule: AlertingRule, alerts: bool) -> dict[str, Any]:
    document: dict[str, Any] = {
        "state": rule.state,
        "name": rule.name,
        "query": rule.query,
        "duration": rule.duration,
        "keepFiringFor": rule.keep_firing_for,
        "labels": rule.labels,
        "annotations": rule.annotations,
        "alerts": [alert_document(alert) for alert in rule.alerts] if alerts else [],
        "health": "unknown" if rule.evaluated_at is None else "err" if rule.error else "ok",
        "evaluationTime": rule.evaluation_seconds,
        "lastEvaluation": _time(rule.evaluated_at),
        "type": "alerting",
    }
    return document | ({"lastError": rule.error} if rule.error else {})


def alert_document(alert: ActiveAlert) -> dict[str, Any]:
    """Return an alert as ``/api/v1/alerts`` has it."""
    document: dict[str, Any] = {
        "labels": alert.labels,
        "annotations": alert.annotations,
        "state": alert.state,
        "activeAt": _time(alert.active_at),
        "value": _scientific(alert.value),
    }
    kept = alert.keep_firing_since
    return document | ({} if kept is None else {"keepFiringSince": _time(kept)})


def _time(at: float | None) -> str:
    if at is None:
        return "0001-01-01T00:00:00Z"  # what Go has for no time at all
    return datetime.fromtimestamp(at, UTC).isoformat().replace("+00:00", "Z")


def _scientific(value: float) -> str:
    """Return a value as Prometheus shows it in alerts: ``1.5e+00``."""
    if value != value or value in (float("inf"), float("-inf")):
        return {"nan": "NaN", "inf": "+Inf", "-inf": "-Inf"}[str(value)]
    digits = next(text for places in range(17) if float(text := f"{value:.{places}e}") == value)
    mantissa, _, exponent = digits.partition("e")
    return f"{mantissa}e{exponent}"
