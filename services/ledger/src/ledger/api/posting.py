"""Posting revenue and expenses, one by one and many at once; and listing them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from datetime import date
from typing import Any

from fastapi import APIRouter, Depends, Query, Request
from pydantic import ValidationError
from starlette.responses import Response

from ledger.api.parts import Parts, Refused, body_of
from ledger.api.schemas import BatchIn, BatchOut, Page, PostedOut, TransactionIn, TransactionOut
from ledger.chart import Account
from ledger.components import Taken, Who
from ledger.entries import BadEntry, Entry, TransactionKind
from ledger.reading import fits
from ledger.records import transactions

__all__ = ["routes", "taken"]

_KINDS: dict[str, TransactionKind] = {"/revenue": "revenue", "/expenses": "expense"}
_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {"application/json": {"schema": BatchIn.model_json_schema(ref_template="#/$defs/{model}")}},
    }
}


def routes(parts: Parts) -> APIRouter:
    """Return the endpoints of transactions."""
    router = APIRouter(tags=["transactions"])
    books = parts.books

    def add(path: str, kind: TransactionKind) -> None:
        async def post(
            asked: TransactionIn, request: Request, response: Response, who: Who = Depends(parts.writer)
        ) -> PostedOut:
            entry = asked.entry(kind, await _currency(parts, who, [asked]))
            entry = replace(entry, reference=entry.reference or parts.reference(request, who))
            _check(await books.accounts(who.organization), [entry])
            try:
                (posted,) = await books.post(who.organization, [entry])
            except Taken as error:
                raise taken(error) from None
            parts.written(response)
            response.status_code = 201 if posted.outcome == "added" else 200
            return PostedOut(id=posted.id, outcome="added" if posted.outcome == "added" else "known")

        async def find(
            cursor: str = "",
            limit: int = Query(50, ge=1, le=200),
            since: date | None = None,
            until: date | None = None,
            account: str = Query("", max_length=20),
            who: Who = Depends(parts.reader),
        ) -> Page:
            async with books.reading(who.organization) as scope:
                found = await transactions.page(
                    scope, kind, cursor=cursor, limit=limit, since=since, until=until, account=account
                )
            return Page(items=[TransactionOut.of(row) for row in found.items], next=found.cursor or None)

        word = path.strip("/")
        _named(post, f"post_{word}", f"Post {word}. Sent twice with one reference, it is posted once.")
        _named(find, f"list_{word}", f"List {word}, the latest day first.")
        router.add_api_route(path, post, methods=["POST"], status_code=201, response_model=PostedOut)
        router.add_api_route(path, find, methods=["GET"], response_model=Page)

    for path, kind in _KINDS.items():
        add(path, kind)

    @router.post("/batch", openapi_extra=_BODY)
    async def batch(request: Request, response: Response, who: Who = Depends(parts.writer)) -> BatchOut:
        """Post up to 1,000 transactions, all of them or none; those known by their references are not posted again."""
        body = await body_of(request, parts.body_bytes)
        asked = await books.apart(_batch, body)
        currency, accounts = await _currency(parts, who, asked.transactions), await books.accounts(who.organization)
        entries = await books.apart(_entries, asked, currency, accounts, parts.reference(request, who))
        try:
            posted = await books.post(who.organization, entries, "batch")
        except Taken as error:
            raise taken(error) from None
        parts.written(response)
        added = sum(one.outcome == "added" for one in posted)
        return BatchOut(added=added, known=len(posted) - added, ids=[one.id for one in posted])

    return router


def taken(error: Taken) -> Refused:
    """Return the answer to a reference that another entry has: 409, and which it is."""
    return Refused(409, error.detail, extra={"id": error.id, "places": error.places})


def _named(endpoint: Callable[..., Awaitable[Any]], name: str, doc: str) -> None:
    endpoint.__name__, endpoint.__doc__ = name, doc


async def _currency(parts: Parts, who: Who, asked: Sequence[TransactionIn]) -> str:
    """Return the currency of those that name none; mostly all name one, and nobody need be asked."""
    if all(one.currency is not None for one in asked):
        return ""
    return (await parts.organization(who)).currency


def _batch(body: bytes) -> BatchIn:
    try:
        return BatchIn.model_validate_json(body)
    except ValidationError as error:
        errors = [
            {"in": "body", "pointer": "#/" + "/".join(map(str, one["loc"])), "detail": one["msg"]}
            for one in error.errors(include_url=False, include_input=False, include_context=False)[:20]
        ]
        raise Refused(422, "The body is no batch that can be posted.", extra={"errors": errors}) from None


def _entries(asked: BatchIn, currency: str, accounts: dict[str, Account], reference: str) -> list[Entry]:
    entries: list[Entry] = []
    for place, one in enumerate(asked.transactions):
        try:
            entry = one.entry(one.kind, currency)
            if reference and not entry.reference:
                entry = replace(entry, reference=f"{reference}:{place}")
            entry.check()
            entries.append(entry)
        except BadEntry as error:
            raise BadEntry(f"transactions/{place}/{error.field}", error.what, error.mend) from None
    _check(accounts, entries)
    return entries


def _check(accounts: dict[str, Account], entries: Sequence[Entry]) -> None:
    for place, entry in enumerate(entries):
        assert entry.transaction is not None and entry.kind != "journal"
        for field, what, mend in fits(entry.kind, entry.transaction, accounts):
            raise BadEntry(field if len(entries) == 1 else f"transactions/{place}/{field}", what, mend)
