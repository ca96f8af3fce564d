"""What servers are asked about their logs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bedplate.database.replicas.replica import Look

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

__all__ = ["look_at", "written"]

#: The same of a primary and of a replica. What is not flushed cannot have been sent yet, so it is nobody's lag.
_LOOK = """\
SELECT pg_is_in_recovery(),
       (coalesce(CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_flush_lsn() END, '0/0')
        - '0/0'::pg_lsn)::bigint,
       (SELECT system_identifier FROM pg_control_system())"""
#: Not what is flushed: a commit may have been told not to wait for that.
_WRITTEN = "SELECT (pg_current_wal_insert_lsn() - '0/0'::pg_lsn)::bigint"


async def look_at(engine: AsyncEngine) -> Look:
    """Ask a server what it is, and how far."""
    async with engine.connect() as connection:
        row: Any = (await connection.exec_driver_sql(_LOOK)).one()
        return Look(*row)


async def written(connection: AsyncConnection) -> int:
    """Return a position of the primary that covers all that has been committed."""
    return int((await connection.exec_driver_sql(_WRITTEN)).scalar_one())
