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
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        session = _Carried(self._sessions, scope)
        scope.setdefault("state", {})["session"] = session
        if scope["type"] == "websocket":
            await self._app(scope, receive, send)
        else:
            exchange = _Exchange(session, scope, receive, send)
            try:
                await self._app(scope, receive, exchange.send)
            except SessionsUnavailableError as error:
                # An application that is no FastAPI does not know what to answer.
                if exchange.started:
                    raise
                await exchange.refuse(error)
        if session.is_loaded:
            await session.touch()


class _Carried(Session):
    """The session of a request, whose cookie is looked for when the session is asked for."""

    __slots__ = ("scope",)

    def __init__(self, sessions: Sessions, scope: Scope) -> None:
        super().__init__(sessions)
        self.scope = scope

    def _given(self) -> str:
        for name, value in self.scope["headers"]:
            if name == b"user-agent":
                self.agent = value.decode("latin-1")
        self.token = self._sessions.cookie_of(self.scope)
        return self.token


class _Exchange:
    """One request's answer on its way out."""

    __slots__ = ("_receive", "_refused", "_scope", "_send", "_session", "started")

    def __init__(self, session: _Carried, scope: Scope, receive: Receive, send: Send) -> None:
        self._session, self._scope, self._receive, self._send = session, scope, receive, send
        self._refused = self.started = False

    async def send(self, message: Message) -> None:
        """Pass on what the application says; with the session saved, and the cookie."""
        if self._refused:
            return
        if not self.started and message["type"] == "http.response.start":
            session = self._session
            if session.is_loaded:
                try:
                    await session.save()
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
        session = self._session
        if session.is_replaced:
            cookie = session._sessions.set_cookie(session.scope, session.token)
            if cookie is not None:
                headers.append((b"set-cookie", cookie))
                if not any(name.lower() == b"cache-control" for name, _ in headers):
                    headers.append(_NO_STORE)
        return headers
