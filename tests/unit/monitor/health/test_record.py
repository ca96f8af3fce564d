from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from bedplate.declarations import Probe
from bedplate.monitor.health.record import ProbeRecord, Run


async def never() -> None:
    return None


def record(failures: int = 2, successes: int = 1, keep: int = 60) -> ProbeRecord:
    return ProbeRecord("redis", Probe(name="ping", check=never, failures=failures, successes=successes), 100.0, keep)


def feed(record: ProbeRecord, outcomes: str) -> list[str]:
    """Add runs, ``+`` good and ``-`` bad, one a second; return the status after each."""
    statuses = []
    for number, outcome in enumerate(outcomes, 1):
        at = 100.0 + number
        record.add(Run(at, 0.5, "ok" if outcome == "+" else "failed", "" if outcome == "+" else f"error {number}"))
        statuses.append(record.status)
    return statuses


def test_the_first_success_is_enough_and_one_failure_is_not() -> None:
    assert feed(record(failures=2, successes=3), "+-+-+") == ["up"] * 5


def test_it_takes_as_many_in_a_row_as_declared() -> None:
    assert feed(record(failures=2, successes=3), "+--++-+++") == [
        *["up", "up", "down", "down", "down", "down", "down", "down", "up"]
    ]


def test_it_stays_pending_until_a_verdict() -> None:
    assert feed(record(failures=3), "--") == ["pending", "pending"]
    assert feed(record(failures=3), "---") == ["pending", "pending", "down"]


def test_the_error_is_the_last_one_and_goes_away_with_the_fault() -> None:
    probe = record(failures=2, successes=2)
    feed(probe, "--")
    assert probe.error == "error 2"
    feed(probe, "+")
    assert probe.error == "error 2", "still down, so the reason stays"
    feed(probe, "+")
    assert (probe.status, probe.error) == ("up", "")
    feed(probe, "-+")
    assert probe.error == ""


def test_transitions_say_how_long_it_lasted_and_why() -> None:
    probe = record(failures=2)
    feed(probe, "+--+")
    assert [(t.before, t.after, t.lasted, t.reason) for t in probe.transitions] == [
        ("pending", "up", 1.5, ""),
        ("up", "down", 2.0, "error 3"),
        ("down", "up", 1.0, ""),
    ]


@given(st.text("+-", max_size=80), st.integers(1, 4), st.integers(1, 4))
def test_status_only_changes_after_the_declared_streak(outcomes: str, failures: int, successes: int) -> None:
    statuses = ["pending", *feed(record(failures, successes), outcomes)]
    for index, (before, after) in enumerate(itertools.pairwise(statuses), 1):
        if before != after and after == "down":
            assert outcomes[:index].endswith("-" * failures)
        if before == "down" and after == "up":
            assert outcomes[:index].endswith("+" * successes)


def test_history_is_bounded() -> None:
    probe = record(failures=1, keep=5)
    feed(probe, "+-" * 50)
    assert len(probe.runs) == len(probe.transitions) == 5
    document = probe.document(history=True)
    assert [run["at"] for run in document["runs"]] == sorted((run["at"] for run in document["runs"]), reverse=True)
    assert "runs" not in probe.document()
