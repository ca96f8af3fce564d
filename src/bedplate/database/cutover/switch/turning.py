"""The switch, and the rollback after one: live and shadow exchange their parts, in one short transaction."""

from __future__ import annotations

import gc
import time
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from bedplate.database.cutover.asking import CutoverError, ask, locally, quoted, transaction
from bedplate.database.cutover.layout import twin_name
from bedplate.database.cutover.likeness import alike
from bedplate.database.cutover.steps import Replay, keylog, pairs, replays
from bedplate.database.cutover.switch import carried, fence, names
from bedplate.database.cutover.switch.locking import PATIENCE, WITHIN, Patience, readers, short
from bedplate.database.cutover.switch.sides import Side, sides
from bedplate.database.cutover.work import State, Switched, Work

if TYPE_CHECKING:
    from psycopg import Connection

__all__ = ["AFTER", "finish", "turn"]

#: The part of the journal that names what is still to be done after a switch.
AFTER = "switch:after"
#: Rows of a log that are taken under the lock at most: fewer at first, as each keeps everybody waiting.
_MOST, _FIRST = 500, 100
#: Rows that are left of all logs when it is tried, if there can be so few; and that one round replays at most.
_FEW, _ALL = 10, 5000
#: Seconds for which keys are replayed before it is tried with more than a few left.
_DRAIN = 0.5
#: Seconds to wait for transactions with old snapshots.
_READERS = 10.0

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
  WHERE d.refclassid = 'pg_class'::regclass AND d.refobjid = ANY({oids})) s"""


class _Unready(Exception):
    """An attempt found under its lock that something has to be done before; it was rolled back.

    :ivar changed: whether the tables' definitions are not what they were.
    """

    def __init__(self, what: str, *, changed: bool = False) -> None:
        super().__init__(what)
        self.changed = changed


@dataclass(frozen=True, slots=True)
class _Script:
    """All statements of a switch as text, made before the lock, and what they rest on."""

    locks: tuple[str, ...]
    fingerprint: str
    oids: str
    statements: tuple[str, ...]
    validate: tuple[str, ...]

    @property
    def question(self) -> str:
        """What tells whether they still fit."""
        return _FINGERPRINT.format(oids=self.oids)


def turn(work: Work, what: str, state: State, *, patience: float = PATIENCE, within: float = WITHIN) -> Switched:
    """Let what follows be live and what is live follow.

    :param what: ``switch`` or ``rollback``. :param state: to be entered.
    :param patience: seconds that an attempt waits for its locks. :param within: seconds after which it is given up.
    :raises CutoverError: when the two are not alike, rows differ, or somebody holds a table all the time.
    """
    connection = work.connection
    with transaction(connection):
        found = sides(connection, work.plan)
        done = found[0].switched is (what == "switch")
        if done and work.journal.state != state:
            raise CutoverError(f"There is nothing to {what}: it is {work.journal.state}.", "Look how far it is.")
    if done:
        finish(work)
        return Switched(0.0, 0)
    since = ask(connection, "SELECT clock_timestamp()")[0][0]
    followed = replays(work)
    for one in followed:
        one.check()
    tables = [table for side in found for table in (side.live, side.other)]
    laying = Patience(work, tables, patience=patience, within=within)
    script = _script(work, laying)
    _drain(followed)
    _readers_gone(work, since, min(_READERS, within))
    trying = Patience(work, tables, patience=patience, within=within)
    while True:
        try:
            held, compared = trying.tried(partial(_attempt, work, script, followed, state, trying))
        except _Unready as error:
            if trying.over:
                mend = "Try again when less is written, and nobody changes the tables."
                raise CutoverError(str(error), mend) from None
            if error.changed:
                script = _script(work, laying)
            trying.pause()
            continue
        work.meter.held(what, held)
        finish(work)
        return Switched(held, trying.attempts, compared)


def _script(work: Work, laying: Patience) -> _Script:
    """Make ready all that can be before the lock, and write down the rest."""
    connection = work.connection
    with transaction(connection):
        for side in sides(connection, work.plan):
            _alike(connection, side, work)
    laying.tried(partial(_laid, work))
    with transaction(connection, "ISOLATION LEVEL REPEATABLE READ"):
        found = sides(connection, work.plan)
        together = [table.oid for side in found for table in (side.live, side.other)]
        oids = f"ARRAY[{', '.join(map(str, together))}]::oid[]"
        print_ = str(ask(connection, _FINGERPRINT.format(oids=oids))[0][0])
        over = [carried.hand_over(connection, side.live, side.other, _away(side), together) for side in found]
        renames = [statement for side in found for statement in names.tables(side)]
        indexes = [statement for side in found for statement in names.indexes(connection, side)]
        sequences = [statement for side in found for statement in names.identities(connection, side)]
        sequences += [statement for side in found for statement in names.owned(connection, side)]
    live = ", ".join(side.live.sql for side in found)
    shadows = ", ".join(f"ONLY {side.other.sql}" for side in found)
    logs = [
        statement
        for pair in pairs(connection, work.plan)
        for statement in (*keylog(connection, pair).ending, *keylog(connection, pair, of=pair.shadow).late)
    ]
    return _Script(
        # Whoever writes partitions by their own names has to have ended, too; nobody but the worker uses shadows.
        locks=(
            *(lock for one in over for lock in one.locks),
            f"LOCK TABLE {live} IN ACCESS EXCLUSIVE MODE",
            f"LOCK TABLE {shadows} IN ACCESS EXCLUSIVE MODE",
        ),
        fingerprint=print_,
        oids=oids,
        statements=(
            *(statement for one in over for statement in one.before),
            *logs,
            *_without_dual_writes(work),
            *renames,
            *indexes,
            *sequences,
            *(statement for one in over for statement in one.after),
        ),
        validate=tuple(statement for one in over for statement in one.validate),
    )


def _laid(work: Work, patience: float) -> None:
    """Lay on the shadows what will lie on live tables, idle."""
    connection = work.connection
    with transaction(connection):
        written = _written(work)
        if written:
            # Whoever writes shadows has the live tables before. So nobody has a shadow now, and all of this is quick.
            locally(connection, lock_timeout=f"{int(patience * 1000)}ms")
            live = ", ".join(pair.live for pair in pairs(connection, work.plan))
            ask(connection, f"LOCK TABLE {live} IN SHARE ROW EXCLUSIVE MODE")
        for pair in pairs(connection, work.plan):
            log = keylog(connection, pair, of=pair.shadow)
            if not written or not log.laid:
                log.lay()
        for side in sides(connection, work.plan):
            carried.prepare(connection, side.live, side.other)
            for statement in (*names.sequence_rights(connection, side), *fence.fenced(side.live, side.other)):
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


def _alike(connection: Connection[Any], side: Side, work: Work) -> None:
    plain, parted = (side.other, side.live) if side.switched else (side.live, side.other)
    found = alike(connection, plain.sql, parted.sql, work.plan.partitions, early=True)
    if side.switched:
        # Whoever has changed the live table meanwhile may go back without the change, unless rows would not fit.
        found = [one for one in found if one.startswith(("Column", "The columns"))]
    if found:
        raise CutoverError(
            f"{side.table} and its twin are no longer alike: {' '.join(found[:3])}",
            "Make the same change on the other one, or undo the cutover and start it anew.",
        )


def _without_dual_writes(work: Work) -> tuple[str, ...]:
    if work.plan.mode != "dual-write":
        return ()
    from bedplate.database.cutover import dualwrite

    return tuple(
        statement
        for pair in pairs(work.connection, work.plan)
        for statement in dualwrite.removed(work.connection, pair)
    )


def _drain(followed: list[Replay]) -> None:
    """Replay until hardly a key is left; under heavy writing until it gets no fewer."""
    fewest, ends = float("inf"), time.monotonic() + _DRAIN
    while True:
        # All there is: what a round costs by itself would let small ones never catch up.
        left = sum(one.round(most=_ALL).read for one in followed)
        if left < _FEW or (left > fewest * 0.8 and time.monotonic() > ends):
            return
        fewest = min(fewest, left)


def _readers_gone(work: Work, since: Any, seconds: float) -> None:
    """Wait for transactions whose snapshot is from before: rows that were copied since are not in it.

    One that is idle in its transaction with a snapshot will use it again. One that is busy with a statement most likely
    reads at READ COMMITTED and has a new one for each.
    """
    ends = time.monotonic() + seconds
    while found := readers(work.connection, since):
        if time.monotonic() > ends:
            sure = [one for one in found if one.state.startswith("idle")]
            if sure:
                what = f"An old snapshot is in use by {'; '.join(one.words for one in sure[:3])}."
                raise CutoverError(what, "It would not see all rows after the switch: wait for its end, or end it.")
            work.journal.note("switch beside old snapshots", holders=[one.words for one in found[:5]])
            return
        work.pace.rest(0.0)
        time.sleep(0.02)


def _attempt(
    work: Work, script: _Script, followed: list[Replay], state: State, trying: Patience, patience: float
) -> tuple[float, int]:
    """Try once; return for how long the lock was held, and how many keys were compared under it."""
    connection = work.connection
    _drain(followed)
    for one in followed:
        one.follower.warm(connection)
    collecting = gc.isenabled()
    # A collection in a large process would take longer than all of this.
    gc.disable()
    try:
        with short(connection, patience, len(script.locks) + len(followed)):
            # First, as it takes its own lock: who has taken over meanwhile is told from us before anybody waits.
            work.journal.enter(state)
            if script.validate:
                work.journal.save(AFTER, {"validate": list(script.validate)})
            began, found = _results(connection, *script.locks, "SELECT clock_timestamp()", script.question)[-2:]
            if found != script.fingerprint:
                raise _Unready("The tables' definitions have changed since it was prepared.", changed=True)
            compared = _compared(connection, followed, min(_MOST, _FIRST * trying.attempts))
            ended = _results(connection, *script.statements, "COMMIT", "SELECT clock_timestamp()")[-1]
            return (ended - began).total_seconds(), compared
    finally:
        if collecting:
            gc.enable()


def _results(connection: Connection[Any], *statements: str) -> list[Any]:
    """Carry out statements in one message, so that none waits for this process; return the first value of each."""
    cursor = connection.execute(";\n".join(statements).encode())
    found = []
    for result in cursor.results():
        row = result.fetchone() if result.description is not None else None
        found.append(row[0] if row else None)
    return found


def _compared(connection: Connection[Any], followed: list[Replay], most: int) -> int:
    """Make the last keys equal, and prove it; nobody can write, so what still differs is a fault."""
    from psycopg.errors import UniqueViolation

    compared = 0
    for one in followed:
        taken = one.log.take(most)
        # Rows, of which a key may have several: what was not read was not compared.
        if taken.truncated or taken.rows >= most:
            raise _Unready(f"More of {one.pair.table} was still to be replayed than can be under the lock.")
        if not taken.keys:
            continue
        if not compared:
            one.follower.settle(connection)
        try:
            one.follower.apply(connection, taken.keys)
        except UniqueViolation as error:
            raise _Unready(
                "Rows have exchanged unique values, which takes longer than the lock may be held."
            ) from error
        left = one.follower.differing(connection, taken.keys)
        if left:
            raise CutoverError(
                f"{len(left)} rows of {one.pair.table} differ under the lock: {left[:3]}.",
                "Nothing was switched. Verify, and find out who wrote the table that follows.",
            )
        compared += len(taken.keys)
    return compared


def finish(work: Work) -> None:
    """Do what a switch leaves for later: the log of the other direction goes, and foreign keys are validated."""
    import psycopg

    connection = work.connection
    for pair in pairs(connection, work.plan):
        keylog(connection, pair, of=pair.shadow).drop()
    left = []
    for statement in work.journal.load(AFTER).get("validate", ()):
        try:
            with transaction(connection):
                # Short, for the one of them that writers wait behind; a look at rows is in the way of vacuum alone.
                ask(connection, f"SET LOCAL lock_timeout = '{'2s' if 'VALIDATE' in statement else '100ms'}'")
                ask(connection, statement)
        except (psycopg.errors.UndefinedObject, psycopg.errors.DuplicateObject):
            continue
        except psycopg.Error as error:
            left.append(statement)
            work.journal.note("not validated", statement=statement, error=" ".join(str(error).split())[:300])
    with transaction(connection):
        work.journal.save(AFTER, {"validate": left} if left else {})
