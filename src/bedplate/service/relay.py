"""Between a web worker and the ops process of its host: requests one way, finished records the same way.

A worker answers what operators ask for by passing the request on over a unix socket in the run directory, which only
the user of the service can open, and ships its finished traces, errors and log records there, so that one place knows
of all workers.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import quote

import h11
import orjson
from starlette.types import ASGIApp, Receive, Scope, Send

from bedplate.component import Host, Spec
from bedplate.metric import Counter
from bedplate.problems import Problem
from bedplate.service.asgi import send_problem, send_response
from bedplate.service.pages import send_meanwhile

__all__ = ["Relay", "Shipping", "Store", "receiving", "socket_path"]

#: Where a worker posts its records, on the unix socket only.
RECORDS = "/-/records/"

#: Seconds between two shipments.
PERIOD = 1.0

SHIPPED = Counter(
    "bedplate_shipping_records_total",
    "Finished records that workers sent to the ops process, by what became of them.",
    {"store": ("traces", "errors", "logs"), "outcome": ("sent", "lost")},
)

#: Seconds in which the ops process begins to answer; an action may take longer than reading does.
SAFE_PATIENCE, PATIENCE = 5.0, 60.0

_SAFE = frozenset(("GET", "HEAD", "OPTIONS"))
# This side has answered an `Expect: 100-continue` itself when it reads the body.
_HOP_BY_HOP = frozenset((b"connection", b"keep-alive", b"transfer-encoding", b"upgrade", b"te", b"trailer", b"expect"))
_IDENTITY = frozenset((b"x-forwarded-for", b"x-forwarded-proto", b"forwarded"))
_SERVERS = frozenset((b"date", b"server"))

_AWAY = Problem(
    status=503,
    detail="The ops process of this host is restarting or stuck; the service itself is not affected.",
    headers={"Retry-After": "2"},
)


class Store(Protocol):
    """What keeps records of one kind."""

    def drain(self) -> list[dict[str, Any]]:
        """Take out what is to be shipped."""
        ...

    def extend(self, records: Iterable[dict[str, Any]], /) -> None:
        """Take in what a worker shipped."""
        ...


def socket_path(directory: Path) -> Path:
    """Return where the ops process of a run directory listens."""
    return directory / "ops.sock"


class Relay:
    """An ASGI application that passes requests on to the ops process.

    :param path: where that listens. :param client: returns the address of who asks; the peer's by default.
    """

    def __init__(self, path: Path, client: Callable[[Scope], str] | None = None) -> None:
        self._path = str(path)
        self._client = client or _peer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass one request on, its body and its answer piece by piece."""
        if scope["type"] != "http":
            await send_problem(scope, receive, send, Problem(status=404, detail="There is no WebSocket here."))
            return
        try:
            request = _request(scope, self._client(scope))
        except h11.LocalProtocolError as error:
            await send_problem(scope, receive, send, Problem(status=400, detail=f"The request is malformed: {error}."))
            return
        exchange = _Exchange(receive, send, SAFE_PATIENCE if scope["method"] in _SAFE else PATIENCE)
        try:
            reader, writer = await asyncio.open_unix_connection(self._path)
        except OSError:
            await send_meanwhile(scope, receive, send, _AWAY)
            return
        try:
            await exchange.run(request, reader, writer)
        except (OSError, TimeoutError, h11.ProtocolError):
            # An answer that has begun cannot be taken back: the server sees that it has no end, and tells the client.
            if not exchange.answered:
                await send_meanwhile(scope, receive, send, _AWAY)
        finally:
            writer.close()


