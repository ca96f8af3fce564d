"""The tables; their revisions are in :mod:`tradesense.revisions`.

Every row but a user says whose it is, and every query asks for one user's. Times are whole microseconds since 1970,
days are ordinals as :meth:`datetime.date.toordinal` gives them. Decimals are kept exactly: PostgreSQL's NUMERIC, and
text where there is none.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    Column,
    Double,
    Index,
    Integer,
    MetaData,
    Numeric,
    String,
    Table,
    Text,
    text,
    type_coerce,
)
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql.elements import ColumnElement
from sqlalchemy.types import TypeDecorator

__all__ = [
    "IMPORTS",
    "JOURNAL",
    "METADATA",
    "PRICES",
    "RATES",
    "TABLES",
    "TRADES",
    "USERS",
    "Exact",
    "micros",
    "moment",
]

METADATA = MetaData()
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)


class Exact(TypeDecorator[Decimal]):
    """A decimal that comes back as it was put in."""

    impl = Numeric().with_variant(String(64), "sqlite")
    cache_ok = True

    def process_bind_param(self, value: Decimal | None, dialect: Any) -> Any:
        """Return what the driver takes."""
        return format(value, "f") if value is not None and dialect.name == "sqlite" else value

    def process_result_value(self, value: Any, dialect: Any) -> Decimal | None:
        """Return the decimal."""
        return Decimal(value) if isinstance(value, str) else value


def raw(column: Column[Any], connection: AsyncConnection) -> ColumnElement[Any]:
    """Return a column whose values are read as the driver gives them: text, where there are no decimals."""
    exact = isinstance(column.type, Exact) and connection.dialect.name == "sqlite"
    return type_coerce(column, String) if exact else column


def micros(at: datetime) -> int:
    """Return a moment as it is kept."""
    return (at - _EPOCH) // _MICROSECOND


def moment(kept: int) -> datetime:
    """Return the moment that is kept as so many microseconds."""
    return _EPOCH + timedelta(microseconds=kept)


USERS = Table(
    "tradesense_users",
    METADATA,
    Column("id", String(36), primary_key=True),
    Column("email", String(254), nullable=False),
    Column("name", String(100), nullable=False),
    Column("password", String(200), nullable=False),
    Column("base", String(5), nullable=False),
    Column("method", String(10), nullable=False),
    Column("zone", String(50), nullable=False),
    Column("capital", Exact, nullable=False),
    Column("created", Double, nullable=False),
    Index("ux_tradesense_users_email", "email", unique=True),
)

TRADES = Table(
    "tradesense_trades",
    METADATA,
    Column("id", String(36), primary_key=True),
    Column("user_id", String(36), nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("kind", String(12), nullable=False),
    Column("symbol", String(64), nullable=False),
    Column("quantity", Exact, nullable=False),
    Column("price", Exact, nullable=False),
    Column("fee", Exact, nullable=False),
    Column("currency", String(5), nullable=False),
    Column("multiplier", Exact, nullable=False),
    Column("account", String(64), nullable=False),
    Column("broker_id", String(128), nullable=False),
    Column("fingerprint", String(32), nullable=False),
    Column("tags", Text, nullable=False),
    Column("note", Text, nullable=False),
    Column("import_id", String(36), nullable=False),
    Column("created", Double, nullable=False),
    Index("ix_tradesense_trades_user_at", "user_id", "at", "id"),
    Index("ix_tradesense_trades_user_symbol", "user_id", "symbol", "at"),
    # These two came later; tables that had rows by then get them by `bedplate db indexes`, while they are written to.
    Index("ix_tradesense_trades_user_import", "user_id", "import_id"),
    Index("ix_tradesense_trades_created", "created"),
    # Whatever else goes wrong, what a broker has one id for is there once.
    Index(
        "ux_tradesense_trades_broker_id", "user_id", "account", "broker_id", unique=True,
        sqlite_where=text("broker_id <> ''"), postgresql_where=text("broker_id <> ''"),
    ),
)  # fmt: skip

IMPORTS = Table(
    "tradesense_imports",
    METADATA,
    Column("id", String(36), primary_key=True),
    Column("user_id", String(36), nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("broker", String(40), nullable=False),
    Column("name", String(200), nullable=False),
    Column("added", Integer, nullable=False),
    Column("known", Integer, nullable=False),
    Column("skipped", Integer, nullable=False),
    Column("faults", Integer, nullable=False),
    Column("told", Text, nullable=False),
    Index("ix_tradesense_imports_user_at", "user_id", "at", "id"),
)

JOURNAL = Table(
    "tradesense_journal",
    METADATA,
    Column("id", String(36), primary_key=True),
    Column("user_id", String(36), nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("trade_id", String(36), nullable=False),
    Column("tags", Text, nullable=False),
    Column("text", Text, nullable=False),
    Index("ix_tradesense_journal_user_at", "user_id", "at", "id"),
    Index("ix_tradesense_journal_user_trade", "user_id", "trade_id"),
)

PRICES = Table(
    "tradesense_prices",
    METADATA,
    Column("user_id", String(36), primary_key=True),
    Column("symbol", String(64), primary_key=True),
    Column("currency", String(5), primary_key=True),
    Column("day", Integer, primary_key=True, autoincrement=False),
    Column("close", Exact, nullable=False),
)

RATES = Table(
    "tradesense_rates",
    METADATA,
    Column("user_id", String(36), primary_key=True),
    Column("currency", String(5), primary_key=True),
    Column("base", String(5), primary_key=True),
    Column("day", Integer, primary_key=True, autoincrement=False),
    Column("rate", Exact, nullable=False),
)

#: Those that belong to users.
TABLES = (TRADES, IMPORTS, JOURNAL, PRICES, RATES)
