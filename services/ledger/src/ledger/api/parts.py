"""What endpoints work with, and whose organisation a request is of."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from hashlib import blake2b
from typing import Any

from starlette.requests import HTTPConnection, Request
from starlette.responses import Response

from bedplate.problems import Problem
from bedplate.state.idempotency.keys import key_of
from bedplate.state.limits import Key, RateLimit, by_client
from ledger.components import Books, Imports, Rehearsal, Reports, Tokens, Who
from ledger.records.organizations import Organization

__all__ = ["WRITTEN", "Parts", "Refused", "body_of", "text_only"]

#: How far replicas must be to show what somebody has written; sent back, later requests see it.
WRITTEN = "Ledger-Written"
_NO_NUL = "holds the character U+0000, which is no text: leave it out"


class Refused(Exception):
    """A request that is answered with a problem."""

    def __init__(self, status: int, detail: str, *, extra: Mapping[str, Any] | None = None) -> None:
        super().__init__(detail)
        self.problem = Problem(status=status, detail=detail, extra=extra or {})


@dataclass(frozen=True, slots=True)
class Parts:
    """The components, and what several endpoints ask of them.

    :param opening: limits organisations that one address opens. :param importing: files that one organisation imports.
    :param body_bytes: how large the body of an upload may be. :param client: which address a request comes from.
    """

    books: Books
    tokens: Tokens
    reports: Reports
    imports: Imports
    rehearsal: Rehearsal
    opening: RateLimit
    importing: RateLimit
    body_bytes: int = 16 * 1024 * 1024
    client: Key = field(default_factory=by_client)

    async def reader(self, request: HTTPConnection) -> Who:
        """Return whom a request is for; a dependency.

        :raises Unauthenticated: (401) when its token opens nothing.
        """
        self.books.database.must_see(request.headers.get(WRITTEN, ""))
        return await self.tokens.who(request.scope)

    async def writer(self, request: HTTPConnection) -> Who:
        """Return whom a request is for, which may write; a dependency.

        :raises Unauthenticated: (401) when its token opens nothing. :raises NotAllowed: (403) when it may only read.
        """
        return await self.tokens.who(request.scope, "write")

    async def organization(self, who: Who) -> Organization:
        """Return the organisation of a request."""
        found = await self.books.organization(who.organization)
        if found is None:
            raise Refused(404, "Your organisation is not here any more.")
        return found

    def reference(self, request: Request, who: Who) -> str:
        """Return the reference of what has none of its own: one of the request's ``Idempotency-Key``, or none.

        What remembers keys forgets a request that failed, and when the database went away during the commit nobody
        knows whether that did. So the books themselves know what was posted with a key.
        """
        key = key_of(request.scope)
        return f"key:{blake2b(f'{who.token}:{key}'.encode(), digest_size=16).hexdigest()}" if key is not None else ""

    def written(self, response: Response) -> None:
        """Tell a client what it sends to see what it has written, wherever it reads; nothing without replicas."""
        if position := self.books.database.written:
            response.headers[WRITTEN] = position

    def today(self) -> date:
        """Return the day that it is in UTC."""
        return datetime.fromtimestamp(self.books.now() / 1e6, UTC).date()


async def text_only(request: Request) -> None:
    """Make sure that no parameter has the one character that databases do not keep; a dependency.

    :raises Refused: (422) when one has.
    """
    places = (("path", request.path_params.items()), ("query", request.query_params.multi_items()))
    wrong = [(place, name) for place, given in places for name, value in given if "\0" in f"{name}{value}"]
    if wrong:
        errors = [{"in": place, "parameter": name.replace("\0", "\ufffd"), "detail": _NO_NUL} for place, name in wrong]
        raise Refused(422, f"A parameter {_NO_NUL}.", extra={"errors": errors})


async def body_of(request: Request, limit: int, within: float | None = None) -> bytes:
    """Return the whole body.

    :param within: seconds that it may take. :raises Refused: when it is empty, a form, larger than ``limit`` bytes, or
        takes longer.
    """
    if request.headers.get("content-type", "").lower().startswith(("multipart/", "application/x-www-form")):
        raise Refused(415, "Send the file as the body: curl --data-binary @books.csv -H 'Content-Type: text/csv'")
    too_large = Refused(413, f"The body is larger than {limit / 2**20:,.0f} MiB. Send it in parts.")
    declared = request.headers.get("content-length", "")
    if declared.isdigit() and int(declared) > limit:
        raise too_large
    body = bytearray()
    try:
        async with asyncio.timeout(within):
            async for chunk in request.stream():
                body += chunk
                if len(body) > limit:
                    raise too_large
    except TimeoutError:
        raise Refused(408, "The body took too long to arrive. Send it in parts.") from None
    if not body.strip():
        raise Refused(422, "The body is empty. Send a CSV file.")
    return bytes(body)
