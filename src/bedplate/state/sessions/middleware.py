"""Sessions between requests and the application: the cookie in, the session at hand, the cookie out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bedplate.problems import Problem
from bedplate.state.sessions.errors import SessionConflictError, SessionEndedError, SessionsUnavailableError
from bedplate.state.sessions.session import Session

if TYPE_CHECKING:
    from bedplate.state.sessions.component import Sessions

__all__ = ["SessionMiddleware"]

_VARY = (b"vary", b"Cookie")
_NO_STORE = (b"cache-control", b"no-store")


class SessionMiddleware:
    """Puts a :class:`Session` into ``request.state.session``, and saves it before the answer begins."""

    def __init__(self, app: ASGIApp, sessions: Sessions) -> None:
        self._app = app
        self._sessions = sessions

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI scope."""
        kind = scope["type"]
        if kind != "http":
            if kind == "websocket":
                # Its cookie cannot be set, so what is changed is saved by whoever changes it.
                session = Carried(self._sessions, scope, receive, send)
                scope.setdefault("state", {})["session"] = session
            await self._app(scope, receive, send)
            return
        session = Carried(self._sessions, scope, receive, send)
        scope.setdefault("state", {})["session"] = session
        try:
            await self._app(scope, receive, session.pass_on)
        except SessionsUnavailableError as error:
            # An application that is no FastAPI does not know what to answer.
            if session.started:
                raise
            await session.refuse(error)
        if session.is_to_be_touched:
            await session.touch()


class Carried(Session):
    """The session of a request, whose cookie is looked for when it is asked for, and its answer on its way out."""

    #: Whether the answer has begun.
    started = False
    _refused = False

    def __init__(self, sessions: Sessions, scope: Scope, receive: Receive, send: Send) -> None:
        self._sessions = sessions
        self._scope, self._receive, self._send = scope, receive, send

    def _given(self) -> str:
        token = self.token = self._sessions.cookie_of(self._scope)
        return token

    def _name_agent(self) -> None:
        for name, value in self._scope["headers"]:
            if name == b"user-agent":
                self.agent = value.decode("latin-1")

    async def pass_on(self, message: Message) -> None:
        """Pass on what the application says; with the session saved, and the cookie."""
        if self._refused:
            return
        if not self.started and message["type"] == "http.response.start":
            if self._loaded:
                changed = None if self._data is None else self.changed()
                if changed is not None:
                    try:
                        await self.write(changed)
                    except SessionEndedError:
                        pass  # its user has signed out meanwhile: nobody will ask for what is lost
                    except (SessionsUnavailableError, SessionConflictError) as error:
                        await self.refuse(error)
                        return
                message = {**message, "headers": self._headers(message)}
            self.started = True
        await self._send(message)

    async def refuse(self, error: HTTPException) -> None:
        """Answer that the session could not be had or saved, in place of the application."""
        from bedplate.telemetry.http.problems import problem_response

        self._refused = self.started = True
        problem = Problem(status=error.status_code, detail=error.detail, headers=error.headers or {})
        await problem_response(problem)(self._scope, self._receive, self._send)

    def _headers(self, message: Message) -> list[tuple[bytes, bytes]]:
        headers = [*message.get("headers", ()), _VARY]
        if self._replaced or self.token is None:
            cookie = self._sessions.set_cookie(self._scope, self.token)
            if cookie is not None:
                headers.append((b"set-cookie", cookie))
                if not any(name.lower() == b"cache-control" for name, _ in headers):
                    headers.append(_NO_STORE)
        return headers
