"""Metrics: PromQL with completion, several queries, a range, as chart or table; its address is what is shared."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from starlette.responses import Response

from bedplate.console import responses
from bedplate.console.charting import Charting
from bedplate.console.charts.data import Chart, legend
from bedplate.console.charts.keeping import RANGES
from bedplate.console.interfaces import Sources
from bedplate.console.page import Page
from bedplate.console.tracing import examples_of
from bedplate.console.visit import LONGEST_QUERY, MOST_QUERIES, Visit
from bedplate.declarations import Severity, Threshold
from bedplate.metric import Counter, Histogram, Metric
from bedplate.problems import BedplateError

__all__ = ["Asked", "example", "pages"]

_UNITS = ("", "s", "bytes", "percentunit", "ops", "Bps")
_SEVERITIES: dict[str, Severity] = {"critical": "critical", "warning": "warning", "info": "info"}


def pages(sources: Sources) -> Sequence[Page]:
    """Return the pages."""
    return (
        Page("/metrics", "metrics", _show),
        Page("/values.json", "metrics-values", _values),
        Page("/completion.json", "completion", _completion),
    )


async def _show(visit: Visit) -> Response:
    """Evaluate the expressions of the address, and list the metrics that there are."""
    site = visit.site
    queries = visit.queries("q")
    if visit.query("panel") == "route" and visit.query("route"):
        queries = _of_route(visit.query("route"))
    window = site.window(visit)
    at = _moment(visit)
    end = at or visit.now
    show = "table" if visit.query("show") == "table" else "chart"
    unit = visit.query("unit")
    results = [await _result(visit, expr, window, end, show, unit) for expr in queries]
    wanted = visit.query("find").lower()
    return visit.show(
        "metrics.html",
        examples_found=await examples_of(site.sources, queries),
        queries=queries or [""],
        results=results,
        window=window,
        windows=tuple(RANGES),
        show=show,
        at=visit.query("at"),
        unit=unit,
        units=_UNITS,
        metrics=_metrics(site.sources, wanted) if not queries else [],
        find=visit.query("find"),
        fleet_fault=getattr(site.sources.querier, "fleet_fault", None),
        examples=example,
    )


async def _values(visit: Visit) -> Response:
    """Return the values of expressions for scripts."""
    asked = Asked.of(visit.request.query_params.multi_items())
    chart = await asked.chart(visit.site.charting, _moment(visit) or visit.now)
    return responses.data(visit.request, chart.document())


async def _completion(visit: Visit) -> Response:
    """Return what an expression can be made of: metrics with their types and labels."""
    found = [
        {
            "name": sample,
            "type": metric.type,
            "help": metric.help,
            "labels": [*metric.label_names, *(("le",) if sample.endswith("_bucket") else ())],
            "values": {label.name: list(label.values)[:50] for label in metric.labels if label.values is not None},
        }
        for _, metric in _declared(visit.site.sources)
        for sample in metric.sample_names
    ]
    return responses.data(visit.request, {"metrics": found})


def example(metric: Metric) -> str:
    """Return an expression that says something about a metric."""
    if isinstance(metric, Counter):
        return f"sum(rate({metric.name}[5m]))"
    if isinstance(metric, Histogram):
        return f"histogram_quantile(0.95, sum by (le) (rate({metric.name}_bucket[5m])))"
    if metric.type == "summary":
        return f"sum(rate({metric.name}_sum[5m])) / sum(rate({metric.name}_count[5m]))"
    return metric.name


async def _result(visit: Visit, expr: str, window: str, end: float, show: str, unit: str) -> dict[str, Any]:
    if show == "chart":
        asked = Asked((expr,), window, unit, visit.query("limit"), visit.query("severity"))
        chart = await asked.chart(visit.site.charting, end)
        return {"expr": expr, "chart": chart, "fault": chart.fault, "rows": []}
    querier = visit.site.sources.querier
    if querier is None:
        return {"expr": expr, "chart": None, "fault": "No samples are kept in this process.", "rows": []}
    try:
        vector = await querier.vector(expr, end)
    except BedplateError as error:
        return {"expr": expr, "chart": None, "fault": f"{error.what} {error.mend}".strip(), "rows": []}
    rows = sorted(vector, key=lambda one: (math.isnan(one.value), -one.value))
    shown = [(legend("", one.labels, expr), dict(one.labels), one.value) for one in rows[:500]]
    return {"expr": expr, "chart": None, "fault": "", "rows": shown, "more": max(0, len(rows) - 500)}


@dataclass(frozen=True, slots=True)
class Asked:
    """A chart as an address asks for it.

    :ivar limit: where a line is drawn, a number or nothing. :ivar severity: of what fires beyond it.
    """

    queries: tuple[str, ...]
    window: str = "1h"
    unit: str = ""
    limit: str = ""
    severity: str = ""

    @classmethod
    def of(cls, pairs: Iterable[tuple[str, str]]) -> Asked:
        """Read the parameters of an address; whatever is not known is left out."""
        kept = [(name, value.strip()) for name, value in pairs if value.strip()]
        queries = tuple(value[:LONGEST_QUERY] for name, value in kept if name == "q")[:MOST_QUERIES]
        given = dict(kept)
        window = given.get("range", "1h")
        return cls(
            queries,
            window if window in RANGES else "1h",
            given.get("unit", ""),
            given.get("limit", ""),
            given.get("severity", ""),
        )

    async def chart(self, charting: Charting, end: float) -> Chart:
        """Return the chart of the time before ``end``."""
        grid = charting.grid(self.window, end)
        unit = self.unit if self.unit in _UNITS else ""
        chart = await charting.chart([("", expr) for expr in self.queries], grid, unit=unit)
        try:
            line = Threshold(value=float(self.limit), severity=_SEVERITIES.get(self.severity, "warning"), label="fires")
        except ValueError:
            return chart
        return replace(chart, thresholds=(line,))


def _of_route(route: str) -> list[str]:
    value = route.replace("\\", r"\\").replace('"', r"\"")
    name = "http_server_request_duration_seconds"
    return [
        f'sum by (http_response_status_code) (rate({name}_count{{http_route="{value}"}}[5m]))',
        f'histogram_quantile(0.95, sum by (le) (rate({name}_bucket{{http_route="{value}"}}[5m])))',
    ]


def _declared(sources: Sources) -> list[tuple[str, Metric]]:
    found: dict[str, tuple[str, Metric]] = {}
    for view in sources.views():
        for metric in view.spec.metrics:
            found.setdefault(metric.name, (view.spec.label, metric.family))
    return sorted(found.values(), key=lambda one: one[1].name)


def _metrics(sources: Sources, wanted: str) -> list[tuple[str, Metric]]:
    return [
        (label, metric)
        for label, metric in _declared(sources)
        if not wanted or wanted in f"{metric.name} {metric.help}".lower()
    ]


def _moment(visit: Visit) -> float | None:
    from datetime import UTC, datetime

    text = visit.query("at")
    if not text:
        return None
    try:
        return float(text)
    except ValueError:
        pass
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    return (found if found.tzinfo is not None else found.replace(tzinfo=UTC)).timestamp()
