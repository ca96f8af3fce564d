"""What is wanted of a cutover is done by what was wanted, and by nothing that somebody could not have known."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import psycopg

from bedplate.database.cutover import CutoverError
from bedplate.database.cutover.machine.record import Book, Record
from bedplate.database.cutover.machine.runner import Runner
from bedplate.database.cutover.machine.wishes import press
from bedplate.database.cutover.plan import Plan
from bedplate.database.cutover.work import Work
from tests.unit.database.cutover_machine.scripted_cutover import PLAN, Script

Connection = psycopg.Connection[Any]


def runner(url: str, name: str, script: Script) -> Runner:
    return Runner(url, name, script.steps(), idle=0.02)


def until(state: str) -> Callable[[Record, str], bool]:
    return lambda record, act: record.state == state or record.trouble == "waits"


def test_a_plan_that_is_another_by_the_next_start_is_looked_at_first(
    machine_url: str, machine_connection: Connection, name: str
) -> None:
    script = Script()
    looked: list[int] = []
    script.instead["preflight"] = lambda work: looked.append(work.plan.partitions)
    press(machine_connection, name, "start", "somebody", plan=PLAN)
    working = runner(machine_url, name, script)
    working.run(until("verified"))
    press(machine_connection, name, "rollback", "somebody")

    def started(record: Record, act: str) -> bool:
        if act == "rest" and record.state == "none" and not record.wanted:
            more = Plan(tables=PLAN.tables, key=PLAN.key, partitions=8)
            press(machine_connection, name, "start", "somebody", plan=more)
        return record.state == "prepared" and record.plan.partitions == 8

    working.run(started)
    assert looked == [4, 8]


def test_rows_that_were_repaired_on_the_way_to_an_end_keep_it_from_coming_by_itself(
    machine_url: str, machine_connection: Connection, name: str
) -> None:
    script = Script()

    def broken(work: Work) -> Any:
        raise CutoverError("The key log of orders is not in place.", "Press `repair`.")

    press(machine_connection, name, "start", "somebody", plan=PLAN)
    working = runner(machine_url, name, script)
    working.run(until("verified"))
    press(machine_connection, name, "switch", "somebody")
    working.run(until("switched"))
    script.instead["verify"] = broken
    press(machine_connection, name, "finalize", "somebody", confirm=name)
    working.run(until("finalized"))
    book = Book(machine_connection, name)
    waiting = book.read()
    assert waiting is not None and waiting.trouble == "waits"
    # Who confirmed it did not know that rows are only in the legacy table, or only out of it.
    script.differing = 2
    press(machine_connection, name, "repair", "somebody")
    working.run(lambda record, act: act == "tend" or record.state == "finalized")
    now = book.read()
    assert now is not None and (now.state, now.wanted, now.trouble) == ("switched", "verified", "")
