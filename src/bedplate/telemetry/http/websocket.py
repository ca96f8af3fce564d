"""One WebSocket, from its handshake to its close."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable
from time import perf_counter

from starlette.types import Message, Receive, Scope, Send
from starlette.websockets import WebSocketDisconnect

from bedplate.declarations import Verdict
from bedplate.problems import Problem
from bedplate.telemetry.context import WorkContext
from bedplate.telemetry.http.headers import RawHeaders, ResponseHeaders
from bedplate.telemetry.http.metrics import OTHER, REFUSED
from bedplate.telemetry.http.report import Reporter

__all__ = ["WebSocketExchange"]

#: Close codes with a meaning of their own (RFC 6455, section 7.4.1 and the IANA registry); 1005 is "none was given".
_CODES = {code: str(code) for code in (*range(1000, 1004), *range(1005, 1016))}
_FAILED = 1011
_POLICY = 1008


class WebSocketExchange:
    """The state of one WebSocket; the same face as :class:`~bedplate.telemetry.http.exchange.Exchange`."""

    __slots__ = (
        "_accepted",
        "_code",
        "_context",
        "_counted",
        "_headers",
        "_receive",
        "_report",
        "_route",
        "_scope",
        "_send",
        "_status",
        "finished",
        "guarded",
        "started",
    )

    def __init__(
        self,
        scope: Scope,
        receive: Receive,
        send: Send,
        context: WorkContext,
        headers: ResponseHeaders,
        report: Reporter,
    ) -> None:
        self.started = perf_counter()
        self._scope = scope
        self._receive = receive
        self._send = send
        self._context = context
        self._headers = headers
        self._report = report
        self._route = ""
        self._accepted = self._counted = False
        self._code: int | None = None
        self._status = 0
        self.finished = False
        self.guarded: RawHeaders = ()

    async def receive(self) -> Message:
        """Pass on what the client sends, and see it leave."""
        message = await self._receive()
        if message["type"] == "websocket.disconnect" and self._code is None:
            self._code = message.get("code", 1005)
        return message

    def send(self, message: Message) -> Awaitable[None]:
        """Pass on what the application sends."""
        kind = message["type"]
        if kind == "websocket.send":
            return self._send(message)
        if kind == "websocket.accept" and not self._accepted:
            self._accepted = True
            self._status = 101
            self._route = self._report.templates.of(self._scope)
            self._counted = self._report.websocket_opened(self._route)
            request_id = (b"x-request-id", self._context.request_id.encode())
            message = {**message, "headers": [*(message.get("headers") or ()), request_id, *self.guarded]}
        elif kind == "websocket.close" and self._code is None:
            self._code = message.get("code", 1000)
            # A server turns a close before the accept into this.
            self._status = self._status or 403
        elif kind == "websocket.http.response.start" and not self._status:
            self._status = message["status"]
            own = list(message.get("headers") or ())
            headers = self._headers.added_to(own, self._context.request_id, self._scope, self.guarded)
            message = {**message, "headers": headers}
        return self._send(message)

    async def refuse(self, verdict: Verdict) -> None:
        """Answer in the application's place."""
        self._route = REFUSED
        await self._deny(Problem(status=verdict.status, title=verdict.title, detail=verdict.detail))

    async def _deny(self, problem: Problem) -> None:
        """Refuse the handshake: with a response where the server can send one, else by closing."""
        if "websocket.http.response" not in (self._scope.get("extensions") or {}):
            await self.send({"type": "websocket.close", "code": _POLICY})
            return
        start = {"type": "websocket.http.response.start", "status": problem.status, "headers": problem.raw_headers()}
        await self.send(start)
        await self.send({"type": "websocket.http.response.body", "body": problem.body()})

    async def returned(self) -> None:
        """Report a WebSocket whose application is done; the server closes what is still open."""
        self._finish(None)

    async def raised(self, error: BaseException) -> None:
        """Deal with an exception that came out of the application."""
        if isinstance(error, WebSocketDisconnect):
            # The client left while the application waited for it: how most WebSockets end.
            self._code = self._code or error.code
            self._finish(None)
            return
        if not isinstance(error, Exception):
            self._finish(None)
            raise error
        left = self._code is not None
        if self._accepted and not left:
            with contextlib.suppress(Exception):
                await self.send({"type": "websocket.close", "code": _FAILED})
        elif not self._accepted and not self._status and not left:
            extra = {"request_id": self._context.request_id}
            detail = "The handshake failed on our side. Quote its request_id when you report it."
            await self._deny(Problem(status=500, detail=detail, extra=extra))
        self._finish(error)
        if self._report.reraise:
            raise error

    def _finish(self, error: BaseException | None) -> None:
        self.finished = True
        if not self._route:
            self._route = self._report.templates.of(self._scope)
        self._report.websocket(
            self._scope,
            self._context,
            self._route,
            self._status,
            self._outcome(error),
            self.started,
            error,
            counted=self._counted,
        )

    def _outcome(self, error: BaseException | None) -> str:
        """Return how it ended, in one of a few words: clients may send any code."""
        if error is not None:
            return "failed"
        if not self._accepted:
            return "refused"
        code = 1000 if self._code is None else self._code
        if 3000 <= code < 5000:
            return f"{code // 1000}xxx"
        return _CODES.get(code, OTHER)
