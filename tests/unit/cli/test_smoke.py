"""`bedplate smoke` against real deployments: two services behind one port, and far sides that are none."""

from __future__ import annotations

import json
import re
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from bedplate.cli.main import app
from tests.serving import Running, free_port, run

VIEWER, OPERATOR = "viewer-token-of-this-test", "operator-token-of-this-test"

MODULE = """
import asyncio
from contextlib import asynccontextmanager
from fastapi import FastAPI, Response
from bedplate import Process, Service, Settings, Spec
from bedplate.declarations import Check

class Declares:
    def __init__(self, *checks):
        self.checks = checks

    @property
    def spec(self):
        return Spec(kind="shop", summary="Sells.", checks=self.checks)

    @asynccontextmanager
    async def lifespan(self, host):
        yield

def shop():
    app = FastAPI()

    @app.get("/door")
    async def door():
        return {"open": True, "staff": [{"name": "ann"}]}

    @app.get("/broken")
    async def broken():
        raise RuntimeError("boom")

    @app.get("/page")
    async def page():
        return Response("<p>closed", media_type="text/html")

    @app.get("/slow")
    async def slow():
        await asyncio.sleep(0.05)
        return {}

    return app

def good(settings: Settings):
    return Service("good", shop(), [Declares(
        Check(name="door", path="/door", fields=("open", "staff.{name=ann}")),
        Check(name="extra", path="/nowhere", optional=True, suite="observability"),
    )], settings=settings)

def build(settings: Settings):
    return Process([good(settings), Service("bad", shop(), [Declares(
        Check(name="broken", path="/broken"),
        Check(name="page", path="/page", fields=("open",)),
        Check(name="field", path="/door", fields=("owner",)),
        Check(name="slow", path="/slow", within=0.0001),
        Check(name="unsure", path="/slow?again", within=0.0001, optional=True),
        Check(name="office", path="/door?office", role="operator"),
    )], settings=settings)])
"""


@pytest.fixture(scope="module")
def deployed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("deployed")
    (folder / "smoked.py").write_text(MODULE)
    environment = {
        "BEDPLATE_ENV": "staging",
        "BEDPLATE_TOKENS": f"eve:viewer:{VIEWER} ann:operator:{OPERATOR}",
        "BEDPLATE_LOGS__STREAM": "off",
        # How busy and full the machine is must decide nothing.
        "BEDPLATE_HEALTH__LOOP_LAG": "60",
        "BEDPLATE_HEALTH__DISK_PATHS": "[]",
        "BEDPLATE_HEALTH__MEMORY_SHARE": "1",
        "BEDPLATE_HEALTH__MEMORY_AVAILABLE_SHARE": "0",
    }
    with run(folder, target="smoked:build", **environment) as running:
        running.ready()
        # Probes have their first say within seconds.
        pending = "/good/monitoring/health/detailed"
        header = {"authorization": f"Bearer {VIEWER}"}
        running.eventually(lambda: '"pending"' not in running.get(pending, headers=header).text)
        yield running


def smoke(*arguments: str, token: str = "", **environment: str) -> Result:
    return CliRunner().invoke(app, ["smoke", *arguments], env={"AUTH_TOKEN": token, **environment})


def rows(result: Result, service: int = 0) -> dict[str, dict[str, Any]]:
    document = json.loads(result.stdout)
    return {row["name"]: row for row in document["services"][service]["results"]}


def test_a_service_that_keeps_its_promises_passes(deployed: Running) -> None:
    url = f"http://127.0.0.1:{deployed.port}/good"
    result = smoke(url, "--suite", "smoke", "--env", "staging", token=VIEWER)
    assert result.exit_code == 0, result.output
    assert f"good at {url} (staging)" in result.stdout
    assert "✓ shop/door" in result.stdout
    assert re.search(r"^\d+ passed.* in \d+\.\d s$", result.stdout, re.MULTILINE)
    found = rows(smoke(url, "--json", "--env", "staging", token=VIEWER))
    # On a busy machine an answer may be late, which is a warning, and rightly.
    assert [row for row in found.values() if row["outcome"] != "passed" and "it took" not in row["detail"]] == []
    assert {"environment", "shop/door", "health/livez", "shop.runs", "health/healthz-closed"} <= set(found)


def test_what_can_be_watched_is_a_suite_of_its_own(deployed: Running) -> None:
    result = smoke(f"127.0.0.1:{deployed.port}/good", "--suite", "observability", "--json", token=VIEWER)
    found = rows(result)
    assert {row["suite"] for row in found.values()} == {"observability"}
    wanted = {"logs.request", "traces.request", "http.metrics", "http.panels", "health.alerts", "health.rules"}
    assert wanted <= {name for name, row in found.items() if row["outcome"] == "passed"}
    assert [name for name, row in found.items() if row["outcome"] == "failed"] == []
    # Optional, and not there.
    assert found["shop/extra"]["outcome"] == "warning"


