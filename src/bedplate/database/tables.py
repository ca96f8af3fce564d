"""The database's own tables; their revisions are in :mod:`bedplate.database.revisions`."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Double, MetaData, String, Table

__all__ = ["LEASES", "METADATA"]

METADATA = MetaData()

#: One row a lease that anybody has ever asked for. Times are Unix seconds of the database's clock.
LEASES = Table(
    "bedplate_leases",
    METADATA,
    Column("name", String(200), primary_key=True),
    Column("holder", String(200), nullable=False),
    Column("fence", BigInteger, nullable=False),
    Column("expires", Double, nullable=False),
)
