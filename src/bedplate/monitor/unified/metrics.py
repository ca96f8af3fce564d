"""What the unified view measures, shows and is checked by."""

from __future__ import annotations

from collections.abc import Iterator

from bedplate.declarations import Check, Panel
from bedplate.metric import Gauge
from bedplate.monitor.unified.status import LEVELS

__all__ = ["PANELS", "STATUS", "checks"]

STATUS = Gauge(
    "bedplate_unified_status",
    "How the service is as a whole, by health and alerts: 1 at its present level, 0 at the others.",
    {"level": LEVELS},
    merge="max",
)

PANELS = (
    Panel(
        title="Status",
        expr=(("{{level}}", f"max by (level) ({STATUS}) == 1"),),
        kind="state",
        row="Overview",
        summary="How is the service as a whole, by its health and its alerts?",
    ),
)


def checks(prefix: str) -> Iterator[Check]:
    """Yield the checks of what is served under a management prefix."""
    faces = (
        ("unified-metrics", "unified/metrics", "The numbers of the whole service are there.", _METRICS),
        ("unified-health", "unified/health", "The service says how it is as a whole.", _HEALTH),
        ("unified-alerts", "unified/alerts", "Alerts and their history can be read.", ("current", "items", "next")),
        ("unified-silences", "unified/silences", "Silences can be read.", ("items",)),
        ("dashboard", "dashboard", "The page of everything is there.", _DASHBOARD),
    )
    for name, path, summary, fields in faces:
        yield Check(
            name=name,
            path=f"{prefix}/{path}",
            summary=summary,
            group="unified",
            role="viewer",
            fields=fields,
            suite="smoke" if name in ("unified-metrics", "unified-health") else "observability",
        )


_METRICS = (
    "system.status",
    "system.uptime",
    "alerts.critical",
    "alerts.warning",
    "alerts.info",
    "components",
)
_HEALTH = ("status", "ready", "uptime", "reasons", "components")
_DASHBOARD = ("status", "sentences", "alerts", "requests", "panels", "errors")
