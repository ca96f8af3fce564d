"""A transfer: all rows of one database into another that is made for them, and the proof that they are the same."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from bedplate.database.address import address
from bedplate.database.transfer.changes import Change, Changes, PostgresqlChanges, SqliteChanges
from bedplate.database.transfer.comparing import Compared
from bedplate.database.transfer.errors import TransferError, TransferRefusedError
from bedplate.database.transfer.kinds import Kind
from bedplate.database.transfer.mapping import Pair, PairColumn
from bedplate.database.transfer.moving import Mover
from bedplate.database.transfer.opening import connect, opened
from bedplate.database.transfer.postgresql_side import PostgresqlSide
from bedplate.database.transfer.preparing import Options, Prepared, pairs_of, prepare
from bedplate.database.transfer.report import Plan, Progress, Report
from bedplate.database.transfer.schema import Table
from bedplate.database.transfer.sqlite_side import SqliteSide
from bedplate.database.transfer.state import State
from bedplate.declarations import Migrations
from bedplate.settings.secret import Secret

__all__ = ["Transfer"]

AnySide = SqliteSide | PostgresqlSide
#: Rounds of catching up with a source that is written to, and with how many rows left they are enough.
_ROUNDS = 20
_FEW = 100
#: Rows of a log that are held at a time, in a round and in the last pass.
_MOST, _BATCH = 100_000, 5_000


class Transfer:
    """Moves all rows from one database to another: ``Transfer("sqlite:///shop.sqlite3", "postgresql://…").run()``.

    It blocks, so run it in a process or thread of its own. Killed at any point, the next run goes on where it was.

    :param source: its address; only ``live`` writes into it, and only a log that goes again.
    :param target: the address of an empty database.
    :param migrations: of the components whose tables these are: then the target's tables come from them, else from
        the source's.
    :param types: the target's types, by ``table.column``, where the source does not tell the right one.
    :param skip: tables that stay. :param chunk: rows in a transaction.
    :param most: how many values that do not fit are told.
    :param watch: is told how far it is.
    """

    def __init__(
        self,
        source: str | Secret,
        target: str | Secret,
        *,
        migrations: Sequence[Migrations] = (),
        types: Mapping[str, str] | None = None,
        skip: Sequence[str] = (),
        chunk: int = 20_000,
        most: int = 20,
        watch: Callable[[Progress], None] = lambda progress: None,
    ) -> None:
        urls = [url.reveal() if isinstance(url, Secret) else url for url in (source, target)]
        self._source, self._target = urls
        self.shown = (address(self._source).shown, address(self._target).shown)
        if migrations and types:
            raise TransferRefusedError(["Types are the migrations' business."], "Leave out --type or --service.")
        self._options = Options(self._target, tuple(migrations), dict(types or {}), tuple(skip))
        self._chunk = chunk
        self._most = most
        self._watch = watch

    def plan(self) -> Plan:
        """Return what a run would do, with all values looked at; nothing is written.

        :raises TransferRefusedError: with every reason. :raises FaultsError: with values that do not fit.
        """
        with self._opened(look=True) as (source, target):
            prepared = prepare(source, target, self._options, look=True)
            rows = self._mover(source, target, prepared).look()
        return Plan(self.shown[0], self.shown[1], prepared.pairs, rows, prepared.notes)

    def run(self) -> Report:
        """Move everything while nobody can write into the source, or the rest of it after :meth:`follow`.

        :raises TransferError: when it cannot go on; the target then says that it is unfinished.
        """
        began = time.monotonic()
        with self._opened() as (source, target):
            prepared, mover, state = self._begin(source, target)
            with self._changes(source, prepared.pairs) as changes:
                noted = state.read()
                if noted.state == "finished":
                    if noted.log:
                        changes.drop()
                    report = Report.from_json(dict(noted.report))
                    return report.after(notes=(f"It was finished before; {self.shown[1]} was not looked at again.",))
                log = changes.token()
                with source.fence(prepared.pairs):
                    mover.copy()
                    if noted.state == "caught-up" and log and log == noted.log:
                        mover.bring_back()
                        report = self._last(prepared.pairs, mover, changes, Report.from_json(dict(noted.report)))
                    else:
                        # First, as what was unique may have changed hands since an earlier run copied it.
                        report = Report("finished", tuple(mover.compare(pair) for pair in prepared.pairs))
                        mover.bring_back()
                    report = report.after(
                        mended=mover.mended,
                        rows=mover.copied,
                        seconds=time.monotonic() - began,
                        notes=prepared.notes,
                    )
                    self._end(target, mover, report)
                if noted.log:
                    changes.drop()
        self._watch(Progress("finished"))
        return report

    def follow(self) -> Report:
        """Move everything while others write into the source, and stay a few rows behind: then :meth:`run` is short.

        A log of what is written is left in the source for it; when this fails, the log is taken away.
        """
        began = time.monotonic()
        with self._opened() as (source, target):
            if isinstance(source, SqliteSide) and not source.keeps_readers_apart:
                what = f"{source.shown} is not in WAL mode, so reading it would keep writers waiting."
                raise TransferRefusedError([what], "PRAGMA journal_mode = WAL, or stop them and leave out --live.")
            prepared, mover, state = self._begin(source, target)
            if state.read().state == "finished":
                raise TransferRefusedError([f"The transfer into {self.shown[1]} is finished."])
            with self._changes(source, prepared.pairs) as changes:
                try:
                    report = self._follow(source, target, prepared, mover, state, changes)
                except BaseException:
                    if not self._overtaken(target, state):
                        with suppress(Exception):
                            changes.drop()
                    raise
        return report.after(rows=mover.copied, seconds=time.monotonic() - began, notes=prepared.notes)

    def verify(self) -> Report:
        """Compare all rows as both databases are now, each as of one moment; nothing is written."""
        began = time.monotonic()
        with self._opened(look=True) as (source, target):
            pairs = pairs_of(source, target, self._options)
            mover = self._mover(source, target, Prepared(pairs, ()))
            with source.snapshot(), target.snapshot():
                tables = tuple(mover.compare(pair, mend=False) for pair in pairs)
        return Report("compared", tables, seconds=time.monotonic() - began)

    def abandon(self) -> None:
        """Take the log of a live transfer away from the source; the target stays marked as unfinished."""
        with opened(self._source, "source") as source:
            pairs = [_keyed(table) for table in source.schema().tables.values() if table.key]
            with self._changes(source, pairs) as changes:
                changes.drop()

    def _begin(self, source: AnySide, target: AnySide) -> tuple[Prepared, Mover, State]:
        prepared = prepare(source, target, self._options, look=False)
        state = State(target)
        with target.transaction():
            state.take()
        return prepared, self._mover(source, target, prepared, state), state

    def _follow(
        self,
        source: AnySide,
        target: AnySide,
        prepared: Prepared,
        mover: Mover,
        state: State,
        changes: Changes,
    ) -> Report:
        noted, token = state.read(), changes.token()
        if not token or token != noted.log:
            # Noted before, so that a log which is cut short is found, too.
            self._note(target, state, {"log": "none", "state": "copying"})
            changes.drop()
            token = changes.create()
            self._note(target, state, {"log": token, "state": "copying"})
        with ExitStack() as stack:
            if isinstance(source, PostgresqlSide):
                stack.enter_context(source.snapshot())
            mover.copy()
        self._catch_up(source, target, mover, state, changes)
        try:
            mover.bring_back()
        except TransferError:
            # What is unique may have changed hands while nobody logged it, between an earlier run and this one.
            self._level(source, prepared, mover, changes)
            mover.bring_back()
        self._catch_up(source, target, mover, state, changes)
        pending, tables = self._level(source, prepared, mover, changes)
        report = Report("caught-up", tables, mended=mover.mended)
        self._note(target, state, {"state": "caught-up", "report": report.to_json()})
        self._forget(target, state, changes, pending)
        return report

    def _level(
        self, source: AnySide, prepared: Prepared, mover: Mover, changes: Changes
    ) -> tuple[list[Change], tuple[Compared, ...]]:
        """Bring all tables to one moment of the source; return what of the log is done, and the comparisons."""
        with source.snapshot():
            pending = changes.pending()
            mover.apply(pending)
            return pending, tuple(mover.compare(pair) for pair in prepared.pairs)

    def _forget(self, target: AnySide, state: State, changes: Changes, pending: Sequence[Change]) -> None:
        """Take changes out of the log; not those that came since another run has taken this over."""
        with target.transaction():
            state.hold()
            changes.forget(pending)

    def _overtaken(self, target: AnySide, state: State) -> bool:
        """Say whether another run goes on, whose log it is then."""
        try:
            with target.transaction():
                state.hold()
        except TransferError:
            return True
        except Exception:
            return False
        return False

    def _catch_up(self, source: AnySide, target: AnySide, mover: Mover, state: State, changes: Changes) -> None:
        rounds = 0
        while rounds < _ROUNDS:
            with source.snapshot():
                pending = changes.pending(_MOST)
                whole = len(pending) < _MOST
                try:
                    mover.apply(pending)
                except TransferError:
                    if whole:
                        raise
                    # Rows that have exchanged what is unique go together.
                    pending = changes.pending()
                    mover.apply(pending)
            self._forget(target, state, changes, pending)
            if len(pending) <= _FEW:
                return
            # While the log is longer than what is held at a time, it gets shorter.
            rounds += whole

    def _last(self, pairs: Sequence[Pair], mover: Mover, changes: Changes, before: Report) -> Report:
        """Bring over what was written since a comparison of all rows, and prove by the two that all is equal now."""
        self._watch(Progress("last"))
        since = mover.level(changes.emptied(), lambda: changes.batches(_BATCH))
        tables = {one.table: one for one in before.tables}
        for pair in pairs:
            rows = mover.counts(pair)
            if pair.keys and rows[0] == rows[1]:
                tables[pair.name] = replace(tables[pair.name], rows=rows)
            else:
                tables[pair.name] = mover.compare(pair)
        return Report("finished", tuple(tables[pair.name] for pair in pairs), since=since)

    def _end(self, target: AnySide, mover: Mover, report: Report) -> None:
        if isinstance(target, SqliteSide) and (orphans := target.orphans()):
            raise TransferError("Foreign keys of the target point to nothing: " + " ".join(orphans), "Mend the source.")
        mover.end(report.after(state="finished").to_json())

    def _note(self, target: AnySide, state: State, values: Mapping[str, Any]) -> None:
        with target.transaction():
            state.hold()
            state.set(**values)

    def _mover(self, source: AnySide, target: AnySide, prepared: Prepared, state: State | None = None) -> Mover:
        return Mover(
            source,
            target,
            prepared.pairs,
            state or State(target),
            size=self._chunk,
            most=self._most,
            numbers=[pair for one in self._options.migrations for pair in one.numbers],
            watch=self._watch,
        )

    @contextmanager
    def _changes(self, source: AnySide, pairs: Sequence[Pair]) -> Iterator[Changes]:
        if isinstance(source, SqliteSide):
            path = address(self._source).path
            assert path is not None
            writing = sqlite3.connect(path, timeout=10.0, isolation_level=None)
            try:
                yield SqliteChanges(source.connection, writing, pairs, source.waits)
            finally:
                writing.close()
        else:
            with connect(self._source) as connection:
                yield PostgresqlChanges(source.connection, connection, pairs)

    @contextmanager
    def _opened(self, *, look: bool = False) -> Iterator[tuple[AnySide, AnySide]]:
        self._same()
        with ExitStack() as stack:
            url, path = self._target, address(self._target).path
            source = stack.enter_context(opened(self._source, "source"))
            if look and path is not None and not path.exists():
                # A file that is only looked at does not come to be.
                folder = stack.enter_context(TemporaryDirectory(prefix="bedplate-transfer-"))
                url = f"sqlite:///{folder}/target.sqlite3"
            stack.push(_unmade(path))
            target = stack.enter_context(opened(url, "target"))
            for side in (source, target):
                if isinstance(side, SqliteSide):
                    side.waits = lambda: self._watch(Progress("wait"))
            if source.identity == target.identity:
                raise TransferRefusedError(["Source and target are the same database."])
            yield source, target

    def _same(self) -> None:
        if address(self._source).dialect == address(self._target).dialect == "sqlite":
            raise TransferRefusedError(
                ["Source and target are both SQLite files."], "Copy the file: sqlite3 SOURCE '.backup TARGET'."
            )


def _keyed(table: Table) -> Pair:
    """Return a table as the log knows it: by its key alone."""
    columns = {column.name: PairColumn(column.name, column, column, Kind("verbatim")) for column in table.columns}
    return Pair(table.name, tuple(columns[name] for name in table.key), len(table.key), table, table)


def _unmade(path: Path | None) -> Callable[..., None]:
    """Return what removes a file that was made for a transfer which is then refused."""
    made = path is not None and not path.exists()

    def leave(kind: type[BaseException] | None, *error: object) -> None:
        if made and path is not None and kind is not None and issubclass(kind, TransferRefusedError):
            for suffix in ("", "-wal", "-shm"):
                path.with_name(path.name + suffix).unlink(missing_ok=True)

    return leave
