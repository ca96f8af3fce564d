"""Health: every probe with its past."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.responses import Response

from bedplate.console.interfaces import Sources
from bedplate.console.page import Page
from bedplate.console.visit import Visit

__all__ = ["pages"]


def pages(sources: Sources) -> Sequence[Page]:
    """Return the pages."""
    return (Page("/health", "health", _show),)


async def _show(visit: Visit) -> Response:
    """Show how every component is, and the runs of its probes."""
    report = visit.site.sources.health.report(history=True)
    probed = [component for component in report["components"] if component["probes"]]
    other = [component for component in report["components"] if not component["probes"]]
    probed.sort(key=lambda one: (all(probe["status"] == "up" for probe in one["probes"]), one["state"] == "running"))
    return visit.show("health.html", report=report, probed=probed, other=other)
