"""The machine: does the next thing that a row asks for, by the steps, and writes what came of it into the row."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from bedplate.database.cutover.asking import CutoverError, ask, transaction
from bedplate.database.cutover.machine.actions import CRITICAL, FOLLOWED, Act, Steps, next_act
from bedplate.database.cutover.machine.control import Control
from bedplate.database.cutover.machine.journal import RowJournal
from bedplate.database.cutover.machine.record import Record
from bedplate.database.cutover.work import Backlog, Stopped, Switched, TakenOver, Verdict, Work

__all__ = ["Machine"]

#: A comparison holds its snapshot, and vacuum waits for it: so many times its length are left to others.
_SHARE = 4.0
#: What was wanted for an act that turns the tables.
_WISHED: dict[Act, str] = {"switch": "switched", "rollback": "rolled-back", "finalize": "finalized"}


class Machine:
    """One worker's turn after turn; it holds the cutover while it lives.

    :param verify_every: seconds after which both sides are compared again. :param failed: is told of each act that
        failed.
    """

    def __init__(
        self,
        work: Work,
        journal: RowJournal,
        steps: Steps,
        control: Control,
        *,
        verify_every: float = 300.0,
        failed: Callable[[Act], None] = lambda act: None,
    ) -> None:
        self._work = work
        self._journal = journal
        self._steps = steps
        self._control = control
        self._every = verify_every
        self._failed = failed
        self._compared: float | None = None
        self._took = 0.0
        self._pending: dict[str, int] = {}
        #: What is being done.
        self.act: Act = "rest"
        #: Whether the last backlog was not empty, so that looking again is worth while.
        self.busy = False

    def record(self) -> Record:
        """Return the row.

        :raises TakenOver: when it is another worker's.
        """
        self._journal.tell()
        record = self._journal.book.read()
        if record is None or record.epoch != self._journal.epoch:
            raise TakenOver
        return record

    def next(self, record: Record) -> Act:
        """Return what is to be done next."""
        since = None if self._compared is None else time.monotonic() - self._compared
        return next_act(record, verified=since, every=max(self._every, _SHARE * self._took))

    def changed(self, record: Record) -> bool:
        """Say whether a row asks to break off what is being done now."""
        if self.act == "rest" or record.epoch != self._journal.epoch:
            return record.epoch != self._journal.epoch
        if record.wanted == "rolled-back":
            return self.act not in ("rollback", "undo")
        if self.act in ("tend", "verify"):
            return self.next(record) not in ("tend", "verify", "rest")
        return False

    def turn(self) -> Act:
        """Do the next thing and return what it was; ``rest`` when there is nothing to do, or nothing may be done.

        Nothing may be done by another plan than the row's: after a rollback it may have been started with a new one.

        :raises Stopped: when the worker is to end. :raises TakenOver: when another worker has the cutover.
        :raises Exception: what is to be tried again.
        """
        record = self.record()
        self.act = act = self.next(record) if record.plan == self._work.plan else "rest"
        self.busy = False
        if act == "rest":
            return act
        self._control.begin(critical=act in CRITICAL)
        try:
            self._do(act, record)
        except TakenOver:
            raise
        except CutoverError as error:
            self._failed(act)
            self._rolled_back()
            self._refused(act, error)
        except Exception as error:
            self._rolled_back()
            if self._broken_off(error):
                if self._control.stop.is_set():
                    raise Stopped from None
            elif act in ("switch", "rollback") and not self._lost():
                self._failed(act)
                self._refused(act, CutoverError(f"It did not come about: {_said(error)}.", "Try again."))
            else:
                raise
        else:
            self._well(record)
        finally:
            self._control.done()
        return act

    def _broken_off(self, error: Exception) -> bool:
        """Say whether a step ended because it was told to, in the middle of a statement perhaps."""
        from psycopg.errors import QueryCanceled

        return isinstance(error, Stopped) or (isinstance(error, QueryCanceled) and self._control.turning)

    def _rolled_back(self) -> None:
        """End a transaction that a step began by itself and did not end."""
        from psycopg.pq import TransactionStatus

        connection = self._work.connection
        if connection.info.transaction_status in (TransactionStatus.INTRANS, TransactionStatus.INERROR):
            connection.rollback()

    def _lost(self) -> bool:
        return bool(self._work.connection.closed or self._work.connection.broken)

    def _do(self, act: Act, record: Record) -> None:
        steps, work, journal = self._steps, self._work, self._journal
        if act in ("preflight", "prepare", "capture"):
            getattr(steps, act)(work)
            journal.enter({"preflight": "preflight", "prepare": "prepared", "capture": "capturing"}[act])  # type: ignore[arg-type]
        elif act == "backfill":
            if record.state == "capturing":
                journal.enter("backfilling")
            steps.backfill(work)
            journal.enter("indexing")
        elif act == "index":
            steps.index(work)
            self._backlog(steps.sync(work))
            journal.enter("synced")
        elif act in ("verify", "repair"):
            self._judge(act, steps.repair(work) if act == "repair" else steps.verify(work))
        elif act == "tend":
            self._backlog(steps.tend(work))
        else:
            self._turning_point(act)

    def _backlog(self, backlog: Backlog) -> None:
        """Tell how much is left, and keep it for others to see when it has changed."""
        self.busy = backlog.busy
        keys = dict(backlog.keys)
        if keys != self._pending:
            self._pending = keys
            self._journal.save("pending", keys)

    def _turning_point(self, act: Act) -> None:
        """Switch, roll back, undo or finalize; each enters its state in its own transaction."""
        steps, work, journal = self._steps, self._work, self._journal
        done: Any = getattr(steps, act)(work)
        self._compared = None
        if isinstance(done, Switched):
            journal.note(f"{act} done", held=done.held, attempts=done.attempts, compared=done.compared)

    def _judge(self, act: Act, verdict: Verdict) -> None:
        """Write what a comparison found, and what that makes of the state."""
        journal = self._journal
        self._compared, self._took = time.monotonic(), verdict.seconds
        found = {
            "rows": {table: list(rows) for table, rows in verdict.rows.items()},
            "differing": dict(verdict.differing),
            "repaired": dict(verdict.repaired),
            "seconds": round(verdict.seconds, 3),
        }
        with transaction(self._work.connection):
            state, before = journal.state, self._journal.book.read()
            values: dict[str, Any] = {"verdict": found}
            if verdict.equal:
                values |= {"verified_at": "now"}
                if state == "synced":
                    journal.enter("verified")
            else:
                count = sum(verdict.differing.values())
                values |= {
                    "trouble": "told",
                    "error": f"{count} rows differ between the two sides.",
                    "mend": "Look at the time line for which, find out who wrote them, and let it repair them.",
                    "verified_at": None,
                }
                if state == "verified":
                    journal.enter("synced")
            if not verdict.equal or any(verdict.repaired.values()) or before is None or before.verified_at is None:
                event = "equal" if verdict.equal else "not equal"
                journal.note("repaired" if act == "repair" else event, **found, **dict(verdict.detail))
            journal.book.set(epoch=journal.epoch, **values)
            journal.book.set(epoch=journal.epoch, still={"task": act}, task="")
            if not verdict.equal or any(verdict.repaired.values()):
                # Whoever wanted one of these did not know, and must not get it by surprise once all is repaired.
                for wish in ("switched", "finalized"):
                    journal.book.set(epoch=journal.epoch, still={"wanted": wish}, wanted="verified")

    def _well(self, before: Record) -> None:
        """Forget an error that is over."""
        if before.trouble in ("retries", "waits") or (
            before.trouble == "told" and (self.act == "switch" or (self.act in ("verify", "repair") and self._equal()))
        ):
            self._journal.book.set(epoch=self._journal.epoch, trouble="", error="", mend="")

    def _equal(self) -> bool:
        record = self.record()
        return record.verified_at is not None

    def _refused(self, act: Act, error: CutoverError) -> None:
        """Write what somebody has to mend. A switch that was refused leaves the sides following each other."""
        journal = self._journal
        record = self.record()
        follows = act in ("switch", "rollback", "finalize") and record.state in FOLLOWED
        trouble = "told" if follows else "waits"
        with transaction(self._work.connection):
            journal.note(f"{act} refused", error=error.what, mend=error.mend)
            journal.book.set(epoch=journal.epoch, trouble=trouble, error=error.what, mend=error.mend)
            journal.book.set(epoch=journal.epoch, still={"task": act}, task="")
            if follows:
                journal.book.set(epoch=journal.epoch, still={"wanted": _WISHED[act]}, wanted="verified")

    def retries(self, error: Exception, seconds: float) -> None:
        """Write an error after which the same is tried again in so many seconds."""
        words = f"{_said(error)} ({self.act})"
        ask(self._work.connection, "SELECT 1")
        self._journal.book.set(
            epoch=self._journal.epoch,
            trouble="retries",
            error=words,
            mend=f"It is tried again in {seconds:.0f} s by itself.",
        )


def _said(error: Exception) -> str:
    return (" ".join(str(error).split()) or type(error).__name__)[:500]
