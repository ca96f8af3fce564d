"""Signing up, in and out."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Body, Depends, Request
from starlette.responses import Response

from bedplate.state.sessions import Session
from tradesense.api.parts import Parts, Refused, asked_of
from tradesense.api.schemas import Credentials, Password, Profile, ProfilePatch, Proof, SessionOut, SignUp
from tradesense.records.users import User

__all__ = ["routes"]


def routes(parts: Parts) -> APIRouter:
    """Return the endpoints of accounts."""
    router = APIRouter(tags=["accounts"])
    accounts, sessions = parts.accounts, parts.sessions

    @router.post("/sign-up", status_code=201)
    async def sign_up(asked: SignUp, request: Request, session: Session = Depends(parts.session)) -> Profile:
        """Open an account and sign in."""
        user = await accounts.sign_up(
            asked.email, asked.password, parts.address(request), name=asked.name, base=asked.base
        )
        await session.sign_in(user.id)
        return Profile.of(user)

    @router.post("/sign-in")
    async def sign_in(asked: Credentials, request: Request, session: Session = Depends(parts.session)) -> Profile:
        """Sign in; the cookie of the answer is the proof."""
        user = await accounts.sign_in(session, asked.email, asked.password, parts.address(request), label=asked.label)
        return Profile.of(user)

    @router.post("/sign-out", status_code=204)
    async def sign_out(session: Session = Depends(parts.session)) -> None:
        """Sign out here."""
        await session.sign_out()

    @router.post("/sign-out-everywhere")
    async def sign_out_everywhere(
        but_here: bool = False, session: Session = Depends(sessions.required)
    ) -> dict[str, int]:
        """Sign out on all devices; with ``but_here`` this one stays."""
        return {"ended": await session.sign_out_everywhere(but_here=but_here)}

    @router.get("/sessions")
    async def list_sessions(session: Session = Depends(sessions.required)) -> list[SessionOut]:
        """List where one is signed in, the last used first."""
        assert session.user is not None
        return [
            SessionOut(
                id=one.id,
                created=datetime.fromtimestamp(one.created, UTC),
                seen=datetime.fromtimestamp(one.seen, UTC),
                agent=one.agent,
                label=one.label,
                current=one.current,
            )
            for one in await sessions.list(session.user, current=session)
        ]

    @router.delete("/sessions/{id}", status_code=204)
    async def end_session(id: str, session: Session = Depends(sessions.required)) -> None:
        """Sign out one device."""
        if not await sessions.revoke(id, user=session.user):
            raise Refused(404, "You have no such session. The list of your sessions has the ids that there are.")

    @router.get("/me")
    async def me(user: User = Depends(parts.user)) -> Profile:
        """Say who one is."""
        return Profile.of(user)

    @router.patch("/me")
    async def change_me(asked: ProfilePatch, user: User = Depends(parts.user)) -> Profile:
        """Change the base currency, the method of lots, the time zone …; analyses follow."""
        values = asked.model_dump(exclude_none=True)
        return Profile.of(await accounts.change(user, values) if values else user)

    @router.post("/me/password", status_code=204)
    async def change_password(
        asked: Password, session: Session = Depends(sessions.required), user: User = Depends(parts.user)
    ) -> None:
        """Change the password; all other devices are signed out."""
        await accounts.change_password(session, user, asked.old, asked.new)

    @router.delete("/me", status_code=202, openapi_extra={"requestBody": {"required": True}})
    async def close(asked: Annotated[Proof | None, Body()] = None, user: User = Depends(parts.user)) -> Response:
        """Ask to delete the account with all that is in it; done once what ``Location`` names is confirmed."""
        if asked is None:
            # Few clients send a body with DELETE unasked, so what is missing is said in words.
            detail = 'Your password is missing. Send it as the body, as JSON: {"password": "…"}.'
            raise Refused(422, detail, extra={"errors": [{"in": "body", "pointer": "#/password", "detail": detail}]})
        await accounts.verify(user, asked.password)
        return asked_of(parts, await parts.deletions.ask(user, "account"))

    return router
