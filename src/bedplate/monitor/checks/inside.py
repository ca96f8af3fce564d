"""Asking the service in its own process, without a socket."""

from __future__ import annotations

import asyncio
import time
from urllib.parse import unquote

from starlette.types import ASGIApp, Message, Scope

from bedplate.monitor.auth.authenticator import vouched
from bedplate.monitor.auth.tokens import Identity
from bedplate.monitor.checks.judging import Reply
from bedplate.monitor.checks.running import Ask, Question
from bedplate.problems import BedplateError

__all__ = ["asking"]

#: A documentation address (RFC 5737): whoever asks from there stands at no development machine.
_STRANGER = ("192.0.2.1", 0)


def asking(app: ASGIApp, identity: Identity, *, timeout: float = 10.0) -> Ask:
    """Return what asks ``app`` on behalf of ``identity``; what is not authorized comes as a stranger.

    :param timeout: seconds that one answer may take.
    """

    async def ask(question: Question) -> Reply:
        scope = _scope(question)
        if question.authorized:
            vouched(scope, identity)
            # There are pages that look for a token before they ask whose it is.
            scope["headers"].append((b"authorization", b"Bearer in-process"))
        begun = time.perf_counter()
        try:
            async with asyncio.timeout(timeout):
                status, headers, body = await _call(app, scope)
        except TimeoutError:
            raise BedplateError(f"{question.path} did not answer within {timeout:g} s.") from None
        except Exception as error:
            raise BedplateError(f"{question.path} raised {type(error).__name__}.") from error
        return Reply(status, headers, body, time.perf_counter() - begun)

    return ask


def _scope(question: Question) -> Scope:
    path, _, query = question.path.partition("?")
    headers = {"host": "checks.invalid", "user-agent": "bedplate-checks", **question.headers}
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        "method": question.method,
        "scheme": "http",
        "path": unquote(path),
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "root_path": "",
        "headers": [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()],
        "client": _STRANGER,
        "server": ("checks.invalid", 80),
    }


async def _call(app: ASGIApp, scope: Scope) -> tuple[int, dict[str, str], bytes]:
    status, body = 0, bytearray()
    headers: dict[str, str] = {}
    asked = False

    async def receive() -> Message:
        nonlocal asked
        if asked:
            return {"type": "http.disconnect"}
        asked = True
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Message) -> None:
        nonlocal status
        if message["type"] == "http.response.start":
            status = message["status"]
            for name, value in message["headers"]:
                headers[bytes(name).decode("latin-1").lower()] = bytes(value).decode("latin-1")
        elif message["type"] == "http.response.body":
            body.extend(message.get("body", b""))

    await app(scope, receive, send)
    return status, headers, bytes(body)
