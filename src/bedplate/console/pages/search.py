"""Search: pages, components, metrics, alerts, and whatever has an id; the palette shows the same."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from starlette.responses import Response

from bedplate.console.interfaces import Sources
from bedplate.console.page import NAVIGATION, Page
from bedplate.console.pages.metrics import example
from bedplate.console.visit import Visit
from bedplate.monitor.management.views import actions_of

__all__ = ["Hit", "answer", "found", "pages", "ways"]

_LIMIT = 24
_ID = re.compile(r"[0-9a-fA-F-]{8,64}\Z")


@dataclass(frozen=True, slots=True)
class Hit:
    """One thing that was found."""

    title: str
    what: str
    address: str
    mark: str

    def of(self, service: str) -> Hit:
        """Return it as one of several services' things."""
        return replace(self, what=f"{self.what} · {service}")


def pages(sources: Sources) -> Sequence[Page]:
    """Return the pages."""
    return (Page("/search", "search", _show),)


async def _show(visit: Visit) -> Response:
    """List what matches."""
    text = visit.query("q", limit=200)
    return answer(visit, [*(await found(visit, text)), *ways(visit, text)], text)


def answer(visit: Visit, hits: Sequence[Hit], text: str) -> Response:
    """Return the page that lists hits, or the list alone for the palette."""
    template = "results.html" if visit.query("part") else "search.html"
    return visit.show(template, hits=hits[:_LIMIT], text=text)


def ways(visit: Visit, text: str) -> list[Hit]:
    """Return the consoles of the process that match and are not this one."""
    words = text.lower().split()
    hits = [
        Hit("All services" if one["key"] == "o" else one["name"], "service", f"{one['base']}/", "home")
        for one in visit.site.switch(visit)
        if not one["here"]
    ]
    return [hit for hit in hits if all(word in f"{hit.title} {hit.what}".lower() for word in words)]


async def found(visit: Visit, text: str) -> list[Hit]:
    """Return what of a service matches, what is named so first."""
    words = text.lower().split()
    known = [hit for hit in _known(visit) if all(word in f"{hit.title} {hit.what}".lower() for word in words)]
    if not words:
        return [hit for hit in known if hit.what == "page"]
    known.sort(key=lambda hit: (not hit.title.lower().startswith(text.lower()), len(hit.title)))
    return [*await _by_id(visit, text), *known, *_texts(visit, text)]


async def _by_id(visit: Visit, text: str) -> list[Hit]:
    """Return what has this id: traces, requests, errors."""
    sources = visit.site.sources
    if not _ID.match(text):
        return []
    hits = []
    if sources.traces is not None and await asyncio.to_thread(sources.traces.get, text) is not None:
        hits.append(Hit(f"Trace {text}", "trace", visit.url(f"/traces/{text}"), "traces"))
    if sources.errors is not None and sources.errors.get(text) is not None:
        hits.append(Hit(f"Error {text}", "error", visit.url(f"/errors/{text}"), "errors"))
    hits.append(Hit(f"Log lines of {text}", "log", visit.url("/logs", request_id=text), "logs"))
    return hits


def _known(visit: Visit) -> Iterable[Hit]:
    for entry in NAVIGATION:
        if visit.may(entry.role):
            yield Hit(entry.title, "page", visit.url(entry.path), entry.name)
    yield Hit("Scorecard of components", "page", visit.url("/components", show="score"), "components")
    yield Hit("Silences", "page", visit.url("/alerts", show="silences"), "alerts")
    for view in visit.site.sources.views():
        spec = view.spec
        path = f"/components/{spec.kind}/{spec.name}"
        yield Hit(spec.label, "component", visit.url(path), "components")
        for alert in spec.alerts:
            yield Hit(alert.name, f"alert of {spec.label}", visit.url(f"/rules/{alert.name}"), "alerts")
        for metric in spec.metrics:
            yield Hit(metric.name, "metric", visit.url("/metrics", q=example(metric.family)), "metrics")
        for action in actions_of(view):
            if visit.may(action.role):
                address = visit.url(f"{path}/actions/{action.name}")
                yield Hit(f"{action.name}: {action.summary}", f"action of {spec.label}", address, "action")
    for ref in visit.site.charting.all():
        yield Hit(ref.panel.title, f"panel of {ref.source}", visit.url(f"/panels/{ref.id}"), "metrics")


def _texts(visit: Visit, text: str) -> Iterable[Hit]:
    yield Hit(f"Traces with “{text}”", "search", visit.url("/traces", text=text), "traces")
    yield Hit(f"Log lines with “{text}”", "search", visit.url("/logs", text=text), "logs")
    yield Hit(f"Errors with “{text}”", "search", visit.url("/errors", text=text, show="all"), "errors")
