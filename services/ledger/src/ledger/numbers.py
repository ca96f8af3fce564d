"""Numbers of entries and organisations, taken from the database in blocks and counted off in the process."""

from __future__ import annotations

import asyncio
from typing import Final

from sqlalchemy import text

from bedplate.database import Database

__all__ = ["BLOCK", "Numbers"]

#: Entries whose numbers are taken at once; it is the increment of the sequence, too.
BLOCK: Final = 1000


class Numbers:
    """Gives out numbers of entries, each once, without asking the database each time.

    What a process had taken and not used when it ended is never used, so numbers have gaps and order nothing but the
    entries of one process.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._free: list[range] = []
        self._lock = asyncio.Lock()

    async def take(self, count: int) -> list[int]:
        """Return so many numbers; not within a transaction, as it needs one of its own.

        :raises DatabaseUnavailableError: when the database is away.
        """
        # While one waits for blocks, whoever needs few takes of those that are left: so it is asked again.
        while sum(map(len, self._free)) < count:
            async with self._lock:
                missing = count - sum(map(len, self._free))
                if missing > 0:
                    self._free += await self._blocks(-(-missing // BLOCK))
        # From here on nobody else has a turn.
        taken: list[int] = []
        while len(taken) < count:
            block = self._free.pop(0)
            wanted = count - len(taken)
            taken += block[:wanted]
            if len(block) > wanted:
                self._free.insert(0, block[wanted:])
        return taken

    async def _blocks(self, count: int) -> list[range]:
        async with self._database.begin() as connection:
            if connection.dialect.name == "postgresql":
                query = text("SELECT nextval('ledger_entries_numbers') FROM generate_series(1, :count)")
                firsts = [int(row[0]) for row in await connection.execute(query, {"count": count})]
                return [range(first, first + BLOCK) for first in firsts]
            return [await span(connection, "entries", count * BLOCK)]


async def span(connection: object, name: str, count: int) -> range:
    """Take so many numbers in a row, in the present transaction; of entries only on SQLite."""
    run = connection.execute  # type: ignore[attr-defined]
    if connection.dialect.name == "postgresql":  # type: ignore[attr-defined]
        sequence = f"ledger_{name}_numbers"
        # Whoever sets a sequence while another draws from it sets it back. Nobody else draws while it is set.
        one = "_shared" if count == 1 else ""
        await run(text(f"SELECT pg_advisory_xact_lock{one}(hashtext('{sequence}'))"))
        end = int((await run(text(f"SELECT nextval('{sequence}')"))).scalar_one()) + count
        if count > 1:
            await run(text(f"SELECT setval('{sequence}', :last)"), {"last": end - 1})
    else:
        query = "UPDATE ledger_numbers SET next = next + :count WHERE name = :name RETURNING next"
        end = int((await run(text(query), {"count": count, "name": name})).scalar_one())
    return range(end - count, end)
