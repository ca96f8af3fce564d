"""One panel in large, and the values of charts for scripts."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any
from urllib.parse import parse_qsl

from starlette.responses import Response

from bedplate.console import responses
from bedplate.console.charts.keeping import RANGES, Grid
from bedplate.console.interfaces import Sources
from bedplate.console.live.stream import Maker
from bedplate.console.page import Page, missing
from bedplate.console.pages.metrics import Asked
from bedplate.console.site import Site
from bedplate.console.tracing import examples_of
from bedplate.console.visit import Visit
from bedplate.monitor.panels import related_alerts

__all__ = ["live_chart", "live_values", "pages"]


def pages(sources: Sources) -> Sequence[Page]:
    """Return the pages."""
    return (Page("/panels/{id}", "panel", _show), Page("/panels/{id}/values", "panel-values", _values))


async def _show(visit: Visit) -> Response:
    """Show one panel in large, with its expressions, its alerts, and its values as a table."""
    site = visit.site
    ref = site.charting.find(visit.request.path_params["id"])
    if ref is None:
        return missing(visit, "There is no such panel.", "It may have changed with a new version of the service.")
    window = site.window(visit)
    [shown] = await site.charting.shown([ref], window, visit.now)
    specs = [view.spec for view in site.sources.views()]
    source = next((spec for spec in specs if spec.label == ref.source), None)
    alerts = related_alerts(ref.panel, [alert for spec in specs for alert in spec.alerts])
    times = shown.chart.times.tolist()
    every = max(1, len(times) // 30)
    rows = [
        (times[place], [float(line.values[place]) for line in shown.chart.lines])
        for place in range(len(times) - 1, -1, -every)
    ]
    examples = await examples_of(site.sources, ref.panel.exprs)
    return visit.show(
        "panel.html",
        examples_found=examples,
        ref=ref,
        shown=shown,
        window=window,
        source=source,
        alerts=alerts,
        rows=rows,
        queries=ref.queries,
    )


async def _values(visit: Visit) -> Response:
    """Return the values of a panel for scripts."""
    ref = visit.site.charting.find(visit.request.path_params["id"])
    if ref is None:
        return responses.data(visit.request, {"detail": "There is no such panel."}, 404)
    [shown] = await visit.site.charting.shown([ref], visit.query("range", "1h"), visit.now)
    return responses.data(visit.request, shown.chart.document())


class _Seen:
    """The charts that were made last; one changes only with its grid."""

    def __init__(self, limit: int = 200) -> None:
        self._limit = limit
        self._made: OrderedDict[str, tuple[Grid, Mapping[str, Any]]] = OrderedDict()

    async def get(self, key: str, grid: Grid, make: Callable[[], Awaitable[Mapping[str, Any]]]) -> Mapping[str, Any]:
        known = self._made.get(key)
        if known is not None and known[0] == grid:
            return known[1]
        made = await make()
        self._made[key] = (grid, made)
        self._made.move_to_end(key)
        while len(self._made) > self._limit:
            self._made.popitem(last=False)
        return made


def live_chart(site: Site) -> Maker:
    """Return what makes the part ``chart:<panel>:<window>``, with ``:tall`` for one that is drawn here and is large."""
    seen = _Seen()

    async def make(base: str, rest: str) -> Mapping[str, Any] | None:
        id, window, size = (*rest.split(":"), "")[:3] if ":" in rest else ("", "", "")
        ref = site.charting.find(id)
        if ref is None or window not in RANGES:
            return None
        now = site.clock.time()

        async def shown() -> Mapping[str, Any]:
            [found] = await site.charting.shown([ref], window, now)
            if found.chart.look == "line":
                return {"data": found.chart.document()}
            context = {"c": found.chart, "title": ref.panel.title, "tall": size == "tall"}
            return {"html": site.part(base, "chart_inside.html", context)}

        return await seen.get(rest, site.charting.grid(window, now), shown)

    return make


def live_values(site: Site) -> Maker:
    """Return what makes the part ``values:<query>``, the chart of what ``/values.json?<query>`` returns."""
    seen = _Seen()

    async def make(base: str, rest: str) -> Mapping[str, Any] | None:
        asked = Asked.of(parse_qsl(rest, max_num_fields=20))
        now = site.clock.time()

        async def shown() -> Mapping[str, Any]:
            return {"data": (await asked.chart(site.charting, now)).document()}

        return await seen.get(rest, site.charting.grid(asked.window, now), shown) if asked.queries else None

    return make
