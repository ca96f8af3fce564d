"""Sentry gets every error once, grouped as we group, and without anything private. The server here is a fake one."""

from __future__ import annotations

import gzip
import json
import logging
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest
import sentry_sdk

from bedplate.service import Service
from bedplate.telemetry.context import WorkContext
from bedplate.telemetry.errors import Errors
from bedplate.telemetry.errors.component import REPORTS
from bedplate.telemetry.logs import get_logger
from bedplate.testing import Harness, running, settings

#: Far enough from where it is used: reports quote the source around each frame.
PASSWORD = "tr0ub4dor"


class Ingest:
    """Takes envelopes as Sentry does, and keeps their events."""

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []
        self.keys: list[str] = []
        ingest = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if self.headers.get("Content-Encoding") == "gzip":
                    body = gzip.decompress(body)
                ingest.keys.append(self.headers["X-Sentry-Auth"])
                ingest.take(body)
                self.send_response(200)
                self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"{}")

            def log_message(self, format: str, *args: Any) -> None: ...

        self._server = HTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()

    @property
    def dsn(self) -> str:
        return f"http://publickey@127.0.0.1:{self._server.server_port}/42"

    def take(self, envelope: bytes) -> None:
        parts = iter(envelope.split(b"\n")[1:])
        for head, payload in zip(parts, parts, strict=False):
            if head and json.loads(head).get("type") == "event":
                self.events.append(json.loads(payload))

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture
def ingest() -> Iterator[Ingest]:
    ingest = Ingest()
    yield ingest
    ingest.close()


@asynccontextmanager
async def service(ingest: Ingest, **values: Any) -> AsyncIterator[tuple[Harness, Errors]]:
    """Run a service that reports to the fake server."""
    made = Service("ledger", None, [], settings=settings(logs={"stream": "off"}, sentry_dsn=ingest.dsn, errors=values))
    async with running(made) as harness:
        yield harness, made.builtins.errors


def fail(password: str) -> None:
    raise ValueError(f"cannot log in with password={password}")


def failed(password: str = PASSWORD) -> ValueError:
    try:
        fail(password)
    except ValueError as error:
        return error
    raise AssertionError


async def test_an_error_is_reported_once_with_our_grouping_and_nothing_private(ingest: Ingest) -> None:
    async with service(ingest, release="1.2.3") as (harness, errors):
        error = failed()
        work = WorkContext("req-1", "a" * 32, "b" * 16)
        work.fields = {"user_id": 7}
        get_logger("app").error("failed", exc_info=error)
        fingerprint = errors.capture(error, work, route="/login")
        logging.getLogger("app").error("failed again", exc_info=error)
        fingerprint = errors.capture(failed(), work, route="/login")
        await harness.clock.advance(6)
        assert await harness.value(REPORTS, outcome="sent") == 2
    assert len(ingest.events) == 2
    event = ingest.events[-1]
    assert event["fingerprint"] == [fingerprint]
    assert (event["release"], event["environment"], event["platform"]) == ("1.2.3", "test", "python")
    assert event["tags"] == {
        "service": "ledger", "fingerprint": fingerprint, "route": "/login", "request_id": "req-1",
    }  # fmt: skip
    assert event["contexts"]["trace"] == {"trace_id": "a" * 32, "span_id": "b" * 16}
    value = event["exception"]["values"][-1]
    assert value["type"] == "ValueError"
    assert value["value"] == "cannot log in with password=[redacted]"
    assert value["mechanism"] == {"type": "bedplate", "handled": False}
    assert [frame["function"] for frame in value["stacktrace"]["frames"]] == ["failed", "fail"]
    text = json.dumps(ingest.events)
    assert PASSWORD not in text
    assert '"vars"' not in text
    assert "user" not in event
    assert "sentry_key=publickey" in ingest.keys[0]


async def test_a_storm_is_held_back(ingest: Ingest) -> None:
    async with service(ingest, sentry_per_minute=3) as (harness, errors):
        for _ in range(10):
            errors.capture(failed())
        await harness.clock.advance(6)
        assert await harness.value(REPORTS, outcome="limited") == 7
    assert len(ingest.events) == 3


async def test_muted_groups_are_not_reported(ingest: Ingest) -> None:
    async with service(ingest) as (_, errors):
        fingerprint = errors.capture(failed())
        errors.store.mute(fingerprint)
        errors.capture(failed())
    assert len(ingest.events) == 1


async def test_the_services_own_calls_go_the_same_way_and_the_sdk_is_left_as_it_was(ingest: Ingest) -> None:
    assert not sentry_sdk.is_initialized()
    async with service(ingest):
        sentry_sdk.capture_message("by hand, with token=abcdefgh")
    assert not sentry_sdk.is_initialized()
    assert [event["message"] for event in ingest.events] == ["by hand, with token=[redacted]"]


async def test_a_client_that_the_service_initialised_itself_is_used(ingest: Ingest) -> None:
    scope = sentry_sdk.get_global_scope()
    before = scope.client
    sentry_sdk.init(dsn=ingest.dsn, default_integrations=False, release="theirs")
    try:
        async with service(ingest, release="ours") as (_, errors):
            errors.capture(failed())
        assert [event["release"] for event in ingest.events] == ["theirs"]
        assert PASSWORD not in json.dumps(ingest.events)
        assert sentry_sdk.is_initialized()
    finally:
        sentry_sdk.get_client().close(timeout=1)
        scope.set_client(before)


async def test_a_server_that_is_away_harms_nobody(ingest: Ingest) -> None:
    made = Service(
        "ledger", None, [], settings=settings(logs={"stream": "off"}, sentry_dsn="http://key@127.0.0.1:1/42")
    )
    async with running(made):
        assert made.builtins.errors.capture(failed())
    assert ingest.events == []
