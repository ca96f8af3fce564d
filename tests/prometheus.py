"""A real Prometheus and a real Alertmanager on free ports, for tests that ask them.

.. code-block:: python

    with prometheus(tmp_path, scrape={"shop": f"127.0.0.1:{shop.port}"}, rules=[rules_file]) as server:
        server.until(lambda: server.query('up{job="shop"} == 1'), "the first scrape")
        assert server.alerts() == []

``make servers`` installs both programs; a test fails, and does not skip, where they are missing.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import httpx2
import yaml

from tests.serving import free_port

__all__ = ["Alertmanager", "Server", "alertmanager", "amtool", "prometheus", "promtool", "scrape_config"]

#: The machine may be busy with other tests; nothing here waits longer than it has to.
PATIENCE = 60.0

T = TypeVar("T")


def promtool(*arguments: str | Path, folder: Path | None = None) -> str:
    """Run promtool; return what it says. It must have nothing against what it is given."""
    return _tool("promtool", arguments, folder)


def amtool(*arguments: str | Path, folder: Path | None = None) -> str:
    """Run amtool; return what it says. It must have nothing against what it is given."""
    return _tool("amtool", arguments, folder)


def _tool(program: str, arguments: Iterable[str | Path], folder: Path | None) -> str:
    done = subprocess.run(
        [_program(program), *map(str, arguments)], cwd=folder, capture_output=True, text=True, check=False
    )
    said = done.stdout + done.stderr
    assert done.returncode == 0, f"{program} {' '.join(map(str, arguments))} exited with {done.returncode}:\n{said}"
    return said


def _program(name: str) -> str:
    # Debian calls it by another name than its makers do.
    found = shutil.which(name) or shutil.which(f"prometheus-{name}")
    assert found is not None, f"{name} is missing. Run: make servers"
    return found


@dataclass
class Process:
    """A server in a process of its own."""

    process: subprocess.Popen[bytes]
    port: int
    log: Path
    client: httpx2.Client = field(default_factory=lambda: httpx2.Client(timeout=60))

    @property
    def address(self) -> str:
        """``host:port``."""
        return f"127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        """Where it is asked."""
        return f"http://{self.address}"

    def get(self, path: str, **params: Any) -> httpx2.Response:
        """Ask it."""
        return self.client.get(f"{self.url}{path}", params=params)

    def post(self, path: str, **options: Any) -> httpx2.Response:
        """Tell it."""
        return self.client.post(f"{self.url}{path}", **options)

    def until(self, condition: Callable[[], T], what: str, patience: float = PATIENCE) -> T:
        """Wait until a condition gives something true; return that."""
        end = time.monotonic() + patience
        while True:
            with contextlib.suppress(httpx2.TransportError):
                if found := condition():
                    return found
            assert self.process.poll() is None, f"It ended, waiting for {what}:\n{self.log.read_text()[-3000:]}"
            assert time.monotonic() < end, f"Waited in vain for {what}:\n{self.log.read_text()[-3000:]}"
            time.sleep(0.05)

    def ready(self) -> bool:
        """Say whether it answers."""
        return self.get("/-/ready").status_code == 200

    def reload(self) -> None:
        """Let it read its files again."""
        answer = self.post("/-/reload")
        assert answer.status_code == 200, answer.text


class Server(Process):
    """A running Prometheus."""

    def query(self, expr: str, at: float | None = None) -> list[dict[str, Any]]:
        """Return the present value of an expression as Prometheus' API has it; a scalar as one sample without labels.

        :raises AssertionError: when Prometheus cannot evaluate it; it says why.
        """
        data = self._data("/api/v1/query", query=expr, **({} if at is None else {"time": at}))
        if data["resultType"] in ("scalar", "string"):
            return [{"metric": {}, "value": data["result"]}]
        result: list[dict[str, Any]] = data["result"]
        return result

    def values(self, expr: str, at: float | None = None) -> list[float]:
        """Return the present values of an expression without their labels."""
        return [float(sample["value"][1]) for sample in self.query(expr, at)]

    def query_range(self, expr: str, start: float, end: float, step: float) -> list[dict[str, Any]]:
        """Return the values of an expression over time, as Prometheus' API has them."""
        result: list[dict[str, Any]] = self._data("/api/v1/query_range", query=expr, start=start, end=end, step=step)[
            "result"
        ]
        return result

    def alerts(self, state: str | None = None) -> list[dict[str, Any]]:
        """Return the active alerts, or those in a state: pending, firing."""
        found: list[dict[str, Any]] = self._data("/api/v1/alerts")["alerts"]
        return [alert for alert in found if state is None or alert["state"] == state]

    def firing(self) -> set[str]:
        """Return the names of the alerts that fire."""
        return {alert["labels"]["alertname"] for alert in self.alerts("firing")}

    def rules(self) -> list[dict[str, Any]]:
        """Return every rule with its health and last evaluation."""
        return [rule for group in self._data("/api/v1/rules")["groups"] for rule in group["rules"]]

    def targets(self) -> list[dict[str, Any]]:
        """Return what it scrapes, with its health and last error."""
        found: list[dict[str, Any]] = self._data("/api/v1/targets")["activeTargets"]
        return found

    def scraped(self, *jobs: str) -> None:
        """Wait until each job, or everything that it knows of, has been scraped."""

        def all_up() -> bool:
            health = {target["labels"]["job"]: target["health"] for target in self.targets()}
            wanted = jobs or tuple(health)
            return bool(wanted) and all(health.get(job) == "up" for job in wanted)

        self.until(all_up, f"a scrape of {', '.join(jobs) or 'everything'}")

    def _data(self, path: str, **params: Any) -> Any:
        answer = self.get(path, **params)
        document = answer.json()
        assert document["status"] == "success", f"{params}: {document.get('error')}"
        return document["data"]


