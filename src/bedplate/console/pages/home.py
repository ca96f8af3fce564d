"""The home page: how the service is, in sentences."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from starlette.responses import Response

from bedplate.console.charting import PanelRef
from bedplate.console.interfaces import Sources
from bedplate.console.page import Page
from bedplate.console.site import Site
from bedplate.console.story import findings, headline
from bedplate.console.visit import Visit
from bedplate.console.words import plural, spell
from bedplate.monitor.panels import related_alerts

__all__ = ["chosen", "pages", "standing"]


def pages(sources: Sources) -> Sequence[Page]:
    """Return the pages."""
    return (Page("/", "home", _show),)


async def _show(visit: Visit) -> Response:
    """Say what is well, what is not, since when, what it means, and what to do."""
    site = visit.site
    shown = await site.charting.shown(chosen(site), site.usual_window(), visit.now)
    changes = await site.timeline.changes(14)
    return visit.show("home.html", shown=shown, changes=changes, **await standing(site.sources))


def chosen(site: Site) -> list[PanelRef]:
    """Return the few panels that matter: of what fires, of requests, then one of each of the service's own parts."""
    refs = list(site.charting.all())
    alerts = {alert.name: alert for view in site.sources.views() for alert in view.spec.alerts}
    desk = site.sources.alerts
    firing = [one for one in (desk.current(resolved=False) if desk is not None else ()) if one.state == "firing"]
    found: dict[str, PanelRef] = {}
    for one in firing[:3]:
        if one.name in alerts:
            found |= {
                ref.id: ref
                for ref in refs
                if ref.panel.kind == "line" and related_alerts(ref.panel, [alerts[one.name]])
            }
    found |= {ref.id: ref for ref in refs if ref.source == "http" and ref.panel.kind == "line"}
    lines = dict(list(found.items())[:3])
    parts: set[str] = set()
    for ref in refs:
        own = ref.panel.dashboard is not None and ref.source != "http"
        if own and ref.source not in parts and ref.panel.kind == "line" and len(lines) < 6:
            parts.add(ref.source)
            lines[ref.id] = ref
    return [*lines.values()]


async def standing(sources: Sources) -> dict[str, Any]:
    """Return what the home page says; the same for everybody who looks."""
    status = sources.health.status
    views = sources.views()
    alerts = sources.alerts.current(resolved=False) if sources.alerts is not None else ()
    firing = [alert for alert in alerts if alert.state == "firing"]
    pending = [alert for alert in alerts if alert.state == "pending"]
    tone, verdict = headline(status.level, status.phase, firing)
    return {
        "tone_now": tone,
        "verdict": verdict,
        "since": _since(status, firing, tone),
        "sentences": _sentences(sources, status, len(firing), len(pending)),
        "findings": findings(status.reasons, firing, views),
        "ready": status.ready,
    }


def _since(status: Any, firing: Sequence[Any], tone: str) -> float:
    moments = [alert.fired_at or alert.since for alert in firing if not alert.silenced]
    if tone == "good" or not moments:
        return float(status.since)
    return float(min([*moments, *([status.since] if status.level != "healthy" else [])]))


def _sentences(sources: Sources, status: Any, firing: int, pending: int) -> list[str]:
    views = sources.views()
    said: list[str] = []
    ready = "It takes requests." if status.ready else "It takes no requests."
    running = [view for view in views if view.state in ("running", "degraded")]
    if views:
        every = "All" if len(running) == len(views) else f"{len(running)} of"
        said.append(f"{ready} {every} {plural(len(views), 'component')} run{'s' if len(views) == 1 else ''}.")
    else:
        said.append(ready)
    probes = [(view, probe) for view in views for probe in sources.health.probes(view.spec.label, history=False)]
    down = [probe["name"] for _, probe in probes if probe["status"] == "down"]
    if len(set(down)) < len(down):
        # Probes of many components have one name; whose they are tells them apart.
        down = [view.spec.label for view, probe in probes if probe["status"] == "down"]
    if down:
        said.append(
            f"{plural(len(down), 'probe')} of {len(probes)} {'is' if len(down) == 1 else 'are'} down: {spell(down)}."
        )
    elif probes:
        said.append(f"All {plural(len(probes), 'probe')} pass.")
    if sources.alerts is None or not sources.alerts.active:
        said.append("Alerts are not evaluated in this process.")
    elif firing:
        said.append(f"{plural(firing, 'alert')} fire{'s' if firing == 1 else ''}.")
    else:
        waiting = f", {pending} {'is' if pending == 1 else 'are'} pending" if pending else ""
        said.append(f"No alert fires{waiting}.")
    return said
