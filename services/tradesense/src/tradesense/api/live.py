"""The live portfolio over a WebSocket."""

from __future__ import annotations

from urllib.parse import urlsplit

from fastapi import APIRouter, WebSocket

from bedplate.problems import Problem
from bedplate.state.sessions import NotSignedInError, SessionsUnavailableError
from bedplate.telemetry.http import problem_response
from tradesense.api.parts import Parts

__all__ = ["routes"]


def routes(parts: Parts) -> APIRouter:
    """Return the endpoint that pushes portfolios."""
    router = APIRouter()

    @router.websocket("/live")
    async def live(socket: WebSocket) -> None:
        """Push the portfolio: all of it at first and when trades change, then what quotes change."""
        if not _is_from_here(socket):
            # A page of somebody else's must not look with this user's cookie.
            await _refuse(socket, 403, "The page that asks is not of this service.")
            return
        try:
            session = await parts.sessions.required(socket)
            user = await parts.user(socket)
        except NotSignedInError:
            await _refuse(socket, 401, "Nobody is signed in. Sign in first.")
            return
        except SessionsUnavailableError as error:
            await _refuse(socket, 503, error.answer)
            return
        token = session.token or ""

        async def still() -> bool:
            try:
                return await parts.sessions.find(token) is not None
            except SessionsUnavailableError:
                return True  # nobody can tell; whoever was let in may look on

        await socket.accept()
        await parts.live.watch(socket, user, still)

    return router


def _is_from_here(socket: WebSocket) -> bool:
    origin = socket.headers.get("origin")
    return origin is None or urlsplit(origin).netloc == socket.headers.get("host")


async def _refuse(socket: WebSocket, status: int, detail: str) -> None:
    await socket.send_denial_response(problem_response(Problem(status=status, detail=detail)))
