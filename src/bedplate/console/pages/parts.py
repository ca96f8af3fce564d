"""The parts of pages that are kept up to date, each made once for all who look."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, get_args

from bedplate.console.pages import alerts, components, home, logs
from bedplate.console.pages.panels import live_chart, live_values
from bedplate.console.site import Site
from bedplate.console.visit import Visit
from bedplate.declarations import AccessRole

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

    async def log(base: str, rest: str) -> Mapping[str, Any] | None:
        lines = await logs.latest(site.sources, rest)
        return None if lines is None else {"html": site.part(base, "log_lines.html", {"records": lines})}

    async def sections(base: str, rest: str) -> Mapping[str, Any] | None:
        name, _, key = rest.partition(":")
        view = next((one for one in site.sources.views() if "/".join(one.spec.key) == key), None)
        role: AccessRole | None = next((one for one in get_args(AccessRole) if one == name), None)
        if view is None or role is None:
            return None
        shown = components.parts_of(site.sources, view, role)
        return {"html": site.part(base, "sections.html", {"parts": shown, "path": f"/components/{key}"})}

    def admits(visit: Visit, topic: str) -> bool:
        kind, _, rest = topic.partition(":")
        # Buttons are those of a role, so each sees the part that was made for its own.
        return kind != "sections" or (visit.session is not None and visit.session.role == rest.partition(":")[0])

    async def badges(base: str, rest: str) -> Mapping[str, Any]:
        return {"data": {name: count() for name, count in site.badges.items()}}

    site.parts.makers |= {
        "badges": badges,
        "sections": sections,
        "log": log,
        "home": standing,
        "changes": changes,
        "alerts": alerts_now,
        "chart": live_chart(site),
        "values": live_values(site),
    }
    site.parts.admits = admits
    site.badges |= {"alerts": lambda: alerts.summary(site.sources.alerts)}
