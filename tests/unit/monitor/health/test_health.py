from __future__ import annotations

import asyncio
from typing import Any

import pytest

from bedplate.declarations import Probe
from bedplate.monitor.health import Health, HealthSettings
from bedplate.monitor.health.metrics import DURATION, PROBE_UP, READY, RUNS, TRANSITIONS
from tests.unit.monitor.monitor_fakes import FakeHost, Part, client, running, settle, view

SETTINGS = HealthSettings(start_jitter=0, disk_paths=(), memory_share=1, memory_available_share=0, loop_lag=60)


class Backend:
    """A dependency with one probe that does as it is told."""

    def __init__(self, kind: str = "redis", *, critical: bool = True, failures: int = 2) -> None:
        self.error: Exception | None = None
        self.hang = False
        probe = Probe(name="ping", check=self.check, critical=critical, interval=10, timeout=2, failures=failures)
        self.part = Part(kind, probes=(probe,))

    async def check(self) -> str | None:
        while self.hang:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                continue
        if self.error is not None:
            raise self.error
        return None


def make(*parts: Any, settings: HealthSettings = SETTINGS) -> tuple[Health, FakeHost]:
    health, host = Health(settings), FakeHost()
    host.components = [view(health), *parts]
    return health, host


async def ask(app: Any, path: str = "/readyz", method: str = "GET") -> Any:
    async with client(app) as http:
        return await http.request(method, path)


async def test_it_answers_before_it_has_started() -> None:
    health = Health()
    alive, ready = await ask(health.board.livez), await ask(health.board.readyz)
    assert (alive.status_code, alive.json()) == (200, {"status": "alive"})
    assert (ready.status_code, ready.json()) == (503, {"status": "starting"})
    assert ready.headers["cache-control"] == "no-store"
    assert ready.headers["retry-after"] == "1"


async def test_head_options_and_other_methods() -> None:
    board = Health().board
    for app, status in ((board.livez, 200), (board.readyz, 503)):
        whole, head = await ask(app), await ask(app, method="HEAD")
        assert (head.status_code, head.content) == (status, b"")
        assert head.headers["content-length"] == whole.headers["content-length"]
        options = await ask(app, method="OPTIONS")
        assert (options.status_code, options.headers["allow"]) == (204, "GET, HEAD, OPTIONS")
        other = await ask(app, method="POST")
        assert (other.status_code, other.headers["allow"]) == (405, "GET, HEAD, OPTIONS")
        assert other.headers["content-type"] == "application/problem+json"


async def test_it_is_ready_once_every_component_runs_and_every_critical_probe_has_passed() -> None:
    backend = Backend()
    health, host = make(view(backend.part, "starting"))
    async with running(health, host):
        await host.clock.advance(5)
        assert (health.status.ready, health.status.phase) == (False, "starting")
        backend.error = ConnectionError("refused")
        host.components = [view(health), view(backend.part)]
        await host.clock.advance(15)
        assert not health.status.ready
        assert health.status.reasons[0].error == "ConnectionError: refused"
        backend.error = None
        await host.clock.advance(12)
        assert (health.status.level, health.status.ready, health.status.phase) == ("healthy", True, "running")
        assert host.value(READY) == 1
        assert (await ask(health.board.readyz)).json() == {"status": "healthy"}


async def test_the_fault_of_a_critical_probe_takes_it_out_and_lets_it_back_in() -> None:
    backend = Backend()
    health, host = make(view(backend.part))
    labels = {"component": "redis", "probe": "ping"}
    async with running(health, host):
        await host.clock.advance(1)
        assert health.status.ready
        assert host.value(PROBE_UP, **labels) == 1
        backend.error = ConnectionError("redis://:hunter2hunter2@cache refused")
        await host.clock.advance(12)
        assert health.status.ready, "one failure is none"
        await host.clock.advance(11)
        assert not health.status.ready
        assert host.value(PROBE_UP, **labels) == 0
        assert host.value(READY) == 0
        assert (await ask(health.board.readyz)).json() == {"status": "unready"}
        backend.error = None
        await host.clock.advance(12)
        assert health.status.ready
        assert host.value(TRANSITIONS, **labels) == 2
        assert host.value(RUNS, **labels, outcome="failed") == 2
        assert host.cells[(DURATION.name, *sorted(labels.items()))].observed
        down = host.log.named("probe_down")
        assert [(entry["of"], entry["probe"]) for entry in down] == [("redis", "ping")]
        assert "hunter2" not in str(host.log.events) + str(health.report(history=True))
        report = health.report(history=True)
        assert [one["after"] for one in report["transitions"]] == ["healthy", "unhealthy", "healthy"]


