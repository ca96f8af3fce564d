"""The switch, and the rollback after one: live and shadow exchange their parts, in one short transaction."""

from __future__ import annotations

import gc
import time
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

from bedplate.database.cutover import proof
from bedplate.database.cutover.asking import CutoverError, ask, transaction
from bedplate.database.cutover.steps import Replay, keylog, pairs, replays
from bedplate.database.cutover.switch.chasing import Chase
from bedplate.database.cutover.switch.locking import PATIENCE, WITHIN, Patience, ending, open_now, readers, short
from bedplate.database.cutover.switch.script import Script, script
from bedplate.database.cutover.switch.sides import sides
from bedplate.database.cutover.work import State, Switched, Work

if TYPE_CHECKING:
    from psycopg import Connection

__all__ = ["AFTER", "finish", "turn"]

#: The part of the journal that names what is still to be done after a switch.
AFTER = "switch:after"
#: Rows of a log that are taken under the lock at most: fewer at first, as each keeps everybody waiting.
_MOST, _FIRST = 500, 100
#: Seconds to wait for transactions with old snapshots.
_READERS = 10.0
_NOW = "SELECT clock_timestamp()"
#: What to do about writers that are too fast.
_SLOWER = (
    "Nothing was switched. Try again while less is written: hold bulk jobs back, or let a pooler keep its clients "
    "waiting for a moment (PgBouncer: PAUSE, then RESUME)."
)


class _Unready(Exception):
    """An attempt found under its lock that something has to be done before; it was rolled back.

    :ivar changed: whether the tables' definitions are not what they were.
    """

    def __init__(self, what: str, *, changed: bool = False) -> None:
        super().__init__(what)
        self.changed = changed


def turn(work: Work, what: str, state: State, *, patience: float = PATIENCE, within: float = WITHIN) -> Switched:
    """Let what follows be live and what is live follow.

    :param what: ``switch`` or ``rollback``. :param state: to be entered.
    :param patience: seconds that an attempt waits for its locks. :param within: seconds after which it is given up.
    :raises CutoverError: when the two are not alike, rows differ, or somebody holds a table all the time.
    """
    from psycopg.errors import InvalidForeignKey, LockNotAvailable

    connection = work.connection
    with transaction(connection):
        found = sides(connection, work.plan)
        done = found[0].switched is (what == "switch")
        if done and work.journal.state != state:
            raise CutoverError(f"There is nothing to {what}: it is {work.journal.state}.", "Look how far it is.")
    if done:
        finish(work)
        return Switched(0.0, 0)
    followed = replays(work)
    for one in followed:
        one.check()
    tables = [table for side in found for table in (side.live, side.other)]
    laying = Patience(work, tables, patience=patience, within=within)
    prepared = script(work, followed, laying)
    chase = Chase(followed)
    chase.run(laying.ends)
    # What was behind until now is not in older snapshots; what comes after this are moments.
    _readers_gone(work, open_now(connection), min(_READERS, within))
    trying = Patience(work, tables, patience=patience, within=within)
    while True:
        try:
            held, compared = trying.tried(partial(_attempt, work, prepared, followed, chase, state, trying))
        except InvalidForeignKey as error:
            words = " ".join((error.diag.message_primary or str(error)).split())[:300]
            what = f"A foreign key that has come since cannot point to the other table: {words}."
            raise CutoverError(what, "Drop it, and make it anew afterwards, if it can be.") from None
        except _Unready as error:
            if trying.over:
                if error.changed:
                    raise CutoverError(str(error), "Try again when nobody changes the tables.") from None
                raise CutoverError(f"{error} {chase.words}", _SLOWER) from None
            if error.changed:
                prepared = script(work, followed, laying)
            trying.pause()
            continue
        work.meter.held(what, held)
        if prepared.left:
            work.journal.note("left behind", what=list(prepared.left[:20]))
        for one in followed:
            # It is switched. A log that somebody has goes later: before the next switch, or with the end.
            with suppress(LockNotAvailable):
                one.log.drop()
        _validate(work)
        return Switched(held, trying.attempts, compared)


def _readers_gone(work: Work, among: Sequence[Any], seconds: float) -> None:
    """Wait for transactions whose snapshot is from before: rows that were copied since are not in it.

    A statement that is a transaction by itself has its tables, or it would not have got so far, and ends with its
    snapshot. Any other may read one of these tables next, and see none of the rows that were copied since: at which
    level it is nobody else can know.
    """
    ends = time.monotonic() + seconds
    while found := readers(work.connection, among):
        if time.monotonic() > ends:
            others = [one for one in found if not one.single]
            if others:
                what = f"An old snapshot is in use by {'; '.join(one.words for one in others[:3])}."
                mend = f"It would not see all rows after the switch: wait for its end, or end it: {ending(others)}."
                raise CutoverError(what, mend)
            work.journal.note("switch beside old snapshots", holders=[one.words for one in found[:5]])
            return
        work.pace.rest(0.0)
        time.sleep(0.02)


def _attempt(
    work: Work,
    prepared: Script,
    followed: list[Replay],
    chase: Chase,
    state: State,
    trying: Patience,
    patience: float,
) -> tuple[float, int]:
    """Try once; return for how long the lock was held, and how many keys were compared under it."""
    connection = work.connection
    most = min(_MOST, _FIRST * trying.attempts)
    if chase.run(trying.ends) > most:
        # What a round finds the lock would find as well, and everybody would have waited in vain.
        raise _Unready("More is written during a round of the replay than can be compared under the lock.")
    for one in followed:
        one.follower.warm(connection)
    collecting = gc.isenabled()
    # A collection in a large process would take longer than all of this.
    gc.disable()
    try:
        with short(connection, patience, len(prepared.locks) + len(followed)):
            # First, as it takes its own lock: who has taken over meanwhile is told from us before anybody waits.
            work.journal.enter(state)
            if prepared.validate:
                work.journal.save(AFTER, {"validate": list(prepared.validate)})
            me = str(ask(connection, "SELECT pg_current_xact_id()::xid::text")[0][0])
            proof.save(work.journal, {table: proof.fulfilled(one, me) for table, one in prepared.marks.items()})
            first, *others = prepared.locks
            _, began, *_, found = _results(connection, first, _NOW, *others, prepared.question)
            if found != prepared.fingerprint:
                raise _Unready("The tables' definitions have changed since it was prepared.", changed=True)
            compared = _compared(connection, followed, most)
            ended = _results(connection, *prepared.statements, "COMMIT", _NOW)[-1]
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
    for pair in pairs(work.connection, work.plan):
        keylog(work.connection, pair, of=pair.shadow).drop()
    _validate(work)


def _validate(work: Work) -> None:
    import psycopg

    connection = work.connection
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
