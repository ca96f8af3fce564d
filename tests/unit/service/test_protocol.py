"""Our protocol says on the wire what uvicorn's says, whatever applications and clients do; only timers are fewer."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from bedplate.service.protocol import HttpProtocol

Headers = list[tuple[bytes, bytes]]
App = Callable[..., Awaitable[None]]
LENGTH = (b"Content-Length", b"4")


class Wire(asyncio.Transport):
    """Keeps what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.writes = 0
        self.closed = False

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return {"sockname": ("127.0.0.1", 8000), "peername": ("127.0.0.1", 9)}.get(name, default)

    def write(self, data: Any) -> None:
        if data:
            self.written += bytes(data)
            self.writes += 1

    def close(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed

    def pause_reading(self) -> None: ...
    def resume_reading(self) -> None: ...


def answer(*bodies: bytes, status: int = 200, headers: Headers | None = None) -> App:
    """An application that tells what it was asked, in a header, and answers with the bodies."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        asked = f"{scope['method']} {scope['path']} {scope['raw_path']!r} {scope['query_string']!r} "
        asked += f"{scope['http_version']} {len(scope['headers'])}"
        sent = b""
        while scope["method"] == "POST":
            message = await receive()
            sent += message["body"]
            if not message["more_body"]:
                break
        told: Headers = [(b"X-Asked", asked.encode()), (b"X-Body", sent), *(headers or [])]
        await send({"type": "http.response.start", "status": status, "headers": told})
        for number, body in enumerate(bodies, 1):
            await send({"type": "http.response.body", "body": body, "more_body": number < len(bodies)})

    return app


async def breaks_before(scope: Any, receive: Any, send: Any) -> None:
    raise LookupError("nothing there")


async def talk(protocol: type[HttpToolsProtocol], app: App, *chunks: bytes) -> tuple[bytes, bool]:
    """Serve what a client sends; return what it is told, but for the date, and whether the connection ended."""
    config = uvicorn.Config(app, log_config=None, access_log=False, date_header=True)
    state = ServerState()
    state.default_headers = [(b"date", b"now")]
    wire = Wire()
    connection = protocol(config, state, {}, asyncio.get_running_loop())
    connection.connection_made(wire)
    for chunk in chunks:
        connection.data_received(chunk)
        while state.tasks:
            done, _ = await asyncio.wait(set(state.tasks), timeout=0.02)
            if not done:
                break
    connection.connection_lost(None)
    if state.tasks:
        await asyncio.wait(set(state.tasks))
    assert not state.connections
    return wire.written, wire.closed


GET = b"GET /a%20b/c?d=%20e HTTP/1.1\r\nHost: x\r\n\r\n"
POST = b"POST /p HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n"
CASES: dict[str, tuple[App, tuple[bytes, ...]]] = {
    "length": (answer(b"four", headers=[LENGTH]), (GET, GET)),
    "length-in-parts": (answer(b"fo", b"ur", headers=[LENGTH]), (GET,)),
    "length-0": (answer(b"", headers=[(b"content-length", b"0")]), (GET,)),
    "chunked": (answer(b"one", b"", b"two", b""), (GET, GET)),
    "chunked-by-itself": (answer(b"one", headers=[(b"transfer-encoding", b"Chunked")]), (GET,)),
    "closes": (answer(b"four", headers=[LENGTH, (b"Connection", b"x, close")]), (GET,)),
    "no-content": (answer(b"", status=204), (GET,)),
    "not-modified": (answer(b"", status=304), (GET,)),
    "odd-status": (answer(b"four", status=299, headers=[LENGTH]), (GET,)),
    "head": (answer(b"four", headers=[LENGTH]), (GET.replace(b"GET", b"HEAD"), GET)),
    "head-chunked": (answer(b"four"), (GET.replace(b"GET", b"HEAD"),)),
    "version-1.0": (answer(b"four", headers=[LENGTH]), (GET.replace(b"1.1", b"1.0"),)),
    "client-closes": (answer(b"four", headers=[LENGTH]), (GET.replace(b"Host: x", b"Connection: close"),)),
    "pipelined": (answer(b"four", headers=[LENGTH]), (GET + GET + POST + b"12345" + GET,)),
    "in-pieces": (answer(b"four", headers=[LENGTH]), (GET[:9], GET[9:30], GET[30:], POST, b"12", b"345")),
    "expects": (answer(b"four", headers=[LENGTH]), (POST.replace(b"Host", b"Expect: 100-continue\r\nHost"), b"12345")),
    "absolute": (answer(b"four", headers=[LENGTH]), (GET.replace(b"/a", b"http://x/a"),)),
    "fragment": (answer(b"four", headers=[LENGTH]), (GET.replace(b"?", b"#f?"),)),
    "options": (answer(b"four", headers=[LENGTH]), (b"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n",)),
    "tab-in-value": (answer(b"four", headers=[LENGTH, (b"x-tab", b"a\tb\xff")]), (GET,)),
    "split": (answer(b"four", headers=[LENGTH, (b"x-bad", b"a\r\nset-cookie: b")]), (GET, GET)),
    "bad-name": (answer(b"four", headers=[LENGTH, (b"x bad", b"a")]), (GET,)),
    "too-long": (answer(b"more than four", headers=[LENGTH]), (GET,)),
    "breaks-before": (breaks_before, (GET, GET)),
    "nothing": (answer(), (GET,)),
    "no-http": (answer(b""), (b"what is that\r\n\r\n",)),
    "ends-in-body": (answer(b"four", headers=[LENGTH]), (POST, b"12")),
}


@pytest.mark.parametrize("case", CASES)
async def test_it_says_what_uvicorn_says(case: str) -> None:
    app, chunks = CASES[case]
    theirs, ours = await talk(HttpToolsProtocol, app, *chunks), await talk(HttpProtocol, app, *chunks)
    if case == "too-long":
        # Theirs has said 200 and cuts the connection; ours has waited with its head, and says nothing of success.
        assert (theirs[0][:12], ours) == (b"HTTP/1.1 200", (b"", True))
        return
    assert ours == theirs


async def test_a_small_response_is_one_write_and_a_stream_begins_at_once() -> None:
    for headers, bodies, writes in (([LENGTH], (b"four",), 1), ([], (b"one", b"two"), 3)):
        config = uvicorn.Config(answer(*bodies, headers=headers), log_config=None)
        wire, state = Wire(), ServerState()
        connection = HttpProtocol(config, state, {}, asyncio.get_running_loop())
        connection.connection_made(wire)
        connection.data_received(GET)
        await asyncio.wait(set(state.tasks))
        assert wire.writes == writes
        connection.connection_lost(None)


class Loop:
    """A loop's clock and timers, moved by hand."""

    def __init__(self, real: asyncio.AbstractEventLoop) -> None:
        self.real = real
        self.now = 100.0
        self.timers: list[tuple[float, Callable[[], None]]] = []
        self.made = 0

    def time(self) -> float:
        return self.now

    def create_task(self, coroutine: Any, **options: Any) -> Any:
        return self.real.create_task(coroutine, **options)

    def call_later(self, seconds: float, callback: Callable[[], None]) -> Any:
        self.made += 1
        entry = (self.now + seconds, callback)
        self.timers.append(entry)
        loop = self

        class Handle:
            def cancel(self) -> None:
                if entry in loop.timers:
                    loop.timers.remove(entry)

        return Handle()

    def move(self, seconds: float) -> None:
        self.now += seconds
        for entry in [one for one in self.timers if one[0] <= self.now]:
            self.timers.remove(entry)
            entry[1]()


async def test_an_idle_connection_is_closed_in_time_and_a_busy_one_never() -> None:
    config = uvicorn.Config(answer(b"four", headers=[LENGTH]), log_config=None, timeout_keep_alive=60)
    wire, state = Wire(), ServerState()
    loop = Loop(asyncio.get_running_loop())
    connection = HttpProtocol(config, state, {}, loop)  # type: ignore[arg-type]
    connection.connection_made(wire)
    for _ in range(50):
        connection.data_received(GET)
        await asyncio.wait(set(state.tasks))
        loop.move(1)
    assert loop.made == 1
    loop.move(58)  # 59 s after the last response
    assert not wire.is_closing()
    connection.data_received(POST)  # its body takes its time
    loop.move(600)
    assert not wire.is_closing()
    connection.data_received(b"12345")
    await asyncio.wait(set(state.tasks))
    loop.move(59)
    assert not wire.is_closing()
    loop.move(1)
    assert wire.is_closing()
    connection.connection_lost(None)
    assert not loop.timers


async def test_names_that_are_made_up_do_not_fill_memory() -> None:
    from bedplate.service import protocol

    before = len(protocol._NAMES)
    made_up = [(f"x-{number}".encode(), b"1") for number in range(3_000)]
    told, _ = await talk(HttpProtocol, answer(b"four", headers=[LENGTH, *made_up]), GET)
    assert len(re.findall(rb"\r\nx-\d+: 1", told)) == 3_000
    assert before <= len(protocol._NAMES) <= 1_024
