"""A process of two services in earnest: staging, a token, and Prometheus with nothing but what was rendered."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import yaml

from bedplate.monitor.auth import mint
from tests.prometheus import prometheus
from tests.serving import run

BOTH = """
from fastapi import FastAPI
from bedplate import Process, RateLimit, Service, Settings

def service(name, settings):
    app = FastAPI()
    app.get("/answer")(lambda: 42)
    return Service(name, app, [RateLimit(limits="1000/minute")], settings=settings)

def build(settings: Settings) -> Process:
    return Process([service("ledger", settings), service("midas", settings)])
"""


def test_each_service_of_a_process_is_scraped_and_watched_as_its_own(tmp_path: Path) -> None:
    (tmp_path / "both.py").write_text(BOTH)
    secret, entry = mint("prometheus", "metrics")
    token = tmp_path / "scrape-token"
    token.write_text(secret)
    settings = {"BEDPLATE_ENV": "staging", "BEDPLATE_TOKENS": entry}
    with run(tmp_path, target="both:build", **settings) as process:
        process.ready()
        command = [
            sys.executable, "-m", "bedplate.cli", "render", "both:build", "--time-scale", "0.02",
            "--scrape-target", f"127.0.0.1:{process.port}", "--scrape-token-file", str(token),
        ]  # fmt: skip
        subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
        config = tmp_path / "deploy" / "prometheus" / "prometheus.yml"
        assert secret not in config.read_text()
        with prometheus(tmp_path, config=config) as server:
            server.scraped("ledger", "midas")
            for _ in range(5):
                assert process.get("/midas/answer").status_code == 200
            requests = 'http_server_request_duration_seconds_count{http_route="/answer"}'
            server.until(lambda: server.values(f"sum by (job) ({requests}) == 5"), "the requests")
            assert [sample["metric"]["job"] for sample in server.query(requests)] == ["midas"]
            rules = {rule["name"]: rule for rule in server.rules()}
            assert rules.keys() >= {"ServiceDown", "HealthUnready"}
            server.until(lambda: {rule["health"] for rule in server.rules()} == {"ok"}, "an evaluation of every rule")
            # Before the first scrape nobody was up; that is over once it has been.
            server.until(lambda: server.alerts() == [], "calm")
    compose = yaml.safe_load((tmp_path / "deploy" / "compose.yml").read_text())["services"]
    assert compose["services"]["command"][2] == "both:build"


def test_a_service_that_ends_is_told_of_by_prometheus(tmp_path: Path) -> None:
    (tmp_path / "both.py").write_text(BOTH)
    with run(tmp_path, target="both:build", BEDPLATE_AUTH__DEVELOPMENT="everyone") as process:
        process.ready()
        command = [
            sys.executable, "-m", "bedplate.cli", "render", "both:build", "--time-scale", "0.02",
            "--scrape-target", f"127.0.0.1:{process.port}", "--scrape-token-file", "",
        ]  # fmt: skip
        subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
        with prometheus(tmp_path, config=tmp_path / "deploy" / "prometheus" / "prometheus.yml") as server:
            server.scraped("ledger", "midas")
            process.process.kill()
            process.process.wait()

            def told() -> set[str]:
                alerts = [alert for alert in server.alerts("firing") if alert["labels"]["alertname"] == "ServiceDown"]
                return {alert["labels"]["job"] for alert in alerts}

            server.until(lambda: told() == {"ledger", "midas"}, "ServiceDown of both")
            (alert, _) = (a for a in server.alerts("firing") if a["labels"]["alertname"] == "ServiceDown")
            assert "viewPanel=panel-" in alert["annotations"]["runbook_url"]
