"""Replay: what the key log names is made equal in the shadow, and proven equal before it leaves the log.

Each round reads some rows of the log, makes these keys' rows in the shadow what they are in the live table, compares
them, and removes from the log exactly the rows it had read of the keys that are equal: all in one transaction. Whatever
commits meanwhile has rows in the log that the round did not read. So at any time every key that is not in the log is
equal on both sides, if a comparison of everything has said so once.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bedplate.database.cutover.asking import CutoverError, ask, locally, quoted, transaction
from bedplate.database.cutover.keylog import KeyLog, Taken
from bedplate.database.cutover.parity import Difference
from bedplate.database.cutover.steps.chunks import heavy
from bedplate.database.cutover.steps.follow import Follower, Key
from bedplate.database.cutover.steps.pairs import keylog, pairs
from bedplate.database.cutover.steps.truncated import empty
from bedplate.database.cutover.work import Backlog, Pair, Work

if TYPE_CHECKING:
    from psycopg import Connection

__all__ = ["FEW", "Replay", "Round", "backlog", "replays"]

#: So few keys are left to be done under a lock: ready.
FEW = 10
_LEAST, _START, _MOST = 1000, 2000, 100_000
#: The same where values lie outside of their rows: a row may be a megabyte.
_LEAST_HEAVY, _START_HEAVY = 10, 100
#: Rounds that find a few keys more each time, as somebody writes all the time.
_STEADY = 5
#: Seconds that a round may take while there is much to do: nobody waits for it, and the more rows of the log it takes,
#: the more often a key is among them several times that is done once. And where others want the processors.
_LONG, _SHORT = 1.0, 0.05
#: Seconds between two looks whether the log grows shorter although the worker rests, rows that count as many then, and
#: by how much shorter it is to be.
_LOOK, _MANY, _SHORTER = 5.0, 1_000_000, 0.9
#: Rows of the log in one transaction at most when all of it must be done at once.
_ALL = 500_000
_VACUUM = 50_000


@dataclass(frozen=True, slots=True)
class Round:
    """What a round did: rows of the log read, different keys, and those that were not equal afterwards.

    :ivar truncated: whether it emptied the shadow instead.
    """

    read: int
    keys: int
    differing: tuple[Difference, ...] = ()
    truncated: bool = False


class Replay:
    """The replay of one pair.

    While triggers write the shadow, in a cutover by dual writes, keys are compared first, and only what differs all the
    same is made equal, and told.
    """

    def __init__(self, work: Work, pair: Pair) -> None:
        self.pair = pair
        self._work = work
        self._connection: Connection[Any] = work.connection
        self.log: KeyLog = keylog(work.connection, pair)
        self.follower = Follower(work.connection, pair)
        self._follows = not _written(work, pair)
        self._least, self._most = (_LEAST_HEAVY, _START_HEAVY) if heavy(work.connection, pair) else (_LEAST, _START)
        self._removed = 0
        self._gains, self._vain, self._left, self._looked = False, False, 0, float("-inf")

    def check(self) -> None:
        """See that the log is in place.

        :raises CutoverError: when it is not: then nobody knows what has changed.
        """
        if not self.log.intact:
            what = f"The key log of {self.pair.table} is not in place, or one of its triggers is disabled or altered."
            mend = "Changes may have been missed: press `repair`, which puts it in place anew and compares all rows."
            raise CutoverError(what, mend)

    def round(self, *, most: int | None = None) -> Round:
        """Do one round: of all rows of the log, or of as many as take about a second."""
        from psycopg.errors import UniqueViolation

        began = time.monotonic()
        try:
            done = self._round(self._most if most is None else most)
        except UniqueViolation:
            done = self.everything()
        else:
            self._adapt(done, time.monotonic() - began)
        self._removed += done.read
        if done.keys:
            self._work.meter.rows(self.pair.table, "replay" if self._follows else "compare", done.keys)
        return done

    def drain(self, *, until: int = FEW, rounds: int = 1_000_000) -> int:
        """Do rounds until few keys are left, no fewer come, or so many are done; return how many are left."""
        steady, self._gains, self._vain = 0, False, False
        for _ in range(rounds):
            most, began = self._most, time.monotonic()
            done = self.round(most=most)
            self._rest(time.monotonic() - began, done, most)
            steady = steady + 1 if done.read < most and not done.truncated else 0
            if steady and (done.keys - len(done.differing) <= until or steady >= _STEADY):
                break
        self.tidy()
        pending = self.log.pending()
        self._work.meter.pending(self.pair.table, pending)
        return pending

    def everything(self) -> Round:
        """Do the whole log as of one snapshot: then the shadow is what the live table was at that moment.

        For when single keys cannot go by themselves: values of a unique column that rows have exchanged.

        :raises CutoverError: when that cannot be, as rows of the live table break a constraint of the shadow.
        """
        from psycopg.errors import UniqueViolation

        connection, follower = self._connection, self.follower
        try:
            with transaction(connection, "ISOLATION LEVEL REPEATABLE READ"):
                follower.settle(connection)
                taken = self.log.take(_ALL)
                if taken.truncated:
                    return self._emptied(taken)
                keys = taken.keys
                batches = [keys[start : start + _MOST] for start in range(0, len(keys), _MOST)]
                for batch in batches:
                    follower.remove(connection, batch)
                for batch in batches:
                    follower.copy(connection, batch)
                return self._finish(taken, [one for batch in batches for one in follower.differing(connection, batch)])
        except UniqueViolation as error:
            words = " ".join(str(error).split())[:300]
            what = f"A row of {self.pair.live} cannot be in {self.pair.shadow} as well: {words}."
            raise CutoverError(what, "Change one of the rows: both tables must hold all of them.") from None

    def tidy(self) -> None:
        """Keep the log small, as reading it takes as long as its file is large."""
        if self._removed >= _VACUUM:
            ask(self._connection, f"VACUUM (TRUNCATE false) {self.log.sql}")
            self._removed = 0
        held = self.log.shrink()
        if held:
            self._work.meter.held("log", held)

    def _round(self, most: int) -> Round:
        connection = self._connection
        with transaction(connection, "ISOLATION LEVEL READ COMMITTED"):
            self.follower.settle(connection)
            taken = self.log.take(most)
            if taken.truncated:
                return self._emptied(taken)
            differing: list[Difference] = []
            if not self._follows:
                differing = self.follower.differing(connection, taken.keys)
                self._tell(differing)
            missed = [_key(one) for one in differing]
            if self._follows or missed:
                self.follower.apply(connection, taken.keys if self._follows else missed)
                differing = self.follower.differing(connection, taken.keys)
            return self._finish(taken, differing)

    def _emptied(self, taken: Taken) -> Round:
        """Empty the shadow as the live table was; what was written there since is still in the log."""
        from psycopg.errors import LockNotAvailable

        if not self._follows and not self._stale():
            self.log.followed(taken)
            return Round(read=0, keys=0, truncated=True)
        try:
            with transaction(self._connection):
                # Whoever writes the shadow by triggers would wait, too.
                locally(self._connection, lock_timeout="5s" if self._follows else "100ms")
                empty(self._connection, self.pair, tuple(taken.truncated))
        except LockNotAvailable:
            if self._follows:
                raise
            return Round(read=0, keys=0, truncated=True)
        self.log.followed(taken)
        return Round(read=0, keys=0, truncated=True)

    def _stale(self) -> bool:
        """Whether the shadow has a row that the live table has not, after triggers should have emptied both.

        A row that came again since has its key in the log, so this is all that there is to see.
        """
        same = " AND ".join(f"t.{quoted(name)} = h.{quoted(name)}" for name in self.pair.primary)
        unknown = f"NOT EXISTS (SELECT FROM {self.pair.live} h WHERE {same} OFFSET 0)"
        # In the order in which TRUNCATE and its trigger lock them, so that nobody waits for each other.
        ask(self._connection, f"LOCK TABLE {self.pair.live} IN ACCESS SHARE MODE")
        return bool(ask(self._connection, f"SELECT EXISTS (SELECT FROM {self.pair.shadow} t WHERE {unknown})")[0][0])

    def _tell(self, differing: list[Difference]) -> None:
        if differing:
            told = [f"{one.kind} {', '.join(map(str, one.row))}" for one in differing[:5]]
            self._work.journal.note("missed by triggers", table=self.pair.table, rows=len(differing), first=told)

    def _finish(self, taken: Taken, differing: list[Difference]) -> Round:
        left = {one.row for one in differing}
        keys = taken.keys
        self.log.remove(taken, [key for key in keys if key not in left])
        return Round(taken.rows, len(keys), tuple(differing))

    def _adapt(self, done: Round, seconds: float) -> None:
        if done.read >= self._most:
            wanted = _SHORT if self._gains and self._work.pace.gentle else _LONG
            factor = min(max(wanted / max(seconds, 0.001), 0.5), 2.0)
            self._most = int(min(max(self._most * factor, self._least), _MOST))

    def _rest(self, seconds: float, done: Round, most: int) -> None:
        """Rest as whoever copies rows does, unless that lets writers get ahead: no round after it would be the last."""
        if full := done.read >= most:
            self._look()
        gently = self._gains if full else 2 * done.read < most
        self._work.pace.rest(seconds, done.keys if gently else 0)

    def _look(self) -> None:
        """See at times whether the log has grown shorter although the worker rests; if once not, it does so no more.

        What is gained without rests might be lost by them again, without end.
        """
        now = time.monotonic()
        if now - self._looked > _LOOK:
            left = self.log.rows(_MANY)
            shorter = left < _SHORTER * self._left
            self._vain = self._vain or (self._gains and not shorter)
            self._gains = shorter and not self._vain
            self._left, self._looked = left, now


def _written(work: Work, pair: Pair) -> bool:
    """Whether triggers write the shadow."""
    if work.plan.mode != "dual-write":
        return False
    from bedplate.database.cutover import dualwrite

    return dualwrite.DualWrites(work.connection, pair).phase in ("lenient", "strict")


def _key(difference: Difference) -> Key:
    return tuple(str(value) for value in difference.row)


def replays(work: Work) -> list[Replay]:
    """Return the replay of each pair as they are now."""
    return [Replay(work, pair) for pair in pairs(work.connection, work.plan)]


def backlog(replays: list[Replay], busy: bool = False) -> Backlog:
    """Return what is in the logs."""
    return Backlog({one.pair.table: one.log.pending() for one in replays}, busy)
