"""What a switch says under its lock, as text made before it; and what is laid before, to lie idle until then."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from bedplate.database.cutover import proof
from bedplate.database.cutover.asking import CutoverError, ask, locally, quoted, transaction
from bedplate.database.cutover.keylog import KeyLog
from bedplate.database.cutover.layout import twin_name
from bedplate.database.cutover.likeness import alike
from bedplate.database.cutover.preflight.bound import bound
from bedplate.database.cutover.steps import Replay, keylog, pairs
from bedplate.database.cutover.switch import carried, fence, names
from bedplate.database.cutover.switch.locking import Patience
from bedplate.database.cutover.switch.sides import Side, sides
from bedplate.database.cutover.work import Work

if TYPE_CHECKING:
    from psycopg import Connection

__all__ = ["Script", "script"]

#: Whether anything about the tables has changed: each row of the catalog about them has the transaction that wrote it.
_FINGERPRINT = """SELECT md5(string_agg(x, ' ' ORDER BY x)) FROM (
SELECT concat_ws('.', 'c', oid, xmin) AS x FROM pg_class WHERE oid = ANY({oids})
UNION ALL SELECT concat_ws('.', 'a', attrelid, attnum, xmin) FROM pg_attribute WHERE attrelid = ANY({oids})
UNION ALL SELECT concat_ws('.', 'd', oid, xmin) FROM pg_attrdef WHERE adrelid = ANY({oids})
UNION ALL SELECT concat_ws('.', 'n', oid, xmin) FROM pg_constraint WHERE conrelid = ANY({oids})
UNION ALL SELECT concat_ws('.', 't', oid, xmin) FROM pg_trigger WHERE tgrelid = ANY({oids})
UNION ALL SELECT concat_ws('.', 'p', oid, xmin) FROM pg_policy WHERE polrelid = ANY({oids})
UNION ALL SELECT concat_ws('.', 'b', d.classid, d.objid, d.xmin, c.xmin, v.xmin) FROM pg_depend d
  LEFT JOIN pg_class c ON d.classid = 'pg_class'::regclass AND c.oid = d.objid
  LEFT JOIN pg_rewrite r ON d.classid = 'pg_rewrite'::regclass AND r.oid = d.objid
  LEFT JOIN pg_class v ON v.oid = r.ev_class
  WHERE d.refclassid = 'pg_class'::regclass AND d.refobjid = ANY({oids})
UNION ALL SELECT concat_ws('.', 'q', count(*), sum(t.oid::bigint), sum(t.xmin::text::bigint)) FROM pg_trigger t
  JOIN pg_inherits i ON i.inhrelid = t.tgrelid WHERE i.inhparent = ANY({oids})) s"""


@dataclass(frozen=True, slots=True)
class Script:
    """All statements of a switch as text, made before the lock, and what they rest on.

    :ivar marks: on what the proof of each table stands afterwards, once it is known which transaction that is.
    :ivar left: what the live tables have and the others have not, in sentences: it stays behind.
    """

    locks: tuple[str, ...]
    fingerprint: str
    oids: str
    statements: tuple[str, ...]
    validate: tuple[str, ...]
    marks: Mapping[str, proof.Marks]
    left: tuple[str, ...]

    @property
    def question(self) -> str:
        """What tells whether they still fit."""
        return _FINGERPRINT.format(oids=self.oids)


def script(work: Work, followed: list[Replay], laying: Patience) -> Script:
    """Make ready all that can be before the lock, and write down the rest.

    :param followed: the replays of the pairs. :param laying: for what has to be locked for that, if anything has.
    :raises CutoverError: when a table and its twin are no longer alike, something is bound to it that cannot go along,
        or somebody has touched the log since the last proof.
    """
    connection = work.connection
    with transaction(connection):
        found = sides(connection, work.plan)
        live = [(side.table, side.live.sql) for side in found]
        proof.check(connection, work.journal, live)
        left = [f"{side.table}: {one}" for side in found for one in _alike(connection, side, work)]
        for side in found:
            _carriable(connection, side, work)
            names.free(connection, side)
    logs = [keylog(connection, one.pair, of=one.pair.shadow) for one in followed]
    laying.tried(partial(_laid, work, found, logs))
    with transaction(connection, "ISOLATION LEVEL REPEATABLE READ"):
        together = [table.oid for side in found for table in (side.live, side.other)]
        oids = f"ARRAY[{', '.join(map(str, together))}]::oid[]"
        printed = str(ask(connection, _FINGERPRINT.format(oids=oids))[0][0])
        # Again, as of the snapshot that is compared with what is there under the lock.
        proof.check(connection, work.journal, live)
        marks = {side.table: proof.promised(connection, side.other.sql, side.live.name) for side in found}
        over = [carried.hand_over(connection, side.live, side.other, _away(side), together) for side in found]
        renames = [statement for side in found for statement in names.tables(side)]
        indexes = [statement for side in found for statement in names.indexes(connection, side)]
        sequences = [statement for side in found for statement in names.identities(connection, side)]
        sequences += [statement for side in found for statement in names.owned(connection, side)]
    tables = ", ".join(side.live.sql for side in found)
    shadows = ", ".join(f"ONLY {side.other.sql}" for side in found)
    handed = [one.log.ending for one in followed] + [log.late for log in logs]
    return Script(
        # Whoever writes partitions by their own names has to have ended, too; nobody but the worker uses shadows.
        locks=(
            *(lock for one in over for lock in one.locks),
            f"LOCK TABLE {tables} IN ACCESS EXCLUSIVE MODE",
            f"LOCK TABLE {shadows} IN ACCESS EXCLUSIVE MODE",
        ),
        fingerprint=printed,
        oids=oids,
        statements=(
            *(statement for one in over for statement in one.before),
            *(statement for each in handed for statement in each),
            *_without_dual_writes(work, followed),
            *renames,
            *indexes,
            *sequences,
            *(statement for one in over for statement in one.after),
        ),
        validate=tuple(statement for one in over for statement in one.validate),
        marks=marks,
        left=tuple(left),
    )


def _laid(work: Work, found: list[Side], logs: list[KeyLog], patience: float) -> None:
    """Lay on the shadows what will lie on live tables, idle."""
    connection = work.connection
    with transaction(connection):
        written = _written(work)
        if written:
            # Whoever writes shadows has the live tables before. So nobody has a shadow now, and all of this is quick.
            locally(connection, lock_timeout=f"{int(patience * 1000)}ms")
            live = ", ".join(side.live.sql for side in found)
            ask(connection, f"LOCK TABLE {live} IN SHARE ROW EXCLUSIVE MODE")
        for log in logs:
            if not written or not log.laid:
                log.lay()
        for side in found:
            carried.prepare(connection, side.live, side.other)
            rights = carried.grants(side.live, side.other) if side.switched else ()
            for statement in (
                *rights,
                *names.sequence_rights(connection, side),
                *fence.fenced(side.live, side.other),
            ):
                ask(connection, statement)


def _written(work: Work) -> bool:
    """Whether triggers write the shadows."""
    if work.plan.mode != "dual-write":
        return False
    from bedplate.database.cutover import dualwrite

    found = pairs(work.connection, work.plan)
    return any(dualwrite.DualWrites(work.connection, pair).phase != "none" for pair in found)


def _away(side: Side) -> str:
    return quoted(side.live.schema, twin_name(side.live.name, side.away))


def _alike(connection: Connection[Any], side: Side, work: Work) -> list[str]:
    """Return what the live table has and the other has not, where it may be switched without.

    Whoever has changed the live table after a switch may go back without the change, unless rows would not fit.

    :raises CutoverError: when it may not.
    """
    plain, parted = (side.other, side.live) if side.switched else (side.live, side.other)
    found = alike(connection, plain.sql, parted.sql, work.plan.partitions, early=True)
    left: list[str] = []
    if side.switched:
        left = [one for one in found if not one.startswith(("Column", "The columns", "The grants"))]
        found = [one for one in found if one.startswith(("Column", "The columns"))]
    if found:
        raise CutoverError(
            f"{side.table} and its twin are no longer alike: {' '.join(found[:3])}",
            "Make the same change on the other one, or undo the cutover and start it anew.",
        )
    return left


def _carriable(connection: Connection[Any], side: Side, work: Work) -> None:
    """See that nothing has come to be bound to the live table, since it was looked at first, that would stay behind."""
    for one in bound(connection, side.live, work.plan.key):
        # A foreign key that the plain table cannot have is told when it is tried.
        if one.severity == "blocker":
            raise CutoverError(f"{one.table}: {one.what} {one.cost}", one.mend)


def _without_dual_writes(work: Work, followed: list[Replay]) -> tuple[str, ...]:
    if work.plan.mode != "dual-write":
        return ()
    from bedplate.database.cutover import dualwrite

    return tuple(statement for one in followed for statement in dualwrite.removed(work.connection, one.pair))
