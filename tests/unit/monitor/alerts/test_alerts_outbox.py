"""Changes of alerts that wait for the database: which of them are late."""

from __future__ import annotations

from pathlib import Path

from bedplate.monitor.alerts.metrics import OVERDUE, WAITING
from bedplate.monitor.alerts.store import Outbox

from .alert_shapes import fired, watched


def test_a_row_waits_since_it_first_changed_however_often_it_does() -> None:
    outbox = Outbox()
    for now in (1.0, 5.0, 9.0):
        outbox.put("alerts", {"key": "a"}, {"value": now}, now)
    outbox.put("alerts", {"key": "b"}, None, 8.0)
    assert (outbox.older(1.0), outbox.older(2.0), outbox.older(9.0)) == (0, 1, 2)


def test_what_changed_while_it_was_written_waits_from_then() -> None:
    outbox = Outbox()
    outbox.put("alerts", {"key": "a"}, {"value": 1}, 1.0)
    writing = outbox.waiting()
    outbox.put("alerts", {"key": "a"}, {"value": 2}, 6.0)
    assert outbox.older(6.0) == 1
    outbox.done(writing)
    assert [one.values for one in outbox.waiting()] == [{"value": 2}]
    assert (outbox.older(6.0), outbox.older(6.5)) == (0, 1)
    outbox.done(outbox.waiting())
    assert outbox.older(100.0) == 0
    outbox.put("alerts", {"key": "a"}, {"value": 3}, 50.0)
    assert outbox.older(50.0) == 0


def test_what_is_dropped_is_not_late() -> None:
    outbox = Outbox()
    outbox.put("alerts", {"key": "a"}, {}, 1.0)
    outbox.put("history", {"key": "a"}, {}, 1.0)
    outbox.drop("alerts")
    assert outbox.older(2.0) == 1


async def test_changes_are_late_once_the_database_has_been_away_for_longer_than_saving_takes(tmp_path: Path) -> None:
    folder = tmp_path / "not_yet"
    folder.write_text("a file where a folder belongs")
    async with watched(folder / "a.sqlite3") as plant:
        value = plant.harness.value
        plant.tank.set(0.05)
        await plant.until(lambda: fired(plant.current()))
        assert await value(WAITING) >= await value(OVERDUE) > 0
        folder.unlink()
        await plant.harness.eventually(plant.saved_all, 60)
        assert await value(OVERDUE) == 0


async def test_while_the_database_takes_them_changes_are_never_late(tmp_path: Path) -> None:
    async with watched(tmp_path / "a.sqlite3") as plant:
        for level in (0.05, 0.8, 0.05):
            plant.tank.set(level)
            for _ in range(12):
                await plant.pass_time(5)
                await plant.saved()  # the database takes real time, in which the driven clock stands
                assert await plant.harness.value(OVERDUE) == 0
        assert len(plant.transitions) >= 3
