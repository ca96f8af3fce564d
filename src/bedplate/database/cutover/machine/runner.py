"""The worker: one thread, one connection to the primary whose session holds the cutover, and turn after turn."""

from __future__ import annotations

import os
import random
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from bedplate.database.cutover.asking import ask, connected, direct
from bedplate.database.cutover.machine.actions import Act, Steps
from bedplate.database.cutover.machine.control import Control, WorkerPace
from bedplate.database.cutover.machine.journal import RowJournal
from bedplate.database.cutover.machine.machine import Machine
from bedplate.database.cutover.machine.record import Book, Record
from bedplate.database.cutover.machine.senses import Senses
from bedplate.database.cutover.work import Meter, Stopped, TakenOver, Work

if TYPE_CHECKING:
    from psycopg import Connection

__all__ = ["Listener", "Runner", "Unread"]

#: Seconds between two looks whether there is something to do, and whether the lock is free.
_IDLE, _WAIT = 0.5, 1.0
#: Seconds of the first and of the longest wait after an error.
_FIRST, _LONGEST = 0.5, 60.0
#: What a role or database is set to must not end the work; who was killed must end on the server, too.
_SETTINGS = (
    "client_connection_check_interval = '2s'",
    "statement_timeout = 0",
    "idle_session_timeout = 0",
    "idle_in_transaction_session_timeout = 0",
    # Keys and places go through the session as texts, and must come back as what they were.
    "extra_float_digits = 1",
    "datestyle = 'ISO'",
    "intervalstyle = 'postgres'",
)
#: As well from 17 on, where it is known.
_SETTINGS_17 = ("transaction_timeout = 0",)


class Listener:
    """Who is told what a worker does; made to be overridden."""

    def event(self, event: str, detail: Mapping[str, Any]) -> None:
        """Something went onto the time line."""

    def failed(self, act: Act) -> None:
        """An act failed."""

    def away(self, error: Exception) -> None:
        """The database cannot be reached, or an error is tried again."""

    def rested(self, share: float) -> None:
        """The worker rests for so great a share of its time."""

    def felt(self, commit: float) -> None:
        """A small commit of somebody else takes so many seconds."""


class Unread:
    """A meter that nobody reads."""

    def rows(self, table: str, step: str, count: int) -> None:
        """Count nothing."""

    def total(self, table: str, done: int, of: int) -> None:
        """Show nothing."""

    def pending(self, table: str, keys: int) -> None:
        """Show nothing."""

    def held(self, what: str, seconds: float) -> None:
        """Observe nothing."""


class Runner:
    """Runs one cutover, in the thread that calls :meth:`run`, until it is told to stop.

    One runner works at a time: the session's advisory lock says who, and the epoch in the row lets nobody write who
    has lost it. The connection goes to the primary itself, as poolers keep no sessions.

    :param url: of the primary. :param meter: is told of rows, keys and locks.
    """

    def __init__(
        self,
        url: str,
        name: str,
        steps: Steps,
        meter: Meter | None = None,
        *,
        listener: Listener | None = None,
        verify_every: float = 300.0,
        idle: float = _IDLE,
    ) -> None:
        self.name = name
        self.control = Control()
        self._url = url
        self._steps = steps
        self._meter = meter or Unread()
        self._listener = listener or Listener()
        self._verify_every = verify_every
        self._idle = idle

    def stop(self) -> None:
        """End it soon; what is done is kept."""
        self.control.end()

    def run(self, until: Callable[[Record, Act], bool] = lambda record, act: False) -> None:
        """Work until stopped, or until ``until(row, what was done last)`` after a turn.

        :param until: the act is ``rest`` when nothing is to be done now.
        """
        patience = _FIRST
        while not self.control.stop.is_set():
            began = time.monotonic()
            try:
                with self._session() as connection:
                    if self._hold(connection, until):
                        return
                patience = _FIRST
            except Stopped:
                return
            except TakenOver:
                self.control.stop.wait(_WAIT)
            except Exception as error:
                if self.control.stop.is_set():
                    return
                self._listener.away(error)
                # It worked for a while: what went wrong now is something new.
                patience = _FIRST if time.monotonic() - began > 2 * _LONGEST else min(_LONGEST, patience * 2)
                self.control.stop.wait(patience * random.uniform(0.8, 1.2))

    @contextmanager
    def _session(self) -> Iterator[Connection[Any]]:
        """Open a connection that ends on the server, too, when this process dies."""
        with connected(self._url) as connection:
            direct(connection)
            for setting in _SETTINGS + (_SETTINGS_17 if connection.info.server_version >= 170000 else ()):
                ask(connection, f"SET {setting}")
            self.control.holds(connection)
            try:
                yield connection
            finally:
                self.control.leaves(connection)

    def _hold(self, connection: Connection[Any], until: Callable[[Record, Act], bool]) -> bool:
        """Take the cutover, once it is free and somebody wants something, and work on it."""
        book = Book(connection, self.name)
        while not ask(connection, "SELECT pg_try_advisory_lock(%s)", (book.key,))[0][0]:
            if self.control.stop.wait(_WAIT):
                return True
        me = f"{socket.gethostname()}:{os.getpid()}"
        while True:
            rows = ask(
                connection,
                f"UPDATE {book.cutovers} SET epoch = epoch + 1, runner = %s WHERE name = %s RETURNING epoch, plan",
                (me, self.name),
            )
            if rows:
                break
            if self.control.stop.wait(self._idle):
                return True
        return self._work(connection, book, rows[0][0], until)

    def _work(self, connection: Connection[Any], book: Book, epoch: int, until: Callable[[Record, Act], bool]) -> bool:
        journal = RowJournal(connection, self.name, epoch, self._listener.event)
        record = book.read()
        assert record is not None
        work = Work(
            connection=connection,
            connect=self._session,
            plan=record.plan,
            journal=journal,
            pace=WorkerPace(self.control, self._listener.rested),
            meter=self._meter,
        )
        machine = Machine(
            work, journal, self._steps, self.control, verify_every=self._verify_every, failed=self._listener.failed
        )
        failures, claimed = 0, False
        felt = self._listener.felt
        with Senses(self._session, self.name, self.control, machine.changed, every=self._idle, felt=felt):
            while not self.control.stop.is_set():
                record = machine.record()
                if record.plan != work.plan:
                    return False  # everything was undone, and something else is wanted: begin anew
                try:
                    if claimed is not record.active:
                        (book.claim if record.active else book.release)(work.plan)
                        claimed = record.active
                    act = machine.turn()
                    failures = 0
                except (Stopped, TakenOver):
                    raise
                except Exception as error:
                    if connection.closed or connection.broken:
                        raise
                    failures += 1
                    seconds = min(_LONGEST, _FIRST * 2**failures)
                    self._listener.failed(machine.act)
                    self._listener.away(error)
                    machine.retries(error, seconds)
                    self.control.stop.wait(seconds)
                    continue
                record = machine.record()
                if record.plan == work.plan and until(record, act):
                    return True
                if act == "rest" or (act == "tend" and not machine.busy):
                    self.control.stop.wait(self._idle)
        return True
