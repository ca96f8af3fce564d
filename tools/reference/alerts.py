"""``alerts.md``: every alert that components declare, with its page for the person on call."""

from __future__ import annotations

from bedplate.component import Spec
from bedplate.declarations import Alert
from tools.reference.subjects import components, services
from tools.reference.text import GENERATED

__all__ = ["page"]

_INTRODUCTION = """# Alerts

Every alert that a component declares, with its section of the runbook. A service narrows each expression to its own
`job`.
"""


def page() -> str:
    """Return the page."""
    parts = [GENERATED, _INTRODUCTION]
    for title, service in services().items():
        found = [(component.spec, alert) for component in components(service) for alert in component.spec.alerts]
        if found:
            parts.append(f"## {title}\n")
            parts += [_alert(spec, alert) for spec, alert in found]
    return "\n".join(parts)


def _alert(spec: Spec, alert: Alert) -> str:
    sections = spec.runbook.sections() if spec.runbook else {}
    return (
        f"### {alert.name}\n\n{alert.summary}\n\n"
        f"{alert.severity.capitalize()}, after {alert.for_}; declared by `{spec.label}`.\n"
        f"\n```promql\n{alert.expr}\n```\n\n{sections.get(alert.name, '').strip()}\n"
    )
