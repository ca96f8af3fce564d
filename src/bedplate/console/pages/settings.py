"""Settings: every one with its value, masked where it must be, and where that comes from."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.responses import Response

from bedplate.console.interfaces import Sources
from bedplate.console.page import Page
from bedplate.console.visit import Visit

__all__ = ["pages"]


def pages(sources: Sources) -> Sequence[Page]:
    """Return the pages."""
    return (Page("/settings", "settings", _show, role="operator"),)


async def _show(visit: Visit) -> Response:
    """Show all settings by section, those that somebody set first when asked for them alone."""
    live = visit.site.sources.settings
    wanted = visit.query("text").lower()
    only_set = visit.query("show") == "set"
    sections: dict[str, list[dict[str, object]]] = {}
    for setting in live.current.values() if live is not None else ():
        declared = setting.declared
        words = f"{declared.name} {declared.variable} {declared.doc}".lower()
        if (wanted and wanted not in words) or (only_set and setting.found is None):
            continue
        section = declared.path[0] if len(declared.path) > 1 else "service"
        sections.setdefault(section, []).append(
            {
                "name": declared.name,
                "variable": declared.variable,
                "shown": setting.shown,
                "origin": setting.origin,
                "default": declared.default,
                "expects": declared.expects,
                "doc": declared.doc,
                "reloadable": declared.reloadable,
                "secret": declared.discreet,
                "set": setting.found is not None,
            }
        )
    return visit.show(
        "settings.html",
        sections=dict(sorted(sections.items())),
        live=live,
        show=visit.query("show"),
        text=visit.query("text"),
        total=sum(len(rows) for rows in sections.values()),
    )
