"""The cells of one database's replicas."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bedplate.component import Host
from bedplate.database.replicas.metrics import BYTES, FALLBACKS, LAG, POOL, READS, USED, WAIT
from bedplate.database.replicas.replica import Replica
from bedplate.database.settings import DatabaseSettings

__all__ = ["Meters"]


class Meters:
    """What is counted and shown; bound once."""

    def __init__(self, host: Host, database: str, replicas: Sequence[Replica], settings: DatabaseSettings) -> None:
        self._host = host
        self._replicas = replicas
        names = [replica.name for replica in replicas]
        self._reads = {name: host.bind(READS, server=name) for name in ("primary", *names)}
        self._reasons = {
            reason: host.bind(FALLBACKS, reason=reason) for reason in ("unhealthy", "behind", "fault", "busy")
        }
        self._wait = host.bind(WAIT)

    def read(self, server: str) -> None:
        """Count a read."""
        self._reads[server].inc()

    def fell_back(self, reason: str) -> None:
        """Count a read that the primary answers."""
        self._reasons[reason].inc()

    def waited(self, seconds: float) -> None:
        """Observe a wait for what a reader has written."""
        self._wait.observe(seconds)

    def show(self) -> None:
        """Show how the replicas are."""
        for replica in self._replicas:
            self._host.bind(USED, replica=replica.name).set(float(replica.usable))
            if replica.lag is not None and replica.lag_bytes is not None:
                self._host.bind(LAG, replica=replica.name).set(replica.lag)
                self._host.bind(BYTES, replica=replica.name).set(float(replica.lag_bytes))
            in_use: Any = None if replica.opened is None else getattr(replica.opened.engine.pool, "checkedout", None)
            self._host.bind(POOL, replica=replica.name).set(float(in_use()) if in_use is not None else 0.0)
