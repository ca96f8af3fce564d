"""Tokens: whose organisation a request is of, and what it may do there."""

from __future__ import annotations

import hmac
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from starlette.datastructures import Headers
from starlette.types import Scope

from bedplate.component import BoundCounter, Host, Spec
from bedplate.database import DatabaseUnavailableError
from bedplate.problems import BedplateError
from bedplate.settings.secret import Secret
from bedplate.state.answering import Answering
from ledger.components.books import Books
from ledger.components.signals.tokens import ALERTS, METRICS, OUTCOMES, PANELS, RUNBOOK, USED
from ledger.records import tokens
from ledger.records.tokens import Kept, TokenRole

__all__ = ["NotAllowed", "Tokens", "Unauthenticated", "Who"]

#: What secrets are compared with where there is no such token, so that both take the same time.
_NOBODYS = "0" * 64
#: Where in the state of a request it is kept whose it is.
_WHO = "ledger_who"


class Unauthenticated(BedplateError, Answering):
    """No token, or none that opens anything; over HTTP a 401."""

    status = 401
    answer = "Send a token of your organisation: Authorization: Bearer lgr_…"

    def __init__(self) -> None:
        super().__init__("The request has no token that opens anything.", "Send a token of the organisation.")
        self.headers = {"WWW-Authenticate": 'Bearer realm="ledger"'}


class NotAllowed(BedplateError, Answering):
    """A token that may only read; over HTTP a 403."""

    status = 403
    answer = "This token may only read. Use one with the role write."

    def __init__(self) -> None:
        super().__init__("The token may only read.", "Use one with the role write.")
        self.headers = None


class Unknowable(DatabaseUnavailableError, Answering):
    """The books are away, and whom a request is for cannot be told; over HTTP a 503."""

    status = 503
    answer = "The books cannot be reached now. Nothing has been posted; try again in a moment."


@dataclass(frozen=True, slots=True)
class Who:
    """Whom a request is for. :ivar token: the id of the token."""

    organization: int
    role: TokenRole
    token: str


class Tokens:
    """Makes tokens for organisations, and knows them again by their hashes.

    :param admin: the token that opens organisations; without one anybody may.
    """

    def __init__(self, *, books: Books, admin: Secret | None = None) -> None:
        self._books = books
        self._admin = admin
        self._kept = books.cache.cached(ttl=60.0, key="token:{id}", tags=("token:{id}",), negative=0)(self._read)
        self._used: dict[str, BoundCounter] = {}
        self._host: Host | None = None

    @property
    def spec(self) -> Spec:
        """What it is."""
        return Spec(
            kind="tokens",
            summary="Knows by its token which organisation a request is of.",
            needs=(self._books,),
            scope="cluster",
            metrics=METRICS,
            alerts=ALERTS,
            panels=PANELS,
            runbook=RUNBOOK,
        )

    @asynccontextmanager
    async def lifespan(self, host: Host) -> AsyncIterator[None]:
        """Count who asks while inside."""
        self._host = host
        self._used = {outcome: host.bind(USED, outcome=outcome) for outcome in OUTCOMES}
        yield
        self._host = None

    async def who(self, scope: Scope, needed: TokenRole = "read") -> Who:
        """Return whom a request is for, by its header; looked up once a request.

        :raises Unauthenticated: when its token opens nothing. :raises NotAllowed: when it may only read.
        """
        state = scope.setdefault("state", {})
        who: Who | None = state.get(_WHO)
        if who is None:
            who = state[_WHO] = await self._identified(Headers(scope=scope).get("authorization", ""))
        if needed == "write" and who.role != "write":
            self._used["role"].inc()
            raise NotAllowed
        return who

    async def caller(self, scope: Scope) -> str:
        """Return who posts, for what remembers answers: it gives none to who may not post any more.

        :raises Unauthenticated: when its token opens nothing. :raises NotAllowed: when it may only read.
        :raises Unknowable: (503) when the database is away.
        """
        try:
            return f"token:{(await self.who(scope, 'write')).token}"
        except DatabaseUnavailableError as error:
            raise Unknowable(str(error)) from error

    async def _identified(self, authorization: str) -> Who:
        scheme, _, token = authorization.partition(" ")
        found = tokens.parsed(token.strip()) if scheme.lower() == "bearer" else None
        if found is None:
            self._used["unknown" if token else "missing"].inc()
            raise Unauthenticated
        id, secret = found
        kept = await self._kept(id)
        if not tokens.fits(secret, kept.hash if kept is not None else _NOBODYS) or kept is None:
            self._used["unknown"].inc()
            raise Unauthenticated
        if kept.revoked is not None:
            self._used["revoked"].inc()
            assert self._host is not None
            self._host.log.warning("token_revoked", token=id, organization=kept.organization_id)
            raise Unauthenticated
        self._used["accepted"].inc()
        return Who(kept.organization_id, kept.role, id)

    def may_open(self, authorization: str) -> None:
        """Make sure that somebody may open organisations. :raises Unauthenticated: when not."""
        if self._admin is None:
            return
        token = authorization.partition(" ")[2].strip()
        if not hmac.compare_digest(token.encode(), self._admin.reveal().encode()):
            self._used["unknown" if token else "missing"].inc()
            raise Unauthenticated

    async def create(self, organization: int, role: TokenRole, label: str) -> tuple[Kept, str]:
        """Make a token; return what is kept of it, and the token, which nobody can tell again."""
        now = self._books.now()
        return await self._books.database.run(
            lambda connection: tokens.create(connection, organization, role, label, now)
        )

    async def show(self, organization: int) -> list[Kept]:
        """Return what is kept of an organisation's tokens."""
        async with self._books.looking(organization) as scope:
            return await tokens.show(scope)

    async def revoke(self, organization: int, id: str) -> bool:
        """Let a token open nothing, everywhere and at once; False when there is none that did."""
        async with self._books.writing(organization) as scope:
            revoked = await tokens.revoke(scope, id, self._books.now())
        await self._books.cache.invalidate(tags=(f"token:{id}",))
        return revoked

    async def _read(self, id: str) -> Kept | None:
        async with self._books.database.connect() as connection:
            return await tokens.by_id(connection, id)
