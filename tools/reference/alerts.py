"""``alerts.md``: every alert and objective that components declare, with its page for the person on call."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from bedplate.component import Component
from bedplate.declarations import SLO
from bedplate.monitor.alerts import Rule, rules
from bedplate.service import Service
from tools.reference.subjects import components, services
from tools.reference.text import GENERATED, code, table

__all__ = ["page"]

_INTRODUCTION = """# Alerts

Every alert that a component declares, with its section of the runbook. A service narrows each expression to its own
`job`. Alerts of a group are evaluated together; those of an objective look at how fast its error budget burns.
"""


def page() -> str:
    """Return the page."""
    parts = [GENERATED, _INTRODUCTION]
    for title, service in services().items():
        found, objectives = _rules(service), list(_objectives(components(service)))
        if not found and not objectives:
            continue
        parts.append(f"## {title}\n")
        parts.append(table(("Group", "Evaluated every", "Alerts"), _groups(found)))
        parts += (_objective(label, slo) for label, slo in objectives)
        parts += (_alert(rule) for rule in found)
    return "\n".join(parts)


def _rules(service: Service) -> list[Rule]:
    own = {component.spec.label for component in components(service)}
    found = rules(service.name, [component.spec for component in service.components])
    return sorted((rule for rule in found if rule.source in own), key=lambda rule: rule.source)


def _groups(found: Sequence[Rule]) -> list[Sequence[str]]:
    groups = dict.fromkeys(rule.group for rule in found)
    return [
        (group.name, group.interval, ", ".join(code(rule.name) for rule in found if rule.group == group))
        for group in groups
    ]


def _objectives(found: Iterator[Component]) -> Iterator[tuple[str, SLO]]:
    return ((component.spec.label, slo) for component in found for slo in component.spec.slos)


def _objective(label: str, slo: SLO) -> str:
    return (
        f"### Objective: {slo.name}\n\n{slo.summary or slo.name}\n\n"
        f"{slo.objective * 100:.6g} % over {slo.window}, of at least {slo.least:g} events in an alert's window; "
        f"declared by `{label}`.\n"
        f"\n```promql\n{slo.good}\n```\n\nof\n\n```promql\n{slo.total}\n```\n"
    )


def _alert(rule: Rule) -> str:
    alert = rule.alert
    when = "at once" if alert.for_ == "0s" else f"after {alert.for_}"
    keeps = "" if alert.keep_firing_for == "0s" else f", fires on for {alert.keep_firing_for}"
    outside = " Only Prometheus evaluates it." if alert.external else ""
    return (
        f"### {alert.name}\n\n{alert.summary}\n\n"
        f"{alert.severity.capitalize()}, {when}{keeps}; group `{rule.group.name}`, declared by `{rule.source}`."
        f"{outside}\n"
        f"\n```promql\n{alert.expr}\n```\n\n{rule.section.strip()}\n"
    )
