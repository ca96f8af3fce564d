"""The component: asks a PgBouncer's console now and then, and shows what it says."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from bedplate.component import Host, Spec
from bedplate.database.errors import DatabaseUnavailableError
from bedplate.database.pgbouncer.console import Pool, look
from bedplate.database.pgbouncer.metrics import (
    CLIENTS,
    METRICS,
    QUERIES,
    SERVERS,
    TRANSACTIONS,
    UP,
    WAIT,
    WAITED,
    alerts,
    panels,
)
from bedplate.declarations import Runbook
from bedplate.degradation import Degradation
from bedplate.settings.secret import Secret

__all__ = ["PgBouncer"]

_RUNBOOK = Runbook(text=Path(__file__).with_name("runbook.md").read_text(encoding="utf-8"))
_COUNTERS = {"transactions": TRANSACTIONS, "queries": QUERIES, "wait": WAITED}


class PgBouncer:
    """A PgBouncer whose pools are shown: ``PgBouncer("postgresql://shop:password@127.0.0.1:6432/pgbouncer")``.

    One process of a host asks it: the only one, or the one that watches the others.

    :param url: its console, with a user that is one of its ``stats_users``. :param interval: seconds between two looks.
    """

    def __init__(self, url: str | Secret, name: str = "default", *, interval: float = 15.0) -> None:
        self.name = name
        self._url = url if isinstance(url, Secret) else Secret(url)
        self._interval = interval
        self._host: Host | None = None
        self._pools: dict[str, Pool] = {}
        self._spec = Spec(
            kind="pgbouncer",
            name=name,
            summary="Shows how many wait before the database, and for how long.",
            scope="cluster",
            degradation=Degradation(
                policy="known", summary="While it does not answer, nothing new is known of its pools."
            ),
            metrics=tuple(metric(pgbouncer=name) for metric in METRICS),
            alerts=alerts(name),
            panels=panels(name),
            runbook=_RUNBOOK,
        )

    @property
    def spec(self) -> Spec:
        """The component's declaration."""
        return self._spec

    @property
    def pools(self) -> Mapping[str, Pool]:
        """The pools by database, as they were at the last look."""
        return self._pools

    @asynccontextmanager
    async def lifespan(self, host: Host) -> AsyncIterator[None]:
        """Ask it while inside."""
        self._host, self._pools = host, {}
        if host.alone or host.role == "ops":
            host.spawn("watch pools", self._watch)
        try:
            yield
        finally:
            self._host = None

    def overview(self) -> Mapping[str, Any]:
        """Return its pools for the page that shows everything."""
        return {
            name: {"clients": pool.clients, "servers": pool.servers, "longestWaitSeconds": pool.wait}
            for name, pool in self._pools.items()
        }

    async def look(self) -> None:
        """Ask it once.

        :raises DatabaseUnavailableError: when it does not answer, or the component does not run.
        """
        host = self._host
        if host is None:
            raise DatabaseUnavailableError("PgBouncer is not watched.", "Use it inside the service.")
        try:
            pools = await asyncio.to_thread(look, self._url.reveal(), 5.0)
        except DatabaseUnavailableError as error:
            host.bind(UP).set(0.0)
            host.degraded(str(error))
            raise
        host.bind(UP).set(1.0)
        host.degraded(None)
        self._show(host, pools)

    def _show(self, host: Host, pools: dict[str, Pool]) -> None:
        for name in {*pools, *self._pools}:
            pool, before = pools.get(name, Pool()), self._pools.get(name)
            for state, count in pool.clients.items():
                host.bind(CLIENTS, pool=name, state=state).set(float(count))
            for state, count in pool.servers.items():
                host.bind(SERVERS, pool=name, state=state).set(float(count))
            host.bind(WAIT, pool=name).set(pool.wait)
            for total, metric in _COUNTERS.items():
                value, last = pool.totals[total], 0.0 if before is None else before.totals[total]
                # A restarted PgBouncer counts from nothing.
                host.bind(metric, pool=name).inc(value - last if value >= last else value)
        self._pools = pools

    async def _watch(self) -> None:
        host = self._host
        while host is not None:
            try:
                await self.look()
            except DatabaseUnavailableError as error:
                host.log.warning("pgbouncer_away", error=str(error))
            await host.clock.sleep(self._interval)