class Alertmanager(Process):
    """A running Alertmanager."""

    def alerts(self) -> list[dict[str, Any]]:
        """Return what it was told of, with what it does about it: ``status.state``, ``status.inhibitedBy``."""
        found: list[dict[str, Any]] = self.get("/api/v2/alerts").json()
        return found

    def send(self, *alerts: Mapping[str, Any]) -> None:
        """Tell it of alerts, as Prometheus does."""
        answer = self.post("/api/v2/alerts", content=json.dumps(alerts), headers={"content-type": "application/json"})
        assert answer.status_code == 200, answer.text


def scrape_config(
    scrape: Mapping[str, str], *, interval: str = "1s", rules: Iterable[Path] = (), alertmanager: str | None = None
) -> dict[str, Any]:
    """Return a configuration.

    :param scrape: for each job what is scraped: ``host:port``, or ``host:port/path`` where that is not ``/metrics``.
    :param interval: between two scrapes, and of groups of rules without one of their own.
    :param alertmanager: ``host:port`` of an Alertmanager that it tells of alerts.
    """
    config: dict[str, Any] = {
        "global": {"scrape_interval": interval, "scrape_timeout": interval, "evaluation_interval": interval},
        "rule_files": [str(path) for path in rules],
        "scrape_configs": [
            {
                "job_name": job,
                "metrics_path": f"/{path or 'metrics'}",
                "static_configs": [{"targets": [target]}],
            }
            for job, (target, _, path) in ((job, where.partition("/")) for job, where in scrape.items())
        ],
    }
    if alertmanager is not None:
        config["alerting"] = {"alertmanagers": [{"static_configs": [{"targets": [alertmanager]}]}]}
    return config


@contextmanager
def prometheus(
    folder: Path,
    *,
    config: Path | Mapping[str, Any] | None = None,
    scrape: Mapping[str, str] | None = None,
    interval: str = "1s",
    rules: Iterable[Path] = (),
    alertmanager: str | None = None,
    flags: Iterable[str] = (),
) -> Iterator[Server]:
    """Run Prometheus while inside, on a free port, with its data in ``folder``.

    :param config: a file, or what one holds; without it, ``scrape`` and the rest make one, see :func:`scrape_config`.
    :param flags: further arguments, such as ``--enable-feature=exemplar-storage``.
    """
    if not isinstance(config, Path):
        text = config or scrape_config(scrape or {}, interval=interval, rules=rules, alertmanager=alertmanager)
        config = folder / "prometheus.yml"
        config.write_text(yaml.safe_dump(dict(text), sort_keys=False))
    port, log = free_port(), folder / "prometheus.log"
    command = [
        _program("prometheus"),
        f"--config.file={config}",
        f"--storage.tsdb.path={folder / 'prometheus-data'}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--web.enable-lifecycle",
        *flags,
    ]
    with _running(command, log) as process, httpx2.Client(timeout=60) as client:
        server = Server(process, port, log, client)
        server.until(server.ready, "Prometheus")
        yield server


@contextmanager
def alertmanager(folder: Path, config: Path | Mapping[str, Any] | None = None) -> Iterator[Alertmanager]:
    """Run Alertmanager while inside, on a free port, with its data in ``folder``.

    :param config: a file, or what one holds; without it, everything goes to a receiver that tells nobody.
    """
    if not isinstance(config, Path):
        text = config or {"route": {"receiver": "nobody"}, "receivers": [{"name": "nobody"}]}
        config = folder / "alertmanager.yml"
        config.write_text(yaml.safe_dump(dict(text), sort_keys=False))
    port, log = free_port(), folder / "alertmanager.log"
    command = [
        _program("alertmanager"),
        f"--config.file={config}",
        f"--storage.path={folder / 'alertmanager-data'}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--cluster.listen-address=",
    ]
    with _running(command, log) as process, httpx2.Client(timeout=60) as client:
        server = Alertmanager(process, port, log, client)
        server.until(server.ready, "Alertmanager")
        yield server


@contextmanager
def _running(command: list[str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("wb") as file:
        process = subprocess.Popen(command, stdout=file, stderr=file)
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
