"""HTTP/1.1 for ``bedplate run``: uvicorn's protocol on httptools, with less work for a response.

A service's responses carry a dozen headers. uvicorn looks through each with two regular expressions, writes head and
body apart, and starts and cancels a timer for each request; on a small response that is a fifth of the server's time.
Here names are checked once, values all at once, a head waits for its body when that is announced by a length, and a
connection has one timer. What is said on the wire, refused and raised is the same, but for one thing: where an
application fails between a head that waits and its body, the client is told nothing instead of a success without one.
"""

from __future__ import annotations

import re
from asyncio import Event
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

if TYPE_CHECKING:
    from uvicorn._types import ASGISendEvent

__all__ = ["HttpProtocol"]

_PHRASES = {status.value: status.phrase for status in HTTPStatus}
_STATUS = {code: f"HTTP/1.1 {code} {_PHRASES.get(code, '')}".encode() for code in range(100, 600)}
_TOKEN = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
#: What no value may have in it; a tab may be.
_CONTROL = bytes(code for code in (*range(32), 127) if code != 9)
#: Names that say how the response is framed.
_FRAMING = (b"content-length", b"transfer-encoding", b"connection")
#: More different names than that come from an application that makes them up, and are not kept.
_MOST_NAMES = 1_024


class _Names(dict[bytes, bytes]):
    """How a header of a name begins on the wire, by the name as applications write it; empty for those that frame."""

    def __missing__(self, name: bytes) -> bytes:
        if not _TOKEN.fullmatch(name):
            raise RuntimeError("Invalid HTTP header name.")
        lower = name.lower()
        begin = b"" if lower in _FRAMING else b"\r\n" + lower + b": "
        if len(self) < _MOST_NAMES:
            self[bytes(name)] = begin
        return begin


_NAMES = _Names()


class _Cycle(RequestResponseCycle):
    """One request and its response."""

    #: A head that waits for the body which it has announced.
    head: bytes | None = None
    disconnected = False
    more_body = True
    response_started = False
    response_complete = False
    chunked_encoding: bool | None = None
    expected_content_length = 0
    #: Whether the application itself said that the connection ends.
    closes = False

    def __init__(self, of: HttpProtocol, keep_alive: bool) -> None:
        # What uvicorn's own constructor sets, but for what is the same at each beginning.
        self.scope = of.scope
        self.transport = of.transport
        self.flow = of.flow
        self.logger = of.logger
        self.default_headers = of.server_state.default_headers
        self.message_event = Event()
        self.on_response = of.on_response_complete
        self.keep_alive = keep_alive
        self.waiting_for_100_continue = of.expect_100_continue
        self.body = bytearray()

    async def send(self, message: ASGISendEvent) -> None:
        if self.flow.write_paused and not self.disconnected:
            await self.flow.drain()
        if self.disconnected:
            return
        kind = message["type"]
        if not self.response_started:
            if kind != "http.response.start":
                raise RuntimeError(f"Expected ASGI message 'http.response.start', but got '{kind}'.")
            self._start(message)  # type: ignore[arg-type]
        elif self.response_complete:
            raise RuntimeError(f"Unexpected ASGI message '{kind}' sent, after response already completed.")
        elif kind != "http.response.body":
            raise RuntimeError(f"Expected ASGI message 'http.response.body', but got '{kind}'.")
        else:
            self._body(message.get("body", b""), message.get("more_body", False))  # type: ignore[arg-type]

    def _start(self, message: dict[str, Any]) -> None:
        self.response_started = True
        self.waiting_for_100_continue = False
        status = message["status"]
        parts = [_STATUS[status]]
        values = []
        for name, value in (*self.default_headers, *message.get("headers", ())):
            begin = _NAMES[name]
            if begin:
                parts.append(begin)
            else:
                parts.append(b"\r\n" + name.lower() + b": ")
                self._framed(name.lower(), value)
            parts.append(value)
            values.append(value)
        said = b"".join(values)
        if len(said.translate(None, _CONTROL)) != len(said):
            raise RuntimeError("Invalid HTTP header value.")
        if not self.keep_alive and not self.closes:
            parts.append(b"\r\nconnection: close")
        if self.chunked_encoding is None and self.scope["method"] != "HEAD" and status not in (204, 304):
            self.chunked_encoding = True
            parts.append(b"\r\ntransfer-encoding: chunked")
        parts.append(b"\r\n\r\n")
        head = b"".join(parts)
        # A stream's reader wants to know at once that it has begun.
        if self.chunked_encoding is False and self.expected_content_length:
            self.head = head
        else:
            self.transport.write(head)

    def _framed(self, name: bytes, value: bytes) -> None:
        if name == b"content-length":
            if self.chunked_encoding is None:
                self.expected_content_length = int(value.decode())
                self.chunked_encoding = False
        elif name == b"transfer-encoding":
            if value.lower() == b"chunked":
                self.expected_content_length = 0
                self.chunked_encoding = True
        elif b"close" in [token.lower().strip() for token in value.split(b",")]:
            self.keep_alive = False
            self.closes = True

    def _body(self, body: bytes, more: bool) -> None:
        if self.scope["method"] == "HEAD":
            self.expected_content_length = 0
            body = b""
        elif self.chunked_encoding:
            body = b"%x\r\n%b\r\n" % (len(body), body) if body else b""
            if not more:
                body += b"0\r\n\r\n"
        elif len(body) > self.expected_content_length:
            raise RuntimeError("Response content longer than Content-Length")
        else:
            self.expected_content_length -= len(body)
        if self.head is not None:
            body, self.head = self.head + body, None
        if body:
            self.transport.write(body)
        if not more:
            if self.expected_content_length != 0:
                raise RuntimeError("Response content shorter than Content-Length")
            self.response_complete = True
            self.message_event.set()
            if not self.keep_alive:
                self.transport.close()
            self.on_response()