class _Exchange:
    """One request that is passed on, and its answer.

    :param patience: seconds in which the answer must begin once the request has been passed on.
    """

    def __init__(self, receive: Receive, send: Send, patience: float) -> None:
        self._receive = receive
        self._send = send
        self._patience = patience
        self._connection = h11.Connection(h11.CLIENT)
        self.answered = False

    async def run(self, request: h11.Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(self._connection.send(request))
        more = True
        while more:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                return
            more = message.get("more_body", False)
            if message.get("body"):
                writer.write(self._connection.send(h11.Data(data=message["body"])))
                await writer.drain()
        writer.write(self._connection.send(h11.EndOfMessage()))
        answering = asyncio.create_task(self._answer(reader))
        leaving = asyncio.create_task(self._left())
        try:
            # Whoever asked for a live tail goes away without a word: then the ops process must stop too.
            await asyncio.wait([answering, leaving], return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (leaving, answering):
                task.cancel()
            await asyncio.wait([leaving, answering])
        if not answering.cancelled():
            answering.result()

    async def _answer(self, reader: asyncio.StreamReader) -> None:
        async with asyncio.timeout(self._patience) as timer:
            while True:
                event = self._connection.next_event()
                if event is h11.NEED_DATA:
                    self._connection.receive_data(await reader.read(65536))
                elif isinstance(event, h11.Response):
                    timer.reschedule(None)
                    self.answered = True
                    headers = [(k, v) for k, v in event.headers if k not in _HOP_BY_HOP and k not in _SERVERS]
                    await self._send({"type": "http.response.start", "status": event.status_code, "headers": headers})
                elif isinstance(event, h11.Data):
                    await self._send({"type": "http.response.body", "body": bytes(event.data), "more_body": True})
                elif isinstance(event, h11.EndOfMessage):
                    await self._send({"type": "http.response.body", "body": b"", "more_body": False})
                    return
                elif not isinstance(event, h11.InformationalResponse):
                    raise ConnectionError("The ops process ended in the middle of an answer.")

    async def _left(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass


def _request(scope: Scope, client: str) -> h11.Request:
    headers = [(k, v) for k, v in scope["headers"] if k not in _HOP_BY_HOP and k not in _IDENTITY]
    names = {key for key, _ in scope["headers"]}
    if b"transfer-encoding" in names and b"content-length" not in names:
        headers.append((b"transfer-encoding", b"chunked"))
    if b"host" not in names:
        headers.append((b"host", b"localhost"))  # HTTP/1.0 needs none, HTTP/1.1 does
    if client:
        # The far side believes this header because nobody but us can reach its socket.
        headers.append((b"x-forwarded-for", client.encode("latin-1", "replace")))
        headers.append((b"x-forwarded-proto", scope.get("scheme", "http").encode()))
    query = scope.get("query_string", b"")
    target = scope.get("raw_path") or quote(scope["path"]).encode()
    return h11.Request(
        method=scope["method"],
        target=target.split(b"?")[0] + (b"?" + query if query else b""),
        headers=[*headers, (b"connection", b"close")],
    )


def _peer(scope: Scope) -> str:
    client = scope.get("client")
    return str(client[0]) if client else ""


class Shipping:
    """Sends what a worker's stores have finished to the ops process, once a second and at the end.

    :param stores: the stores by name.
    :ivar path: the ops process' socket; None in a process that keeps its records itself.
    """

    def __init__(self, service: str, stores: dict[str, Store]) -> None:
        self._service = service
        self._stores = stores
        self.path: Path | None = None

    @property
    def spec(self) -> Spec:
        """What it is."""
        return Spec(kind="shipping", summary="Sends a worker's traces, errors and logs to ops.", metrics=(SHIPPED,))

    @asynccontextmanager
    async def lifespan(self, host: Host) -> AsyncIterator[None]:
        """Ship once a second, and what is left when everything else has stopped."""
        if self.path is None:
            yield
            return

        async def shipping() -> None:
            while True:
                await host.clock.sleep(PERIOD)
                await self.ship(host)

        host.spawn("ship", shipping)
        try:
            yield
        finally:
            with suppress(TimeoutError):
                async with asyncio.timeout(1.0):
                    await self.ship(host)

    async def ship(self, host: Host) -> None:
        """Send what is finished; what cannot be sent is counted and dropped, because memory is bounded."""
        for name, store in self._stores.items():
            records = store.drain()
            if not records:
                continue
            try:
                async with asyncio.timeout(SAFE_PATIENCE):
                    await self._post(name, _packed(records))
                outcome = "sent"
            except (OSError, TimeoutError, h11.ProtocolError):
                outcome = "lost"
            host.bind(SHIPPED, store=name, outcome=outcome).inc(len(records))

    async def _post(self, name: str, body: bytes) -> None:
        reader, writer = await asyncio.open_unix_connection(str(self.path))
        try:
            connection = h11.Connection(h11.CLIENT)
            headers = [("host", "ops"), ("content-length", str(len(body))), ("connection", "close")]
            target = f"{RECORDS}{self._service}/{name}"
            writer.write(connection.send(h11.Request(method="POST", target=target, headers=headers)))
            writer.write(connection.send(h11.Data(data=body)))
            writer.write(connection.send(h11.EndOfMessage()))
            await writer.drain()
            status = await reader.readline()
            if b" 204 " not in status:
                raise ConnectionError(f"The ops process answered {status!r}.")
        finally:
            writer.close()


def _packed(records: list[dict[str, Any]]) -> bytes:
    try:
        return orjson.dumps(records, default=str)
    except TypeError:
        # Something in a record is no JSON, such as a lone surrogate in a file's name: it costs its own form alone.
        text = json.dumps(records, default=str, ensure_ascii=False)
        return text.encode("utf-8", "replace")


def receiving(app: ASGIApp, stores: dict[str, dict[str, Store]]) -> ASGIApp:
    """Return ``app`` with the entrance for shipped records; for the ops process' unix socket only.

    :param stores: the stores of each service by name.
    """

    async def receiving_app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not scope["path"].startswith(RECORDS):
            await app(scope, receive, send)
            return
        service, _, name = scope["path"].removeprefix(RECORDS).partition("/")
        store = stores.get(service, {}).get(name)
        body = bytearray()
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                return  # the worker died in the middle of it
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        if store is None:
            await send_problem(scope, receive, send, Problem(status=404, detail=f"No store {name!r} of {service!r}."))
            return
        try:
            store.extend(orjson.loads(bytes(body)))
        except orjson.JSONDecodeError as error:
            await send_problem(scope, receive, send, Problem(status=400, detail=f"The records are no JSON: {error}."))
            return
        await send_response(scope, send, 204, [], b"")

    return receiving_app
