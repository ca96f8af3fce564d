from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest

from bedplate.telemetry.context import bind_context
from bedplate.telemetry.http import Http, HttpSettings
from bedplate.telemetry.http.metrics import METRICS
from bedplate.telemetry.logs import Writer
from bedplate.telemetry.redaction import Redactor
from tests.unit.telemetry.http.wire import Host, call, respond, wired

SAMPLED = (b"traceparent", b"00-" + b"a" * 32 + b"-" + b"b" * 16 + b"-01")
STANDARD = "timestamp level logger message request_id user_id service file line function".split()


async def app(scope: Any, receive: Any, send: Any) -> None:
    if scope["path"] == "/odd":
        bind_context(when=datetime(2026, 1, 1, tzinfo=UTC), huge=2**80, text="\ud800", user_id=2**70)
    await respond(send, 404 if scope["path"] == "/missing" else 200)


async def test_a_record_has_the_fields_of_every_log_record_first() -> None:
    async with wired(app) as w:
        await w.get("/x", SAMPLED, query=b"a=1&b=2")
    (line,) = w.lines
    assert line.endswith(b"}\n")
    record = orjson.loads(line)
    assert list(record)[:10] == STANDARD
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", record["timestamp"])
    age = datetime.now(UTC) - datetime.fromisoformat(record["timestamp"])
    assert 0 <= age.total_seconds() < 60
    expected = {
        "level": "INFO",
        "logger": "bedplate.access",
        "message": "GET _unmatched 200",
        "service": "ledger",
        "user_id": None,
        "trace_id": "a" * 32,
        "method": "GET",
        "route": "_unmatched",
        "path": "/x",
        "status": 200,
        "client": "203.0.113.9",
        "request_size": 0,
        "response_size": 2,
        "query": "a=1&b=2",
    }
    assert {name: record[name] for name in expected} == expected
    assert 0 < record["duration_ms"] < 10_000


@pytest.mark.parametrize(
    "path", ["/a\nb\r\x00", '/"quoted"\\', "/\x1b[31mred", "/ünï/😀", "/\ud800lone", "/" + "x" * 5000]
)
async def test_one_record_is_one_line_whatever_the_path(path: str) -> None:
    async with wired(app) as w:
        await w.get(path)
        await w.get(path)
    for line in w.lines:
        assert line.count(b"\n") == 1
        assert b"\x1b" not in line
    one, two = w.records
    assert one["path"] == two["path"]
    if path.isprintable() and path.isascii():
        assert one["path"] == path


@pytest.mark.parametrize(
    "query",
    [
        "token=hunter2",
        "a=1&api_key=hunter2&b=2",
        "Password=hunter2",
        "t%6Fken=hunter2",
        "X-Amz-Signature=hunter2",
        "code=hunter2",
        "KEY=hunter2",
        "x=1&token=hunter2",
        "number=4111111111111111",
    ],
)
async def test_secret_values_of_the_query_are_not_shown(query: str) -> None:
    async with wired(app, HttpSettings(secret_parameters=("code", "key", "x-amz-signature"))) as w:
        await w.get("/", query=query.encode())
    record = w.records[0]
    assert "hunter2" not in record["query"]
    assert "411111111111" not in record["query"]
    assert record["query"].partition("=")[0] == query.partition("=")[0]


async def test_card_numbers_and_known_secrets_in_paths_are_not_shown() -> None:
    redactor = Redactor()
    redactor.add_secret("swordfish")
    async with wired(app, redactor=redactor) as w:
        await w.get("/cards/4111111111111111")
        await w.get("/door/swordfish")
    assert "4111111111111111" not in str(w.lines)
    assert "swordfish" not in str(w.lines)


async def test_bound_values_of_any_type_become_json() -> None:
    async with wired(app) as w:
        await w.get("/odd")
    (record,) = w.records
    assert record["when"].startswith("2026-01-01")
    assert record["huge"] == str(2**80)


async def test_probes_are_logged_only_when_they_fail() -> None:
    settings = HttpSettings(access_log_skip=("/livez", "/missing"))
    for root_path in ("", "/ledger"):
        async with wired(app, settings) as w:
            await w.get("/livez", root_path=root_path)
            await w.get("/livez/x", root_path=root_path)
            await w.get("/missing", root_path=root_path, query=b"")
        paths = [record["path"] for record in w.records]
        assert paths == [f"{root_path}/livez/x"] if root_path else ["/livez/x", "/missing"]


async def test_successes_can_be_thinned_out_but_nothing_else() -> None:
    async with wired(app, HttpSettings(access_log_ratio=0.0)) as w:
        await w.get("/fine")
        await w.get("/fine", SAMPLED)
        await w.get("/missing")
    assert [record["path"] for record in w.records] == ["/fine", "/missing"]


async def test_a_share_of_successes_is_logged() -> None:
    async with wired(app, HttpSettings(access_log_ratio=0.5)) as w:
        for _ in range(1000):
            await w.get("/fine")
    assert 400 < len(w.records) < 600


async def test_it_can_be_off() -> None:
    async with wired(app, HttpSettings(access_log=False)) as w:
        await w.get()
    assert w.lines == []


async def test_the_client_is_the_one_behind_the_proxy() -> None:
    async with wired(app, HttpSettings(trusted_proxies=("203.0.113.0/24",))) as w:
        await w.get("/", (b"x-forwarded-for", b'evil", 198.51.100.7'))
        await w.get("/", (b"x-forwarded-for", b'"evil"'))
    assert [record["client"] for record in w.records] == ["198.51.100.7", "203.0.113.9"]


async def test_an_unknown_method_is_named_in_the_record_only() -> None:
    async with wired(app) as w:
        await w.call('BR"EW')
    (record,) = w.records
    assert (record["method"], record["method_original"]) == ("_OTHER", 'BR"EW')


async def test_what_is_remembered_of_paths_is_bounded() -> None:
    async with wired(app) as w:
        for number in range(5000):
            await w.get(f"/{number}")
    access = w.app._report._access
    assert len(access._escaped) <= 2048
    assert [record["path"] for record in w.records] == [f"/{number}" for number in range(5000)]


async def test_a_record_that_is_formed_later_says_what_was_so_at_the_end_of_the_request() -> None:
    async def late(scope: Any, receive: Any, send: Any) -> None:
        bind_context(user_id="u1")
        await respond(send)
        bind_context(user_id="u2")

    host, http, writer = Host(), Http(), Writer()
    host.registry.declare(METRICS)
    lines: list[bytes] = []
    writer.listeners = (lambda batch: lines.extend(line for _, line in batch),)
    wrapped = http.wrap(late, sink=writer)
    async with http.lifespan(host):  # type: ignore[arg-type]
        await call(wrapped, "GET", "/a", query=b"token=hunter2&page=2")
    writer.start([])
    writer.close()
    (record,) = [orjson.loads(line) for line in lines]
    assert (record["user_id"], record["path"], record["query"]) == ("u1", "/a", "token=[redacted]&page=2")
