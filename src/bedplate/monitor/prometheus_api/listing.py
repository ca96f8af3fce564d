"""The alert engine's rules in the form in which Prometheus shows rules."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Protocol

from bedplate.monitor.alerts.interfaces import RuleView
from bedplate.monitor.alerts.notices import AlertView
from bedplate.monitor.prometheus_api.rules import ActiveAlert, AlertingRule, RuleGroup

__all__ = ["EngineRules"]


class Engine(Protocol):
    """Whoever evaluates the rules of the service."""

    def rules(self) -> Sequence[RuleView]:
        """Return every rule with what became of it."""
        ...


class EngineRules:
    """Shows the rules of an alert engine by group; those that only somebody outside can evaluate are not among them."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def rule_groups(self) -> Sequence[RuleGroup]:
        """Return all groups with the present state of their rules; without waiting."""
        groups: dict[str, list[RuleView]] = defaultdict(list)
        for view in self._engine.rules():
            if not view.external:
                groups[view.rule.group.name].append(view)
        return [_group(name, views) for name, views in groups.items()]


def _group(name: str, views: Sequence[RuleView]) -> RuleGroup:
    evaluated = [view.evaluated_at for view in views if view.evaluated_at is not None]
    return RuleGroup(
        name=name,
        interval=views[0].interval,
        rules=[_rule(view) for view in views],
        evaluated_at=max(evaluated, default=None),
        evaluation_seconds=sum(view.took for view in views),
    )


def _rule(view: RuleView) -> AlertingRule:
    return AlertingRule(
        name=view.rule.name,
        query=view.expr,
        duration=view.hold,
        keep_firing_for=view.keep,
        labels=view.rule.labels,
        annotations={"summary": view.rule.alert.summary},
        alerts=[_alert(alert) for alert in view.alerts],
        error=view.error,
        evaluated_at=view.evaluated_at,
        evaluation_seconds=view.took,
    )


def _alert(alert: AlertView) -> ActiveAlert:
    return ActiveAlert(
        labels=alert.labels,
        annotations={"summary": alert.summary},
        state="firing" if alert.state == "firing" else "pending",
        active_at=alert.since,
        value=alert.value,
        keep_firing_since=alert.keeps_firing_since,
    )
