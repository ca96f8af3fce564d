"""The steps that cutovers are made of."""

from __future__ import annotations

from bedplate.database.cutover import steps, switch
from bedplate.database.cutover.asking import CutoverError
from bedplate.database.cutover.machine.actions import Steps
from bedplate.database.cutover.machine.journal import RowJournal
from bedplate.database.cutover.preflight import preflight
from bedplate.database.cutover.work import Work

__all__ = ["look_first", "real_steps"]


def real_steps() -> Steps:
    """Return the steps."""
    return Steps(
        preflight=look_first,
        prepare=steps.prepare,
        capture=steps.capture,
        backfill=steps.backfill,
        index=steps.index,
        sync=steps.sync,
        verify=steps.verify,
        tend=steps.tend,
        repair=steps.repair,
        switch=switch.switch,
        rollback=switch.rollback,
        undo=switch.undo,
        finalize=switch.finalize,
    )


def look_first(work: Work) -> None:
    """Look what stands in the way, and write it on the time line.

    :raises CutoverError: when something does.
    """
    if isinstance(work.journal, RowJournal):
        for table, name in work.journal.book.others(work.plan):
            what = f"{table} is moved by the cutover {name} already."
            raise CutoverError(what, "Go on with that one, or roll it back first: its copy would be this one's, too.")
    found = preflight(work.connection, work.plan)
    told = [f"{one.severity}: {one.table}: {one.what} {one.cost}" for one in found.findings]
    work.journal.note("looked", findings=told[:50], estimates=found.to_json().get("estimates", []))
    blockers = [one for one in found.findings if one.severity == "blocker"]
    if blockers:
        first = blockers[0]
        more = f" And {len(blockers) - 1} more: see the time line." if len(blockers) > 1 else ""
        raise CutoverError(f"{first.table}: {first.what} {first.cost}{more}", first.mend)
