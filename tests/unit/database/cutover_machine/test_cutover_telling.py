"""What a cutover's page says of what happened, and of how far each table is."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from bedplate.database.cutover import Plan
from bedplate.database.cutover.machine.look import Sight, TableSight
from bedplate.database.cutover.machine.record import Event, Record
from bedplate.database.cutover.machine.sections import sections_of
from bedplate.database.cutover.machine.telling import tables_told, time_line

BEGAN = datetime(2025, 11, 3, 2, 0, tzinfo=UTC)
PLAN = Plan(tables=("orders",), key="organization_id", partitions=4)


def happened(*events: tuple[float, str, str, dict[str, Any]]) -> list[Event]:
    """Return events as they are looked at: the newest first."""
    made = [
        Event(number, BEGAN + timedelta(seconds=after), event, actor, detail)
        for number, (after, event, actor, detail) in enumerate(events)
    ]
    return made[::-1]


def record(state: Any, **values: Any) -> Record:
    given: dict[str, Any] = {
        "name": "orders", "state": state, "plan": PLAN, "wanted": "verified", "paused": False, "throttle": 100,
        "task": "", "epoch": 1, "runner": "ops", "trouble": "", "error": "", "mend": "", "asked_by": "ada",
        "approved_by": "", "verdict": {}, "created_at": BEGAN, "changed_at": BEGAN, "verified_at": None, **values,
    }  # fmt: skip
    return Record(**given)


def sight(state: Any, *, table: TableSight | None = None, progress: Any = None, **values: Any) -> Sight:
    tables = (table or TableSight("orders", None, None),)
    return Sight(0.0, record(state, **values), runs=True, tables=tables, progress=progress or {})


def test_the_time_line_names_states_and_how_long_the_work_before_took() -> None:
    told = time_line(
        happened(
            (0, "start", "ada", {"wanted": ["", "verified"]}),
            (1, "backfilling", "worker", {"before": "capturing"}),
            (301, "indexing", "worker", {"before": "backfilling"}),
            (302, "index made", "worker", {"index": "orders_pkey"}),
            (303, "index made", "worker", {"index": "orders_day"}),
        )
    )
    assert [one.text for one in told] == [
        "2 indexes made", "Indexing: all rows are copied", "Backfilling: rows are copied", "Start",
    ]  # fmt: skip
    assert told[0].detail == "orders_pkey, orders_day"
    assert told[1].detail == "after 5 min of backfilling"
    assert told[3].detail == "by ada"


def test_the_way_back_and_what_was_refused_are_told_apart_from_the_way_there() -> None:
    refused = {"error": "orders is held.", "mend": "Try again."}
    told = time_line(
        happened(
            (0, "switched", "worker", {"before": "verified"}),
            (0, "switch done", "worker", {"held": 0.0049, "attempts": 1, "compared": 1}),
            (9, "verified", "worker", {"before": "switched"}),
            (10, "switch refused", "worker", refused),
        )
    )
    assert (told[0].tone, told[0].text) == ("bad", "Switch refused") and "orders is held." in told[0].detail
    assert told[1].text == "Switched back: the old tables are in use again"
    assert told[2].detail == "for 4.9 ms, at the first attempt; 1 key compared under it"


def test_findings_of_the_look_stand_one_by_one_and_are_not_cut() -> None:
    findings = [f"warning: public.orders: Finding {number} {'x' * 200}." for number in range(7)]
    told = time_line(happened((0, "looked", "worker", {"findings": findings, "estimates": []})))
    assert told[0].text == "Preflight looked: 7 warnings"
    assert [one.tone for one in told[1:6]] == ["warn"] * 5 and told[1].detail.startswith("orders: Finding 0")
    assert told[6].text == "2 more"


def test_each_table_says_how_many_rows_are_copied_then_on_which_side() -> None:
    half = {"backfill:orders": {"rows": 500, "of": 1000, "done": False}}
    (line,) = tables_told(sight("backfilling", progress=half))
    assert line.detail == "500 of about 1\u202f000 rows copied (50\u202f%)"
    (line,) = tables_told(sight("verified", table=TableSight("orders", None, None, counts=(1200, 1200))))
    assert line.tone == "good" and line.detail.startswith("1\u202f200 rows on both sides")
    (line,) = tables_told(
        sight("synced", table=TableSight("orders", None, None, counts=(9, 8), differing=1, pending=2))
    )
    assert line.tone == "bad"
    assert line.detail == "1 row differs: 9 rows in use, 8 on the other side; 2 changed keys to be replayed"
    assert tables_told(sight("none")) == ()


def test_the_page_says_where_it_stands_and_for_whom_it_waits() -> None:
    def standing(state: Any, **values: Any) -> str:
        return sections_of(sight(state, **values), None, "")[0].summary

    assert standing("backfilling", throttle=25) == (
        "It is backfilling, on its way to verified. It works at 25 % of its speed."
    )
    assert standing("verified", wanted="switched") == "It is being switched."
    waits = standing("capturing", trouble="waits", error="A view is in the way.", mend="Drop it.")
    assert waits.endswith("It waits for you: A view is in the way. Drop it.")
    assert "can be rolled back" in standing("switched")
