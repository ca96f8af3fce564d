"""The demo as a newcomer starts it: one process, one port, live traffic, an alert after a while, a clean end."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from demo.trouble import FAULTS
from synfinance import components
from tests.demonstrating import PATIENCE, Demo, address_of, demos


@pytest.fixture(scope="module")
def newcomer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    """One demo to look at for as long as it runs: each that starts trains a model and plays the scene."""
    with demos(tmp_path_factory.mktemp("newcomer")) as run:
        demo = run("--port", "0")
        demo.base = address_of(demo)
        yield demo


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Demo]]:
    """Start demos."""
    with demos(tmp_path) as run:
        yield run


def children(demo: Demo) -> list[psutil.Process]:
    return psutil.Process(demo.process.pid).children(recursive=True)


@pytest.mark.timeout(240)
def test_a_newcomer_sees_synfinance_at_work(newcomer: Demo) -> None:
    demo = newcomer
    demo.until(lambda: "Opening scene" in demo.printed(), "the opening scene")
    for path in ("/", "/synfinance/docs", "/synfinance/metrics", "/synfinance/health", "/synfinance/monitoring"):
        assert f"{demo.base}{path}\n" in demo.printed()
        assert demo.get(path).status_code == 200, path
    ready = {"status": "ready", "services": {"synfinance": True, "tradesense": True, "ledger": True}}
    assert demo.get("/readyz").json() == ready

    # What people see of it, while and after the scene is played.
    demo.until(lambda: "Traffic goes on" in demo.printed(), "the end of the opening scene")
    scene = demo.printed()
    assert "fraud model: trained" in scene
    assert "1,000 transactions, 30 fraudulent: " in scene
    for rows, share in re.findall(r"batch of ([\d,]+): .*; (\d+)% of the cards were at hand", scene):
        assert 75 <= int(share) <= 95, f"batch of {rows}"
    assert "quality of 10,000 records: " in scene
    assert re.search(r"a broker's file: 400 trades imported, 1 bad line told .*; again, it added 0", scene)
    assert re.search(r"analysis: profit .*, Sharpe ", scene)
    assert re.search(r"live portfolio: \d+ positions, worth ", scene)
    assert re.search(r"a file of transactions: 120 posted .*, 1 bad line told; again, it added 0", scene)
    assert re.search(r"trial balance: debits .*, difference 0\.00", scene)
    demo.until(lambda: re.search(r"\d requests .* alerts ", demo.printed()), "a status line")
    assert "Traceback" not in demo.printed()

    _metrics(demo)
    _management(demo)
    _traders(demo)
    _companies(demo)
    answer = demo.client.post(f"{demo.base}/synfinance/simulate", json={"rows": 1_000, "fraud": 30})
    assert answer.json()["fraud"]["injected"] == 30
    assert answer.json()["detector"] == "fraud"
    assert "Traceback" not in demo.printed()


@pytest.mark.timeout(240)
def test_left_alone_it_fires_and_resolves_an_alert_within_three_minutes(newcomer: Demo) -> None:
    end = psutil.Process(newcomer.process.pid).create_time() + 180
    fault = FAULTS[0]
    for said in (fault.summary, f"[critical] {fault.alert}", f"[resolved] {fault.alert}"):
        newcomer.until(lambda said=said: said in newcomer.printed(), said, patience=end - time.time())
    assert "Traceback" not in newcomer.printed()


def test_ctrl_c_ends_it_with_a_word(newcomer: Demo) -> None:
    assert newcomer.end(signal.SIGINT) == 0
    assert re.search(r"Stopped after [\d,]+ requests\.\n\Z", newcomer.printed())
    assert "Traceback" not in newcomer.printed()


def _metrics(demo: Demo) -> None:
    """All that MISSION.md lists is exposed, in a form that Prometheus' own checker accepts."""
    text = demo.get("/synfinance/metrics").text
    exposed = set(re.findall(r"^# TYPE (\S+) ", text, re.MULTILINE))
    table = dict(re.findall(r"^(\w+) {2,}(\w+)$", components.__doc__ or "", re.MULTILINE))
    assert len(table) >= 22
    assert {name.removesuffix("_count") for name in table.values()} <= exposed
    checked = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, text=True, check=False)
    assert (checked.returncode, checked.stderr) == (0, "")


