"""The routes of all caches of a service.

Each cache brings the same ones, and the first in the service answers for all of them: there is one set however many
caches there are, and nothing beside the components themselves lists which those are.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any

import orjson
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from bedplate.declarations import Routes
from bedplate.state.cache.figures import invalidation_figures, key_figures, merged, stats_figures

if TYPE_CHECKING:
    from bedplate.state.cache.running import Running

__all__ = ["routes_of"]

_MOST_KEYS = 100


def routes_of(running: Callable[[], Running | None]) -> Sequence[Routes]:
    """Return the routes; :param running: returns the cache that brings them, while it runs."""
    faces = _Faces(running)
    managed = [Route("/invalidation-metrics", faces.invalidations), Route("/key-stats", faces.keys)]
    return (
        Routes(routes=[Route("/stats", faces.stats)], prefix="/cache", management=False, access="viewer"),
        Routes(routes=managed, prefix="/cache", access="viewer"),
    )


class _Faces:
    """What is told about all caches, or about the one that ``?cache=`` names."""

    def __init__(self, running: Callable[[], Running | None]) -> None:
        self._running = running

    async def stats(self, request: Request) -> Response:
        """Return where values are kept, and how often they are found."""
        document = await _each(self._caches(request), stats_figures)
        del document["operationTimes"]
        document["degraded"] = {name: one["degraded"] for name, one in document["caches"].items() if one["degraded"]}
        hits = document["cacheHitStats"]
        if (total := hits.get("operations")) is not None:
            rate = round(hits["hits"] / total, 4) if total else None
            hits |= {"hitRate": rate, "missRate": None if rate is None else round(1 - rate, 4)}
        return _json(document)

    async def invalidations(self, request: Request) -> Response:
        """Return what was dropped, and what could not be."""
        document = await _each(self._caches(request), invalidation_figures)
        total, failed = document["totalInvalidations"], document["failedInvalidations"]
        document["failureRate"] = round(failed / total, 4) if total else 0.0
        document["since"] = max(one["since"] for one in document["caches"].values())
        return _json(document)

    async def keys(self, request: Request) -> Response:
        """Return hits and misses by the pattern of the key, those with the most misses first."""
        try:
            limit = min(max(1, int(request.query_params.get("limit", _MOST_KEYS))), _MOST_KEYS)
        except ValueError:
            raise HTTPException(422, "limit is no number.") from None
        caches = self._caches(request)
        found = [
            {"cache": name, **one} for name, running in caches.items() for one in await key_figures(running, limit)
        ]
        return _json({"patterns": sorted(found, key=lambda one: -one["misses"])[:limit]})

    def _caches(self, request: Request) -> dict[str, Running]:
        from bedplate.state.cache.component import Cache

        own = self._running()
        if own is None:
            raise HTTPException(503, "The service is still starting.", {"Retry-After": "1"})
        components = [view.component for view in own.host.components]
        caches = {one.name: one.running for one in components if isinstance(one, Cache) and one.running is not None}
        wanted = request.query_params.get("cache")
        if wanted is None:
            return caches
        if wanted not in caches:
            raise HTTPException(404, f"There is no cache {wanted[:64]!r}; there are {', '.join(sorted(caches))}.")
        return {wanted: caches[wanted]}


async def _each(caches: dict[str, Running], figures: Callable[[Running], Awaitable[dict[str, Any]]]) -> dict[str, Any]:
    """Return the sums of all, and each cache's own numbers below its name."""
    own = {name: await figures(running) for name, running in caches.items()}
    return {**merged(list(own.values())), "caches": own}


def _json(document: dict[str, Any]) -> Response:
    body = orjson.dumps(document, default=str)
    return Response(body, media_type="application/json", headers={"Cache-Control": "no-store"})