async def test_what_is_not_critical_degrades() -> None:
    backend = Backend(critical=False, failures=1)
    backend.error = OSError("slow")
    health, host = make(view(backend.part))
    async with running(health, host):
        await host.clock.advance(1)
        assert (health.status.level, health.status.ready) == ("degraded", True)
        answer = await ask(health.board.readyz)
        assert (answer.status_code, answer.json()) == (200, {"status": "degraded"})


async def test_whatever_hangs_the_answers_come_and_the_others_are_asked() -> None:
    stuck, fine = Backend("database"), Backend("redis")
    health, host = make(view(stuck.part), view(fine.part))
    async with running(health, host):
        await host.clock.advance(1)
        assert health.status.ready
        stuck.hang = True
        await host.clock.advance(40)
        assert (await ask(health.board.livez)).status_code == 200
        assert (await ask(health.board.readyz)).status_code == 503
        assert [reason.component for reason in health.status.reasons] == ["database"]
        assert host.value(RUNS, component="redis", probe="ping", outcome="ok") >= 4
        assert host.value(RUNS, component="database", probe="ping", outcome="hung") >= 2
        stuck.hang = False
        for task in asyncio.all_tasks():
            if task.get_name().startswith("probe database"):
                task.cancel()
        await settle()


async def test_a_degraded_component_degrades_the_service_until_it_is_whole() -> None:
    part = Part("cache", name="reports")
    health, host = make(view(part, "degraded", "redis://u:hunter2hunter2@h is away"))
    async with running(health, host):
        await host.clock.advance(1)
        assert health.status.level == "degraded"
        assert "hunter2" not in str(health.report())
        host.components = [view(health), view(part)]
        health.refresh()
        assert health.status.level == "healthy"


async def test_it_can_be_blocked_from_outside() -> None:
    health, host = make()
    health.block("app", "The application has not finished starting.")
    async with running(health, host):
        await host.clock.advance(1)
        assert (health.status.ready, health.status.phase) == (False, "starting")
        health.block("app", None)
        assert (health.status.ready, health.status.phase) == (True, "running")


async def test_draining_is_final_and_stopping_leaves_nothing_behind() -> None:
    backend = Backend()
    health, host = make(view(backend.part))
    before = len(asyncio.all_tasks())
    async with running(health, host):
        await host.clock.advance(1)
        health.drain()
        await host.clock.advance(20)
        assert (await ask(health.board.readyz)).json() == {"status": "stopping"}
        assert (await ask(health.board.livez)).status_code == 200
    await settle()
    assert len(asyncio.all_tasks()) == before
    assert not health.status.ready


async def test_it_can_run_again() -> None:
    health, host = make()
    for _ in range(2):
        async with running(health, host):
            await host.clock.advance(1)
            assert health.status.ready


async def test_a_start_that_failed_is_said() -> None:
    health, _ = make()
    health.fail()
    answer = await ask(health.board.readyz)
    assert (answer.status_code, answer.json()) == (503, {"status": "failed"})


async def test_a_check_that_will_not_end_does_not_hold_up_the_stop() -> None:
    backend = Backend()
    backend.hang = True
    health, host = make(view(backend.part), settings=SETTINGS.model_copy(update={"cancel_grace": 0.05}))
    async with asyncio.timeout(60):
        async with running(health, host):
            await host.clock.advance(1)
    assert host.log.named("probe_abandoned") == [{"of": "redis", "probe": "ping"}]
    backend.hang = False
    for task in asyncio.all_tasks():
        if task.get_name().startswith("probe redis"):
            task.cancel()
    await settle()


def test_the_spec_is_stable_and_every_alert_has_a_runbook_section() -> None:
    health = Health()
    assert health.spec == health.spec
    assert health.spec.runbook is not None
    assert set(health.spec.runbook.sections()) == {alert.name for alert in health.spec.alerts}


@pytest.mark.parametrize("status", ["healthy", "unhealthy"])
async def test_answers_share_no_mutable_state(status: str) -> None:
    health = Health()
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)
        message.get("headers", []).append((b"x-request-id", b"1"))

    async def receive() -> Any:
        raise AssertionError("nothing is read")

    for _ in range(2):
        await health.board.readyz({"type": "http", "method": "GET", "headers": []}, receive, send)
    assert [name for name, _ in sent[2]["headers"]].count(b"x-request-id") == 1
