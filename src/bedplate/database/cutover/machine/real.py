"""The steps that cutovers are made of."""

from __future__ import annotations

from dataclasses import replace

from bedplate.database.cutover import steps, switch
from bedplate.database.cutover.asking import CutoverError, transaction
from bedplate.database.cutover.machine.actions import Steps
from bedplate.database.cutover.machine.journal import RowJournal
from bedplate.database.cutover.machine.look import free_bytes
from bedplate.database.cutover.plan import Plan
from bedplate.database.cutover.preflight import preflight
from bedplate.database.cutover.switch.sides import sides
from bedplate.database.cutover.work import Verdict, Work

__all__ = ["compare_what_is_left", "look_first", "real_steps"]


def real_steps() -> Steps:
    """Return the steps."""
    return Steps(
        preflight=look_first,
        prepare=steps.prepare,
        capture=steps.capture,
        backfill=steps.backfill,
        index=steps.index,
        sync=steps.sync,
        verify=compare_what_is_left,
        tend=steps.tend,
        repair=steps.repair,
        switch=switch.switch,
        rollback=switch.rollback,
        undo=switch.undo,
        finalize=switch.finalize,
    )


def compare_what_is_left(work: Work) -> Verdict:
    """Compare both sides of all tables; after a switch of those whose legacy table nobody has removed by hand.

    Without it there is nothing to go back to, and nothing to compare: what is left to do is to finalize.
    """
    with transaction(work.connection):
        found = sides(work.connection, work.plan)
    gone = [side.table for side in found if side.switched and side.shadow is None]
    if not gone:
        return steps.verify(work)
    work.journal.note("no legacy table", tables=gone, mend="Nothing can go back: finalize takes away what is left.")
    left = tuple(table for table in work.plan.tables if table not in gone)
    if not left:
        return Verdict({}, {})
    plan = work.plan
    return steps.verify(replace(work, plan=Plan(tables=left, key=plan.key, partitions=plan.partitions, mode=plan.mode)))


def look_first(work: Work) -> None:
    """Look what stands in the way, and write it on the time line.

    :raises CutoverError: when something does.
    """
    if isinstance(work.journal, RowJournal):
        for table, name in work.journal.book.others(work.plan):
            what = f"{table} is moved by the cutover {name} already."
            raise CutoverError(what, "Go on with that one, or roll it back first: its copy would be this one's, too.")
    found = preflight(work.connection, work.plan, free=free_bytes(work.connection))
    told = [f"{one.severity}: {one.table}: {one.what} {one.cost}" for one in found.findings]
    work.journal.note("looked", findings=told[:50], estimates=found.to_json().get("estimates", []))
    blockers = [one for one in found.findings if one.severity == "blocker"]
    if blockers:
        first = blockers[0]
        more = f" And {len(blockers) - 1} more: see the time line." if len(blockers) > 1 else ""
        raise CutoverError(f"{first.table}: {first.what} {first.cost}{more}", first.mend)
