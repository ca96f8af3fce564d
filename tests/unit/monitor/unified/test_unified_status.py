"""The verdict over health and alerts."""

from __future__ import annotations

from typing import Any

import pytest

from bedplate.monitor.alerts.notices import Acknowledgement
from bedplate.monitor.health.status import Level, Reason, Status
from bedplate.monitor.unified.status import count, judge, sentences
from tests.unit.monitor.alerts.notify.telling import START, alert

WELL = Status("healthy", True, "running", START)
SEEN = Acknowledgement(actor="ada", note="on it", at=START)


def ill(level: Level, probe: str = "ping") -> Status:
    reason = Reason("redis", probe, level, START, "connection refused", "Reports are slow.")
    return Status(level, level != "unhealthy", "running", START, (reason,))


@pytest.mark.parametrize(
    ("severity", "level"), [("critical", "unhealthy"), ("warning", "degraded"), ("info", "healthy")]
)
def test_what_fires_makes_the_level(severity: Any, level: str) -> None:
    verdict = judge(WELL, [alert(severity=severity)])
    assert verdict.level == level
    assert [cause.alert for cause in verdict.causes] == (["CacheHitRateLow"] if level != "healthy" else [])


@pytest.mark.parametrize(
    "changes", [{"silenced_by": ("s1",)}, {"state": "pending"}, {"state": "resolved", "resolved_at": START}]
)
def test_what_is_silenced_pending_or_over_does_not_count(changes: Any) -> None:
    assert judge(WELL, [alert(severity="critical", **changes)]).level == "healthy"


def test_what_is_acknowledged_counts_and_says_who_looks_after_it() -> None:
    verdict = judge(WELL, [alert(acknowledged=SEEN)])
    assert verdict.level == "degraded"
    assert verdict.causes[0].acknowledged == "ada"
    assert verdict.causes[0].text.endswith("come from the cache. ada looks after it.")


def test_the_worst_decides_and_comes_first() -> None:
    verdict = judge(ill("degraded"), [alert(severity="critical", fingerprint="f2")])
    assert verdict.level == "unhealthy"
    assert [(cause.source, cause.level) for cause in verdict.causes] == [("alert", "unhealthy"), ("health", "degraded")]
    assert judge(ill("unhealthy"), [alert()]).level == "unhealthy"


def test_health_speaks_with_its_probe_and_its_error() -> None:
    (cause,) = judge(ill("degraded"), []).causes
    assert cause.text == "The probe ping of redis is down (connection refused): Reports are slow."
    (cause,) = judge(ill("degraded", probe=""), []).causes
    assert cause.text == "redis (connection refused): Reports are slow."


def test_instances_of_one_alert_are_one_cause_and_count_once() -> None:
    alerts = [alert(key="a", instance="a"), alert(key="b", instance="b")]
    assert len(judge(WELL, alerts).causes) == 1
    assert count(alerts)["warning"] == 1


def test_counts() -> None:
    alerts = [
        alert(severity="critical", fingerprint="f1", acknowledged=SEEN),
        alert(severity="warning", fingerprint="f2"),
        alert(severity="info", fingerprint="f3"),
        alert(severity="critical", fingerprint="f4", silenced_by=("s1",)),
        alert(severity="warning", fingerprint="f5", state="pending"),
        alert(severity="warning", fingerprint="f2", state="pending"),  # another instance of one that fires
        alert(severity="critical", fingerprint="f6", state="resolved"),
    ]
    assert count(alerts) == {
        "critical": 1,
        "warning": 1,
        "info": 1,
        "silenced": 1,
        "acknowledged": 1,
        "pending": 1,
    }


def said(*alerts: Any, health: Status = WELL) -> list[str]:
    return sentences("ledger", judge(health, alerts), count(alerts))


def test_sentences() -> None:
    assert said() == ["ledger is healthy.", "No alert fires."]
    assert said(alert(), health=ill("unhealthy")) == [
        "ledger is unhealthy.",
        "The probe ping of redis is down (connection refused): Reports are slow.",
        "Reports are slow: only 42 % of them come from the cache.",
        "One alert fires: 1 warning.",
    ]
    assert said(alert(severity="info", fingerprint="f1"), alert(fingerprint="f2", silenced_by=("s",)))[1:] == [
        "One alert fires: 1 info.",
        "One more is silenced.",
    ]
    many = [alert(fingerprint=name, severity="info") for name in "abc"]
    quiet = [alert(fingerprint=name, silenced_by=("s",)) for name in "de"]
    assert said(*many, *quiet)[1:] == ["3 alerts fire: 3 info.", "2 more are silenced."]