def _management(demo: Demo) -> None:
    """The management API knows what the traffic did."""
    prefix = "/synfinance/monitoring"
    # A fault may be on; they come by turns.
    demo.until(lambda: demo.get(f"{prefix}/health").json()["status"] == "healthy", "all to be well")
    detailed = demo.get(f"{prefix}/health/detailed").json()
    assert "fraud_detection" in {component["kind"] for component in detailed["components"]}
    families = demo.get(f"{prefix}/metrics", params={"format": "json"}).text
    assert "synfinance_fraud_detections_total" in families
    errors = demo.get(f"{prefix}/errors").json()["items"]
    assert any("RateSourceError" in str(error) for error in errors)
    traces = demo.get(f"{prefix}/traces", params={"limit": 100}).json()["items"]
    assert any(trace["route"] == "/demo/exchange-rate" for trace in traces)
    logs = demo.get(f"{prefix}/logs", params={"limit": 1_000}).json()["items"]
    assert {"POST /simulate 200", "model_trained"} <= {record["message"] for record in logs}
    kinds = {component["kind"] for component in demo.get(f"{prefix}/components").json()["items"]}
    assert {"generation", "fraud_detection", "data_quality", "card_history", "system"} <= kinds


def _traders(demo: Demo) -> None:
    """TradeSense runs beside SynFinance, with people in it, and nothing of it fails."""
    assert demo.get("/tradesense/health").json()["status"] == "healthy"
    monitoring = "/tradesense/api/v1/monitoring"
    assert demo.get(f"{monitoring}/health").json()["status"] in ("healthy", "degraded")
    kinds = {component["kind"] for component in demo.get(f"{monitoring}/components").json()["items"]}
    assert {"cache", "sessions", "rate_limit", "locks", "confirmations", "idempotency", "memory"} <= kinds
    assert {"trade_records", "accounts", "imports", "analytics", "market", "live", "deletions"} <= kinds
    assert demo.get(f"{monitoring}/errors").json()["items"] == []
    assert re.search(r" · traders [\d,]+ requests \(0 failed\)", demo.printed())


def _companies(demo: Demo) -> None:
    """Ledger runs beside them, with companies that work and a few hundred that are made up; nothing of it fails."""
    assert demo.get("/ledger/health").json()["status"] == "healthy"
    monitoring = "/ledger/monitoring"
    assert demo.get(f"{monitoring}/health").json()["status"] in ("healthy", "degraded")
    kinds = {component["kind"] for component in demo.get(f"{monitoring}/components").json()["items"]}
    assert {"books", "tokens", "reports", "imports", "rehearsal", "cache", "idempotency"} <= kinds
    demo.until(lambda: "books_filled" in demo.get(f"{monitoring}/logs", params={"limit": 1_000}).text, "all books")
    assert demo.get("/ledger/rehearsal").json()["balanced"] is True
    assert demo.get(f"{monitoring}/errors").json()["items"] == []
    demo.until(lambda: re.search(r" · companies [\d,]+ \(0 failed\)", demo.printed()), "companies at work")


def test_it_ends_at_once_while_the_model_is_still_trained(start: Callable[..., Demo]) -> None:
    demo = start("--port", "0")
    demo.base = address_of(demo)
    trainers = demo.until(lambda: children(demo), "the training process")
    assert demo.end(signal.SIGTERM) == 0
    assert "Traceback" not in demo.printed()
    assert not [process for process in trainers if process.is_running()]


def test_a_port_that_is_in_use_is_named_with_what_to_do(start: Callable[..., Demo]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        demo = start("--port", str(port))
        assert demo.process.wait(timeout=PATIENCE) == 2
        assert f"Port {port} is in use. Choose another: make demo PORT=" in demo.printed()


@pytest.mark.parametrize("port", ["99999", "-1", "http"])
def test_what_is_no_port_is_refused(start: Callable[..., Demo], port: str) -> None:
    demo = start("--port", port)
    assert demo.process.wait(timeout=PATIENCE) == 2
    assert "is not a port" in demo.printed() or "expected one argument" in demo.printed()
    assert "Traceback" not in demo.printed()
