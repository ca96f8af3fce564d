"""``metrics``: for Prometheus as text, for programs as JSON."""

from __future__ import annotations

from typing import Literal

from starlette.requests import Request
from starlette.responses import Response

from bedplate.monitor.management.interfaces import MetricSource
from bedplate.monitor.management.requests import Query, preferred, query_of
from bedplate.monitor.management.responses import Json, head_of, no_store
from bedplate.telemetry.metrics.exposition import OPENMETRICS_TYPE, TEXT_TYPE

__all__ = ["MetricEndpoints"]

_OFFERS = {"text/plain": "prometheus", "application/openmetrics-text": "openmetrics", "application/json": "json"}
_MEDIA_TYPES = {"prometheus": TEXT_TYPE, "openmetrics": OPENMETRICS_TYPE, "json": "application/json"}


class MetricQuery(Query):
    """Which representation to send; without one, ``Accept`` decides."""

    format: Literal["prometheus", "openmetrics", "json"] | None = None


class MetricEndpoints:
    """The exposition of the whole service, all its processes on this host merged."""

    def __init__(self, source: MetricSource) -> None:
        self._source = source

    async def get(self, request: Request) -> Response:
        """Return every sample: Prometheus text 0.0.4 unless OpenMetrics or JSON is asked for."""
        accept = request.headers.get("accept")
        wanted: str = query_of(request, MetricQuery).format or _OFFERS[preferred(accept, tuple(_OFFERS))]
        media_type = _MEDIA_TYPES[wanted]
        if request.method == "HEAD":
            return _varying(head_of(media_type))
        if wanted == "json":
            return _varying(Json(await self._source.to_json()))
        body = await self._source.render(openmetrics=wanted == "openmetrics")
        return _varying(Response(body, headers={"Content-Type": media_type, **no_store}))


def _varying(response: Response) -> Response:
    response.headers["Vary"] = "Accept"
    return response
