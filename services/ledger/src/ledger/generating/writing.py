"""Writing many rows at once: COPY on PostgreSQL, inserts of many on SQLite."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from typing import Any

from sqlalchemy import Table
from sqlalchemy.ext.asyncio import AsyncConnection

from ledger.tables import ACCOUNTS, ENTRIES, LINES, MONTHS, ORGANIZATIONS, TRANSACTIONS

__all__ = ["Rows", "write"]


@dataclass(slots=True)
class Rows:
    """Rows of each table, with the columns in the tables' order, and in the order in which they may be written."""

    organizations: list[tuple[Any, ...]] = field(default_factory=list)
    accounts: list[tuple[Any, ...]] = field(default_factory=list)
    #: Before their entries, as SQLite wants them.
    lines: list[tuple[Any, ...]] = field(default_factory=list)
    entries: list[tuple[Any, ...]] = field(default_factory=list)
    revenue: list[tuple[Any, ...]] = field(default_factory=list)
    expense: list[tuple[Any, ...]] = field(default_factory=list)
    months: list[tuple[Any, ...]] = field(default_factory=list)
    #: Of months that may have totals already, to be added to them.
    further: list[tuple[Any, ...]] = field(default_factory=list)


_TABLES: dict[str, Table] = {
    "organizations": ORGANIZATIONS, "accounts": ACCOUNTS, "lines": LINES, "entries": ENTRIES, "months": MONTHS,
    **TRANSACTIONS,
}  # fmt: skip


async def write(connection: AsyncConnection, rows: Rows) -> None:
    """Write rows, in the present transaction of the tables' owner."""
    for one in fields(rows):
        given: Sequence[tuple[Any, ...]] = getattr(rows, one.name)
        if given and one.name == "further":
            await _add(connection, given)
        elif given:
            await _write(connection, _TABLES[one.name], given)


async def _add(connection: AsyncConnection, rows: Sequence[tuple[Any, ...]]) -> None:
    names = [column.name for column in MONTHS.columns]
    server = connection.dialect.name == "postgresql"
    places = ", ".join(f"${place}" if server else "?" for place in range(1, len(names) + 1))
    added = ", ".join(f"{name} = m.{name} + excluded.{name}" for name in ("debit", "credit", "lines"))
    await connection.exec_driver_sql(
        f"INSERT INTO {MONTHS.name} AS m ({', '.join(names)}) VALUES ({places}) "  # noqa: S608 - names of our own
        f"ON CONFLICT (organization_id, month, account, currency) DO UPDATE SET {added}",
        list(rows),
    )


async def _write(connection: AsyncConnection, table: Table, rows: Sequence[tuple[Any, ...]]) -> None:
    names = [column.name for column in table.columns]
    if connection.dialect.name == "postgresql":
        # The driver begins its transaction with its first statement, which COPY is not for SQLAlchemy.
        await connection.exec_driver_sql("SELECT 1")
        driver: Any = (await connection.get_raw_connection()).driver_connection
        await driver.copy_records_to_table(table.name, records=rows, columns=names)
    else:
        days = [place for place, column in enumerate(table.columns) if column.name == "day"]
        places = ", ".join("?" * len(names))
        plain = [_plain(row, days) for row in rows] if days else list(rows)
        await connection.exec_driver_sql(f"INSERT INTO {table.name} ({', '.join(names)}) VALUES ({places})", plain)  # noqa: S608 - names of our own


def _plain(row: tuple[Any, ...], days: Sequence[int]) -> tuple[Any, ...]:
    values = list(row)
    for place in days:
        values[place] = values[place].isoformat()
    return tuple(values)
