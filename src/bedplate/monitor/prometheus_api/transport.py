"""One question over HTTP/1.1, on asyncio's own streams: what asks Prometheus needs no HTTP library for that."""

from __future__ import annotations

import asyncio
import base64
import os
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote, urlencode

import h11

from bedplate.settings import Dsn

__all__ = ["Transport", "TransportError", "exchange"]

#: Bytes of an answer; an instant vector of 100,000 series has fewer.
_LONGEST = 64 * 2**20

_PORTS = {"http": 80, "https": 443}


class TransportError(Exception):
    """A question that got no answer; the text says why."""


@dataclass(frozen=True, slots=True)
class Transport:
    """Posts forms to one server, each over a connection of its own.

    :param url: where it is; what stands before its host is sent as basic authentication.
    :param token: a bearer token, which goes before that. :param timeout: seconds for one question.
    :param ca_file: certificates to trust beside the system's.
    """

    url: Dsn
    token: str = ""
    timeout: float = 5.0
    ca_file: Path | None = None
    _contexts: list[ssl.SSLContext] = field(default_factory=list, repr=False)

    @property
    def address(self) -> str:
        """``host:port``, for people."""
        return f"{self.url.host}:{self._port}"

    @property
    def _port(self) -> int:
        return self.url.parts.port or _PORTS[self.url.scheme]

    async def post(self, path: str, form: Mapping[str, str]) -> tuple[int, bytes]:
        """Return status and body of the answer.

        :param path: below the URL's own.
        :raises TransportError: when there is none within the timeout.
        """
        try:
            async with asyncio.timeout(self.timeout):
                return await self._exchange(path, urlencode(form).encode())
        except TimeoutError:
            raise TransportError(f"it did not answer within {self.timeout:g} s") from None
        except ssl.SSLError as error:
            raise TransportError(f"TLS failed: {error.reason or error}") from error
        except OSError as error:
            # asyncio's own words for a refused connection do not say that it was refused.
            said = os.strerror(number) if (number := error.errno or 0) > 0 else error.strerror or str(error)
            raise TransportError(said) from error
        except h11.ProtocolError as error:
            raise TransportError(f"its answer is not HTTP: {error}") from error

    async def _exchange(self, path: str, body: bytes) -> tuple[int, bytes]:
        context = await self._context() if self.url.scheme == "https" else None
        reader, writer = await asyncio.open_connection(self.url.host, self._port, ssl=context)
        return await exchange(reader, writer, self._request(path, len(body)), body)

    def _request(self, path: str, length: int) -> h11.Request:
        host = self.url.parts.netloc.rpartition("@")[2]
        headers = [
            ("host", host),
            ("content-type", "application/x-www-form-urlencoded"),
            ("content-length", str(length)),
            ("accept", "application/json"),
            ("user-agent", "bedplate"),
            ("connection", "close"),
        ]
        if self.token:
            headers.append(("authorization", f"Bearer {self.token}"))
        elif self.url.parts.username is not None:
            pair = f"{unquote(self.url.parts.username)}:{self.url.password}"
            headers.append(("authorization", f"Basic {base64.b64encode(pair.encode()).decode()}"))
        return h11.Request(method="POST", target=self.url.parts.path.rstrip("/") + path, headers=headers)

    async def _context(self) -> ssl.SSLContext:
        if not self._contexts:
            # Reading the system's certificates takes tens of milliseconds.
            context = await asyncio.to_thread(ssl.create_default_context)
            if self.ca_file is not None:
                await asyncio.to_thread(context.load_verify_locations, self.ca_file)
            self._contexts.append(context)
        return self._contexts[0]


async def exchange(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: h11.Request, body: bytes
) -> tuple[int, bytes]:
    """Send a request over a connection and close that; return status and body of the answer."""
    try:
        connection = h11.Connection(h11.CLIENT)
        writer.write(connection.send(request) or b"")
        writer.write(connection.send(h11.Data(data=body)) or b"")
        writer.write(connection.send(h11.EndOfMessage()) or b"")
        await writer.drain()
        return await _answer(connection, reader)
    finally:
        writer.close()


async def _answer(connection: h11.Connection, reader: asyncio.StreamReader) -> tuple[int, bytes]:
    status, body = 0, bytearray()
    while True:
        event = connection.next_event()
        if event is h11.NEED_DATA:
            connection.receive_data(await reader.read(65_536))
        elif isinstance(event, h11.Response):
            status = event.status_code
        elif isinstance(event, h11.Data):
            body += event.data
            if len(body) > _LONGEST:
                raise TransportError(f"its answer is longer than {_LONGEST >> 20} MiB")
        elif isinstance(event, h11.EndOfMessage):
            return status, bytes(body)
        elif not isinstance(event, h11.InformationalResponse):
            raise TransportError("it hung up in the middle of its answer")
