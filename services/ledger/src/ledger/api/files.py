"""CSV files in and out."""

from __future__ import annotations

import csv
import io
from collections.abc import AsyncIterator, Sequence
from datetime import date
from typing import Any, Literal

from fastapi import APIRouter, Depends, Query, Request
from starlette.responses import Response, StreamingResponse

from ledger.api.parts import Parts, body_of
from ledger.api.schemas import ImportOut, Page
from ledger.components import Who
from ledger.entries import TransactionKind
from ledger.money import shown
from ledger.reading import COLUMNS, EXPORTED, shielded
from ledger.records import imports, transactions

__all__ = ["routes"]

#: Rows of an export that are read, written and sent at once: so many that the event loop is not held up.
_PORTION = 250
#: Seconds that a file may take to arrive, for which it has a place that others wait for.
_UPLOAD = 120.0
_EXAMPLE = "day,kind,account,amount,counterparty,reference\n2025-11-03,revenue,4000,1200.00,ACME,INV-1\n"
_BODY: dict[str, Any] = {
    "requestBody": {"required": True, "content": {"text/csv": {"schema": {"type": "string"}, "example": _EXAMPLE}}}
}
_CSV: dict[int | str, dict[str, Any]] = {200: {"content": {"text/csv": {"schema": {"type": "string"}}}}}


def routes(parts: Parts) -> APIRouter:
    """Return the endpoints of files."""
    router = APIRouter(tags=["files"])
    books = parts.books

    @router.post("/imports", status_code=201, openapi_extra=_BODY)
    async def import_file(
        request: Request,
        response: Response,
        name: str = Query("", max_length=200, description="What you call the file."),
        who: Who = Depends(parts.writer),
    ) -> ImportOut:
        """Import a CSV file. Bad rows are told by line and cost the others nothing; again, it adds nothing twice."""
        await parts.importing.require(str(who.organization))
        async with parts.imports.place(who.organization):
            body = await body_of(request, parts.body_bytes, within=_UPLOAD)
            currency = (await parts.organization(who)).currency
            done = await parts.imports.run(who.organization, body, currency, name)
        parts.written(response)
        return ImportOut.of(done)

    @router.get("/imports")
    async def find(cursor: str = "", limit: int = Query(50, ge=1, le=200), who: Who = Depends(parts.reader)) -> Page:
        """List imports, the latest first."""
        async with books.reading(who.organization) as scope:
            found = await imports.page(scope, cursor=cursor, limit=limit)
        return Page(items=[ImportOut.of(one) for one in found.items], next=found.cursor or None)

    @router.get("/exports/{kind}.csv", response_class=StreamingResponse, responses=_CSV)
    async def export(
        kind: Literal["revenue", "expenses"],
        since: date | None = None,
        until: date | None = None,
        who: Who = Depends(parts.reader),
    ) -> StreamingResponse:
        """Take all revenue or expenses along, as a file that can be imported; however many there are."""
        which: TransactionKind = "revenue" if kind == "revenue" else "expense"
        headers = {"Content-Disposition": f'attachment; filename="{kind}.csv"', "Cache-Control": "no-store"}
        return StreamingResponse(_rows(parts, who, which, since, until), media_type="text/csv", headers=headers)

    return router


async def _rows(
    parts: Parts, who: Who, kind: TransactionKind, since: date | None, until: date | None
) -> AsyncIterator[bytes]:
    yield (",".join((*COLUMNS, "id", "reverses")) + "\r\n").encode()
    last: Any = None
    while True:
        # A transaction for each portion: whoever reads slowly holds no connection, and nobody ends what waits for him.
        async with parts.books.reading(who.organization) as scope:
            rows = await transactions.portion(scope, kind, after=last, since=since, until=until, most=_PORTION)
        if rows:
            yield _written(kind, rows)
        if len(rows) < _PORTION:
            return
        last = rows[-1]


def _written(kind: TransactionKind, rows: Sequence[Any]) -> bytes:
    out = io.StringIO(newline="")
    csv.writer(out).writerows(
        (row.day, kind, row.account, shown(row.amount, row.currency), row.currency, row.against,
         shielded(row.counterparty), shielded(row.memo), shielded(row.reference or f"{EXPORTED}{row.id}"), row.id,
         row.reverses)
        for row in rows
    )  # fmt: skip
    return out.getvalue().encode()
