"""Where records live: the service's database, the tables that components bring, and leases kept in a row."""

from bedplate.database.component import Database
from bedplate.database.errors import DatabaseUnavailableError, MigrationError, OutcomeUnknownError
from bedplate.database.lease import LeaseLostError, RowLease
from bedplate.database.pgbouncer import PgBouncer
from bedplate.database.settings import DatabaseSettings

__all__ = [
    "Database",
    "DatabaseSettings",
    "DatabaseUnavailableError",
    "LeaseLostError",
    "MigrationError",
    "OutcomeUnknownError",
    "PgBouncer",
    "RowLease",
]
