"""Seeing, in a running service, whether all declared indexes are there: one look into the catalog now and then."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bedplate.component import Host
from bedplate.database.indexes.ddl import made_on_sqlite
from bedplate.database.indexes.declaration import Index, declared_for
from bedplate.database.indexes.metrics import INDEXES
from bedplate.problems import BedplateError

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection

    from bedplate.database.component import Database

__all__ = ["Seen", "declared_in", "seen", "watch"]

#: Seconds between two looks, and until the next when the database is not open yet.
EVERY = 300.0
SOON = 15.0

_SERVER = """
SELECT x.relname, i.indisvalid
  OR EXISTS (SELECT FROM pg_stat_progress_create_index p WHERE p.index_relid = x.oid) AS valid
FROM pg_class x JOIN pg_index i ON i.indexrelid = x.oid WHERE x.relname IN :names"""
_FILE = "SELECT name, 1 FROM sqlite_master WHERE name IN :names"


@dataclass(frozen=True, slots=True)
class Seen:
    """Names of declared indexes, and of those that are missing or were left half made."""

    declared: tuple[str, ...]
    missing: tuple[str, ...] = ()
    invalid: tuple[str, ...] = ()


def declared_in(database: Database, host: Host) -> tuple[Index, ...]:
    """Return what the components of the running service declare for a database."""
    return declared_for(database, [view.component for view in host.components])


async def seen(connection: AsyncConnection, declared: Sequence[Index]) -> Seen:
    """Look for declared indexes. One that is being made is neither missing nor broken."""
    from sqlalchemy import bindparam, text

    file = connection.dialect.name == "sqlite"
    parts = {index.name: [made.name for made in made_on_sqlite(index)] if file else [index.name] for index in declared}
    names = [name for those in parts.values() for name in those]
    if not names:
        return Seen(())
    query = text(_FILE if file else _SERVER).bindparams(bindparam("names", expanding=True))
    found: dict[str, Any] = {row[0]: row[1] for row in await connection.execute(query, {"names": names})}
    missing = [name for name, those in parts.items() if not any(one in found for one in those)]
    invalid = [
        name for name, those in parts.items() if name not in missing and not all(found.get(one) for one in those)
    ]
    return Seen(tuple(parts), tuple(missing), tuple(invalid))


async def watch(database: Database, host: Host) -> None:
    """Show how many there are, for as long as the service runs."""
    told: Seen | None = None
    declared = declared_in(database, host)
    while True:
        host.bind(INDEXES, state="declared").set(float(len(declared)))
        pause = EVERY
        if not declared:
            now = Seen(())
        elif not database.is_open:
            await host.clock.sleep(SOON)
            continue
        else:
            try:
                async with database.connect() as connection:
                    now = await seen(connection, declared)
            except BedplateError:  # it is told already that the database is away
                await host.clock.sleep(SOON)
                continue
        host.bind(INDEXES, state="missing").set(float(len(now.missing)))
        host.bind(INDEXES, state="invalid").set(float(len(now.invalid)))
        if (now.missing or now.invalid) and now != told:
            mend = f"Run: bedplate db indexes … --apply (database {database.name})"
            host.log.warning("indexes_wanting", missing=list(now.missing), invalid=list(now.invalid), mend=mend)
        told = now
        await host.clock.sleep(pause)
