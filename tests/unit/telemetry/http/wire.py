"""Speaks raw ASGI to a wrapped application, and reads what was measured and logged."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import orjson

from bedplate.clock import SystemClock
from bedplate.metric import Metric
from bedplate.telemetry.http import Http, HttpSettings
from bedplate.telemetry.http.metrics import METRICS
from bedplate.telemetry.metrics.registry import Registry

Headers = list[tuple[bytes, bytes]]


class Host:
    """As much of a host as HTTP needs, on a real registry."""

    def __init__(self, environment: str = "development", service: str = "ledger") -> None:
        self.environment = environment
        self.service = service
        self.clock = SystemClock()
        self.registry = Registry(service)
        self.bind = self.registry.bind

    async def values(self, metric: Metric, sample: str = "") -> dict[tuple[str, ...], float]:
        """Return the samples of a family by their label values."""
        document = await self.registry.to_json()
        family = next((family for family in document["families"] if family["name"] == metric.name), {"samples": []})
        name = metric.name + sample
        return {tuple(s["labels"].values()): s["value"] for s in family["samples"] if s["name"] == name}

    async def series(self) -> int:
        """Return the number of series."""
        return sum(len(family["samples"]) for family in (await self.registry.to_json())["families"])


@dataclass
class Answer:
    """What came back."""

    messages: list[dict[str, Any]] = field(default_factory=list)
    error: BaseException | None = None

    @property
    def status(self) -> int:
        return next((m["status"] for m in self.messages if m["type"].endswith("response.start")), 0)

    @property
    def headers(self) -> dict[str, str]:
        start = next((m for m in self.messages if m["type"].endswith("response.start")), {"headers": []})
        return {name.decode(): value.decode() for name, value in start["headers"]}

    @property
    def body(self) -> bytes:
        return b"".join(m.get("body", b"") for m in self.messages if m["type"] == "http.response.body")

    @property
    def json(self) -> Any:
        return orjson.loads(self.body)

    @property
    def complete(self) -> bool:
        last = self.messages[-1]
        return last["type"] == "http.response.body" and not last.get("more_body", False)


def scope_of(
    method: str = "GET",
    path: str = "/",
    headers: Sequence[tuple[bytes, bytes]] = (),
    *,
    kind: str = "http",
    root_path: str = "",
    scheme: str = "http",
    query: bytes = b"",
    client: tuple[str, int] | None = ("203.0.113.9", 4711),
    **more: Any,
) -> dict[str, Any]:
    """Return a scope as uvicorn makes it."""
    scope = {
        "type": kind,
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "scheme": scheme,
        "path": root_path + path,
        "raw_path": (root_path + path).encode("utf-8", "replace"),
        "query_string": query,
        "root_path": root_path,
        "headers": [(b"host", b"example.org"), *headers],
        "client": client,
        "server": ("10.0.0.1", 80),
        "state": {},
        **more,
    }
    if kind == "http":
        scope["method"] = method
    return scope


async def call(
    app: Any,
    method: str = "GET",
    path: str = "/",
    headers: Sequence[tuple[bytes, bytes]] = (),
    *,
    body: bytes | Sequence[bytes] = b"",
    leaves: bool = False,
    send: Callable[[dict[str, Any]], Any] | None = None,
    **more: Any,
) -> Answer:
    """Send one request and return the answer, with the exception that came out if any.

    :param body: its chunks. :param leaves: whether the client disconnects after the body, else it waits.
    :param send: called with every message first; may raise as a server does.
    """
    chunks = [body] if isinstance(body, bytes) else list(body)
    answer = Answer()
    done = asyncio.Event()

    async def receive() -> dict[str, Any]:
        if chunks:
            chunk = chunks.pop(0)
            return {"type": "http.request", "body": chunk, "more_body": bool(chunks)}
        if not leaves:
            await done.wait()
        return {"type": "http.disconnect"}

    async def take(message: dict[str, Any]) -> None:
        if send is not None:
            send(message)
        answer.messages.append(message)
        if message["type"] == "http.response.body" and not message.get("more_body", False):
            done.set()

    try:
        await app(scope_of(method, path, headers, **more), receive, take)
    except BaseException as error:
        answer.error = error
    return answer


@dataclass
class Wired:
    """An application inside the middleware, running."""

    app: Any
    host: Host
    http: Http
    lines: list[bytes]

    @property
    def records(self) -> list[dict[str, Any]]:
        return [orjson.loads(line) for line in self.lines]

    async def get(self, path: str = "/", *headers: tuple[bytes, bytes], **more: Any) -> Answer:
        return await call(self.app, "GET", path, headers, **more)

    async def call(self, method: str, path: str = "/", *headers: tuple[bytes, bytes], **more: Any) -> Answer:
        return await call(self.app, method, path, headers, **more)

    async def values(self, metric: Metric, sample: str = "") -> dict[tuple[str, ...], float]:
        return await self.host.values(metric, sample)


@asynccontextmanager
async def wired(
    app: Any,
    settings: HttpSettings | None = None,
    *,
    environment: str = "development",
    guards: Sequence[Any] = (),
    **collaborators: Any,
) -> AsyncIterator[Wired]:
    """Wrap an application and run the component around it."""
    host = Host(environment)
    host.registry.declare(METRICS)
    http = Http(settings, **collaborators)
    lines: list[bytes] = []
    wrapped = http.wrap(app, guards=guards, sink=lines.append, service=host.service)
    async with http.lifespan(host):  # type: ignore[arg-type]
        yield Wired(wrapped, host, http, lines)


async def respond(send: Any, status: int = 200, body: bytes = b"ok", headers: Headers | None = None) -> None:
    """Send a whole response."""
    await send({"type": "http.response.start", "status": status, "headers": headers or []})
    await send({"type": "http.response.body", "body": body})
