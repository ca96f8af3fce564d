"""Between a web worker and the ops process of its host: requests one way, finished records the same way.

A worker answers what operators ask for by passing the request on over a unix socket in the run directory, which only
the user of the service can open, and ships its finished traces, errors and log records there, so that one place knows
of all workers.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Protocol

import h11
import orjson
from starlette.types import ASGIApp, Receive, Scope, Send

from bedplate.component import Host, Spec
from bedplate.metric import Counter
from bedplate.problems import Problem
from bedplate.service.asgi import send_problem, send_response

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

_HOP_BY_HOP = frozenset((b"connection", b"keep-alive", b"transfer-encoding", b"upgrade", b"te", b"trailer"))
_IDENTITY = frozenset((b"x-forwarded-for", b"x-forwarded-proto", b"forwarded"))


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
    """An ASGI application that passes requests on to the ops process."""

    def __init__(self, path: Path) -> None:
        self._path = str(path)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass one request on, its body and its answer piece by piece."""
        if scope["type"] != "http":
            await send_problem(scope, receive, send, Problem(status=404, detail="There is no WebSocket here."))
            return
        try:
            reader, writer = await asyncio.open_unix_connection(self._path)
        except OSError:
            problem = Problem(
                status=503,
                detail="The ops process of this host is restarting; the service itself is not affected.",
                headers={"Retry-After": "2"},
            )
            await send_problem(scope, receive, send, problem)
            return
        try:
            await self._exchange(scope, receive, send, reader, writer)
        finally:
            writer.close()

    async def _exchange(
        self, scope: Scope, receive: Receive, send: Send, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        connection = h11.Connection(h11.CLIENT)
        writer.write(connection.send(_request(scope)))
        more = True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            more = message.get("more_body", False)
            if message.get("body"):
                writer.write(connection.send(h11.Data(data=message["body"])))
                await writer.drain()
        writer.write(connection.send(h11.EndOfMessage()))
        answering = asyncio.create_task(_answer(connection, reader, scope, send))
        leaving = asyncio.create_task(_left(receive))
        # Whoever asked for a live tail goes away without a word: then the ops process must stop too.
        await asyncio.wait([answering, leaving], return_when=asyncio.FIRST_COMPLETED)
        leaving.cancel()
        if not answering.done():
            answering.cancel()
            await asyncio.wait([answering])
        elif (error := answering.exception()) is not None:
            raise error


def _request(scope: Scope) -> h11.Request:
    headers = [(k, v) for k, v in scope["headers"] if k not in _HOP_BY_HOP and k not in _IDENTITY]
    if not any(key == b"content-length" for key, _ in headers) and scope["method"] not in ("GET", "HEAD", "OPTIONS"):
        headers.append((b"transfer-encoding", b"chunked"))
    client = scope.get("client")
    if client:
        # The far side believes this header because nobody but us can reach its socket.
        headers.append((b"x-forwarded-for", str(client[0]).encode()))
        headers.append((b"x-forwarded-proto", scope.get("scheme", "http").encode()))
    query = scope.get("query_string", b"")
    target = scope.get("raw_path") or scope["path"].encode()
    return h11.Request(
        method=scope["method"],
        target=target.split(b"?")[0] + (b"?" + query if query else b""),
        headers=[*headers, (b"connection", b"close")],
    )


async def _answer(connection: h11.Connection, reader: asyncio.StreamReader, scope: Scope, send: Send) -> None:
    while True:
        event = connection.next_event()
        if event is h11.NEED_DATA:
            connection.receive_data(await reader.read(65536))
        elif isinstance(event, h11.Response):
            headers = [(k, v) for k, v in event.headers if k not in _HOP_BY_HOP and k not in (b"date", b"server")]
            await send({"type": "http.response.start", "status": event.status_code, "headers": headers})
        elif isinstance(event, h11.Data):
            await send({"type": "http.response.body", "body": bytes(event.data), "more_body": True})
        elif isinstance(event, h11.EndOfMessage):
            await send({"type": "http.response.body", "body": b"", "more_body": False})
            return
        else:
            raise ConnectionError("The ops process ended in the middle of an answer.")


async def _left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


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
                await self._post(name, orjson.dumps(records, default=str))
                outcome = "sent"
            except (OSError, h11.ProtocolError):
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
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        if store is None:
            await send_problem(scope, receive, send, Problem(status=404, detail=f"No store {name!r} of {service!r}."))
            return
        store.extend(orjson.loads(bytes(body)))
        await send_response(scope, send, 204, [], b"")

    return receiving_app
