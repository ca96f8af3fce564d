"""``bedplate check``: everything that can be known without starting."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bedplate.cli.output import console, faults, print_json
from bedplate.problems import RefusedError

if TYPE_CHECKING:
    from bedplate.service.service import Service

__all__ = ["check"]


def check(
    target: Annotated[str, typer.Argument(help="module:attribute, a factory build(settings) or a Service.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Check settings, components and their declarations, without starting anything.

    The exit status is 0 when the service may start, 1 when it may not, 2 when it cannot be found or
    loaded.
    """
    from rich.table import Table

    from bedplate.service.loading import load
    from bedplate.service.runner import services_of

    with faults(as_json):
        found = services_of(load(target))
        for service in found:
            _check_alerts(service)
    warnings = _warnings(found)
    if as_json:
        print_json({"ok": True, "warnings": warnings, "services": [_summary(service) for service in found]})
        return
    for warning in warnings:
        console.print(f"[yellow]warning[/yellow] {warning}")
    for service in found:
        console.print(f"[bold]{service.name}[/bold] ({service.settings.environment}) may start")
        table = Table("component", "summary", "metrics", "probes", "alerts", "panels", box=None, header_style="dim")
        for component in service.components:
            spec = component.spec
            counts = [str(len(part) or "") for part in (spec.metrics, spec.probes, spec.alerts, spec.panels)]
            table.add_row(spec.label, spec.summary, *counts)
        console.print(table)


def _check_alerts(service: Service) -> None:
    """Try every alert on the series that it brings; that takes longer than a start may.

    :raises RefusedError: with every fault of every alert.
    """
    from bedplate.monitor.alerts.soundness import unsound
    from bedplate.monitor.panels.soundness import idle_choices

    specs = [component.spec for component in service.components]
    refusals = [*unsound(service.name, specs), *idle_choices(specs)]
    if refusals:
        raise RefusedError(f"Service {service.name}", refusals)


def _warnings(services: Sequence[Service]) -> list[str]:
    unknown = [{str(name) for name in service.settings.unknown()} for service in services]
    # In a process of several services a name is a typing error only if none of them reads it.
    nobodys = set.intersection(*unknown) if unknown else set()
    unsafe = {str(refusal) for service in services for refusal in service.settings.warnings()}
    return sorted(nobodys) + sorted(unsafe)


def _summary(service: Service) -> dict[str, Any]:
    return {
        "name": service.name,
        "environment": service.settings.environment,
        "components": [
            {
                "kind": spec.kind,
                "name": spec.name,
                "summary": spec.summary,
                "metrics": [metric.name for metric in spec.metrics],
                "probes": [probe.name for probe in spec.probes],
                "alerts": [alert.name for alert in spec.alerts],
                "panels": [panel.title for panel in spec.panels],
            }
            for spec in (component.spec for component in service.components)
        ],
    }
