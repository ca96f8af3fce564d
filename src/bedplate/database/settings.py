"""Settings of the database."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from bedplate.settings.markers import Seconds, Section

__all__ = ["DatabaseSettings"]


class DatabaseSettings(Section):
    """How the database is used; which one it is says ``DATABASE_URL``."""

    pool_size: int = Field(default=10, ge=1, le=500)
    """Connections of one process that are kept."""

    pool_overflow: int = Field(default=20, ge=0, le=500)
    """Further connections that it may open for a moment."""

    pool_timeout: Annotated[Seconds, Field(gt=0)] = 5.0
    """Seconds to wait for a free connection before the caller is refused."""

    pool_recycle: Annotated[Seconds, Field(gt=0)] = 1800.0
    """Seconds after which a connection to a server is made anew."""

    pooler: Literal["none", "transaction"] = "none"
    """What stands between: ``transaction`` for a PgBouncer that gives a server connection for a transaction only."""

    connect_timeout: Annotated[Seconds, Field(gt=0)] = 5.0
    """Seconds that a connection may take to come about."""

    query_timeout: Annotated[Seconds, Field(gt=0)] = 30.0
    """Seconds that a statement may take on a server, which then ends it."""

    lock_timeout: Annotated[Seconds, Field(ge=0)] = 10.0
    """Seconds that a statement may wait for a lock on a server; 0 for as long as it may take."""

    idle_transaction_timeout: Annotated[Seconds, Field(ge=0)] = 60.0
    """Seconds that a transaction may do nothing; then a server undoes it and ends its connection. 0 for no limit."""

    plans: Literal["auto", "custom"] = "auto"
    """How a server plans prepared statements: ``custom`` for the values at hand each time, ``auto`` so where a cutover
    moves tables of this database to partitions, and elsewhere as the server sees fit."""

    slow_statement: Annotated[Seconds, Field(ge=0)] = 0.5
    """Seconds from which a statement is logged with its plan; 0 for none."""

    busy_timeout: Annotated[Seconds, Field(ge=0)] = 5.0
    """Seconds that a statement waits for another writer of an SQLite file."""

    migration_timeout: Annotated[Seconds, Field(gt=0)] = 20.0
    """Seconds to wait for another process that is changing the tables."""

    replica_interval: Annotated[Seconds, Field(gt=0)] = 30.0
    """Seconds between two looks at a replica; one that is not as it should be is looked at every 5 seconds at least."""

    replica_lag_limit: Annotated[Seconds, Field(gt=0)] = 10.0
    """Seconds that a replica may be behind and be read from."""

    replica_wait: Annotated[Seconds, Field(ge=0)] = 0.05
    """Seconds that a read waits for a replica to show what its reader has written, before it goes to the primary."""

    replica_timeout: Annotated[Seconds, Field(gt=0)] = 1.0
    """Seconds in which a replica must give a connection; else the primary answers."""
