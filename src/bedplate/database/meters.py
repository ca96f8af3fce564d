"""The cells of one database."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bedplate.component import Host
from bedplate.database.errors import is_connection_fault
from bedplate.database.metrics import ERRORS, POOL, POOL_LIMIT, POOL_USE, POOL_WAIT, UP
from bedplate.database.replicas.metrics import POOL as REPLICA_POOL
from bedplate.problems import BedplateError

if TYPE_CHECKING:
    from bedplate.database.pool import PoolMeter

__all__ = ["Meters"]


class Meters:
    """What is counted and shown of a database beside its statements."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._errors = {kind: host.bind(ERRORS, kind=kind) for kind in ("connection", "statement")}

    def failed(self, error: BaseException, disconnected: bool) -> None:
        """Count an error, and whether it ended the connection."""
        self._errors["connection" if disconnected or is_connection_fault(error) else "statement"].inc()

    def reached(self, error: BedplateError | None) -> None:
        """Show whether the database is reached, and why it is not."""
        self._host.bind(UP).set(0.0 if error is not None else 1.0)
        self._host.degraded(str(error) if error is not None else None)

    def may_use(self, connections: int) -> None:
        """Show how many connections this process may open."""
        self._host.bind(POOL_LIMIT).set(float(connections))

    def pool(self, server: str) -> PoolMeter:
        """Return who is told of the connections to a server: ``primary``, ``replica1`` …"""
        from bedplate.database.pool import PoolMeter

        in_use = self._host.bind(POOL) if server == "primary" else self._host.bind(REPLICA_POOL, replica=server)
        waits, uses = (self._host.bind(metric, server=server) for metric in (POOL_WAIT, POOL_USE))
        return PoolMeter(waits.observe, uses.observe, in_use.set)
