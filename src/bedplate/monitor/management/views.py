"""Components as JSON: all that their specs say and all that is known of them now."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

from bedplate.component import ComponentView, HasActions
from bedplate.declarations import Action, Alert
from bedplate.metric import Gauge, Histogram, Metric
from bedplate.monitor.health import Health
from bedplate.telemetry.redaction import Redactor

__all__ = ["ComponentViews", "actions_of"]


class ComponentViews:
    """Shows components.

    :param scoped: narrows a PromQL expression to the service, as the rules do that are derived from it.
    """

    def __init__(self, health: Health, redactor: Redactor, scoped: Callable[[str], str]) -> None:
        self._health = health
        self._redactor = redactor
        self._scoped = scoped

    def summary(self, view: ComponentView) -> dict[str, Any]:
        """Return what a list shows of a component."""
        spec = view.spec
        probes = self._health.probes(spec.label, history=False)
        return {
            "kind": spec.kind,
            "name": spec.name,
            "label": spec.label,
            "summary": spec.summary,
            "state": view.state,
            "reason": self._redactor.text(view.reason),
            "scope": spec.scope,
            "needs": [need.spec.label for need in spec.needs],
            "probes": {probe["name"]: probe["status"] for probe in probes},
            "actions": [action.name for action in actions_of(view)],
        }

    def detail(self, view: ComponentView) -> dict[str, Any]:
        """Return everything that is known of a component; secrets in its settings stay masked."""
        spec = view.spec
        degradation = spec.degradation
        return {
            **self.summary(view),
            "degradation": {"policy": degradation.policy, "summary": degradation.summary} if degradation else None,
            "settings": self._settings(view),
            "tasks": [
                {
                    "name": task.name,
                    "state": task.state,
                    "restarts": task.restarts,
                    "last_error": self._redactor.text(task.last_error),
                }
                for task in view.tasks
            ],
            "metrics": [_metric(metric) for metric in spec.metrics],
            "probes": self._health.probes(spec.label, history=True),
            "alerts": [self._alert(alert, spec.runbook.sections() if spec.runbook else {}) for alert in spec.alerts],
            "slos": [
                {
                    "name": slo.name,
                    "summary": slo.summary,
                    "objective": slo.objective,
                    "window": slo.window,
                    "good": self._scoped(slo.good),
                    "total": self._scoped(slo.total),
                }
                for slo in spec.slos
            ],
            "panels": [
                {
                    "title": panel.title,
                    "summary": panel.summary,
                    "kind": panel.kind,
                    "unit": panel.unit,
                    "dashboard": panel.dashboard or spec.kind,
                    "row": panel.row,
                    "queries": self._queries(panel.expr),
                }
                for panel in spec.panels
            ],
            "checks": [asdict(check) for check in spec.checks],
            "actions": [_action(action) for action in actions_of(view)],
            "runbook": spec.runbook.text if spec.runbook else None,
        }

    def _settings(self, view: ComponentView) -> dict[str, Any] | None:
        settings = view.spec.settings
        # Twice masked: secret types mask themselves, and the redactor knows names and patterns.
        return None if settings is None else self._redactor.mapping(settings.model_dump(mode="json"))

    def _alert(self, alert: Alert, sections: dict[str, str]) -> dict[str, Any]:
        return {
            "name": alert.name,
            "summary": alert.summary,
            "severity": alert.severity,
            "expr": self._scoped(alert.expr),
            "for": alert.for_,
            "keep_firing_for": alert.keep_firing_for,
            "group": alert.group,
            "runbook": sections.get(alert.name),
        }

    def _queries(self, expr: str | Sequence[tuple[str, str]]) -> list[dict[str, str]]:
        pairs = [("", expr)] if isinstance(expr, str) else expr
        return [{"legend": legend, "expr": self._scoped(query)} for legend, query in pairs]


def actions_of(view: ComponentView) -> Sequence[Action]:
    """Return the actions that a component has now."""
    return view.component.actions() if isinstance(view.component, HasActions) else ()


def refusal_of(action: Action) -> str | None:
    """Return why an action cannot be done now, or None; a check that fails is a reason as well."""
    if action.refused is None:
        return None
    try:
        return action.refused()
    except Exception as error:
        return f"It cannot be told whether this is possible now: {type(error).__name__}."


def _action(action: Action) -> dict[str, Any]:
    return {
        "name": action.name,
        "summary": action.summary,
        "role": action.role,
        "danger": action.danger,
        "refused": refusal_of(action),
        "parameters": action.parameters.model_json_schema() if action.parameters else None,
    }


def _metric(metric: Metric) -> dict[str, Any]:
    document: dict[str, Any] = {
        "name": metric.name,
        "type": metric.type,
        "help": metric.help,
        "unit": metric.unit,
        "labels": {
            label.name: list(label.values) if label.values is not None else {"limit": label.limit}
            for label in metric.labels
        },
    }
    if isinstance(metric, Histogram):
        document["buckets"] = list(metric.buckets)
    if isinstance(metric, Gauge):
        document["merge"] = metric.merge
    return document
