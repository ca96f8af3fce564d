"""Idempotency between requests and the application: executed once, and answered again as it was."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bedplate.state.answering import Answering
from bedplate.state.idempotency.errors import (
    DoneWithoutRecordError,
    IdempotencyUnavailableError,
    KeyInUseError,
    KeyMissingError,
    KeyReusedError,
    problem_of,
)
from bedplate.state.idempotency.keys import checked, digest, fingerprint, has_key, key_of
from bedplate.state.idempotency.ledger import Mark
from bedplate.state.idempotency.record import Answer
from bedplate.telemetry.http.problems import problem_response
from bedplate.telemetry.http.routes import ROUTE_KEY, Templates

if TYPE_CHECKING:
    from bedplate.state.idempotency.component import Idempotency

__all__ = ["IdempotencyMiddleware", "Requested"]

REPLAYED = (b"idempotency-replayed", b"true")
#: Answers of the moment, and not of the request: to be asked for again, they are not kept. Nor are those of a failure.
PASSING = frozenset({401, 403, 408, 409, 421, 423, 425, 429})


class Requested:
    """What a handler may know of it: ``request.state.idempotency``.

    :ivar attempt: the number of this attempt; from 2 on an earlier one has failed, or was given up half-way.
    """

    __slots__ = ("_mark", "attempt")

    def __init__(self, mark: Mark) -> None:
        self._mark = mark
        self.attempt = mark.attempt

    @property
    def is_lost(self) -> bool:
        """Whether another attempt has taken over."""
        return self._mark.is_lost


class IdempotencyMiddleware:
    """Executes a request with an ``Idempotency-Key`` once."""

    def __init__(self, app: ASGIApp, idempotency: Idempotency) -> None:
        self._app = app
        self._idempotency = idempotency
        self._templates = Templates()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI scope."""
        if scope["type"] != "http" or not self._idempotency.selects(scope):
            await self._app(scope, receive, send)
            return
        if not has_key(scope) and not self._idempotency.requires(scope):
            await self._app(scope, receive, send)
            return
        try:
            # Before anything is said of the key: who may not call is told that, and gets no answer of before.
            caller = await self._idempotency.caller_of(scope)
        except Answering as error:
            await problem_response(problem_of(error))(scope, receive, send)
            return
        try:
            key = key_of(scope)
            if key is None:
                raise KeyMissingError
        except KeyMissingError as error:
            await self._refuse(error, "malformed", scope, receive, send)
        else:
            await self._once(key, caller, scope, receive, send)

    async def _once(self, key: str, caller: str, scope: Scope, receive: Receive, send: Send) -> None:
        idempotency = self._idempotency
        reference = ""
        try:
            body = await _body(receive, idempotency.settings.largest_request)
            if body is None:
                return  # the client has gone before it had said what it wants
            reference = digest(f"http:{caller}", checked(key, caller))
            mark = fingerprint(scope["method"].encode(), _path(scope), scope.get("query_string", b""), body)
            found = await idempotency.ledger.begin(idempotency.key(reference), mark)
            if isinstance(found, bytes):
                await self._replay(Answer.unpacked(found), scope, send)
                return
        except (KeyMissingError, _TooLargeError) as error:
            await self._refuse(error, "malformed", scope, receive, send)
        except KeyInUseError as error:
            await self._refuse(error, "in_flight", scope, receive, send, reference)
        except KeyReusedError as error:
            await self._refuse(error, "reused", scope, receive, send, reference)
        except DoneWithoutRecordError as error:
            await self._refuse(error, "unkept", scope, receive, send, reference)
        except IdempotencyUnavailableError as error:
            await self._refuse(error, "refused", scope, receive, send)
        else:
            scope.setdefault("state", {})["idempotency"] = Requested(found)
            recording = _Recording(idempotency, found, body, receive, send, lambda: self._templates.of(scope))
            try:
                await self._app(scope, recording.receive, recording.send)
            except asyncio.CancelledError:
                # Whatever it was doing may go on, in a thread; nobody knows. The mark lapses by itself.
                idempotency.ledger.abandon(found)
                raise
            except BaseException:
                await recording.fail()
                raise
            await recording.end()

    async def _replay(self, answer: Answer, scope: Scope, send: Send) -> None:
        if answer.body is None:
            raise DoneWithoutRecordError
        self._idempotency.count("replayed")
        # Measured and logged as what it is, although no router sees it.
        scope[ROUTE_KEY] = answer.route
        headers = [*answer.headers, REPLAYED]
        if answer.status not in (204, 304):
            headers.append((b"content-length", str(len(answer.body)).encode()))
        await send({"type": "http.response.start", "status": answer.status, "headers": headers})
        await send({"type": "http.response.body", "body": answer.body})

    async def _refuse(
        self, error: Answering, outcome: str, scope: Scope, receive: Receive, send: Send, reference: str = ""
    ) -> None:
        self._idempotency.count(outcome)
        await problem_response(problem_of(error, reference))(scope, receive, send)