def test_each_broken_promise_is_a_failure_that_says_why(deployed: Running) -> None:
    url = f"http://127.0.0.1:{deployed.port}/bad"
    result = smoke(url, "--json", token=OPERATOR)
    assert result.exit_code == 1
    assert json.loads(result.stdout)["ok"] is False
    found = rows(result)
    outcomes = {name.partition("/")[2]: row["outcome"] for name, row in found.items() if name.startswith("shop/")}
    assert outcomes == {
        "broken": "failed",
        "page": "failed",
        "field": "failed",
        "slow": "failed",
        "unsure": "warning",
        "office": "passed",
        "office-closed": "failed",
    }
    assert "it answers 500, not 200" in found["shop/broken"]["detail"]
    assert "which is no JSON" in found["shop/page"]["detail"]
    assert found["shop/field"]["detail"] == "there is no owner"
    assert "more than 0.0001 s" in found["shop/slow"]["detail"]
    assert "without a token" in found["shop/office-closed"]["detail"]
    lines = smoke(url, token=OPERATOR).stdout
    assert "✗ shop/broken" in lines and "! shop/unsure" in lines and re.search(r"\d+ failed in", lines)


def test_the_address_of_a_process_checks_all_of_its_services(deployed: Running) -> None:
    result = smoke(f"http://127.0.0.1:{deployed.port}", "--json", token=VIEWER)
    assert result.exit_code == 1
    services = json.loads(result.stdout)["services"]
    assert [(service["service"], service["failed"] > 0) for service in services] == [("good", False), ("bad", True)]
    assert services[0]["url"] == f"http://127.0.0.1:{deployed.port}/good"


def test_without_a_token_what_needs_one_is_a_warning_and_never_a_pass(deployed: Running) -> None:
    url = f"http://127.0.0.1:{deployed.port}/good"
    result = smoke(url, "--json")
    assert result.exit_code == 0
    found = rows(result)
    assert found["token"]["outcome"] == "warning"
    assert "more checks need a token: put one into AUTH_TOKEN" in found["token"]["detail"]
    assert "shop.runs" not in found
    assert found["shop/door"]["outcome"] == found["management/components-closed"]["outcome"] == "passed"
    assert smoke(url, "--strict").exit_code == 1
    assert "AUTH_TOKEN" in smoke(url).stdout


def test_a_token_of_a_lower_role_gets_as_far_as_it_goes(deployed: Running) -> None:
    found = rows(smoke(f"http://127.0.0.1:{deployed.port}/bad", "--json", token=VIEWER))
    assert "shop/office" not in found
    assert found["token"]["detail"] == "1 more check needs more than a token of viewer"


def test_a_wrong_token_and_a_wrong_environment_are_told(deployed: Running) -> None:
    url = f"http://127.0.0.1:{deployed.port}/good"
    result = smoke(url, token="a-token-that-nobody-knows")
    assert result.exit_code == 2
    assert "401" in result.stderr and "AUTH_TOKEN" in result.stderr
    assert "a-token-that-nobody-knows" not in result.output
    result = smoke(url, "--env", "production", "--json", token=VIEWER)
    assert result.exit_code == 1
    assert rows(result)["environment"]["detail"] == "it runs in staging"


def test_verbose_says_what_is_asked(deployed: Running) -> None:
    url = f"http://127.0.0.1:{deployed.port}/good"
    assert "GET /door → 200" not in smoke(url, token=VIEWER).stdout
    for result in (smoke(url, "--verbose", token=VIEWER), smoke(url, token=VIEWER, VERBOSE="1")):
        assert "The process is alive. GET /livez → 200" in result.stdout
        assert "GET /door → 200" in result.stdout
        assert VIEWER not in result.output


def test_the_checks_can_come_from_the_code(deployed: Running, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "smoked_target.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("BEDPLATE_ENV", "staging")
    monkeypatch.setenv("BEDPLATE_TOKENS", f"eve:viewer:{VIEWER}")
    url = f"http://127.0.0.1:{deployed.port}/good"
    found = rows(smoke(url, "--target", "smoked_target:good", "--json", token=VIEWER))
    assert found["shop/door"]["outcome"] == found["shop.runs"]["outcome"] == "passed"
    without = rows(smoke(url, "--target", "smoked_target:good", "--json"))
    assert without["shop.runs"]["outcome"] == "warning"


class Elsewhere(BaseHTTPRequestHandler):
    """A web server that is none of ours; each path answers otherwise."""

    def do_GET(self) -> None:
        status, body = {"/pages": (200, b"<h1>Welcome"), "/lists": (200, b'{"services": 3}')}.get(
            "/" + self.path.split("/")[1], (404, b"gone")
        )
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@pytest.fixture
def elsewhere() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Elsewhere) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(
    ("path", "message"),
    [("/pages", "which is no JSON"), ("/lists", "The list of checks cannot be read: service"), ("", "answers 404")],
)
def test_what_is_no_service_of_ours_cannot_be_checked(elsewhere: str, path: str, message: str) -> None:
    result = smoke(f"{elsewhere}{path}")
    assert result.exit_code == 2, result.output
    assert message in result.stderr
    document = json.loads(smoke(f"{elsewhere}{path}", "--json").stdout)
    assert document["ok"] is False and document["error"]


def test_nobody_at_home_and_nobody_who_answers() -> None:
    result = smoke(f"http://127.0.0.1:{free_port()}")
    assert result.exit_code == 2
    assert "cannot be asked" in result.stderr
    with socket.create_server(("127.0.0.1", 0)) as silent:
        result = smoke(f"http://127.0.0.1:{silent.getsockname()[1]}", "--timeout", "0.2")
    assert result.exit_code == 2
    assert "did not answer within 0.2 s" in result.stderr
    result = smoke("ftp://example")
    assert result.exit_code == 2
    assert "is no address of a service" in result.stderr
