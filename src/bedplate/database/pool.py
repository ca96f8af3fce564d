"""SQLAlchemy's pool, which tells how long callers waited for a connection, how long they held it, and how many do."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, NamedTuple

from sqlalchemy.pool import AsyncAdaptedQueuePool, ConnectionPoolEntry, PoolProxiedConnection

__all__ = ["PoolMeter", "metered"]

_SINCE = "bedplate_since"


class PoolMeter(NamedTuple):
    """Who is told: seconds of a wait, seconds of a use, and connections in use."""

    waited: Callable[[float], None]
    used: Callable[[float], None]
    in_use: Callable[[float], None]


def metered(meter: PoolMeter) -> type[AsyncAdaptedQueuePool]:
    """Return a class of pools.

    A wait is all between asking and having: a free place, a look whether the connection lives, and making one anew. One
    that ends in a refusal is one, too.
    """
    clock = time.perf_counter

    class Metered(AsyncAdaptedQueuePool):
        _sqla_logger_namespace = "sqlalchemy.pool.impl.AsyncAdaptedQueuePool"  # it logs by the name of its class

        def connect(self) -> PoolProxiedConnection:
            began = clock()
            try:
                connection = super().connect()
                connection.record_info[_SINCE] = clock()  # type: ignore[index]  # only a detached one has none
                return connection
            finally:
                meter.waited(clock() - began)
                meter.in_use(float(self.checkedout()))

        def _do_return_conn(self, record: ConnectionPoolEntry) -> None:
            super()._do_return_conn(record)
            info: Any = record.record_info
            since = info.pop(_SINCE, None)
            if since is not None:
                meter.used(clock() - since)
            meter.in_use(float(self.checkedout()))

    return Metered