class _Recording:
    """One execution: the body given again, the answer passed on and kept."""

    def __init__(
        self,
        idempotency: Idempotency,
        mark: Mark,
        body: bytes,
        receive: Receive,
        send: Send,
        route: Callable[[], str],
    ) -> None:
        self._idempotency, self._mark, self._route = idempotency, mark, route
        self._body: bytes | None = body
        self._receive, self._send = receive, send
        self._start: Message | None = None
        self._parts: list[bytes] = []
        self._size = 0
        self._is_kept = True
        self._unkept = asyncio.Event()
        self._is_over = False
        self._is_gone = False

    async def receive(self) -> Message:
        """Give the body; then nothing, since an execution that was begun is not broken off when the client goes away.

        An answer that is not kept is worth nothing to anybody else: then the application hears that it has gone.
        """
        if self._body is not None:
            body, self._body = self._body, None
            return {"type": "http.request", "body": body, "more_body": False}
        await self._unkept.wait()
        return await self._receive()

    async def send(self, message: Message) -> None:
        """Pass the answer on; its end only after it has been recorded, so that whoever has it all can ask again."""
        if message["type"] == "http.response.start":
            self._start = message
        elif message["type"] == "http.response.body":
            self._keep(message.get("body", b""))
            if not message.get("more_body", False):
                await self._record()
        if self._is_gone:
            return
        try:
            await self._send(message)
        except OSError:
            if not self._is_kept:
                raise
            self._is_gone = True

    async def fail(self) -> None:
        """Say that the application raised an error."""
        if self._is_over:
            return
        if self._start is None or self._is_passing():
            await self._release()
        else:
            # It has begun to answer that it is done, so it is not done again.
            self._is_kept = False
            await self._record()

    async def end(self) -> None:
        """Say that the application has returned."""
        if not self._is_over:
            await self.fail()

    def _keep(self, part: bytes) -> None:
        if not self._is_kept or not part:
            return
        self._size += len(part)
        if self._size > self._idempotency.settings.largest:
            self._is_kept = False
            self._unkept.set()
            self._parts.clear()
        else:
            self._parts.append(part)

    def _is_passing(self) -> bool:
        return self._start is not None and not self._idempotency.keeps(self._start["status"])

    async def _record(self) -> None:
        self._is_over = True
        if self._start is None or self._is_passing():
            await self._release()
            return
        kept, start = self._idempotency.kept_headers, self._start
        body = b"".join(self._parts) if self._is_kept else None
        if body is None:
            self._idempotency.ledger.incident("unkept")
        answer = Answer.of(start["status"], start.get("headers", ()), kept, body, self._route())
        await self._idempotency.ledger.finish(self._mark, answer.packed())
        self._idempotency.count("executed")

    async def _release(self) -> None:
        self._is_over = True
        await self._idempotency.ledger.release(self._mark)
        self._idempotency.count("failed")


class _TooLargeError(Answering):
    status = 413
    answer = "A request with an Idempotency-Key is read as a whole, and this one is too large for that."

    def __init__(self) -> None:
        super().__init__(self.answer)


async def _body(receive: Receive, largest: int) -> bytes | None:
    """Return the body of a request, None when the client went away before it had sent it all."""
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        part = message.get("body", b"")
        size += len(part)
        if size > largest:
            raise _TooLargeError
        parts.append(part)
        if not message.get("more_body", False):
            return b"".join(parts)


def _path(scope: Scope) -> bytes:
    path: str = scope["path"]
    return path.encode()
