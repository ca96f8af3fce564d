"""Why dashboards and groups of alerts cannot be as they are declared; asked before a service starts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from bedplate.component import Spec
from bedplate.declarations import AlertGroup, Dashboard
from bedplate.metric import Metric
from bedplate.problems import Refusal
from bedplate.promql.errors import PromqlSyntaxError
from bedplate.promql.selectors import metric_references

__all__ = ["clashes", "idle_choices", "label_of"]


def clashes(specs: Sequence[Spec]) -> Iterator[Refusal]:
    """Yield two dashboards or two groups of alerts under one name.

    Two declarations that are equal are one.
    """
    groups: dict[str, tuple[AlertGroup, str]] = {}
    dashboards: dict[str, tuple[Dashboard, str]] = {}
    for spec in specs:
        for group in dict.fromkeys(alert.group for alert in spec.alerts if alert.group is not None):
            known, owner = groups.setdefault(group.name, (group, spec.label))
            if known != group:
                what = f"the group of alerts {group.name} is evaluated every {group.interval}, by {owner} every"
                mend = "Declare it once and name that one in all of its alerts."
                yield Refusal(spec.label, f"{what} {known.interval}.", mend)
        for dashboard in spec.dashboards:
            first, owner = dashboards.setdefault(dashboard.name, (dashboard, spec.label))
            if first != dashboard:
                what = f"the dashboard {dashboard.name} is declared differently by {owner}."
                yield Refusal(spec.label, what, "Declare it once and name that one in all of its panels.")


def idle_choices(specs: Sequence[Spec]) -> Iterator[Refusal]:
    """Yield choices of dashboards that no panel has; of a whole service.

    They keep nothing from starting: a component may be run without those that it shares a dashboard with, and what
    nobody can choose from is left out of the page.
    """
    dashboards = {dashboard: spec.label for spec in reversed(specs) for dashboard in spec.dashboards}
    for dashboard, owner in dashboards.items():
        for variable in dashboard.variables:
            if label_of(variable.label, dashboard, specs) is None:
                what = f"the dashboard {dashboard.name} lets people choose {variable.label!r}, which no metric of its"
                mend = "Name a label of a metric that one of its panels shows, or leave the variable out."
                yield Refusal(owner, f"{what} panels has.", mend)


def label_of(label: str, dashboard: Dashboard, specs: Sequence[Spec]) -> str | None:
    """Return the first series that a panel of the dashboard reads and whose metric has the label; None without one."""
    metrics: dict[str, Metric] = {name: m for spec in specs for m in spec.metrics for name in m.sample_names}
    for spec in specs:
        for panel in spec.panels:
            if panel.dashboard != dashboard:
                continue
            for name in (name for expr in panel.exprs for name in _names(expr)):
                if name in metrics and label in metrics[name].label_names:
                    return name
    return None


def _names(expr: str) -> list[str]:
    try:
        return [name for name, _ in metric_references(expr, variables=True)]
    except PromqlSyntaxError:
        return []  # somebody else's complaint
