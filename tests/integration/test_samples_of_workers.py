"""Several workers: one process samples for all, and each worker can ask it."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

from tests.serving import Running, run

APP = """
import os
from contextlib import asynccontextmanager
from fastapi import FastAPI
from bedplate.component import Spec
from bedplate.problems import BedplateError
from bedplate.service import Service

app = FastAPI()
asking = None

@app.get("/ask")
async def ask(expr: str, scope: str = "host"):
    try:
        vector = await asking.host.query(expr, scope=scope)
    except BedplateError as error:
        return {"error": str(error), "pid": os.getpid()}
    return {"pid": os.getpid(), "samples": [[sample.labels, sample.value] for sample in vector]}

class Asking:
    @property
    def spec(self):
        return Spec(kind="asking", summary="Asks.")

    @asynccontextmanager
    async def lifespan(self, host):
        self.host = host
        yield

def build(settings):
    global asking
    asking = Asking()
    return Service("asking", app, [asking], settings=settings)
"""


def ask(running: Running, expr: str, scope: str = "host") -> dict[str, Any]:
    found: dict[str, Any] = running.get("/ask", params={"expr": expr, "scope": scope}).json()
    return found


def test_workers_take_no_samples_and_ask_the_process_that_does(tmp_path: Path) -> None:
    (tmp_path / "asking.py").write_text(APP)
    with run(tmp_path, "--workers", "2", target="asking:build", BEDPLATE_SAMPLES__INTERVAL="0.2") as running:
        running.ready()
        [[labels, value]] = running.eventually(lambda: ask(running, "up").get("samples"))
        assert (labels["job"], value) == ("asking", 1.0)
        assert labels["instance"].endswith(f":{running.port}"), "Prometheus would scrape this port"
        asked = set()

        def all_have_answered() -> bool:
            # A connection for each, so that every worker gets some.
            answer = running.get("/ask", params={"expr": "up"}, headers={"connection": "close"}).json()
            if answer.get("status") == 503:
                return False  # the other worker is still starting
            assert answer.get("samples"), answer
            asked.add(answer["pid"])
            return len(asked) == 2

        running.eventually(all_have_answered)
        assert "ends too early" in ask(running, "sum(")["error"]
        assert ask(running, "up", "fleet")["samples"], "in development one host is all there is"
        # Both workers' requests are in the samples, and the samples are one process' work.
        counted = 'sum(http_server_request_duration_seconds_count{http_route="/ask"})'
        # There is none before the first sample after the first of them.
        running.eventually(lambda: any(value >= 5 for _, value in ask(running, counted)["samples"]))
        page = running.get("/monitoring/prometheus/api/v1/query", params={"query": "up"}).json()
        assert [one["metric"] for one in page["data"]["result"]] == [labels]


def test_an_ops_process_that_was_killed_samples_again(tmp_path: Path) -> None:
    (tmp_path / "asking.py").write_text(APP)
    with run(tmp_path, "--workers", "2", target="asking:build", BEDPLATE_SAMPLES__INTERVAL="0.2") as running:
        running.ready()
        running.eventually(lambda: ask(running, "up").get("samples"))
        for child in Path(f"/proc/{running.process.pid}/task/{running.process.pid}/children").read_text().split():
            if b"ops" in Path(f"/proc/{child}/cmdline").read_bytes().split(b"\0"):
                os.kill(int(child), signal.SIGKILL)
        assert running.eventually(lambda: ask(running, "up").get("error"), 60)
        running.eventually(lambda: ask(running, "up").get("samples"))
