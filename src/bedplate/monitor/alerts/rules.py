"""From declarations to rules: each alert narrowed to its service, with its labels, group and page of the runbook.

The process' own engine and everything that is rendered for Prometheus start from these, so they cannot differ.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from bedplate.component import Spec
from bedplate.declarations import Alert, AlertGroup
from bedplate.monitor.alerts.burn import burn_alerts, burn_runbook
from bedplate.promql.selectors import scoped

__all__ = ["Rule", "rules"]


@dataclass(frozen=True, slots=True)
class Rule:
    """An alert of a running service.

    :ivar source: the label of the component that declares it, ``cache:reports``.
    :ivar expr: narrowed to the service: ``job="…"`` stands in every selector.
    :ivar labels: what every alert of the rule carries beside the labels of its series.
    :ivar section: what the runbook says of it, in Markdown; empty when it says nothing.
    """

    alert: Alert
    service: str
    source: str
    group: AlertGroup
    expr: str
    section: str = field(repr=False)

    @property
    def name(self) -> str:
        """The alert's name."""
        return self.alert.name

    @property
    def labels(self) -> dict[str, str]:
        """Labels that the rule adds; ``job`` too, since an aggregation drops it and two services share components."""
        return {"job": self.service, "severity": self.alert.severity, "source": self.source}


def rules(service: str, specs: Iterable[Spec]) -> tuple[Rule, ...]:
    """Return the rules of a service in the order of its components; those of objectives follow their component's own.

    :raises PromqlSyntaxError: when an expression is no PromQL.
    """
    return tuple(rule for spec in specs for rule in _rules_of(service, spec))


def _rules_of(service: str, spec: Spec) -> Iterator[Rule]:
    sections = spec.runbook.sections() if spec.runbook else {}
    own = AlertGroup(name=spec.label.replace(":", "-").replace(".", "-"))
    for alert in spec.alerts:
        section = sections.get(alert.name, "")
        yield Rule(alert, service, spec.label, alert.group or own, scoped(alert.expr, service), section)
    for slo in spec.slos:
        section = sections.get(slo.name, "") or burn_runbook(slo)
        for alert in burn_alerts(slo):
            yield Rule(alert, service, spec.label, alert.group or own, scoped(alert.expr, service), section)
