"""The management API over what it really stands on: lifecycle, registry, logs and traces."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from bedplate.clock import SystemClock
from bedplate.component import Host, Spec
from bedplate.declarations import Action, Actor, Probe, Routes
from bedplate.metric import Counter
from bedplate.monitor.auth import Authenticator, AuthSettings, ProblemRouter, secure
from bedplate.monitor.health import Health, HealthSettings
from bedplate.monitor.management import Management
from bedplate.service.lifecycle import Lifecycle
from bedplate.service.supervision import Supervision
from bedplate.telemetry.logs import Logs, LogSettings, get_logger
from bedplate.telemetry.metrics.component import Metrics
from bedplate.telemetry.traces import Traces
from tests.unit.monitor.monitor_fakes import client

TOKEN = "operator-token-1234"
GREETINGS = Counter("greeter_greetings_total", "People greeted.", {"language": ("en", "de")})


class Greeter:
    """A user's component, with nothing listed anywhere else."""

    def __init__(self) -> None:
        self.starting, self.may_start = asyncio.Event(), asyncio.Event()
        self.error: Exception | None = None
        self._spec = Spec(
            kind="greeter",
            summary="Greets people.",
            metrics=(GREETINGS,),
            probes=(Probe(name="voice", check=self.check, interval=0.02, failures=1),),
        )

    @property
    def spec(self) -> Spec:
        return self._spec

    async def check(self) -> str:
        if self.error is not None:
            raise self.error
        return "clear"

    @asynccontextmanager
    async def lifespan(self, host: Host) -> AsyncIterator[None]:
        self.starting.set()
        await self.may_start.wait()
        host.bind(GREETINGS, language="en").inc(2)
        host.log.info("greeter_ready", voice="clear")
        self.host = host
        yield

    def actions(self) -> list[Action]:
        return [Action(name="greet", summary="Greet everybody.", run=self.greet)]

    async def greet(self, parameters: None, actor: Actor) -> str:
        self.host.bind(GREETINGS, language="de").inc()
        return f"Hallo {actor.name}"


class Together:
    def __init__(self, directory: Path) -> None:
        self.greeter = Greeter()
        self.metrics, self.traces = Metrics(), Traces()
        self.logs = Logs(LogSettings(stream="off"))
        self.auth = Authenticator(AuthSettings(tokens=f"otto:operator:{TOKEN}"), environment="production")  # type: ignore[arg-type]
        self.health = Health(HealthSettings(start_jitter=0, tick=0.01, disk_paths=(), memory_available_share=0))
        self.management = Management(
            registry=self.metrics,
            health=self.health,
            auth=self.auth,
            logs=self.logs.tail,
            traces=self.traces.store,
        )
        supervision = Supervision()
        self.components: list[Any] = [
            *[self.metrics, self.logs, supervision, self.traces],
            *[self.auth, self.health, self.management, self.greeter],
        ]
        families = [metric for part in self.components for metric in part.spec.metrics]
        self.lifecycle = Lifecycle(
            "ledger",
            self.components,
            binder=self.metrics.open("ledger", None, families),
            observer=supervision,
            logger=lambda label: get_logger(f"ledger.{label}").bind(component=label),
            clock=SystemClock(),
            directory=lambda: directory,
            environment="production",
        )
        found: list[Routes] = [*self.management.routes()]
        secured = [secure(each, self.auth, "/monitoring" if each.management else "") for each in found]
        self.app = ProblemRouter(
            [route for each in secured for route in each], default=self.auth.protect(ProblemRouter([]), "viewer")
        )

    async def get(self, path: str, **headers: str) -> Any:
        async with client(self.app, token=TOKEN) as http:
            return await http.get(path, headers=headers)

    async def until(self, ready: bool) -> None:
        async with asyncio.timeout(60):
            while self.health.status.ready is not ready:
                await asyncio.sleep(0.005)


