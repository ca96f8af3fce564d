"""`bedplate run` as a process: serving, workers that die, a start that fails, a stop that drains."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import httpx2
import psutil
import pytest

from tests.serving import APP, free_port, run


def test_probes_answer_while_it_starts_and_requests_do_not(tmp_path: Path) -> None:
    may_start = tmp_path / "may start"
    with run(tmp_path, START_AFTER=str(may_start)) as shop:
        shop.eventually(lambda: shop.get("/livez").status_code == 200)
        assert shop.get("/readyz").status_code == 503
        refused = shop.get("/items/1")
        assert (refused.status_code, refused.headers["content-type"]) == (503, "application/problem+json")
        assert refused.headers["retry-after"] == "1"
        assert shop.get("/monitoring/health").json()["phase"] == "starting"
        may_start.touch()
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
        with httpx2.Client(timeout=60) as other:
            answers: list[httpx2.Response] = []
            url = f"http://127.0.0.1:{shop.port}/slow"
            thread = threading.Thread(target=lambda: answers.append(other.get(url)))
            thread.start()
            shop.eventually(lambda: "slow begins" in shop.log)
            with socket.create_connection(("127.0.0.1", shop.port), timeout=20) as early:
                # Who has been let in and not asked yet is answered as well.
                ours, server = early.getsockname()[1], psutil.Process(shop.process.pid)
                shop.eventually(lambda: ours in {getattr(one.raddr, "port", 0) for one in server.net_connections()})
                shop.process.send_signal(signal.SIGTERM)
                early.sendall(b"GET /items/7 HTTP/1.1\r\nHost: shop\r\n\r\n")
                answer = b"".join(iter(lambda: early.recv(65536), b""))
            assert answer.startswith(b"HTTP/1.1 200") and b"connection: close" in answer
            thread.join()
        assert answers[0].json() == {"slow": "done"}
        assert shop.process.wait(60) == 0
    assert not list(tmp_path.glob("bedplate-*")), "nothing is left in the temporary directory"


def test_workers_are_one_service_and_a_killed_one_is_counted_and_replaced(tmp_path: Path) -> None:
    with run(tmp_path, "--workers", "2") as shop:
        shop.ready()
        shop.eventually(lambda: shop.get("/metrics").status_code == 200)
        # One worker may be ready before the other: each question is a connection of its own.
        ready = f"http://127.0.0.1:{shop.port}/readyz"
        shop.eventually(lambda: all(httpx2.get(ready).status_code == 200 for _ in range(20)))
        for item in range(20):
            # A connection of its own for each, so that both workers get some.
            assert httpx2.get(f"http://127.0.0.1:{shop.port}/items/{item}").status_code == 200
        requests = r'http_server_request_duration_seconds_count\{.*http_route="/items/\{item\}"'
        assert shop.eventually(lambda: shop.metric(requests) == 20)
        victim = shop.get("/items/1").json()["pid"]
        # A request is counted a moment after its answer; a worker killed within that moment has not counted it.
        assert shop.eventually(lambda: shop.metric(requests) == 21)
        shop.client.close()
        os.kill(victim, signal.SIGKILL)
        shop.client = httpx2.Client(base_url=f"http://127.0.0.1:{shop.port}", timeout=60)
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
        with httpx2.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as operators:
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
