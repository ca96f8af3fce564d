"""Answers that are ready before anybody asks."""

from __future__ import annotations

from typing import Any

import orjson
from starlette.types import Message, Receive, Scope, Send

from bedplate.monitor.health.status import Status
from bedplate.monitor.replies import NO_STORE, reply_problem
from bedplate.problems import Problem

__all__ = ["HealthBoard"]

_ALLOW = "GET, HEAD, OPTIONS"


class _Answer:
    """A whole response as two ASGI messages, made once."""

    __slots__ = ("body", "empty", "start")

    def __init__(self, status: int, document: dict[str, Any]) -> None:
        body = orjson.dumps(document)
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode()), NO_STORE]
        if status == 503:
            headers.append((b"retry-after", b"1"))
        self.start: Message = {"type": "http.response.start", "status": status, "headers": headers}
        self.body: Message = {"type": "http.response.body", "body": body}
        self.empty: Message = {"type": "http.response.body", "body": b""}


class HealthBoard:
    """``/livez`` and ``/readyz`` as plain ASGI applications that only copy bytes.

    It exists from construction on, so both answer while the service is still starting, and neither ever waits for a
    probe, a lock or a dependency. ``/livez`` is about the process alone: if it does not answer, the event loop is
    stuck and a restart helps. A dependency that is away must never restart every instance.
    """

    def __init__(self, status: Status) -> None:
        self._alive = _Answer(200, {"status": "alive"})
        self.publish(status)

    @property
    def status(self) -> Status:
        """What was published last."""
        return self._status

    def publish(self, status: Status) -> None:
        """Answer with ``status`` from now on."""
        self._status = status
        word = status.level if status.ready else status.phase if status.phase != "running" else "unready"
        self._ready = _Answer(200 if status.ready else 503, {"status": word})

    async def livez(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer 200: the process runs and its event loop turns."""
        await _answer(self._alive, scope, receive, send)

    async def readyz(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer 200 when requests should be sent here, else 503."""
        await _answer(self._ready, scope, receive, send)


async def _answer(answer: _Answer, scope: Scope, receive: Receive, send: Send) -> None:
    method = scope["method"]
    if method == "GET" or method == "HEAD":
        await send({**answer.start, "headers": list(answer.start["headers"])})
        await send(answer.body if method == "GET" else answer.empty)
    elif method == "OPTIONS":
        await send({"type": "http.response.start", "status": 204, "headers": [(b"allow", _ALLOW.encode())]})
        await send({"type": "http.response.body", "body": b""})
    else:
        problem = Problem(status=405, detail=f"Use {_ALLOW}.", headers={"Allow": _ALLOW})
        await reply_problem(scope, receive, send, problem)
