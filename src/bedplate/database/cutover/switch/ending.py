"""The two ends of a cutover: undone before a switch, as if nothing had been; or finalized, with no way back."""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from bedplate.database.cutover import proof
from bedplate.database.cutover.asking import CutoverError, ask, quoted, transaction
from bedplate.database.cutover.catalog import Table
from bedplate.database.cutover.keylog import KeyLog
from bedplate.database.cutover.layout import twin_name
from bedplate.database.cutover.made import marked
from bedplate.database.cutover.steps import keylog, pairs
from bedplate.database.cutover.switch import fence
from bedplate.database.cutover.switch.locking import PATIENCE, WITHIN, Patience, short
from bedplate.database.cutover.switch.sides import Side, sides
from bedplate.database.cutover.switch.turning import finish
from bedplate.database.cutover.work import Work

if TYPE_CHECKING:
    from psycopg import Connection

__all__ = ["Finalized", "finalize", "undo"]


@dataclass(frozen=True, slots=True)
class Finalized:
    """What the end of a cutover took away, in words, and under which names legacy tables were kept."""

    dropped: tuple[str, ...]
    kept: tuple[str, ...] = ()


def undo(work: Work, *, patience: float = PATIENCE, within: float = WITHIN) -> None:
    """Remove from any state before a switch what the cutover has made, and nothing else.

    :raises CutoverError: when it is switched, or something else has come to depend on a twin.
    """
    connection = work.connection
    with transaction(connection):
        found = sides(connection, work.plan)
    if any(side.switched for side in found):
        raise CutoverError("It is switched: undoing it would take the live tables away.", "Roll back first.")
    trying = Patience(work, [side.live for side in found], patience=patience, within=within)
    trying.tried(partial(_unwatched, work, found))
    for side in found:
        # Short transactions one by one: dropping waits for tables that foreign keys point to as well.
        Patience(work, [side.live], patience=patience, within=within).tried(partial(_removed, work, side))
    with transaction(connection):
        work.journal.enter("none")


def _unwatched(work: Work, found: list[Side], patience: float) -> None:
    """Take from the live tables what fires with every write."""
    connection = work.connection
    statements = [statement for pair in pairs(connection, work.plan) for statement in keylog(connection, pair).ending]
    if work.plan.mode == "dual-write":
        from bedplate.database.cutover import dualwrite

        for pair in pairs(connection, work.plan):
            statements += dualwrite.removed(connection, pair)
    statements += [f"DROP TRIGGER IF EXISTS {fence.FENCE} ON {side.live.sql}" for side in found]
    with short(connection, patience, len(found)):
        live = ", ".join(side.live.sql for side in found)
        ask(connection, ";\n".join((f"LOCK TABLE {live} IN ACCESS EXCLUSIVE MODE", *statements, "COMMIT")))


def _removed(work: Work, side: Side, patience: float) -> None:
    connection = work.connection
    logs = _logs(work, side)
    with short(connection, patience, 8):
        for log in logs:
            log.drop(patience=patience)
        if side.shadow is not None and marked(connection, side.live, work.plan):
            _drop(connection, side.shadow)
        for statement in fence.unfenced(side.live.schema, side.live.name):
            ask(connection, statement)
        ask(connection, "COMMIT")


def _logs(work: Work, side: Side) -> list[KeyLog]:
    """Return the logs of both directions, as far as their tables are there."""
    there = (table for table in (side.live, side.shadow) if table is not None)
    # By its names alone; which columns it has does not matter to who takes it away, and a twin that is still being
    # filled has no primary key.
    return [KeyLog(work.connection, table.sql, (work.plan.key,), name=side.live.name) for table in there]


def _drop(connection: Connection[Any], table: Table) -> None:
    from psycopg.errors import DependentObjectsStillExist

    try:
        ask(connection, f"DROP TABLE IF EXISTS {table.sql}")
    except DependentObjectsStillExist as error:
        words = " ".join((error.diag.message_detail or str(error)).split())[:300]
        raise CutoverError(f"{table.sql} cannot be dropped: {words}.", "Drop what depends on it first.") from None


def finalize(work: Work, *, keep: str = "", patience: float = PATIENCE, within: float = WITHIN) -> Finalized:
    """Drop the legacy tables, and what let them follow; after this there is no way back.

    :param keep: what names of legacy tables end in that are kept instead, as ``_2026``; they follow no more.
    :return: what was dropped and what was kept.
    :raises CutoverError: when it is not switched, something depends on a legacy table, or somebody has touched the log
        or the partitions since the last proof.
    """
    connection = work.connection
    with transaction(connection):
        found = _finalizable(connection, work)
        words = [_words(connection, side.shadow) for side in found if side.shadow is not None]
    if len(words) == len(found):
        finish(work)
    trying = Patience(work, [side.live for side in found], patience=patience, within=within)
    left = [side for side in found if side.shadow is not None]
    kept = tuple(quoted(side.live.schema, twin_name(side.live.name, keep)) for side in left) if keep else ()
    trying.tried(partial(_final, work, found, keep))
    done = Finalized(() if keep else tuple(words), kept)
    work.journal.note("legacy tables", dropped=list(done.dropped), kept=list(done.kept))
    return done


def _finalizable(connection: Connection[Any], work: Work) -> list[Side]:
    """Return the sides of a cutover that may be finalized; in a transaction.

    :raises CutoverError: when it is not switched, or the last proof does not stand any more.
    """
    found = sides(connection, work.plan)
    if not all(side.switched for side in found):
        raise CutoverError("It is not switched: there is no legacy table to drop.", "Switch first.")
    # What was missed would be gone with the legacy tables.
    there = [(side.table, side.live.sql) for side in found if side.shadow is not None]
    proof.check(connection, work.journal, there)
    return found


def _final(work: Work, found: list[Side], keep: str, patience: float) -> None:
    connection = work.connection
    logs = [log for side in found for log in _logs(work, side)]
    ending = [statement for side in found for statement in _logs(work, side)[0].ending]
    ending += [f"DROP TRIGGER IF EXISTS {fence.FENCE} ON {side.live.sql}" for side in found]
    with short(connection, patience, 2 * len(found)):
        work.journal.enter("finalized")
        live = ", ".join(side.live.sql for side in found)
        ask(connection, f"LOCK TABLE {live} IN ACCESS EXCLUSIVE MODE")
        began = time.monotonic()
        ask(connection, ";\n".join(ending))
        for log in logs:
            log.drop(patience=patience)
        for side in found:
            there = [] if side.shadow is None else [side.shadow]
            for statement in fence.unfenced(side.live.schema, side.live.name, *there):
                ask(connection, statement)
            for legacy in there:
                if keep:
                    name = twin_name(side.live.name, keep)
                    ask(connection, f"ALTER TABLE {legacy.sql} RENAME TO {quoted(name)}")
                else:
                    _drop(connection, legacy)
        ask(connection, "COMMIT")
    work.meter.held("finalize", time.monotonic() - began)


def _words(connection: Connection[Any], table: Table) -> str:
    rows, size = ask(
        connection, "SELECT reltuples::bigint, pg_total_relation_size(oid) FROM pg_class WHERE oid = %s", (table.oid,)
    )[0]
    return f"{table.sql}, about {max(rows, 0):,} rows, {size / 1e6:,.1f} MB with its indexes"
