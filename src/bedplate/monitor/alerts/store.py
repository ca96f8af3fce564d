"""Alerts in the database: what waits to be written, and what others wrote.

Writes are values keyed by table and row, so that the latest of a row wins, a repeated one does no harm, and what could
not be written while the database was away is written once it is back.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import orjson

from bedplate.monitor.alerts.notices import Acknowledgement, Matcher, Sent, Silence

if TYPE_CHECKING:
    from sqlalchemy import Table
    from sqlalchemy.ext.asyncio import AsyncConnection

__all__ = ["Outbox", "Row", "Shared", "Write", "read_history", "read_shared", "sent_of", "silence_of", "tidy", "write"]

#: Transitions that wait for the database at most; the oldest are given up beyond that.
MOST_WAITING = 20_000

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Write:
    """A row to be: its key columns, and the others; None to delete it."""

    table: str
    key: Mapping[str, Any]
    values: Mapping[str, Any] | None
    at: float
    """When it was put, by a monotonic clock."""


class Outbox:
    """Writes that wait, the latest of each row."""

    def __init__(self) -> None:
        self._writes: dict[tuple[str, ...], Write] = {}
        #: Since when a row has not been what it should be, however often that has changed.
        self._since: dict[tuple[str, ...], float] = {}
        #: Writes that were given up because too many waited.
        self.dropped = 0

    def __len__(self) -> int:
        return len(self._writes)

    def put(self, table: str, key: Mapping[str, Any], values: Mapping[str, Any] | None, now: float) -> Write:
        """Add a write, and return it; it replaces the one of the same row. ``now`` is by a monotonic clock."""
        at = _place(table, key)
        self._writes.pop(at, None)  # the order is that of the latest changes
        self._writes[at] = made = Write(table, key, values, now)
        self._since.setdefault(at, now)
        if len(self._writes) > MOST_WAITING:
            first = next(iter(self._writes))
            del self._writes[first], self._since[first]
            self.dropped += 1
        return made

    def drop(self, *tables: str) -> None:
        """Forget what waits for some tables."""
        self._keep({at: one for at, one in self._writes.items() if one.table not in tables})

    def waiting(self) -> list[Write]:
        """Return what waits, in order."""
        return list(self._writes.values())

    def older(self, than: float) -> int:
        """Return how many rows have waited since before a moment of the monotonic clock."""
        return sum(since < than for since in self._since.values())

    def done(self, writes: Sequence[Write]) -> None:
        """Forget what has been written, unless a later write took its place."""
        written = {id(write) for write in writes}
        for write in writes:
            at = _place(write.table, write.key)
            if at in self._writes:  # a later one has waited since it was put, and no longer
                self._since[at] = self._writes[at].at
        self._keep({at: write for at, write in self._writes.items() if id(write) not in written})

    def _keep(self, writes: dict[tuple[str, ...], Write]) -> None:
        self._writes = writes
        self._since = {at: since for at, since in self._since.items() if at in writes}


def _place(table: str, key: Mapping[str, Any]) -> tuple[str, ...]:
    return (table, *(str(part) for part in key.values()))


@dataclass(frozen=True, slots=True)
class Shared:
    """What all instances and operators of a service wrote.

    :ivar engines: by owner. :ivar alerts: rows of all owners. :ivar sent: by fingerprint, then channel.
    """

    engines: Mapping[str, Row] = field(default_factory=dict)
    alerts: Sequence[Row] = ()
    silences: Mapping[str, Silence] = field(default_factory=dict)
    acknowledgements: Mapping[str, Acknowledgement] = field(default_factory=dict)
    sent: Mapping[str, Mapping[str, Sent]] = field(default_factory=dict)


async def write(connection: AsyncConnection, writes: Sequence[Write]) -> None:
    """Make the rows be what the writes say."""
    from bedplate.monitor.alerts.tables import TABLES

    for one in writes:
        table = TABLES[one.table]
        if one.values is None:
            await connection.execute(table.delete().where(*(table.c[name] == value for name, value in one.key.items())))
        else:
            await connection.execute(_upsert(connection, table, one))


def _upsert(connection: AsyncConnection, table: Table, one: Write) -> Any:
    assert one.values is not None
    if connection.dialect.name == "postgresql":
        from sqlalchemy.dialects.postgresql import insert as postgresql_insert

        statement: Any = postgresql_insert(table)
    else:
        from sqlalchemy.dialects.sqlite import insert as sqlite_insert

        statement = sqlite_insert(table)
    statement = statement.values(**{name: _plain(value) for name, value in (*one.key.items(), *one.values.items())})
    changed = {name: statement.excluded[name] for name in one.values}
    return statement.on_conflict_do_update(index_elements=list(one.key), set_=changed)


def _plain(value: Any) -> Any:
    # SQLite has no NaN, and takes it for NULL, which is what a missing value is here.
    return None if isinstance(value, float) and math.isnan(value) else value


async def read_shared(connection: AsyncConnection, service: str) -> Shared:
    """Read what is shared of one service."""
    from sqlalchemy import select

    from bedplate.monitor.alerts.tables import ACKNOWLEDGEMENTS, CURRENT, ENGINES, SENT, SILENCES

    async def rows(table: Table) -> list[Row]:
        found = await connection.execute(select(table).where(table.c.service == service))
        return [dict(row) for row in found.mappings()]

    sent: dict[str, dict[str, Sent]] = {}
    for row in await rows(SENT):
        sent.setdefault(row["fingerprint"], {})[row["channel"]] = sent_of(row)
    return Shared(
        {row["owner"]: row for row in await rows(ENGINES)},
        await rows(CURRENT),
        {row["id"]: silence_of(row) for row in await rows(SILENCES)},
        {
            row["fingerprint"]: Acknowledgement(actor=row["actor"], note=row["note"], at=row["at"])
            for row in await rows(ACKNOWLEDGEMENTS)
        },
        sent,
    )


def sent_of(row: Row) -> Sent:
    """Return a delivery from its row."""
    return Sent(channel=row["channel"], status=row["status"], episode=row["episode"], at=row["at"], times=row["times"])


def silence_of(row: Row) -> Silence:
    """Return a silence from its row."""
    return Silence(
        id=row["id"],
        matchers=tuple(Matcher(*parts) for parts in orjson.loads(row["matchers"])),
        starts=row["starts"],
        ends=row["ends"],
        actor=row["actor"],
        comment=row["comment"],
        created=row["created"],
    )


async def read_history(
    connection: AsyncConnection,
    service: str,
    *,
    limit: int,
    since: float,
    until: float | None,
    name: str,
    fingerprint: str,
) -> list[Row]:
    """Return transitions as rows, the latest first."""
    from sqlalchemy import select

    from bedplate.monitor.alerts.tables import HISTORY

    query = select(HISTORY).where(HISTORY.c.service == service, HISTORY.c.at >= since)
    if until is not None:
        query = query.where(HISTORY.c.at <= until)
    if name:
        query = query.where(HISTORY.c.name == name)
    if fingerprint:
        query = query.where(HISTORY.c.fingerprint == fingerprint)
    found = await connection.execute(query.order_by(HISTORY.c.at.desc(), HISTORY.c.id.desc()).limit(limit))
    return [dict(row) for row in found.mappings()]


async def tidy(connection: AsyncConnection, service: str, before: float) -> None:
    """Delete what ended before a moment: transitions, silences, deliveries, instances."""
    from bedplate.monitor.alerts.tables import CURRENT, ENGINES, HISTORY, SENT, SILENCES

    for table, column in ((HISTORY, "at"), (SILENCES, "ends"), (SENT, "at"), (ENGINES, "seen_at")):
        await connection.execute(table.delete().where(table.c.service == service, table.c[column] < before))
    old = CURRENT.c.resolved_at < before
    await connection.execute(CURRENT.delete().where(CURRENT.c.service == service, old))
