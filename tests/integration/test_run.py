"""`bedplate run` as a process: serving, workers that die, a start that fails, a stop that drains."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest

APP = '''
import asyncio, os
from contextlib import asynccontextmanager
from fastapi import FastAPI
from bedplate.component import Spec
from bedplate.service import Service
from bedplate.settings import Settings

app = FastAPI()

@app.get("/items/{item}")
async def item(item: int) -> dict[str, int]:
    return {"item": item, "pid": os.getpid()}

@app.get("/boom")
async def boom() -> None:
    raise RuntimeError("boom with card 4111 1111 1111 1111")

@app.get("/slow")
async def slow() -> dict[str, str]:
    await asyncio.sleep(1.0)
    return {"slow": "done"}

class Start:
    """Takes its time to start, or fails, as the environment says."""

    @property
    def spec(self):
        return Spec(kind="start", summary="A slow start.")

    @asynccontextmanager
    async def lifespan(self, host):
        await asyncio.sleep(float(os.environ.get("START_SECONDS", "0")))
        if "START_FAILS" in os.environ:
            raise ConnectionError("no route to host")
        yield

def build(settings: Settings) -> Service:
    return Service("shop", app, [Start()], settings=settings)
'''


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Running:
    """A `bedplate run` in a process of its own."""

    def __init__(self, process: subprocess.Popen[bytes], port: int, log: Path) -> None:
        self.process = process
        self.port = port
        self._log = log
        self.client = httpx2.Client(base_url=f"http://127.0.0.1:{port}", timeout=10)

    @property
    def log(self) -> str:
        return self._log.read_text()

    def get(self, path: str, **options: Any) -> httpx2.Response:
        return self.client.get(path, **options)

    def metric(self, pattern: str) -> float:
        lines = self.get("/metrics").text.splitlines()
        return sum(float(line.rpartition(" ")[2]) for line in lines if re.match(pattern, line))

    def eventually(self, condition: Callable[[], Any], seconds: float = 40.0) -> Any:
        end = time.monotonic() + seconds
        while True:
            try:
                if result := condition():
                    return result
            except (httpx2.HTTPError, OSError):
                pass
            assert self.process.poll() is None, f"it ended with {self.process.returncode}:\n{self.log[-3000:]}"
            assert time.monotonic() < end, f"not within {seconds} s:\n{self.log[-3000:]}"
            time.sleep(0.1)

    def ready(self) -> None:
        self.eventually(lambda: self.get("/readyz").status_code == 200)

    def workers(self) -> list[int]:
        found = subprocess.run(
            ["pgrep", "-P", str(self.process.pid), "-f", "role web"], capture_output=True, check=False
        )
        return [int(pid) for pid in found.stdout.split()]


@contextmanager
def run(tmp_path: Path, *options: str, **environment: str) -> Iterator[Running]:
    (tmp_path / "shop.py").write_text(APP)
    port, log = free_port(), tmp_path / "log"
    command = [sys.executable, "-m", "bedplate.cli", "run", "shop:build", "--port", str(port), *options]
    env = {**os.environ, "TMPDIR": str(tmp_path), **environment}
    with log.open("wb") as file:
        process = subprocess.Popen(command, cwd=tmp_path, env=env, stdout=file, stderr=file)
    running = Running(process, port, log)
    try:
        yield running
    finally:
        running.client.close()
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def test_probes_answer_while_it_starts_and_requests_do_not(tmp_path: Path) -> None:
    with run(tmp_path, START_SECONDS="3") as shop:
        shop.eventually(lambda: shop.get("/livez").status_code == 200)
        assert shop.get("/readyz").status_code == 503
        refused = shop.get("/items/1")
        assert (refused.status_code, refused.headers["content-type"]) == (503, "application/problem+json")
        assert refused.headers["retry-after"] == "1"
        assert shop.get("/monitoring/health").json()["phase"] == "starting"
        shop.ready()
        assert shop.get("/items/1").json()["item"] == 1


def test_a_start_that_fails_ends_the_process_and_says_why(tmp_path: Path) -> None:
    for options in ((), ("--workers", "2")):
        with run(tmp_path, *options, START_FAILS="1") as shop:
            assert shop.process.wait(60) == 3
            assert "start did not start: ConnectionError: no route to host" in shop.log


def test_sigterm_lets_open_requests_end_and_exits_with_0(tmp_path: Path) -> None:
    with run(tmp_path) as shop:
        shop.ready()
        with httpx2.Client(timeout=10) as other:
            import threading

            answers: list[httpx2.Response] = []
            url = f"http://127.0.0.1:{shop.port}/slow"
            thread = threading.Thread(target=lambda: answers.append(other.get(url)))
            thread.start()
            time.sleep(0.4)
            shop.process.send_signal(signal.SIGTERM)
            thread.join()
        assert answers[0].json() == {"slow": "done"}
        assert shop.process.wait(20) == 0
    assert not list(tmp_path.glob("bedplate-*")), "nothing is left in the temporary directory"


def test_workers_are_one_service_and_a_killed_one_is_counted_and_replaced(tmp_path: Path) -> None:
    with run(tmp_path, "--workers", "2") as shop:
        shop.ready()
        shop.eventually(lambda: shop.get("/metrics").status_code == 200)
        for item in range(20):
            # A connection of its own for each, so that both workers get some.
            assert httpx2.get(f"http://127.0.0.1:{shop.port}/items/{item}").status_code == 200
        requests = r'http_server_request_duration_seconds_count\{.*http_route="/items/\{item\}"'
        assert shop.eventually(lambda: shop.metric(requests) == 20)
        victim = shop.get("/items/1").json()["pid"]
        shop.client.close()
        os.kill(victim, signal.SIGKILL)
        shop.client = httpx2.Client(base_url=f"http://127.0.0.1:{shop.port}", timeout=10)
        shop.eventually(lambda: len(shop.workers()) == 2 and victim not in shop.workers())
        assert shop.eventually(lambda: shop.metric(requests) == 21), "the dead worker's requests count, once"
        for _ in range(5):
            assert shop.metric(requests) == 21

        # What a worker saw is told by the ops process: the error, its trace and its log record, without the card.
        failed = shop.get("/boom")
        assert failed.status_code == 500
        group = shop.eventually(lambda: shop.get("/monitoring/errors").json()["items"])[0]
        assert group["type"] == "RuntimeError" and "4111" not in group["message"]
        trace = shop.eventually(lambda: shop.get(f"/monitoring/traces/{group['trace_id']}").json().get("spans"))
        assert trace[0]["name"] == "GET /boom"
        logged = shop.get("/monitoring/logs", params={"request_id": failed.headers["x-request-id"]}).json()["items"]
        assert logged and "4111 1111" not in str(logged)
        shop.process.send_signal(signal.SIGTERM)
        assert shop.process.wait(30) == 0
    assert not list(tmp_path.glob("bedplate-*"))


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_second_port_serves_operators_alone(tmp_path: Path, workers: str) -> None:
    port = free_port()
    with run(tmp_path, "--workers", workers, BEDPLATE_SERVICE__MANAGEMENT_PORT=str(port)) as shop:
        shop.ready()
        with httpx2.Client(base_url=f"http://127.0.0.1:{port}", timeout=10) as operators:
            shop.eventually(lambda: operators.get("/readyz").status_code == 200)
            # In development a local caller needs no token; whoever says to come from elsewhere is still a local caller.
            assert operators.get("/monitoring/components", headers={"x-forwarded-for": "1.2.3.4"}).status_code == 200
            assert operators.get("/metrics").status_code == 200
            assert operators.get("/items/1").status_code == 404


@pytest.mark.parametrize(
    ("target", "status", "message"),
    [
        ("shop", 2, "is not module:attribute"),
        ("shop:nothing", 2, "has no 'nothing'"),
        ("nowhere:build", 2, "There is no module 'nowhere'"),
        ("shop:app", 2, "Name a function build(settings)"),
    ],
)
def test_what_cannot_be_found_is_told_without_a_traceback(
    tmp_path: Path, target: str, status: int, message: str
) -> None:
    (tmp_path / "shop.py").write_text(APP)
    command = [sys.executable, "-m", "bedplate.cli", "check", target]
    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ended.returncode == status, ended.stderr
    assert message in ended.stderr and "Traceback" not in ended.stderr


def test_production_lists_every_fault_at_once(tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text(APP)
    command = [sys.executable, "-m", "bedplate.cli", "run", "shop:build"]
    env = {
        **os.environ,
        "BEDPLATE_ENV": "production",
        "DATABASE_URL": "sqlite:///shop.db",
        "BEDPLATE_SERVICE__STOP_TIMEOUT": "-1",
    }
    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, env=env)
    assert ended.returncode == 1, ended.stderr
    for part in ("DATABASE_URL", "BEDPLATE_SERVICE__STOP_TIMEOUT", "No token is configured in production"):
        assert part in ended.stderr
    assert "Traceback" not in ended.stderr
