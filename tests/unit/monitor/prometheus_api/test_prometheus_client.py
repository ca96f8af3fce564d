from __future__ import annotations

import asyncio
import base64
import ssl
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import orjson
import pytest

from bedplate.monitor.prometheus_api.client import FleetError, Prometheus
from bedplate.monitor.prometheus_api.settings import PrometheusSettings
from bedplate.service import Service
from bedplate.settings import Dsn, Secret
from bedplate.testing import running, settings


class Far:
    """A server that answers what it is told to, and notes what it was asked."""

    def __init__(self) -> None:
        self.port = 0
        self.status, self.answer = 200, vector(("a", "1"), ("b", "NaN"))
        self.hangs = False
        self.raw: bytes | None = None
        self.heads: list[str] = []
        self.forms: list[dict[str, list[str]]] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            length = next(int(line.split(":")[1]) for line in head.lower().splitlines() if "content-length" in line)
            self.heads.append(head)
            self.forms.append(parse_qs((await reader.readexactly(length)).decode()))
            if self.hangs:
                await reader.read()  # until the other side has had enough
            start = f"HTTP/1.1 {self.status} X\r\ncontent-length: {len(self.answer)}\r\n\r\n".encode()
            writer.write(start + self.answer if self.raw is None else self.raw)
            await writer.drain()
        finally:
            writer.close()

    def client(self, url: str = "", **options: Any) -> Prometheus:
        url = url or f"http://127.0.0.1:{self.port}"
        return Prometheus(PrometheusSettings(url=Dsn(url), **options))


@asynccontextmanager
async def far(context: ssl.SSLContext | None = None) -> AsyncIterator[Far]:
    there = Far()
    server = await asyncio.start_server(there.serve, "127.0.0.1", 0, ssl=context)
    there.port = server.sockets[0].getsockname()[1]
    try:
        yield there
    finally:
        server.close()


def vector(*values: tuple[str, str]) -> bytes:
    result = [{"metric": {"instance": name}, "value": [1000, value]} for name, value in values]
    return orjson.dumps({"status": "success", "data": {"resultType": "vector", "result": result}})


def error(kind: str, text: str) -> bytes:
    return orjson.dumps({"status": "error", "errorType": kind, "error": text})


async def test_an_expression_is_posted_below_the_path_of_the_url() -> None:
    async with far() as there:
        asked = there.client(f"http://127.0.0.1:{there.port}/prometheus/")
        found = await asked.vector('up{job="shop"}', 1000.25)
    assert [(sample.labels["instance"], repr(sample.value)) for sample in found] == [("a", "1.0"), ("b", "nan")]
    assert there.heads[0].startswith("POST /prometheus/api/v1/query HTTP/1.1\r\n")
    assert there.forms == [{"query": ['up{job="shop"}'], "time": ["1000.25"]}]
    assert "authorization" not in there.heads[0].lower()
    assert asked.fault is None


async def test_user_and_password_of_the_url_and_a_token_are_sent_and_never_shown() -> None:
    async with far() as there:
        url = f"http://scraper:s3cret%40x@127.0.0.1:{there.port}"
        await there.client(url).vector("up", 0)
        await there.client(token=Secret("a-bearer-token")).vector("up", 0)
        there.status, there.answer = 401, b"no"
        with pytest.raises(FleetError, match="does not let us in") as refused:
            await there.client(url).vector("up", 0)
    pair = base64.b64encode(b"scraper:s3cret@x").decode()
    assert f"authorization: Basic {pair}" in there.heads[0].replace("Authorization", "authorization")
    assert "Bearer a-bearer-token" in there.heads[1]
    assert "s3cret" not in str(refused.value)
    assert "scraper@" not in there.heads[0], "the host is named without whom it lets in"


@pytest.mark.parametrize(
    ("status", "answer", "what"),
    [
        (200, b"<html>", "no JSON"),
        (404, b'{"title": "Not Found"}', r"does not speak Prometheus' API \(HTTP 404\)"),
        (403, b"{}", "does not let us in"),
        (503, error("unavailable", "starting"), "starting"),
    ],
)
async def test_what_is_no_answer_is_said_in_a_sentence(status: int, answer: bytes, what: str) -> None:
    async with far() as there:
        there.status, there.answer = status, answer
        asked = there.client()
        with pytest.raises(FleetError, match=what):
            await asked.vector("up", 0)
        assert asked.fault is not None


async def test_an_expression_that_it_does_not_take_is_no_fault_of_its_own() -> None:
    async with far() as there:
        there.status, there.answer = 400, error("bad_data", "parse error: unclosed left parenthesis")
        asked = there.client()
        with pytest.raises(FleetError, match="unclosed left parenthesis"):
            await asked.vector("up(", 0)
        assert asked.fault is None


async def test_who_is_away_is_not_asked_again_at_once() -> None:
    now = [0.0]
    async with far() as there:
        asked = Prometheus(PrometheusSettings(url=Dsn(f"http://127.0.0.1:{there.port}"), retry=5), now=lambda: now[0])
        there.raw = b""
        with pytest.raises(FleetError, match=r"hung up|not HTTP"):
            await asked.vector("up", 0)
        there.raw = None
        with pytest.raises(FleetError):
            await asked.vector("up", 0)
        assert len(there.heads) == 1
        now[0] = 5.0
        assert len(await asked.vector("up", 0)) == 2
        assert asked.fault is None


async def test_a_port_where_nobody_listens_and_one_that_never_answers() -> None:
    async with far() as there:
        there.hangs = True
        with pytest.raises(FleetError, match=r"did not answer within 0\.05 s"):
            await there.client(timeout=0.05).vector("up", 0)
    with pytest.raises(FleetError, match=r"127\.0\.0\.1:1: .*refused.*PROMETHEUS_URL"):
        await there.client("http://127.0.0.1:1").vector("up", 0)


async def test_a_matrix_is_no_value_of_one_moment() -> None:
    async with far() as there:
        there.answer = orjson.dumps({"status": "success", "data": {"resultType": "matrix", "result": []}})
        with pytest.raises(FleetError, match="is a matrix"):
            await there.client().vector("up[5m]", 0)


async def test_tls_is_checked_against_the_given_authority(tmp_path: Path) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=localhost"]
    command += ["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(command, check=True, capture_output=True)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)
    async with far(context) as there:
        url = f"https://localhost:{there.port}"
        assert len(await there.client(url, ca_file=certificate).vector("up", 0)) == 2
        with pytest.raises(FleetError, match="TLS failed: CERTIFICATE_VERIFY_FAILED"):
            await there.client(url).vector("up", 0)


async def test_a_service_with_prometheus_url_asks_it_about_the_fleet_and_itself_about_the_host() -> None:
    async with far() as there:
        values = settings(prometheus_url=f"http://127.0.0.1:{there.port}", prometheus={"retry": 0})
        async with running(Service("shop", settings=values)) as harness:
            queries = harness.service.builtins.queries
            await harness.clock.advance(5)
            there.answer = vector(("a", "1"), ("b", "1"), ("c", "0"))
            assert len(await queries.query("up", scope="fleet")) == 3
            assert len(await queries.query("up", scope="host")) == 1
            assert there.forms[-1]["query"] == ['up{job="shop"}']
            assert queries.fleet_available
            there.status = 503
            there.answer = error("unavailable", "restarting")
            with pytest.raises(FleetError, match="restarting"):
                await queries.query("up", scope="fleet")
            assert not queries.fleet_available
            there.status, there.answer = 200, vector(("a", "1"))
            await queries.query("up", scope="fleet")
            assert queries.fleet_available
