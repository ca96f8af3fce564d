"""Organisations, their tokens and their accounts."""

from __future__ import annotations

from fastapi import APIRouter, Depends, Request

from ledger.api.parts import Parts, Refused
from ledger.api.schemas import AccountIn, AccountOut, AccountPatch, OrganizationIn, OrganizationOut, TokenIn, TokenOut
from ledger.chart import Account
from ledger.components import Who

__all__ = ["routes"]


def routes(parts: Parts) -> APIRouter:
    """Return the endpoints of organisations."""
    router = APIRouter(tags=["organisations"])
    books, tokens = parts.books, parts.tokens

    @router.post("/organizations", status_code=201)
    async def open_books(asked: OrganizationIn, request: Request) -> OrganizationOut:
        """Open books, with the usual accounts; the token of the answer is told once."""
        tokens.may_open(request.headers.get("authorization", ""))
        await parts.opening.require(parts.client(request.scope) or "unknown")
        made = await books.open(asked.name, asked.currency)
        _, token = await tokens.create(made.id, "write", "first")
        return OrganizationOut(id=made.id, name=made.name, currency=made.currency, token=token)

    @router.get("/organization")
    async def show(who: Who = Depends(parts.reader)) -> OrganizationOut:
        """Say whose books one's token opens."""
        found = await parts.organization(who)
        return OrganizationOut(id=found.id, name=found.name, currency=found.currency)

    @router.post("/tokens", status_code=201)
    async def make_token(asked: TokenIn, who: Who = Depends(parts.writer)) -> TokenOut:
        """Make a token that reads, or one that writes as well; it is told once, and kept as a hash."""
        kept, token = await tokens.create(who.organization, asked.role, asked.label)
        return TokenOut.of(kept, token)

    @router.get("/tokens")
    async def list_tokens(who: Who = Depends(parts.writer)) -> list[TokenOut]:
        """List tokens, without what makes them ones."""
        return [TokenOut.of(kept) for kept in await tokens.show(who.organization)]

    @router.delete("/tokens/{id}", status_code=204)
    async def revoke(id: str, who: Who = Depends(parts.writer)) -> None:
        """Let a token open nothing from now on, at once."""
        if not await tokens.revoke(who.organization, id):
            raise Refused(404, "You have no such token, or it is revoked already.")

    @router.get("/accounts")
    async def list_accounts(who: Who = Depends(parts.reader)) -> list[AccountOut]:
        """List the chart of accounts."""
        return [AccountOut.of(account) for account in (await books.accounts(who.organization)).values()]

    @router.post("/accounts", status_code=201)
    async def open_account(asked: AccountIn, who: Who = Depends(parts.writer)) -> AccountOut:
        """Open an account."""
        account = Account(asked.code, asked.name, asked.kind)
        if not await books.add_account(who.organization, account):
            raise Refused(409, f"You have an account {asked.code} already.")
        return AccountOut.of(account)

    @router.patch("/accounts/{code}")
    async def change_account(code: str, asked: AccountPatch, who: Who = Depends(parts.writer)) -> AccountOut:
        """Rename an account, close it, or open it again."""
        values = asked.model_dump(exclude_none=True)
        if values:
            await books.change_account(who.organization, code, values)
        account = (await books.accounts(who.organization)).get(code)
        if account is None:
            raise Refused(404, f"You have no account {code[:40]!r}.")
        return AccountOut.of(account)

    return router
