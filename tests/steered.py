"""The worker of a cutover in a process of its own, which can be caught at the beginning or the end of any act."""

from __future__ import annotations

import multiprocessing
import threading
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from multiprocessing.connection import Connection
from typing import Any

import psycopg
from sqlalchemy import create_engine

from bedplate.database.cutover import Plan
from bedplate.database.cutover.asking import CutoverError
from bedplate.database.cutover.machine.component import MIGRATIONS
from bedplate.database.cutover.machine.real import real_steps
from bedplate.database.cutover.machine.record import Book, Record
from bedplate.database.cutover.machine.runner import Runner
from bedplate.database.cutover.machine.wishes import press
from bedplate.database.migrations import upgrade

__all__ = ["ACTS", "Desk", "Worker"]

#: What a worker does on the way to a switch, in order.
ACTS = ("preflight", "prepare", "capture", "backfill", "index", "sync", "verify", "tend")
_PATIENCE = 300.0


class Worker:
    """Such a process.

    :param act: the one at which it is caught: it tells when it begins with it. :param held: whether it stands still at
        the end of that act, before anything else, until it is told to go on.
    """

    _processes: Any = multiprocessing.get_context("forkserver")

    def __init__(self, url: str, name: str, act: str = "", *, held: bool = False, idle: float = 0.02) -> None:
        self._processes.set_forkserver_preload([__name__])
        self._told, far = self._processes.Pipe()
        self.process = self._processes.Process(target=_work, args=(far, url, name, act, held, idle), daemon=True)
        self.process.start()
        far.close()

    def reached(self, what: str = "begun", meanwhile: Callable[[], object] = lambda: None) -> None:
        """Return when it has begun with the act, or ended it; :param meanwhile: is called again and again."""
        end = time.monotonic() + _PATIENCE
        while True:
            while not self._told.poll(0.2):
                assert time.monotonic() < end, f"The act is never {what}."
                meanwhile()
            try:
                said = self._told.recv()
            except EOFError:
                raise AssertionError("The worker is gone.") from None
            assert said in ("begun", "ended"), said
            if said == what:
                return

    def go(self) -> None:
        """Let it go on."""
        self._told.send("go")

    def kill(self) -> None:
        """End it without a word."""
        self.process.kill()
        self.process.join(60)
        self._told.close()


def _work(told: Connection, url: str, name: str, act: str, held: bool, idle: float) -> None:
    steps = real_steps()
    if act:
        steps = replace(steps, **{act: _caught(getattr(steps, act), told, held)})
    try:
        Runner(url, name, steps, idle=idle, verify_every=2.0).run()
    except BaseException:
        told.send(traceback.format_exc(limit=-6))


def _caught(step: Callable[[Any], Any], told: Connection, held: bool) -> Callable[[Any], Any]:
    once = threading.Event()

    def caught(work: Any) -> Any:
        if once.is_set():
            return step(work)
        told.send("begun")
        done = step(work)
        once.set()
        if held:
            told.send("ended")
            told.recv()
        return done

    return caught


class Desk:
    """Where somebody sits who starts a cutover, presses its buttons and sees how far it is, whatever breaks."""

    def __init__(self, url: str, name: str, plan: Plan) -> None:
        self.url, self.name, self.plan = url, name, plan
        self._connection: psycopg.Connection[Any] | None = None
        engine = create_engine("postgresql+psycopg://", creator=lambda: psycopg.connect(url))
        with engine.begin() as connection:
            upgrade(connection, [MIGRATIONS], 20.0)
        engine.dispose()

    def ask(self, what: Callable[[psycopg.Connection[Any]], Any]) -> Any:
        """Ask the server, again when it was away."""
        end = time.monotonic() + _PATIENCE
        while True:
            try:
                if self._connection is None or self._connection.closed:
                    self._connection = psycopg.connect(self.url, autocommit=True)
                return what(self._connection)
            except psycopg.OperationalError:
                self.close()
                assert time.monotonic() < end, "The server is away for too long."
                time.sleep(0.02)

    def close(self) -> None:
        """Leave."""
        if self._connection is not None:
            with suppress(psycopg.Error):
                self._connection.close()
            self._connection = None

    @property
    def record(self) -> Record:
        """How far it is."""
        record = self.ask(lambda connection: Book(connection, self.name).read())
        assert isinstance(record, Record)
        return record

    def press(self, wish: Any, **how: Any) -> None:
        """Want something; what was wanted already is no fault, as nobody knows whether it was heard before a crash."""
        with suppress(CutoverError):
            self.ask(lambda connection: press(connection, self.name, wish, "test", **how))

    def start(self) -> None:
        """Want it to begin."""
        self.press("start", plan=self.plan)

    def left(self) -> None:
        """Return when no worker's session has the cutover any more: the server notices that nobody waits for it."""
        end = time.monotonic() + _PATIENCE
        while self.ask(lambda connection: Book(connection, self.name).runs()):
            assert time.monotonic() < end, "A worker that is gone still has the cutover."
            time.sleep(0.02)

    def encouraged(self, wish: str, **how: Any) -> bool:
        """Press again what was refused because others were busy; return whether it was."""
        record = self.record
        if record.trouble == "waits":
            assert "cannot be locked" in record.error, f"{record.state}: {record.error} {record.mend}"
            self.press("resume")
        elif wish and record.trouble == "told":
            self.press(wish, **how)
        else:
            return False
        return True

    def wait(self, *states: str, wish: str = "", **how: Any) -> int:
        """Return when it is in one of the states, and how often somebody had to press again for it.

        :param wish: what leads there: a switch that came to nothing is told, and somebody presses again. What never
            got its lock from busy writers waits for somebody, who lets it go on.
        """
        end, again = time.monotonic() + _PATIENCE, 0
        while (record := self.record).state not in states:
            assert time.monotonic() < end, f"{record.state} for {states}: {record.trouble} {record.error}"
            again += self.encouraged(wish, **how)
            time.sleep(0.02)
        return again
