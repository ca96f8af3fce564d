"""What may be wanted of a cutover in which state, why not, and when it is ready to be switched."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest

from bedplate.database.cutover import CutoverError, proof
from bedplate.database.cutover.machine.actions import next_act
from bedplate.database.cutover.machine.control import Brake, Control, WorkerPace
from bedplate.database.cutover.machine.look import Side, Sight, TableSight, look
from bedplate.database.cutover.machine.readiness import readiness
from bedplate.database.cutover.machine.record import Book, Record
from bedplate.database.cutover.machine.wishes import WISHES, allowed, press, refusal
from bedplate.database.cutover.plan import Plan
from bedplate.database.cutover.work import Stopped
from tests.unit.database.cutover_machine.scripted_cutover import PLAN

_NOW = datetime(2026, 11, 27, tzinfo=UTC)


def record(**values: Any) -> Record:
    empty: dict[str, Any] = dict.fromkeys(("task", "runner", "trouble", "error", "mend", "approved_by"), "")
    given = {
        **empty,
        "name": "orders",
        "state": "verified",
        "plan": PLAN,
        "wanted": "verified",
        "paused": False,
        "throttle": 100,
        "epoch": 1,
        "asked_by": "somebody",
        "verdict": {},
        "created_at": _NOW,
        "changed_at": _NOW,
        "verified_at": _NOW,
        **values,
    }
    return Record(**given)


def sight(**values: Any) -> Sight:
    side = Side("orders", False, 10, 8192, 10)
    table = TableSight("orders", side, replace(side, name="orders_partitioned"), (10, 10), recent=(5, 5))
    given = {"record": record(), "runs": True, "tables": (table,), "verified_age": 60.0, "free": 10**11, **values}
    return Sight(at=time.monotonic(), **given)


@pytest.mark.parametrize(
    ("now", "may"),
    [
        (None, "start"),
        (record(state="none", wanted=""), "start"),
        (record(state="backfilling"), "pause throttle rollback"),
        (record(state="backfilling", paused=True), "resume throttle rollback"),
        (record(state="none", trouble="waits"), "start pause resume throttle rollback"),
        (record(state="synced", verdict={"differing": {"orders": 1}}), "pause throttle verify repair rollback"),
        (record(state="verified"), "pause throttle verify switch rollback"),
        (record(state="verified", wanted="switched"), "pause throttle verify rollback"),
        (record(state="switched"), "pause throttle verify rollback finalize"),
        (record(state="switched", verdict={"differing": {"orders": 1}}), "pause throttle verify repair rollback"),
        (record(state="switched", wanted="rolled-back"), "pause throttle"),
        (record(state="switched", wanted="rolled-back", paused=True), "resume throttle"),
        (record(state="finalized", wanted=""), ""),
    ],
)
def test_each_state_has_its_buttons_and_every_other_has_a_reason(now: Record | None, may: str) -> None:
    assert set(allowed(now)) == set(may.split())
    assert all(refusal(now, wish) for wish in WISHES if wish not in may.split())


def test_a_switch_is_refused_with_what_stands_in_the_way() -> None:
    ready = readiness(sight(lag=11.0))
    assert "11.0 s behind" in str(refusal(record(), "switch", ready))
    assert refusal(record(), "switch", readiness(sight())) is None


@pytest.mark.parametrize(
    ("seen", "word"),
    [
        ({"record": None}, "not begun"),
        ({"record": record(state="synced")}, "not verified"),
        ({"record": record(paused=True)}, "paused"),
        ({"runs": False}, "No worker"),
        ({"verified_age": None}, "not proven"),
        ({"verified_age": 901.0}, "too long"),
        ({"lag": 10.0}, "behind"),
        ({"blockers": ("psql (pid 7) has had a transaction open on orders for 9 s",)}, "psql"),
        ({"free": 10**8}, "0.1 GB"),
    ],
)
def test_readiness_names_everything_that_stands_in_the_way(seen: dict[str, Any], word: str) -> None:
    ready = readiness(sight(**seen))
    assert not ready.ready and ready.score < 100
    assert word in " ".join(ready.reasons)


@pytest.mark.parametrize(
    ("table", "word"),
    [
        ({"counts": (20, 0), "differing": 20}, "20 rows"),
        ({"counts": None}, "not been counted"),
        ({"pending": -1}, "truncated"),
        ({"pending": 20_000}, "20000 changed keys"),
        ({"recent": (5, 0)}, "not seen"),
    ],
)
def test_readiness_looks_at_each_table(table: dict[str, Any], word: str) -> None:
    good = sight()
    ready = readiness(replace(good, tables=(*good.tables, replace(good.tables[0], table="bills", **table))))
    assert not ready.ready and word in " ".join(ready.reasons)


def test_who_stands_in_nobodys_way_is_ready_with_the_whole_score() -> None:
    raced = replace(sight().tables[0], counts=(100, 60))
    slow = record(verdict={"seconds": 600.0})
    for seen in ({}, {"record": slow, "verified_age": 3000.0}, {"lag": 9.9}, {"free": None}, {"tables": (raced,)}):
        ready = readiness(sight(**seen))
        assert ready.ready and ready.score == 100 and ready.reasons == ()


def test_a_row_says_what_is_next() -> None:
    synced = record(state="synced")
    assert next_act(record(wanted=""), verified=None, every=1) == "rest"
    assert next_act(record(state="none", wanted="rolled-back"), verified=None, every=1) == "rest"
    assert next_act(record(state="capturing", wanted="rolled-back"), verified=None, every=1) == "undo"
    assert next_act(record(state="switched", wanted="rolled-back", paused=True), verified=None, every=1) == "rollback"
    assert next_act(synced, verified=None, every=1) == next_act(synced, verified=2.0, every=1) == "verify"
    assert next_act(synced, verified=0.5, every=1) == "tend"
    assert next_act(record(state="switched"), verified=None, every=1) == "tend"
    assert next_act(record(state="switched", task="verify"), verified=None, every=1) == "verify"


def test_a_throttle_of_a_quarter_rests_three_quarters_of_the_time() -> None:
    rested: list[float] = []
    control = Control()
    control.throttle = 25
    WorkerPace(control, rested.append).rest(0.01)
    assert rested[0] >= 0.75


def test_the_brake_holds_while_others_suffer_and_comes_off_slowly() -> None:
    brake = Brake()
    brake.feel(lag=0.0, waiting=0, commit=0.002)
    assert brake.force == 0.0 and not brake.stands
    for suffering in ({"lag": 3.0}, {"waiting": 5}, {"commit": 0.05}):
        before = brake.force
        brake.feel(**{"lag": 0.0, "waiting": 0, "commit": 0.002, **suffering})
        assert brake.force > before
    for _ in range(100):
        brake.feel(lag=6.0, waiting=0, commit=0.002)
    assert brake.stands and brake.force <= 9.0
    brake.feel(lag=0.0, waiting=0, commit=0.002)
    assert 0.0 < brake.force < 9.0 and not brake.stands


def test_rows_are_copied_gently_while_others_want_the_processors() -> None:
    rested: list[float] = []
    control = Control()
    pace = WorkerPace(control, rested.append)
    # Nobody has looked yet, and so somebody may be waiting.
    assert pace.gentle and pace.seconds <= 0.01
    pace.rest(0.001, 1000)
    pace.rest(0.02, 1)
    pace.rest(1000.0)
    assert rested[0] > 0.9 and rested[1] >= 0.5 and rested[2] < 0.5
    for _ in range(100):
        control.brake.feel(lag=0.0, waiting=0, commit=0.002, late=0.00001)
    assert not pace.gentle and pace.seconds > 0.05
    pace.rest(1000.0, 1_000_000_000)
    assert rested[3] < 0.5
    control.brake.feel(lag=0.0, waiting=0, commit=0.002, late=0.001)
    assert pace.gentle


def test_a_rest_ends_at_once_when_the_worker_is_to_stop() -> None:
    control = Control()
    control.paused = True
    control.end()
    with pytest.raises(Stopped):
        WorkerPace(control).rest(1000.0)


def test_what_is_pressed_is_judged_by_the_row_as_it_is_now(
    machine_connection: psycopg.Connection[Any], name: str
) -> None:
    with pytest.raises(CutoverError, match="not begun"):
        press(machine_connection, name, "switch", "somebody")
    done = press(machine_connection, name, "start", "somebody", plan=PLAN)
    assert (done["before"]["wanted"], done["after"]["wanted"]) == ("", "verified")
    with pytest.raises(CutoverError, match="runs already"):
        press(machine_connection, name, "start", "somebody", plan=PLAN)
    with pytest.raises(CutoverError, match="no throttle"):
        press(machine_connection, name, "throttle", "somebody", percent=0)
    press(machine_connection, name, "throttle", "somebody", percent=20)
    latest = Book(machine_connection, name).timeline(1)[0]
    assert (latest.event, latest.actor, latest.detail) == ("throttle", "somebody", {"throttle": [100, 20]})


def test_a_name_that_is_taken_by_other_tables_is_refused(
    machine_connection: psycopg.Connection[Any], name: str
) -> None:
    press(machine_connection, name, "start", "somebody", plan=PLAN)
    book = Book(machine_connection, name)
    book.set(state="preflight", trouble="waits")
    with pytest.raises(CutoverError, match="moves orders already"):
        press(machine_connection, name, "start", "somebody", plan=Plan(tables="bills", key="organization_id"))


def test_a_look_tells_sizes_writes_and_who_stands_in_the_way(
    machine_connection: psycopg.Connection[Any], machine_url: str, name: str
) -> None:
    first = look(machine_connection, name, PLAN)
    assert first.record is None and not first.runs
    machine_connection.execute("CREATE TABLE bills (organization_id int, id int)")
    machine_connection.execute(
        "CREATE TABLE bills_partitioned (organization_id int, id int) PARTITION BY HASH (organization_id)"
    )
    for number in range(2):
        machine_connection.execute(
            f"CREATE TABLE bills_p{number} PARTITION OF bills_partitioned"
            f" FOR VALUES WITH (MODULUS 2, REMAINDER {number})"
        )
    plan = Plan(tables="bills", key="organization_id", partitions=2)
    press(machine_connection, name, "start", "somebody", plan=plan)
    book = Book(machine_connection, name)
    book.set(state="synced", verdict={"rows": {"bills": [3, 1]}, "differing": {"bills": 2}})
    before = look(machine_connection, name, plan)
    machine_connection.execute("INSERT INTO bills SELECT n, n FROM generate_series(1, 100) n")
    machine_connection.execute("SELECT pg_stat_force_next_flush()")
    after = look(machine_connection, name, plan, before)
    table = after.tables[0]
    assert table.live is not None and table.shadow is not None
    assert (table.live.partitioned, table.shadow.partitioned, table.shadow.partitions) == (False, True, 2)
    assert (table.delta, table.differing, table.recent) == (2, 2, (100, 0))
    assert table.live.size > 0 and after.events[0].event == "start"
    with psycopg.connect(machine_url, application_name="a report") as other:
        other.execute("SELECT count(*) FROM bills")
        machine_connection.execute("SELECT pg_sleep(0.01)")
        assert look(machine_connection, name, plan, old=0.0).blockers[0].startswith("a report (pid")


def test_what_a_cutover_does_to_its_own_logs_is_doubted_by_nobody(
    machine_connection: psycopg.Connection[Any], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    press(machine_connection, name, "start", "somebody", plan=PLAN)
    book = Book(machine_connection, name)
    saved = "INSERT INTO bedplate_cutover_parts (cutover, part, progress, saved_at) VALUES (%s, 'proof', %s, now())"
    marked = '{"orders": {"late": ["bedplate_keys_insert=1"], "partitions": 0, "attached": "a", "rest": "b"}}'
    machine_connection.execute(saved, (name, marked))
    book.set(state="verified")
    assert len(look(machine_connection, name, PLAN).doubts) == 1
    with monkeypatch.context() as patch:
        # It is switched after the look has read on what it stands, and before it has seen what is there.
        patch.setattr(proof, "marks", lambda *given: book.set(state="switched") and None)
        assert look(machine_connection, name, PLAN).doubts == ()
    assert len(look(machine_connection, name, PLAN).doubts) == 1
    book.set(state="verified", wanted="rolled-back")
    assert look(machine_connection, name, PLAN).doubts == ()
