"""A worker carries a cutover from state to state, goes on where it was, and does what is wanted."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any
from urllib.parse import quote

import psycopg
import pytest

from bedplate.database.cutover import CutoverError
from bedplate.database.cutover.machine.actions import next_act
from bedplate.database.cutover.machine.journal import RowJournal
from bedplate.database.cutover.machine.real import look_first
from bedplate.database.cutover.machine.record import Book, Record
from bedplate.database.cutover.machine.runner import Listener, Runner
from bedplate.database.cutover.machine.wishes import press
from bedplate.database.cutover.plan import Plan
from bedplate.database.cutover.work import TakenOver, Work
from tests.moving import Steady, Watch
from tests.postgres import Postgres, pgbouncer
from tests.unit.database.cutover_machine.scripted_cutover import PLAN, Script, hold

Connection = psycopg.Connection[Any]


def runner(url: str, name: str, script: Script, **how: Any) -> Runner:
    return Runner(url, name, script.steps(), idle=0.02, **how)


def until(state: str) -> Callable[[Record, str], bool]:
    return lambda record, act: record.state == state or record.trouble == "waits"


@contextmanager
def at_work(running: Runner) -> Iterator[Runner]:
    thread = threading.Thread(target=running.run)
    thread.start()
    try:
        yield running
    finally:
        running.stop()
        thread.join(60)
        assert not thread.is_alive()


def wait(condition: Callable[[], Any]) -> Any:
    end = time.monotonic() + 60
    while not (found := condition()):
        assert time.monotonic() < end
        time.sleep(0.01)
    return found


def row(connection: Connection, name: str) -> Record:
    record = Book(connection, name).read()
    assert record is not None
    return record


def test_it_goes_from_state_to_state_and_all_of_them_are_on_the_time_line(
    machine_url: str, machine_connection: Connection, name: str
) -> None:
    script = Script()
    press(machine_connection, name, "start", "somebody", plan=PLAN)
    runner(machine_url, name, script).run(until("verified"))
    told = [event.event for event in reversed(Book(machine_connection, name).timeline())]
    assert [one for one in told if one not in ("equal", "looked")] == [
        *("start", "preflight", "prepared", "capturing", "backfilling", "indexing", "synced", "verified"),
    ]
    assert script.done == [
        *("preflight", "prepare", "capture", "backfill", "chunk 0", "chunk 1", "chunk 2", "index", "sync", "verify"),
    ]
    record = row(machine_connection, name)
    assert record.verified_at is not None and record.verdict["rows"] == {"orders": [10, 10]}


def test_switched_rolled_back_switched_again_and_finalized(
    machine_url: str, machine_connection: Connection, name: str
) -> None:
    script = Script()
    press(machine_connection, name, "start", "somebody", plan=PLAN)
    working = runner(machine_url, name, script)
    working.run(until("verified"))
    for wish, state in (("switch", "switched"), ("rollback", "verified"), ("switch", "switched")):
        press(machine_connection, name, wish, "somebody")  # type: ignore[arg-type]
        working.run(until(state))
        assert row(machine_connection, name).wanted == "verified"
    with pytest.raises(CutoverError, match="Type the name"):
        press(machine_connection, name, "finalize", "admin", confirm="yes")
    press(machine_connection, name, "finalize", "admin", confirm=name)
    working.run(until("finalized"))
    assert row(machine_connection, name).approved_by == "admin"
    assert next_act(row(machine_connection, name), verified=None, every=1) == "rest"


def test_a_rollback_breaks_off_a_copy_and_leaves_nothing(
    machine_url: str, machine_connection: Connection, name: str
) -> None:
    script, reached = Script(), threading.Event()
    script.instead["backfill"] = hold(script, reached)
    press(machine_connection, name, "start", "somebody", plan=PLAN)
    with at_work(runner(machine_url, name, script)):
        assert reached.wait(60)
        press(machine_connection, name, "rollback", "somebody")
        wait(lambda: row(machine_connection, name).state == "none" and not row(machine_connection, name).wanted)
    assert script.done[-2:] == ["stopped", "undo"]
    assert Book(machine_connection, name).progress() == {}
    other = Plan(tables="orders", key="id", partitions=2)
    press(machine_connection, name, "start", "somebody", plan=other)
    assert row(machine_connection, name).plan == other


def test_a_long_statement_ends_for_a_rollback_and_for_a_stop(
    machine_url: str, machine_connection: Connection, name: str
) -> None:
    script = Script()
    script.instead["index"] = lambda work: work.connection.execute("SELECT pg_sleep(600)")
    press(machine_connection, name, "start", "somebody", plan=PLAN)
    with at_work(runner(machine_url, name, script)):
        wait(lambda: "index" in script.done)
    with at_work(runner(machine_url, name, script)):
        wait(lambda: script.done.count("index") == 2)
        press(machine_connection, name, "rollback", "somebody")
        wait(lambda: row(machine_connection, name).state == "none")


def test_a_paused_worker_rests_in_the_middle_and_a_resumed_one_goes_on(
    machine_url: str, machine_connection: Connection, name: str
) -> None:
    script, paused = Script(), threading.Event()

    def chunk(work: Work) -> None:
        press(machine_connection, name, "pause", "somebody")
        wait(lambda: working.control.paused)
        paused.set()
        work.pace.rest(0.0)
        script.done.append("went on")

    script.instead["backfill"] = chunk
    press(machine_connection, name, "start", "somebody", plan=PLAN)
    with at_work(runner(machine_url, name, script)) as working:
        assert paused.wait(60)
        assert row(machine_connection, name).state == "backfilling"
        with psycopg.connect(machine_url, autocommit=True) as another:
            press(another, name, "throttle", "somebody", percent=50)
            wait(lambda: working.control.throttle == 50)
            assert "went on" not in script.done
            press(another, name, "resume", "somebody")
        wait(lambda: row(machine_connection, name).state == "verified")


def test_who_lost_its_connection_goes_on_where_it_was(
    machine_url: str, machine_connection: Connection, name: str
) -> None:
    script = Script()

    def lost(work: Work) -> None:
        del script.instead["backfill"]
        with work.connection.transaction():
            work.journal.save("backfill:orders", {"chunk": 2})
        machine_connection.execute("SELECT pg_terminate_backend(%s)", (work.connection.info.backend_pid,))
        work.connection.execute("SELECT 1")

    script.instead["backfill"] = lost
    press(machine_connection, name, "start", "somebody", plan=PLAN)
    runner(machine_url, name, script).run(until("verified"))
    assert [one for one in script.done if one.startswith("chunk")] == ["chunk 2"]
    assert row(machine_connection, name).epoch == 2


def test_a_worker_sets_for_itself_what_others_have_set_for_its_role(
    machine_url: str, machine_connection: Connection, name: str
) -> None:
    given = {"transaction_timeout": "1min", "extra_float_digits": "-15", "DateStyle": "Postgres,DMY"}
    options = " ".join(f"-c {setting}={value}" for setting, value in given.items())
    script = Script()
    seen: list[Any] = []

    def look(work: Work) -> None:
        seen.extend(work.connection.execute(f"SHOW {setting}".encode()).fetchone() for setting in given)

    script.instead["preflight"] = look
    press(machine_connection, name, "start", "somebody", plan=PLAN)
    runner(f"{machine_url}&options={quote(options)}", name, script).run(until("prepared"))
    assert seen == [("0",), ("1",), ("ISO, DMY",)]


def test_a_worker_does_not_work_through_a_pooler_that_would_share_its_session(
    server: Postgres, machine_url: str, machine_connection: Connection, name: str
) -> None:
    class Told(Listener):
        def away(self, error: Exception) -> None:
            said.append(str(error))
            working.stop()

    said: list[str] = []
    script = Script()
    press(machine_connection, name, "start", "somebody", plan=PLAN)
    with pgbouncer(server) as pooler:
        working = runner(pooler.url(machine_url), name, script, listener=Told())
        working.run(until("verified"))
    assert not script.done and "pooler" in said[0] and "DATABASE_PRIMARY_URL" in said[0]


def test_one_worker_at_a_time_and_the_next_takes_over_when_its_session_ends(
    machine_url: str, machine_connection: Connection, name: str
) -> None:
    first, second, reached = Script(), Script(), threading.Event()
    first.instead["backfill"] = hold(first, reached)
    press(machine_connection, name, "start", "somebody", plan=PLAN)
    book = Book(machine_connection, name)
    with at_work(runner(machine_url, name, first)):
        assert reached.wait(60)
        assert book.runs()
        with at_work(runner(machine_url, name, second)):
            one = row(machine_connection, name)
            assert second.done == [] and one.epoch == 1
    wait(lambda: not book.runs())
    runner(machine_url, name, second).run(until("verified"))
    assert second.done[0] == "backfill"


def test_who_was_taken_over_writes_nothing_more(machine_connection: Connection, name: str) -> None:
    press(machine_connection, name, "start", "somebody", plan=PLAN)
    journal = RowJournal(machine_connection, name, epoch=0)
    journal.save("backfill:orders", {"chunk": 1})
    machine_connection.execute("UPDATE bedplate_cutovers SET epoch = 1 WHERE name = %s", (name,))
    for write in (
        lambda: journal.save("backfill:orders", {"chunk": 2}),
        lambda: journal.save("backfill:orders", {}),
        lambda: journal.enter("switched"),
    ):
        with pytest.raises(TakenOver):
            write()
    assert journal.load("backfill:orders") == {"chunk": 1}
    assert row(machine_connection, name).state == "none"


def test_a_state_that_is_not_committed_was_never_entered(machine_connection: Connection, name: str) -> None:
    press(machine_connection, name, "start", "somebody", plan=PLAN)
    journal = RowJournal(machine_connection, name, epoch=0)
    with pytest.raises(ZeroDivisionError), machine_connection.transaction():
        journal.enter("switched")
        assert journal.state == "switched"
        raise ZeroDivisionError
    assert journal.state == "none"


def test_what_was_rolled_back_is_told_to_nobody(machine_connection: Connection, name: str) -> None:
    told: list[str] = []
    press(machine_connection, name, "start", "somebody", plan=PLAN)
    journal = RowJournal(machine_connection, name, 0, lambda event, detail: told.append(event))
    with machine_connection.transaction(force_rollback=True):
        journal.enter("switched")
    with machine_connection.transaction():
        journal.enter("verified")
        assert not told
    journal.note("later")
    assert told == ["verified", "later"]


def test_what_must_be_mended_first_waits_for_somebody_and_goes_on_when_told(
    machine_url: str, machine_connection: Connection, name: str
) -> None:
    script = Script()

    def refuse(work: Work) -> None:
        raise CutoverError("orders has a view.", "Drop it.")

    script.instead["preflight"] = refuse
    press(machine_connection, name, "start", "somebody", plan=PLAN)
    runner(machine_url, name, script).run(until("verified"))
    record = row(machine_connection, name)
    assert (record.state, record.trouble, record.error, record.mend) == (
        "none",
        "waits",
        "orders has a view.",
        "Drop it.",
    )
    del script.instead["preflight"]
    press(machine_connection, name, "resume", "somebody")
    runner(machine_url, name, script).run(until("verified"))
    assert (row(machine_connection, name).trouble, row(machine_connection, name).error) == ("", "")


def test_a_table_that_another_cutover_moves_is_left_to_it(machine_connection: Connection, name: str) -> None:
    machine_connection.execute("CREATE TABLE moved (organization_id int NOT NULL, id int PRIMARY KEY)")
    other = f"{name}-2"
    first, second = (Plan(tables=one, key="organization_id", partitions=4) for one in ("moved", "public.moved"))
    press(machine_connection, name, "start", "somebody", plan=first)
    with pytest.raises(CutoverError, match=f"public.moved is moved by the cutover {name} already, or about to be"):
        press(machine_connection, other, "start", "somebody", plan=second)
    assert Book(machine_connection, other).read() is None
    # As if it had been wanted before anybody looked.
    Book(machine_connection, other).make(second)
    journal = RowJournal(machine_connection, other, epoch=0)
    work = Work(machine_connection, lambda: nullcontext(machine_connection), second, journal, Steady(), Watch())
    Book(machine_connection, name).set(state="backfilling")
    with pytest.raises(CutoverError, match=f"public.moved is moved by the cutover {name}"):
        look_first(work)
    Book(machine_connection, name).set(state="finalized")
    look_first(work)
    machine_connection.execute("DROP TABLE moved")


def test_of_two_that_begin_at_once_the_second_is_refused(
    machine_url: str, machine_connection: Connection, name: str
) -> None:
    began = threading.Barrier(2)
    said: list[str] = []

    def start(which: str) -> None:
        with psycopg.connect(machine_url, autocommit=True) as connection:
            began.wait(60)
            try:
                press(connection, which, "start", "somebody", plan=PLAN)
            except CutoverError as error:
                said.append(str(error))

    threads = [threading.Thread(target=start, args=(f"{name}-{number}",)) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(said) == 1 and "or about to be" in said[0]
    assert len([one for one in range(2) if Book(machine_connection, f"{name}-{one}").read()]) == 1


def test_two_workers_never_move_the_same_table_whatever_their_cutovers_are_called(
    machine_url: str, machine_connection: Connection, name: str
) -> None:
    first, second, reached, other = Script(), Script(), threading.Event(), f"{name}-2"
    first.instead["backfill"] = hold(first, reached)
    press(machine_connection, name, "start", "somebody", plan=PLAN)
    book = Book(machine_connection, other)
    book.make(Plan(tables="public.orders", key="organization_id", partitions=4))
    book.set(wanted="verified")
    with at_work(runner(machine_url, name, first)):
        assert reached.wait(60)
        with at_work(runner(machine_url, other, second)):
            wait(lambda: row(machine_connection, other).trouble == "retries")
        error = row(machine_connection, other).error
        assert "public.orders is moved by another worker already, process" in error and not second.done
        # A cutover that was taken back leaves its tables to others, though its worker lives on.
        press(machine_connection, name, "rollback", "somebody")
        wait(lambda: row(machine_connection, name).state == "none" and not row(machine_connection, name).wanted)
        runner(machine_url, other, second).run(until("prepared"))
    assert row(machine_connection, other).trouble == ""


def test_an_error_is_told_and_tried_again(machine_url: str, machine_connection: Connection, name: str) -> None:
    script, told = Script(), []

    def fail(work: Work) -> None:
        if len(told) < 1:
            told.append(True)
            work.connection.execute("BEGIN")  # and it is not left open
            work.connection.execute("SELECT 1 / 0")
        record = row(machine_connection, name)
        assert record.trouble == "retries" and "division by zero" in record.error

    script.instead["index"] = fail
    press(machine_connection, name, "start", "somebody", plan=PLAN)
    runner(machine_url, name, script).run(until("verified"))
    assert row(machine_connection, name).trouble == ""


def test_a_switch_that_fails_leaves_everything_as_it_was(
    machine_url: str, machine_connection: Connection, name: str
) -> None:
    script = Script()

    def locked(work: Work) -> None:
        with work.connection.transaction():
            work.journal.enter("switched")
            raise psycopg.errors.LockNotAvailable("somebody holds it")

    script.instead["switch"] = locked
    press(machine_connection, name, "start", "somebody", plan=PLAN)
    working = runner(machine_url, name, script)
    working.run(until("verified"))
    press(machine_connection, name, "switch", "somebody")
    working.run(lambda record, act: act == "switch")
    record = row(machine_connection, name)
    assert (record.state, record.wanted, record.trouble) == ("verified", "verified", "told")
    assert "somebody holds it" in record.error
    working.run(lambda record, act: act == "tend")


def test_rows_that_differ_are_repaired_only_when_somebody_says_so(
    machine_url: str, machine_connection: Connection, name: str
) -> None:
    script = Script(differing=2)
    press(machine_connection, name, "start", "somebody", plan=PLAN)
    working = runner(machine_url, name, script)
    working.run(lambda record, act: act == "tend")
    record = row(machine_connection, name)
    assert (record.state, record.verified_at, record.verdict["differing"]) == ("synced", None, {"orders": 2})
    press(machine_connection, name, "repair", "somebody")
    working.run(until("verified"))
    record = row(machine_connection, name)
    assert (record.state, record.task, record.error) == ("verified", "", "")
    assert any(event.detail.get("repaired") == {"orders": 2} for event in Book(machine_connection, name).timeline())


def test_a_proof_that_fails_later_takes_it_back_to_synced(
    machine_url: str, machine_connection: Connection, name: str
) -> None:
    script = Script()
    press(machine_connection, name, "start", "somebody", plan=PLAN)
    working = runner(machine_url, name, script)
    working.run(until("verified"))
    script.differing = 1
    press(machine_connection, name, "verify", "somebody")
    working.run(lambda record, act: record.state == "synced")
    assert not row(machine_connection, name).verified_at


@pytest.mark.parametrize(("wish", "leaves"), [("switch", "synced"), ("finalize", "switched")])
def test_a_proof_that_fails_takes_back_what_was_wanted_because_of_it(
    machine_url: str, machine_connection: Connection, name: str, wish: Any, leaves: str
) -> None:
    script = Script()

    def differs(work: Work) -> Any:
        press(machine_connection, name, wish, "somebody", confirm=name)
        script.differing = 1
        return script._verify(work)

    press(machine_connection, name, "start", "somebody", plan=PLAN)
    working = runner(machine_url, name, script)
    working.run(until("verified"))
    if wish == "finalize":
        press(machine_connection, name, "switch", "somebody")
        working.run(until("switched"))
    script.instead["verify"] = differs
    press(machine_connection, name, "verify", "somebody")
    working.run(lambda record, act: act == "verify")
    now = row(machine_connection, name)
    assert (now.state, now.wanted) == (leaves, "verified")
    with pytest.raises(CutoverError, match=r"synced|differ"):
        press(machine_connection, name, wish, "somebody", confirm=name)


def test_a_wish_that_comes_between_a_switch_and_its_end_is_not_forgotten(
    machine_url: str, machine_connection: Connection, name: str
) -> None:
    script = Script()

    def switched(work: Work) -> Any:
        done = script._switch(work)
        press(machine_connection, name, "rollback", "somebody")
        return done

    script.instead["switch"] = switched
    press(machine_connection, name, "start", "somebody", plan=PLAN)
    working = runner(machine_url, name, script)
    working.run(until("verified"))
    press(machine_connection, name, "switch", "somebody")
    working.run(lambda record, act: act == "rollback")
    assert (row(machine_connection, name).state, script.done[-1]) == ("verified", "rollback")


def test_a_rollback_that_is_done_is_not_wanted_any_more_whenever_its_worker_dies(
    machine_url: str, machine_connection: Connection, name: str
) -> None:
    script = Script()

    def killed(work: Work) -> None:
        script._rollback(work)
        machine_connection.execute("SELECT pg_terminate_backend(%s)", (work.connection.info.backend_pid,))

    script.instead["rollback"] = killed
    press(machine_connection, name, "start", "somebody", plan=PLAN)
    working = runner(machine_url, name, script)
    working.run(until("verified"))
    for wish, state in (("switch", "switched"), ("rollback", "verified")):
        press(machine_connection, name, wish, "somebody")  # type: ignore[arg-type]
        working.run(until(state))
    working.run(lambda record, act: act == "tend")
    assert row(machine_connection, name).state == "verified" and "undo" not in script.done