@pytest.fixture
async def together(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> AsyncIterator[Together]:
    made = Together(tmp_path)
    level = logging.getLogger().level
    starting = asyncio.create_task(made.lifecycle.start())
    try:
        while not made.greeter.starting.is_set() and not starting.done():
            await asyncio.sleep(0.005)
        yield made
    finally:
        made.greeter.may_start.set()
        await starting
        await made.lifecycle.stop()
        made.metrics.close()
        logging.getLogger().setLevel(level)


async def test_a_component_that_starts_late_keeps_the_service_unready_and_everything_answers(
    together: Together,
) -> None:
    async with asyncio.timeout(60):
        while "greeter" not in [
            one["component"] for one in (await together.get("/monitoring/health")).json()["reasons"]
        ]:
            await asyncio.sleep(0.005)
    for path in ("health", "health/detailed", "metrics", "components", "traces", "logs", "components/greeter/default"):
        assert (await together.get(f"/monitoring/{path}")).status_code in (200, 503)
    together.greeter.may_start.set()
    await together.until(ready=True)
    answer = await together.get("/monitoring/health")
    assert (answer.status_code, answer.json()["status"]) == (200, "healthy")


async def test_a_users_component_is_seen_everywhere(together: Together) -> None:
    together.greeter.may_start.set()
    await together.until(ready=True)
    metrics = (await together.get("/metrics")).text
    assert 'greeter_greetings_total{language="en"} 2' in metrics
    assert 'bedplate_health_probe_up{component="greeter",probe="voice"} 1' in metrics
    assert 'bedplate_health_probe_runs_total{component="greeter",probe="voice",outcome="hung"} 0' in metrics
    component = (await together.get("/monitoring/components/greeter/default")).json()
    assert component["probes"][0]["runs"][0]["text"] == "clear"
    assert component["state"] == "running"
    found = (await together.get("/monitoring/logs?logger=ledger.greeter")).json()["items"]
    assert [record["message"] for record in found] == ["greeter_ready"]
    as_json = (await together.get("/monitoring/metrics", Accept="application/json")).json()
    family = next(one for one in as_json["families"] if one["name"] == GREETINGS.name)
    assert family["samples"][0]["value"] == 2


async def test_a_fault_is_told_with_its_reason_and_in_the_log(together: Together) -> None:
    together.greeter.may_start.set()
    await together.until(ready=True)
    together.greeter.error = ConnectionError("lost my voice at redis://u:hunter2hunter2@h")
    await together.until(ready=False)
    reason = (await together.get("/monitoring/health")).json()["reasons"][0]
    assert (reason["component"], reason["probe"]) == ("greeter", "voice")
    assert reason["error"].startswith("ConnectionError: lost my voice")
    logged = (await together.get("/monitoring/logs?level=warning&text=probe_down")).json()["items"][0]
    assert (logged["of"], logged["probe"], logged["component"]) == ("greeter", "voice", "health")
    assert "hunter2" not in (await together.get("/monitoring/logs?limit=1000")).text
    together.greeter.error = None
    await together.until(ready=True)


async def test_an_action_leaves_its_mark_and_its_record(together: Together) -> None:
    together.greeter.may_start.set()
    await together.until(ready=True)
    async with client(together.app, token=TOKEN) as http:
        answer = await http.post("/monitoring/components/greeter/default/actions/greet")
    assert answer.json() == {"component": "greeter", "action": "greet", "result": "Hallo otto"}
    assert 'greeter_greetings_total{language="de"} 1' in (await together.get("/metrics")).text
    record = (await together.get("/monitoring/logs?logger=bedplate.audit")).json()["items"][0]
    assert (record["message"], record["actor"], record["action"]) == ("action_done", "otto", "greet")


async def test_what_the_registry_exposes_is_what_the_specs_declare(together: Together) -> None:
    together.greeter.may_start.set()
    await together.until(ready=True)
    families = {family["name"] for family in (await together.get("/metrics?format=json")).json()["families"]}
    ours = [together.auth, together.health, together.management]
    assert {metric.name for part in ours for metric in part.spec.metrics} - families <= {
        # without labels' values there is nothing to show until somebody presses a button
        "bedplate_management_actions_total"
    }
