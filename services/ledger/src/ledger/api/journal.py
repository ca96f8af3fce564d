"""The journal: entries of any lines, reversals, and what an account has had."""

from __future__ import annotations

from dataclasses import replace

from fastapi import APIRouter, Depends, Query, Request
from starlette.responses import Response

from ledger.api.parts import Parts, Refused
from ledger.api.posting import taken
from ledger.api.schemas import EntryIn, EntryOut, Page, PostedOut, ReversalIn
from ledger.components import NoSuchEntry, Taken, Who
from ledger.entries import BadEntry, Entry
from ledger.money import shown
from ledger.records import journal

__all__ = ["routes"]

_MOST = 1 << 62


def routes(parts: Parts) -> APIRouter:
    """Return the endpoints of the journal."""
    router = APIRouter(tags=["journal"])
    books = parts.books

    @router.post("/journal", status_code=201)
    async def post(asked: EntryIn, request: Request, response: Response, who: Who = Depends(parts.writer)) -> PostedOut:
        """Post an entry whose debits and credits are equal in each currency."""
        named = all(line.currency is not None for line in asked.lines)
        entry = asked.entry("" if named else (await parts.organization(who)).currency)
        entry = replace(entry, reference=entry.reference or parts.reference(request, who))
        await _may_be_posted(who, entry)
        return await _posted(who, entry, response)

    async def _may_be_posted(who: Who, entry: Entry) -> None:
        accounts = await books.accounts(who.organization)
        for place, line in enumerate(entry.lines):
            account = accounts.get(line.account)
            if account is None or account.closed:
                why = "closed" if account is not None else "not there"
                what = f"The account {line.account!r} is {why}."
                raise BadEntry(f"lines/{place}/account", what, "Open it first, or write the code of another.")

    async def _posted(who: Who, entry: Entry, response: Response) -> PostedOut:
        try:
            (posted,) = await books.post(who.organization, [entry])
        except Taken as error:
            raise taken(error) from None
        parts.written(response)
        response.status_code = 201 if posted.outcome == "added" else 200
        return PostedOut(id=posted.id, outcome="added" if posted.outcome == "added" else "known")

    @router.get("/journal")
    async def find(cursor: str = "", limit: int = Query(50, ge=1, le=200), who: Who = Depends(parts.reader)) -> Page:
        """List entries with their lines, that with the highest number first."""
        async with books.reading(who.organization) as scope:
            found = await journal.page(scope, cursor=cursor, limit=limit)
        return Page(items=[EntryOut.of(one) for one in found.items], next=found.cursor or None)

    @router.get("/journal/{id}")
    async def show(id: int, who: Who = Depends(parts.reader)) -> EntryOut:
        """Show an entry, and what has taken it back."""
        async with books.reading(who.organization) as scope:
            found = await journal.by_id(scope, id) if 0 <= id < _MOST else None
        if found is None:
            raise NoSuchEntry
        return EntryOut.of(found)

    @router.post("/journal/{id}/reverse", status_code=201)
    async def reverse(
        id: int, response: Response, asked: ReversalIn | None = None, who: Who = Depends(parts.writer)
    ) -> PostedOut:
        """Take an entry back by its opposite; what is posted is never changed. It is done once."""
        asked = asked or ReversalIn()
        if not 0 <= id < _MOST:
            raise NoSuchEntry
        try:
            posted = await books.reverse(who.organization, id, asked.day, asked.memo)
        except Taken as error:
            raise taken(error) from None
        parts.written(response)
        return PostedOut(id=posted.id, outcome="added")

    @router.get("/accounts/{code}/lines")
    async def statement(
        code: str, cursor: str = "", limit: int = Query(50, ge=1, le=200), who: Who = Depends(parts.reader)
    ) -> Page:
        """List what an account has had, the latest day first; debits are positive."""
        if code not in await books.accounts(who.organization):
            raise Refused(404, f"You have no account {code[:40]!r}.")
        async with books.reading(who.organization) as scope:
            found = await journal.statement(scope, code, cursor=cursor, limit=limit)
        items = [
            {"day": row.day.isoformat(), "entry": row.id, "amount": shown(row.amount, row.currency),
             "currency": row.currency}
            for row in found.items
        ]  # fmt: skip
        return Page(items=items, next=found.cursor or None)

    return router
