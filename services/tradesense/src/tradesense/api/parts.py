"""What endpoints work with, and who asks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from starlette.requests import HTTPConnection, Request
from starlette.responses import Response

from bedplate.problems import Problem
from bedplate.state.confirmations import Confirmation, accepted
from bedplate.state.limits import Key, by_client
from bedplate.state.sessions import NotSignedInError, Session, Sessions
from tradesense.api.schemas import NO_NUL
from tradesense.components import Accounts, Analytics, Deletions, Imports, Live, Market, Records
from tradesense.components.analytics import today
from tradesense.components.deletions import Deletion
from tradesense.records.users import User

__all__ = ["Parts", "Refused", "asked_of", "body_of", "text_only"]


class Refused(Exception):
    """A request that is answered with a problem."""

    def __init__(self, status: int, detail: str, *, extra: Mapping[str, Any] | None = None) -> None:
        super().__init__(detail)
        self.problem = Problem(status=status, detail=detail, extra=extra or {})


@dataclass(frozen=True, slots=True)
class Parts:
    """The components, and what several endpoints ask of them.

    :param body_bytes: how large the body of an upload may be. :param client: whom a request comes from.
    """

    records: Records
    sessions: Sessions
    accounts: Accounts
    analytics: Analytics
    imports: Imports
    market: Market
    live: Live
    deletions: Deletions
    body_bytes: int = 16 * 1024 * 1024
    client: Key = field(default_factory=by_client)

    async def session(self, request: HTTPConnection) -> Session:
        """Return the session of a request; a dependency."""
        return await self.sessions.current(request)

    async def user_id(self, request: HTTPConnection) -> str:
        """Return the id of who asks. :raises NotSignedInError: (401) when nobody is signed in."""
        return (await self.sessions.required(request)).user or ""

    async def user(self, request: HTTPConnection) -> User:
        """Return who asks; a dependency.

        :raises NotSignedInError: (401) when nobody is signed in, or the account is gone.
        """
        user = await self.accounts.user_of(await self.sessions.required(request))
        if user is None:
            raise NotSignedInError
        return user

    def address(self, request: HTTPConnection) -> str:
        """Return the network address of a request, as limits count it."""
        return self.client(request.scope) or "unknown"

    def today(self, user: User) -> date:
        """Return the day that it is for a user."""
        return today(user, self.records.now())


def asked_of(parts: Parts, asked: Confirmation[Deletion] | None) -> Response:
    """Return the answer of an endpoint that asks before it deletes: 202, and where to decide.

    :raises Refused: (404) when there is nothing to delete.
    """
    if asked is None:
        raise Refused(404, "You have nothing like that.")
    return accepted(parts.deletions.confirmations, asked, "/api/v1/confirmations")


async def text_only(request: Request) -> None:
    """Make sure that no parameter has the one character that databases do not keep; a dependency.

    :raises Refused: (422) when one has.
    """
    places = (("path", request.path_params.items()), ("query", request.query_params.multi_items()))
    wrong = [(place, name) for place, given in places for name, value in given if "\0" in f"{name}{value}"]
    if wrong:
        raise Refused(
            422,
            f"A parameter {NO_NUL}.",
            extra={
                "errors": [
                    {"in": place, "parameter": name.replace("\0", "\ufffd"), "detail": NO_NUL} for place, name in wrong
                ]
            },
        )


async def body_of(request: Request, limit: int) -> bytes:
    """Return the whole body.

    :raises Refused: when it is empty, a form, or larger than ``limit`` bytes.
    """
    if request.headers.get("content-type", "").lower().startswith(("multipart/", "application/x-www-form")):
        raise Refused(
            415, "Send the file as the body itself: curl --data-binary @trades.csv -H 'Content-Type: text/csv'"
        )
    too_large = Refused(413, f"The body is larger than {limit / 2**20:,.0f} MiB. Send it in parts.")
    declared = request.headers.get("content-length", "")
    if declared.isdigit() and int(declared) > limit:
        raise too_large
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > limit:
            raise too_large
    if not body.strip():
        raise Refused(422, "The body is empty. Send a CSV file.")
    return bytes(body)
