"""One panel in large, and the values of charts for scripts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from starlette.responses import Response

from bedplate.console import responses
from bedplate.console.charts.keeping import RANGES, Grid
from bedplate.console.interfaces import Sources
from bedplate.console.page import Page, missing
from bedplate.console.site import Site
from bedplate.console.tracing import examples_of
from bedplate.console.visit import Visit
from bedplate.monitor.panels import related_alerts

__all__ = ["live_chart", "pages"]


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
    """The chart that was made last for each topic; a chart changes only with its grid."""

    def __init__(self) -> None:
        self.made: dict[str, tuple[Grid, Mapping[str, Any]]] = {}


def live_chart(site: Site) -> Any:
    """Return what makes the part ``chart:<panel>:<window>``."""
    seen = _Seen()

    async def make(base: str, rest: str) -> Mapping[str, Any] | None:
        id, _, window = rest.partition(":")
        ref = site.charting.find(id)
        if ref is None or window not in RANGES:
            return None
        now = site.clock.time()
        grid = site.charting.grid(window, now)
        known = seen.made.get(rest)
        if known is not None and known[0] == grid:
            return known[1]
        [shown] = await site.charting.shown([ref], window, now)
        made = {"data": shown.chart.document()}
        while len(seen.made) > 200:
            seen.made.pop(next(iter(seen.made)))
        seen.made[rest] = (grid, made)
        return made

    return make
