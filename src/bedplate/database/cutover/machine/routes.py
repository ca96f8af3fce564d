"""What is told of cutovers over HTTP: each brings the same routes, and the first in the service answers for all.

By itself for the one that ``?cutover=`` names, else for the one called ``default``, else for the first.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import orjson
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from bedplate.database.cutover.asking import CutoverError
from bedplate.database.cutover.machine.figures import metrics_figures, not_needed, table_figures
from bedplate.database.cutover.machine.look import Sight
from bedplate.database.cutover.machine.readiness import readiness
from bedplate.declarations import Routes

if TYPE_CHECKING:
    from bedplate.component import Host
    from bedplate.database.cutover.machine.component import Cutover
    from bedplate.database.cutover.machine.running import Running

__all__ = ["routes_of"]


def routes_of(host: Callable[[], Host | None]) -> Sequence[Routes]:
    """Return the routes; :param host: that of the cutover that brings them, while it runs."""
    faces = _Faces(host)
    routes = [
        Route("/metrics", faces.metrics),
        Route("/table-stats", faces.tables),
        Route("/events", faces.events),
    ]
    return (Routes(routes=routes, prefix="/partitions", access="viewer"),)


class _Faces:
    def __init__(self, host: Callable[[], Host | None]) -> None:
        self._host = host

    async def metrics(self, request: Request) -> Response:
        """Return how far it is, whether both sides are equal, and whether it may be switched."""
        cutover = self._asked(request)
        if cutover.unneeded:
            return _json(not_needed(cutover.name, cutover.plan, cutover.unneeded))
        running, sight = await _sight(cutover)
        ready = readiness(sight, fresh=running.settings.fresh)
        return _json(metrics_figures(cutover.name, running.plan, sight, ready, time.monotonic()))

    async def tables(self, request: Request) -> Response:
        """Return rows, sizes and recent writes of each table and of its other side."""
        cutover = self._asked(request)
        if cutover.unneeded:
            return _json(not_needed(cutover.name, cutover.plan, cutover.unneeded))
        running, sight = await _sight(cutover)
        figures = table_figures(cutover.name, sight, time.monotonic())
        figures["checkedAt"] = running.host.clock.time() - max(0.0, time.monotonic() - sight.at)
        return _json(figures)

    async def events(self, request: Request) -> Response:
        """Return the time line, newest first."""
        cutover = self._asked(request)
        if cutover.unneeded:
            return _json({"cutover": cutover.name, "events": []})
        _, sight = await _sight(cutover)
        return _json({"cutover": cutover.name, "events": [event.to_json() for event in sight.events]})

    def _asked(self, request: Request) -> Cutover:
        from bedplate.database.cutover.machine.component import Cutover

        host = self._host()
        if host is None:
            raise HTTPException(503, "The service is still starting.", {"Retry-After": "1"})
        found = {view.spec.name: view.component for view in host.components if isinstance(view.component, Cutover)}
        wanted = request.query_params.get("cutover", "default" if "default" in found else next(iter(found)))
        if wanted not in found:
            raise HTTPException(404, f"There is no cutover {wanted[:64]!r}; there are {', '.join(sorted(found))}.")
        return found[wanted]


async def _sight(cutover: Cutover) -> tuple[Running, Sight]:
    """Return what was seen lately; where nobody watches, look."""
    running = cutover.running
    if running is None:
        raise HTTPException(503, "The service is still starting.", {"Retry-After": "1"})
    sight = running.sight
    if sight is None or time.monotonic() - sight.at > 3 * running.settings.interval:
        try:
            sight = await running.look()
        except CutoverError as error:
            raise HTTPException(503, str(error), {"Retry-After": "5"}) from error
    return running, sight


def _json(document: dict[str, Any]) -> Response:
    body = orjson.dumps(document, default=str)
    return Response(body, media_type="application/json", headers={"Cache-Control": "no-store"})
