"""The parts of pages that are kept up to date, each made once for all who look."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bedplate.console.pages import alerts, home
from bedplate.console.pages.panels import live_chart
from bedplate.console.site import Site

__all__ = ["add_parts"]


def add_parts(site: Site) -> None:
    """Tell the site what can be kept up to date, and what the navigation counts."""

    async def standing(base: str, rest: str) -> Mapping[str, Any]:
        return {"html": site.part(base, "home_standing.html", await home.standing(site.sources))}

    async def changes(base: str, rest: str) -> Mapping[str, Any]:
        found = await site.timeline.changes(14)
        return {"html": site.part(base, "home_changes.html", {"changes": found})}

    async def alerts_now(base: str, rest: str) -> Mapping[str, Any]:
        return {"html": site.part(base, "alerts_now.html", alerts.standing(site.sources.alerts))}

    site.parts.makers |= {
        "home": standing,
        "changes": changes,
        "alerts": alerts_now,
        "chart": live_chart(site),
    }
    site.badges |= {"alerts": lambda: alerts.summary(site.sources.alerts)}
