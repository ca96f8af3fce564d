"""One request and its answer, as they go by."""

from __future__ import annotations

import logging
from collections.abc import Awaitable
from operator import itemgetter
from time import perf_counter

from starlette.requests import ClientDisconnect
from starlette.types import Message, Receive, Scope, Send

from bedplate.declarations import Verdict
from bedplate.problems import Problem
from bedplate.telemetry.context import WorkContext
from bedplate.telemetry.http.headers import RawHeaders, ResponseHeaders
from bedplate.telemetry.http.metrics import METHODS, REFUSED, UNMATCHED, UNROUTED
from bedplate.telemetry.http.report import Reporter, type_name
from bedplate.telemetry.http.routes import ROUTE_KEY

__all__ = ["CLIENT_CLOSED", "INCOMPLETE", "Exchange"]

#: The status of requests whose client left before the answer; it is sent to nobody (the number is nginx's).
CLIENT_CLOSED = 499
#: Methods whose requests may be ordinary ones.
_ORDINARY = METHODS - {"HEAD"}
#: Takes from a scope what is said of an ordinary request later: six look-ups by name cost more than one call.
_told = itemgetter("method", "path", "root_path", "query_string", "client")
#: The error type of an application that returned without finishing its answer.
INCOMPLETE = "incomplete_response"

_logger = logging.getLogger("bedplate.http")