class HttpProtocol(HttpToolsProtocol):
    """One connection."""

    #: Whether the connection may be used again; a server that is told to stop says with each answer that it ends.
    keeps = True
    _active = 0.0

    def on_headers_complete(self) -> None:
        parser, url, before = self.parser, self.url, self.cycle
        busy = before is not None and not before.response_complete  # type: ignore[redundant-expr]
        if busy or self.limit_concurrency is not None or parser.should_upgrade() or url[:1] != b"/" or b"#" in url:
            super().on_headers_complete()
            return
        scope = self.scope
        scope["method"] = parser.get_method().decode("ascii")
        version = parser.get_http_version()
        if version != "1.1":
            scope["http_version"] = version
        raw, _, scope["query_string"] = url.partition(b"?")
        path = raw.decode("ascii")
        scope["path"] = self.root_path + (unquote(path) if "%" in path else path)
        scope["raw_path"] = self.root_path.encode("ascii") + raw
        self.cycle = _Cycle(self, self.keeps and version != "1.0" and parser.should_keep_alive())
        self._start_asgi_task(self.cycle, self.app)

    def part(self) -> None:
        """Say with the next answer that the connection ends, so that the client does not send another request on it."""
        self.keeps = False
        cycle = self.cycle
        if cycle is not None and not cycle.response_started:  # type: ignore[redundant-expr]
            cycle.keep_alive = False

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        if self.timeout_keep_alive_task is not None:
            self.timeout_keep_alive_task.cancel()
            self.timeout_keep_alive_task = None

    def on_response_complete(self) -> None:
        if self.pipeline or self.transport.is_closing():
            super().on_response_complete()
            return
        self.server_state.total_requests += 1
        self.flow.resume_reading()
        self._active = self.loop.time()
        if self.timeout_keep_alive_task is None:
            self._watch(self.timeout_keep_alive)

    def timeout_keep_alive_handler(self) -> None:
        self.timeout_keep_alive_task = None
        if not self.cycle.response_complete:
            return  # the end of this response looks again
        left = self._active + self.timeout_keep_alive - self.loop.time()
        if left > 0:
            self._watch(left)
        else:
            super().timeout_keep_alive_handler()

    def _watch(self, seconds: float) -> None:
        self.timeout_keep_alive_task = self.loop.call_later(seconds, self.timeout_keep_alive_handler)

    def _unset_keepalive_if_required(self) -> None:
        # Something arrived, or the connection is over: the timer looks at this when it fires.
        self._active = self.loop.time()
