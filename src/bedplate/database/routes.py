"""What is told of databases and their replicas over HTTP.

Each database brings the same routes, and the first in the service answers: by itself for the one that ``?database=``
names, else for the one called ``default``, else for the first.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import orjson
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from bedplate.database.errors import DatabaseUnavailableError
from bedplate.database.indexes.watch import Seen, declared_in, seen
from bedplate.database.metrics import POOL, POOL_LIMIT
from bedplate.database.replicas.metrics import FALLBACKS, READS, WAIT
from bedplate.database.replicas.metrics import POOL as REPLICA_POOL
from bedplate.declarations import Routes
from bedplate.metric import Metric
from bedplate.problems import BedplateError

if TYPE_CHECKING:
    from bedplate.component import Host
    from bedplate.database.component import Database
    from bedplate.database.replicas.replica import Replica

__all__ = ["replica_figures", "routes_of"]


def routes_of(host: Callable[[], Host | None]) -> Sequence[Routes]:
    """Return the routes; :param host: that of the database that brings them, while it runs."""
    faces = _Faces(host)
    routes = [
        Route("/info", faces.info),
        Route("/indexes", faces.indexes),
        Route("/replica/health", faces.health),
        Route("/replica/stats", faces.stats),
        Route("/replica/lag", faces.lag),
        Route("/replica/pool-stats", faces.pools),
    ]
    return (Routes(routes=routes, prefix="/database", management=False, access="viewer"),)


def replica_figures(replica: Replica, now: float) -> dict[str, Any]:
    """Return how a replica is, as this process sees it."""
    return {
        "name": replica.name,
        "address": replica.address.shown,
        "healthy": replica.usable,
        "state": replica.state,
        "reason": replica.reason or None,
        "lagSeconds": None if replica.lag is None else round(replica.lag, 3),
        "lagBytes": replica.lag_bytes,
        "secondsSinceCheck": None if replica.seen is None else round(now - replica.seen, 3),
        "failedChecks": replica.failed,
    }


class _Faces:
    def __init__(self, host: Callable[[], Host | None]) -> None:
        self._host = host

    async def info(self, request: Request) -> Response:
        """Return what the database is and whether it is reached."""
        host, database = self._asked(request)
        reason = next((view.reason for view in host.components if view.component is database), "")
        return _json(
            {
                "database": database.name,
                "type": database.dialect,
                "address": database.shown,
                "inUse": database.is_open,
                "available": not reason,
                "reason": reason or None,
                "pool": {"size": database.settings.pool_size, "overflow": database.settings.pool_overflow},
                "replicas": {"total": len(database.replicas), "healthy": _healthy(database)},
                "replicaCheckInterval": database.settings.replica_interval,
                "replicaLagLimit": database.settings.replica_lag_limit,
            }
        )

    async def indexes(self, request: Request) -> Response:
        """Return which indexes are declared, and which of them are missing or were left half made."""
        host, database = self._asked(request)
        found = Seen(tuple(index.name for index in declared_in(database, host)))
        if database.is_open and found.declared:
            try:
                async with database.connect() as connection:
                    found = await seen(connection, declared_in(database, host))
            except DatabaseUnavailableError as error:
                raise HTTPException(503, str(error), {"Retry-After": "5"}) from None
        return _json(
            {
                "declared": list(found.declared),
                "missing": list(found.missing),
                "invalid": list(found.invalid),
                "looked": database.is_open,
            }
        )

    async def health(self, request: Request) -> Response:
        """Return how each replica is; ``none`` where there are none, which is no fault."""
        host, database = self._asked(request)
        total, healthy = len(database.replicas), _healthy(database)
        status = "none" if not total else "healthy" if healthy == total else "degraded" if healthy else "unhealthy"
        return _json(
            {
                "status": status,
                "total": total,
                "healthy": healthy,
                "readsFrom": "replicas" if healthy else "primary",
                "replicas": [replica_figures(replica, host.clock.monotonic()) for replica in database.replicas],
            }
        )

    async def lag(self, request: Request) -> Response:
        """Return how far each is behind: the worst, and all."""
        _, database = self._asked(request)
        known = [replica.lag for replica in database.replicas if replica.lag is not None]
        sizes = [replica.lag_bytes for replica in database.replicas if replica.lag_bytes is not None]
        return _json(
            {
                "maxLagSeconds": round(max(known), 3) if known else None,
                "maxLagBytes": max(sizes, default=None),
                "limitSeconds": database.settings.replica_lag_limit,
                "thresholds": {"warning": 10, "critical": 30},
                "replicas": {
                    replica.name: {
                        "lagSeconds": None if replica.lag is None else round(replica.lag, 3),
                        "lagBytes": replica.lag_bytes,
                    }
                    for replica in database.replicas
                },
            }
        )

    async def stats(self, request: Request) -> Response:
        """Return who answered reads, and why the primary had to: of all processes of this host."""
        host, database = self._asked(request)
        if not database.replicas:
            return _json({"reads": {}, "fallbacks": {}, "waits": {"count": 0, "seconds": 0.0}})
        name = database.name
        waits = {
            "count": int(await _one(host, f"sum({WAIT(database=name).count})")),
            "seconds": await _one(host, f"sum({WAIT(database=name).sum})"),
        }
        reads = await _by(host, READS(database=name), "server")
        return _json({"reads": reads, "fallbacks": await _by(host, FALLBACKS(database=name), "reason"), "waits": waits})

    async def pools(self, request: Request) -> Response:
        """Return the connections in use and their limits: of all processes of this host."""
        host, database = self._asked(request)
        name = database.name
        limit = database.settings.pool_size + database.settings.pool_overflow
        primary = {
            "inUse": int(await _one(host, f"sum({POOL(database=name)})")),
            "limit": int(await _one(host, f"sum({POOL_LIMIT(database=name)})")),
        }
        in_use = await _by(host, REPLICA_POOL(database=name), "replica") if database.replicas else {}
        replicas = {one.name: {"inUse": int(in_use.get(one.name, 0)), "limit": limit} for one in database.replicas}
        return _json({"primary": primary, "replicas": replicas, "limitPerProcess": limit})

    def _asked(self, request: Request) -> tuple[Host, Database]:
        from bedplate.database.component import Database

        host = self._host()
        if host is None:
            raise HTTPException(503, "The service is still starting.", {"Retry-After": "1"})
        found = {view.spec.name: view.component for view in host.components if isinstance(view.component, Database)}
        wanted = request.query_params.get("database", "default" if "default" in found else next(iter(found)))
        if wanted not in found:
            raise HTTPException(404, f"There is no database {wanted[:64]!r}; there are {', '.join(sorted(found))}.")
        return host, found[wanted]


def _healthy(database: Database) -> int:
    return sum(replica.usable for replica in database.replicas)


async def _one(host: Host, expression: str) -> float:
    return next(iter((await _found(host, expression)).values()), 0.0)


async def _by(host: Host, metric: Metric, label: str) -> dict[str, float]:
    found = await _found(host, f"sum by ({label}) ({metric})")
    return {dict(labels)[label]: value for labels, value in found.items()}


async def _found(host: Host, expression: str) -> dict[tuple[tuple[str, str], ...], float]:
    """Return the samples of an expression; none while nobody knows."""
    try:
        return {tuple(sample.labels.items()): sample.value for sample in await host.query(expression)}
    except BedplateError:
        return {}


def _json(document: dict[str, Any]) -> Response:
    body = orjson.dumps(document, default=str)
    return Response(body, media_type="application/json", headers={"Cache-Control": "no-store"})
