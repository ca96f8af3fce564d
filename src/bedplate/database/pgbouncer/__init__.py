"""PgBouncer, watched: how many wait before the database, and for how long."""

from bedplate.database.pgbouncer.component import PgBouncer

__all__ = ["PgBouncer"]
