"""The journal: notes and tags, of trades and of days."""

from __future__ import annotations

from dataclasses import replace

from fastapi import APIRouter, Depends, Query
from uuid_utils import uuid7

from tradesense.api.parts import Parts, Refused
from tradesense.api.schemas import EntryIn, EntryOut, EntryPatch, Page
from tradesense.records import journal, trades
from tradesense.records.journal import Entry
from tradesense.records.users import User
from tradesense.tables import micros

__all__ = ["routes"]

_NO_ENTRY = "You have no such entry."


def routes(parts: Parts) -> APIRouter:
    """Return the endpoints of the journal."""
    router = APIRouter(tags=["journal"])
    records = parts.records

    @router.post("/journal", status_code=201)
    async def write(asked: EntryIn, user: User = Depends(parts.user)) -> EntryOut:
        """Write a note."""
        at = int(records.now() * 1e6) if asked.at is None else micros(asked.at)
        entry = Entry(str(uuid7()), at, asked.trade_id, asked.text, tuple(dict.fromkeys(asked.tags)))
        async with records.writing() as connection:
            if entry.trade_id and await trades.by_id(connection, user.id, entry.trade_id) is None:
                raise Refused(422, "You have no such trade. Leave trade_id out for a note of a day.")
            await journal.add(connection, user.id, entry)
        await records.changed(user.id)
        return EntryOut.of(entry)

    @router.get("/journal")
    async def find(
        cursor: str = "",
        limit: int = Query(50, ge=1, le=200),
        tag: str = "",
        trade_id: str = "",
        user: User = Depends(parts.user),
    ) -> Page:
        """List notes, the latest first."""
        async with records.reading() as connection:
            found = await journal.page(
                connection, user.id, cursor=cursor, limit=limit, tag=tag.lower(), trade_id=trade_id
            )
        return Page(items=[EntryOut.of(one) for one in found.items], next=found.cursor or None)

    @router.get("/journal/{id}")
    async def show(id: str, user: User = Depends(parts.user)) -> EntryOut:
        """Show a note."""
        async with records.reading() as connection:
            entry = await journal.by_id(connection, user.id, id)
        if entry is None:
            raise Refused(404, _NO_ENTRY)
        return EntryOut.of(entry)

    @router.patch("/journal/{id}")
    async def mend(id: str, asked: EntryPatch, user: User = Depends(parts.user)) -> EntryOut:
        """Change a note."""
        async with records.writing() as connection:
            entry = await journal.by_id(connection, user.id, id)
            if entry is None:
                raise Refused(404, _NO_ENTRY)
            entry = replace(
                entry,
                text=entry.text if asked.text is None else asked.text,
                at=entry.at if asked.at is None else micros(asked.at),
                tags=entry.tags if asked.tags is None else tuple(dict.fromkeys(asked.tags)),
            )
            await journal.change(connection, user.id, entry)
        await records.changed(user.id)
        return EntryOut.of(entry)

    @router.delete("/journal/{id}", status_code=204)
    async def delete(id: str, user: User = Depends(parts.user)) -> None:
        """Delete a note."""
        async with records.writing() as connection:
            if not await journal.delete(connection, user.id, id):
                raise Refused(404, _NO_ENTRY)
        await records.changed(user.id)

    return router
