from __future__ import annotations

from typing import Any

import pytest

from bedplate.component import TaskView
from bedplate.declarations import Probe
from bedplate.degradation import Degradation
from bedplate.monitor.health.record import ProbeRecord
from bedplate.monitor.health.status import Status, derive
from tests.unit.monitor.monitor_fakes import Part, view


async def never() -> None:
    return None


REDIS = Part("redis", degradation=Degradation(policy="serve", summary="Serves from memory, marked stale."))
DATABASE = Part("database")


def judge(*views: Any, records: Any = (), phase: Any = "running") -> Status:
    return derive(phase, views, records, {}, 1000.0)


def record(part: Part, status: Any, *, critical: bool = True, error: str = "") -> ProbeRecord:
    probe = Probe(name="ping", check=never, critical=critical, summary="It answers.")
    made = ProbeRecord(part.spec.label, probe, 990.0)
    made.status, made.error = status, error
    return made


def test_all_well() -> None:
    status = judge(view(REDIS), view(DATABASE), records=[record(REDIS, "up")])
    assert (status.level, status.ready, status.reasons) == ("healthy", True, ())


@pytest.mark.parametrize(
    ("critical", "probe", "level", "ready"),
    [
        (True, "down", "unhealthy", False),
        (True, "pending", "unhealthy", False),
        (False, "down", "degraded", True),
        (False, "pending", "healthy", True),
    ],
)
def test_probes_weigh_by_their_criticality(critical: bool, probe: str, level: str, ready: bool) -> None:
    status = judge(view(REDIS), records=[record(REDIS, probe, critical=critical, error="refused")])
    assert (status.level, status.ready) == (level, ready)
    for reason in status.reasons:
        assert (reason.component, reason.probe, reason.error, reason.since) == ("redis", "ping", "refused", 990.0)
        assert reason.meaning.startswith("Expected: It answers.")


@pytest.mark.parametrize("state", ["waiting", "starting", "stopping", "stopped", "failed"])
def test_a_component_that_does_not_run_makes_the_service_unready(state: Any) -> None:
    status = judge(view(DATABASE), view(REDIS, state, "refused"), records=[record(REDIS, "pending")])
    assert (status.level, status.ready) == ("unhealthy", False)
    assert [(reason.component, reason.probe) for reason in status.reasons] == [("redis", "")]


def test_a_degraded_component_says_what_it_promised() -> None:
    status = judge(view(REDIS, "degraded", "connection refused"))
    assert (status.level, status.ready) == ("degraded", True)
    assert status.reasons[0].error == "connection refused"
    assert status.reasons[0].meaning == "Serves from memory, marked stale."


def test_a_task_that_keeps_crashing_degrades() -> None:
    status = judge(
        view(REDIS, tasks=(TaskView("poll", "restarting", 4, "KeyError: 'x'"), TaskView("ok", "running", 0)))
    )
    assert status.level == "degraded"
    assert "poll" in status.reasons[0].meaning


def test_what_makes_it_unready_comes_first() -> None:
    records = [record(REDIS, "down", critical=False), record(DATABASE, "down")]
    status = judge(view(REDIS), view(DATABASE), records=records)
    assert [reason.level for reason in status.reasons] == ["unhealthy", "degraded"]


@pytest.mark.parametrize("phase", ["stopping", "failed"])
def test_a_service_that_ends_is_unready(phase: Any) -> None:
    assert not judge(view(REDIS), phase=phase).ready


def test_a_service_without_components_has_not_started() -> None:
    status = judge(phase="starting")
    assert (status.ready, status.phase) == (False, "starting")


def test_everybody_may_know_the_bare_status_only() -> None:
    status = judge(view(REDIS, "degraded", "secret detail"))
    assert "secret" not in str(status.bare())
    assert "secret" in str(status.document())
