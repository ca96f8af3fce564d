"""A bound of what is read of a request before anybody knows whose it is."""

from __future__ import annotations

from typing import Final

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bedplate.problems import Problem
from bedplate.telemetry.http import problem_response

__all__ = ["Bounded"]

#: Bytes of a body: of the largest entry, several times.
_MOST: Final = 256 * 1024
#: What reads its body itself, after it has looked at the token, and bounds it.
_OWN: Final = ("/imports", "/batch")
_DETAIL: Final = f"The body is larger than {_MOST // 1024} KiB. Send what you have many of as a batch, or as a file."


class Bounded:
    """Answers 413 to bodies that no entry can need: JSON is read whole, and before the token is looked at."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        if scope["type"] != "http" or scope["path"].endswith(_OWN):
            await self._app(scope, receive, send)
            return
        declared = Headers(scope=scope).get("content-length", "")
        if declared.isdigit() and int(declared) > _MOST:
            await problem_response(Problem(status=413, detail=_DETAIL))(scope, receive, send)
            return
        taken = 0

        async def bounded() -> Message:
            nonlocal taken
            message = await receive()
            taken += len(message.get("body", b""))
            if taken > _MOST:
                raise HTTPException(413, _DETAIL)
            return message

        await self._app(scope, bounded, send)
