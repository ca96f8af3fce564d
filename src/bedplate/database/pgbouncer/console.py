"""What PgBouncer's console says of its pools."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from bedplate.database.errors import DatabaseUnavailableError, said

__all__ = ["Pool", "look"]

#: Databases that are told apart; the rest is counted as one, so that no list of names grows without end.
_MOST = 20
OTHER = "other"
#: PgBouncer's own, the console.
_OWN = "pgbouncer"


@dataclass(slots=True)
class Pool:
    """The pools of one database, of all its users together.

    :ivar clients: by state, ``active`` or ``waiting``. :ivar servers: ``active``, ``idle``, or ``other``: being tested,
        signed in, cancelled. :ivar wait: seconds that the client has waited that has waited longest.
    :ivar totals: what has been counted since PgBouncer started: ``transactions``, ``queries``, ``wait`` in seconds.
    """

    clients: dict[str, int] = field(default_factory=lambda: {"active": 0, "waiting": 0})
    servers: dict[str, int] = field(default_factory=lambda: {"active": 0, "idle": 0, "other": 0})
    wait: float = 0.0
    totals: dict[str, float] = field(default_factory=lambda: {"transactions": 0.0, "queries": 0.0, "wait": 0.0})


def look(url: str, timeout: float) -> dict[str, Pool]:
    """Ask the console; return the pools by database. It blocks, so call it in a thread.

    :raises DatabaseUnavailableError: when it does not answer.
    """
    import psycopg
    from psycopg.rows import dict_row

    try:
        # Its console knows the simple protocol only, which psycopg speaks where nothing is passed along.
        with psycopg.connect(
            url, autocommit=True, connect_timeout=max(1, int(timeout)), row_factory=dict_row, prepare_threshold=None
        ) as connection:
            pools = connection.execute("SHOW POOLS").fetchall()
            stats = connection.execute("SHOW STATS").fetchall()
    except psycopg.Error as error:
        raise DatabaseUnavailableError(
            f"PgBouncer's console does not answer: {said(error)}.",
            "Is it running, and is the user one of its stats_users?",
        ) from None
    return _sorted_out(pools, stats)


def _sorted_out(pools: list[dict[str, Any]], stats: list[dict[str, Any]]) -> dict[str, Pool]:
    found: dict[str, Pool] = {}

    def pool(row: Mapping[str, Any]) -> Pool:
        name = str(row["database"])
        return found.setdefault(name if name in found or len(found) < _MOST else OTHER, Pool())

    for row in sorted(pools, key=lambda row: str(row["database"])):
        if row["database"] != _OWN:
            one = pool(row)
            one.clients["active"] += row["cl_active"]
            one.clients["waiting"] += row["cl_waiting"]
            one.wait = max(one.wait, row["maxwait"] + row["maxwait_us"] / 1e6)
            servers = {name: count for name, count in row.items() if name.startswith("sv_")}
            active, idle = servers.pop("sv_active"), servers.pop("sv_idle")
            one.servers["active"] += active
            one.servers["idle"] += idle + servers.pop("sv_used")  # used: idle, and to be tried before it is given out
            one.servers["other"] += sum(servers.values())
    for row in sorted(stats, key=lambda row: str(row["database"])):
        if row["database"] != _OWN:
            one = pool(row)
            one.totals["transactions"] += float(row["total_xact_count"])
            one.totals["queries"] += float(row["total_query_count"])
            one.totals["wait"] += float(row["total_wait_time"]) / 1e6
    return found
