"""``dashboards.md``: every dashboard with its panels, those that a metric gets by itself included."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from bedplate.component import Component, Spec
from bedplate.declarations import Dashboard, Panel
from bedplate.monitor.panels import default_panels, thresholds_of
from bedplate.service import Service
from tools.reference.subjects import components, services
from tools.reference.text import GENERATED, code, table

__all__ = ["page"]

_INTRODUCTION = """# Dashboards

The dashboards that components declare, and the panels that stand in the overview of a service because no dashboard
claims them. *Lines* are the thresholds that alerts on the same expression, or the panel itself, draw. Panels in italics
are made for metrics that no panel shows. How they become Grafana's is told in
[render what watches a service](../how-to/render-deployment-files.md).
"""


def page() -> str:
    """Return the page."""
    parts = [GENERATED, _INTRODUCTION]
    for title, service in services().items():
        parts.append(f"## {title}\n")
        own = list(components(service))
        for dashboard in dict.fromkeys(each for component in own for each in component.spec.dashboards):
            parts += _dashboard(service, own, dashboard)
        parts.append("### Overview\n")
        parts.append(_table(service, _overview(service, own), "Component"))
    return "\n".join(parts)


def _dashboard(service: Service, own: Sequence[Component], dashboard: Dashboard) -> Iterator[str]:
    choices = ", ".join(code(variable.label) for variable in dashboard.variables)
    chosen = f" One can choose {choices}." if choices else ""
    yield f"### {dashboard.title}\n\n{dashboard.summary}{chosen}\n"
    found = [
        (panel.row, panel, False)
        for component in own
        for panel in component.spec.panels
        if panel.dashboard == dashboard
    ]
    order = {row: place for place, row in enumerate(dashboard.rows)}
    yield _table(service, sorted(found, key=lambda each: order.get(each[0], len(order))), "Row")


def _overview(service: Service, own: Sequence[Component]) -> Iterator[tuple[str, Panel, bool]]:
    defaults = default_panels([component.spec for component in service.components])
    for component in own:
        spec: Spec = component.spec
        yield from ((spec.label, panel, False) for panel in spec.panels if panel.dashboard is None)
        yield from ((spec.label, panel, True) for panel in defaults[spec.label])


def _table(service: Service, panels: Iterator[tuple[str, Panel, bool]] | list[tuple[str, Panel, bool]], of: str) -> str:
    alerts = [alert for component in service.components for alert in component.spec.alerts]
    rows = [
        (
            where,
            f"*{panel.title}*" if made else panel.title,
            panel.kind,
            panel.unit,
            ", ".join(f"{line.value:g} ({line.label or line.severity})" for line in thresholds_of(panel, alerts)),
            panel.summary,
        )
        for where, panel, made in panels
    ]
    return table((of, "Panel", "Kind", "Unit", "Lines", "Question"), rows)