class Exchange:
    """The state of one request. Its :meth:`receive` and :meth:`send` stand between the server and the application.

    It is made in advance, with a context and what else does not depend on the request; the middleware gives it the
    rest: a loop that makes many costs a third of making each between other work.

    :ivar scope: the request's. :ivar incoming: the server's ``receive``. :ivar outgoing: the server's ``send``.
    :ivar started: by :func:`time.perf_counter`.
    :ivar identity: the header that tells the client who its request is.
    :ivar active: the word of the gauge of active requests, as the reporter has it.
    :ivar status: of the answer, 0 before it; sizes are those of the bodies in bytes.
    :ivar guarded: what guards add to the answer's headers.
    :ivar finished: whether the request has been reported.
    """

    __slots__ = (
        "_disconnected",
        "_duration",
        "_ended",
        "_headers",
        "_open_end",
        "_own",
        "_report",
        "_route",
        "active",
        "context",
        "finished",
        "guarded",
        "identity",
        "incoming",
        "outgoing",
        "request_size",
        "response_size",
        "scope",
        "started",
        "status",
    )

    scope: Scope
    incoming: Receive
    outgoing: Send
    started: float

    def __init__(self, context: WorkContext, headers: ResponseHeaders, report: Reporter) -> None:
        self.context = context
        self.identity = (b"x-request-id", context.request_id.encode())
        self._headers = headers
        self._report = report
        self.active = report.active
        self.status = self.request_size = self.response_size = 0
        self._duration = 0.0
        self._route = ""
        self._own: list[tuple[bytes, bytes]] | None = None
        # Whether more follows a body that says it is the last: trailers, or what comes after the end.
        self._open_end = False
        self._ended = self._disconnected = self.finished = False
        self.guarded: RawHeaders = ()

    async def receive(self) -> Message:
        """Pass on what the client sends; count it, and notice when the client leaves."""
        message = await self.incoming()
        kind = message["type"]
        if kind == "http.request":
            self.request_size += len(message.get("body", b""))
        elif kind == "http.disconnect" and not self._ended:
            self._disconnected = True
        return message

    def send(self, message: Message) -> Awaitable[None]:
        """Pass on what the application answers.

        It is not a coroutine function but returns the server's own awaitable: one coroutine less a message.
        """
        kind = message["type"]
        if kind == "http.response.body":
            body = message.get("body")
            if body:
                self.response_size += len(body)
            if self._open_end or message.get("more_body"):
                return self.outgoing(message)
            return self._last(message)
        if kind == "http.response.start" and not self.status:
            self.status = message["status"]
            self._open_end = message.get("trailers", False)
            own = message.get("headers") or ()
            if own.__class__ is not list:
                own = list(own)
            self._own = own
            ours = self._headers
            names = ours.names
            for name, _ in own:  # most have two: a loop is faster than what is faster for many
                if name in names:
                    headers = ours.added_to(own, self.context.request_id, self.scope, self.guarded)
                    break
            else:
                fixed = ours.secure if self.scope["scheme"] == "https" else ours.plain
                headers = [*own, self.identity, *fixed, *self.guarded]
            # A new message: an application may send one and the same object for every request.
            message = {**message, "headers": headers}
        elif kind == "http.response.pathsend" or kind == "http.response.zerocopysend":
            return self._file(message)
        elif kind == "http.response.trailers" and not message.get("more_trailers"):
            return self._last(message)
        return self.outgoing(message)

    async def _last(self, message: Message) -> None:
        """Send the end of the response, then take stock."""
        try:
            await self.outgoing(message)
        except OSError:
            self._disconnected = True
            raise
        if self._ended:
            return
        self._ended = self._open_end = True
        ended = perf_counter()
        duration = ended - self.started
        status, scope, context, later = self.status, self.scope, self.context, self._report.later
        if status >= 500:
            self._duration = duration
            return  # the exception is still on its way to us
        route = scope.get("route")
        try:
            told = _told(scope)
        except KeyError:  # ASGI lets servers leave some of it out
            later = None
        if (
            later is None
            or route is None
            or duration >= later.slow
            or context.sampled
            or context.keep
            or context.fields is not None
            or "app_root_path" in scope
            or told[0] not in _ORDINARY
        ):
            self._duration = duration
            self._finish()
            return
        # An ordinary request: what is said of it is written down, and said together with others.
        self.finished = True
        self.active[0] -= 1.0
        if "fastapi" in scope:
            effective = scope["fastapi"].get("effective_route_context")
            if effective is not None and effective.original_route is route:
                route = effective
        client = None if later.client is None else later.client(scope)
        records = later.records
        records.append((route, told, client, status, self.request_size, self.response_size, duration, ended, context))
        if len(records) >= later.enough:
            later.turn()

    def _file(self, message: Message) -> Awaitable[None]:
        """Pass on a file that the server reads by itself: how long it is, the headers say."""
        count = message.get("count")
        if count is None:
            length = next((value for name, value in self._own or () if name.lower() == b"content-length"), b"")
            count = int(length) if length.isdigit() else 0
        self.response_size += count
        return self.outgoing(message) if message.get("more_body") or self._open_end else self._last(message)

    def _finish(self, error: BaseException | None = None, error_type: str = "") -> None:
        """Report the request."""
        self.finished = True
        self.active[0] -= 1.0
        scope = self.scope
        if not error_type and self.status >= 500:
            error_type = str(self.status)
        if not self._duration:
            self._duration = perf_counter() - self.started
        if scope["method"] == "HEAD":
            self.response_size = 0
        try:
            self._route = self._route or self._report.templates.of(scope)
            if self._route == UNMATCHED and self.status not in UNROUTED and ROUTE_KEY not in scope:
                # A middleware refused it; unknown paths end with a 404, and are not looked for.
                self._route = self._report.templates.before_routing(scope)
            self._report.request(self, self._route, self._duration, error_type, error)
        except Exception:
            # What is said of a request must not change its answer.
            _logger.exception("Could not report a request")

    async def refuse(self, verdict: Verdict) -> None:
        """Answer in the application's place."""
        self._route = REFUSED
        extra = {"request_id": self.context.request_id}
        problem = Problem(status=verdict.status, title=verdict.title, detail=verdict.detail, extra=extra)
        await self._answer(problem)

    async def _answer(self, problem: Problem) -> None:
        await self.send({"type": "http.response.start", "status": problem.status, "headers": problem.raw_headers()})
        await self.send({"type": "http.response.body", "body": problem.body()})

    async def returned(self) -> None:
        """Deal with an application that came back before the request was reported."""
        if self._ended:
            self._finish()
        elif self._disconnected:
            self._left()
        elif self.status:
            # The server sees an unfinished response and closes the connection.
            self._finish(error_type=INCOMPLETE)
        else:
            await self._fail(None, INCOMPLETE)

    async def raised(self, error: BaseException) -> None:
        """Deal with an exception that came out of the application.

        It goes on to the server where the server has to act: when the request is being cancelled, and when the
        connection can only be closed.
        """
        if self.finished:
            if not isinstance(error, Exception):
                raise error
            if isinstance(error, ClientDisconnect):
                return
            self._report.late(self.context, self._route or self._report.templates.of(self.scope), error)
            if self._report.reraise:
                raise error
            return
        if not isinstance(error, Exception):
            if self._ended:
                self._finish()
            else:
                self._left()
            raise error
        if isinstance(error, ClientDisconnect) or (self._disconnected and isinstance(error, OSError)):
            self._left()
            return
        if self._ended:
            self._finish(error, type_name(error))
        elif self.status:
            self._finish(error, type_name(error))
            raise error
        else:
            await self._fail(error, type_name(error))
        if self._report.reraise:
            raise error

    async def _fail(self, error: BaseException | None, error_type: str) -> None:
        extra = {"request_id": self.context.request_id}
        detail = "The request failed on our side. Quote its request_id when you report it."
        try:
            await self._answer(Problem(status=500, detail=detail, extra=extra))
        finally:
            if not self.finished:
                self.status = self.status or 500
                self._finish(error, error_type)

    def _left(self) -> None:
        """Report a request whose client did not wait for its end."""
        streamed = any(name == b"content-type" and b"event-stream" in value for name, value in self._own or ())
        # To leave is the only way for a client to end a stream of events.
        if not streamed:
            self.status = CLIENT_CLOSED
        self._finish()
