"""A cutover's worker in the foreground: what it does as bars and lines, until what is wanted is done."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from typing import Any

import typer
from rich.progress import BarColumn, Progress, TaskID, TaskProgressColumn, TextColumn, TimeRemainingColumn

from bedplate.cli.cutover_target import Target
from bedplate.cli.output import console
from bedplate.database.cutover.asking import direct
from bedplate.database.cutover.machine.actions import FOLLOWED
from bedplate.database.cutover.machine.record import Book, Record
from bedplate.database.cutover.machine.runner import Listener, Runner
from bedplate.problems import BedplateError

__all__ = ["carry_out", "done", "settled"]


def settled(record: Record) -> bool:
    """Say whether nothing is left to be done by itself: it waits for somebody, or for the next wish."""
    return record.state == "finalized" or not record.wanted or record.trouble == "waits"


def done(record: Record, act: str) -> bool:
    """Say whether what is wanted is done, after an act. Only who has compared in this session goes on to tend."""
    follows = record.state in FOLLOWED and (record.state != "synced" or bool(record.trouble))
    return settled(record) or record.paused or (follows and act == "tend" and record.wanted == "verified")


def carry_out(target: Target, *, keep: bool = False, quiet: bool = False) -> Record:
    """Work on a cutover until what is wanted is done; while somebody else does, wait for that; return its row.

    :param keep: go on, so that both sides stay equal, until Ctrl-C.
    """
    with target.connection() as connection:
        book = Book(connection, target.name)
        if book.runs():
            return _follow(book, keep=keep, quiet=quiet)
        direct(connection)
    from bedplate.database.cutover.machine.real import real_steps

    with _Board(quiet) as board:
        runner = Runner(
            target.url,
            target.name,
            real_steps(),
            board,
            listener=board,
            verify_every=target.settings.verify_every,
        )
        failed: list[BaseException] = []

        def work() -> None:
            try:
                runner.run(lambda record, act: record.state == "finalized" if keep else done(record, act))
            except BaseException as error:
                failed.append(error)

        thread = threading.Thread(target=work, name="bedplate-cutover", daemon=True)
        thread.start()
        try:
            while thread.is_alive():
                thread.join(0.2)
        finally:
            while thread.is_alive():
                runner.stop()
                thread.join(1.0)
    if failed:
        raise failed[0]
    with target.connection() as connection:
        return _row(Book(connection, target.name))


def _follow(book: Book, *, keep: bool, quiet: bool) -> Record:
    """Wait until a worker elsewhere has done what is wanted."""
    record, told = _row(book), ""
    if not quiet:
        console.print(f"[dim]{record.runner} works on it.[/dim]")
    since = time.monotonic()
    while True:
        record = _row(book)
        if not quiet and record.state != told:
            console.print(f"[cyan]{record.state}[/cyan]")
            told = record.state
        reached = record.state in ("verified", "switched") and record.wanted == "verified"
        if record.state == "finalized" or (not keep and (settled(record) or reached)):
            return record
        if not book.runs() and time.monotonic() - since > 10.0:
            raise BedplateError("The worker that did it is gone.", "Run `bedplate cutover run` again.")
        if book.runs():
            since = time.monotonic()
        time.sleep(0.5)


def _row(book: Book) -> Record:
    record = book.read()
    if record is None:
        raise BedplateError(f"There is no cutover {book.name}.", "Begin it: bedplate cutover start.")
    return record


class _Board(Listener):
    """A meter and a listener that show what is done on the terminal."""

    def __init__(self, quiet: bool) -> None:
        self._quiet = quiet
        self._steps: dict[str, str] = {}
        self._rows: dict[str, int] = {}
        self._tasks: dict[tuple[str, str], TaskID] = {}
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TaskProgressColumn(),
            TextColumn("{task.fields[rows]:,} rows"),
            TimeRemainingColumn(),
            console=console,
            transient=True,
            disable=quiet,
        )

    def __enter__(self) -> _Board:
        self._progress.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._progress.stop()

    def rows(self, table: str, step: str, count: int) -> None:
        """Count rows of a step."""
        if self._steps.get(table) != step:
            self._steps[table], self._rows[table] = step, 0
        self._rows[table] += count
        task = self._tasks.get((table, step))
        if task is not None:
            self._progress.update(task, rows=self._rows[table])

    def total(self, table: str, done: int, of: int) -> None:
        """Move the bar of a table's step."""
        step = self._steps.get(table, "copy")
        task = self._tasks.get((table, step))
        if task is None:
            task = self._progress.add_task(f"{table}: {step}", total=max(of, 1), rows=0)
            self._tasks[table, step] = task
        self._progress.update(task, completed=done, total=max(of, done, 1), rows=self._rows.get(table, 0))

    def pending(self, table: str, keys: int) -> None:
        """Keys are shown by status."""

    def held(self, what: str, seconds: float) -> None:
        """Tell for how long a lock was held."""
        if not self._quiet:
            console.print(f"[dim]{what} held its lock for {seconds * 1000:.1f} ms[/dim]")

    def event(self, event: str, detail: Mapping[str, Any]) -> None:
        """Tell what happened."""
        if not self._quiet and event != "looked":
            console.print(f"[cyan]{event}[/cyan]", markup=True)

    def away(self, error: Exception) -> None:
        """Tell what is tried again."""
        typer.echo(" ".join(str(error).split())[:300], err=True)
