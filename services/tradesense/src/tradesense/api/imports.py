"""Importing the files of brokers."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Depends, Query, Request
from pydantic import ValidationError
from starlette.responses import Response

from tradesense.api.parts import Parts, Refused, asked_of, body_of
from tradesense.api.schemas import ImportOut, ImportRequest, MappingIn, Page
from tradesense.importing import FIELDS, PRESETS, Column, Mapping
from tradesense.records import imports
from tradesense.records.users import User

__all__ = ["routes"]

_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "text/csv": {
                "schema": {"type": "string"},
                "example": "Date,Side,Symbol,Quantity,Price,Fee\n2025-01-06 15:30,buy,ACME,10,185.50,1.00\n",
            },
            "application/json": {"schema": ImportRequest.model_json_schema(ref_template="#/$defs/{model}")},
        },
    }
}


def routes(parts: Parts) -> APIRouter:
    """Return the endpoints of imports."""
    router = APIRouter(tags=["imports"])
    records = parts.records

    @router.get("/brokers")
    async def brokers() -> dict[str, Any]:
        """List the brokers whose files are known, and the fields that a mapping of your own may name."""
        return {
            "brokers": [{"name": one.broker, "title": one.title} for one in PRESETS.values()],
            "fields": list(FIELDS),
        }

    @router.post("/imports", status_code=201, openapi_extra=_BODY)
    async def import_file(
        request: Request,
        broker: str = Query("auto", description="Whose file it is; `auto` tells it by its header."),
        account: str = Query("", max_length=64, description="Whose trades they are, where no column says so."),
        name: str = Query("", max_length=200, description="What you call the file."),
        user: User = Depends(parts.user),
    ) -> ImportOut:
        """Import a broker's CSV file. Bad lines are told and cost the others nothing; again, it adds nothing twice."""
        body = await body_of(request, parts.body_bytes)
        mapping: Mapping | None = None
        if broker != "auto":
            if broker not in PRESETS:
                raise Refused(422, f"{broker!r} is no broker that is known. There are {', '.join(PRESETS)}.")
            mapping = PRESETS[broker]
        if body.lstrip()[:1] == b"{":
            asked = _explained(body)
            body, mapping = asked.csv.encode(), _mapping(asked.mapping)
        return ImportOut.of(await parts.imports.run(user, body, mapping=mapping, account=account, name=name))

    @router.get("/imports")
    async def find(cursor: str = "", limit: int = Query(50, ge=1, le=200), user: User = Depends(parts.user)) -> Page:
        """List imports, the latest first."""
        async with records.reading() as connection:
            found = await imports.page(connection, user.id, cursor=cursor, limit=limit)
        return Page(items=[ImportOut.of(one) for one in found.items], next=found.cursor or None)

    @router.get("/imports/{id}")
    async def show(id: str, user: User = Depends(parts.user)) -> ImportOut:
        """Show what came of a file."""
        async with records.reading() as connection:
            done = await imports.by_id(connection, user.id, id)
        if done is None:
            raise Refused(404, "You have no such import.")
        return ImportOut.of(done)

    @router.delete("/imports/{id}", status_code=202)
    async def undo(id: str, user: User = Depends(parts.user)) -> Response:
        """Ask to delete an import with its trades; done once what ``Location`` names is confirmed."""
        return asked_of(parts, await parts.deletions.ask(user, "import", id))

    return router


def _explained(body: bytes) -> ImportRequest:
    try:
        return ImportRequest.model_validate_json(body)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        place = "/".join(map(str, first["loc"]))
        raise Refused(422, f"The body is no file with a mapping: {place}: {first['msg']}.") from None


def _mapping(asked: MappingIn) -> Mapping:
    fields = {
        name: tuple(Column((one.strip().lower(),)) for one in ([names] if isinstance(names, str) else names))
        for name, names in asked.columns.items()
    }
    return Mapping(
        broker="own",
        title="your own mapping",
        fields=fields,
        kinds={word.strip().lower(): kind for word, kind in asked.kinds.items()},
        times=tuple(asked.times),
        zone=asked.zone,
        currency=asked.currency or "",
        point=asked.point,
    )
