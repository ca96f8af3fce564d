"""Before anything is moved: the target's tables, checked against the source's, and whatever refuses the transfer.

It is one transaction of the target, so a refusal leaves nothing, and a look without touching is the same, undone.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

from bedplate.database.cutover.asking import quoted
from bedplate.database.migrations import head, upgrade, version_table
from bedplate.database.transfer import aside, ddl
from bedplate.database.transfer.errors import TransferRefusedError
from bedplate.database.transfer.mapping import Pair, derived, paired
from bedplate.database.transfer.opening import connect
from bedplate.database.transfer.postgresql_side import PostgresqlSide
from bedplate.database.transfer.schema import Schema
from bedplate.database.transfer.sequences import uncounted
from bedplate.database.transfer.sqlite_side import SqliteSide
from bedplate.database.transfer.state import State
from bedplate.declarations import Migrations

if TYPE_CHECKING:
    from sqlalchemy import Connection

__all__ = ["Options", "Prepared", "pairs_of", "prepare"]

AnySide = SqliteSide | PostgresqlSide


@dataclass(frozen=True, slots=True)
class Options:
    """What is asked of a transfer. ``types``: the target's, by ``table.column``. ``skip``: tables that stay."""

    target: str
    migrations: tuple[Migrations, ...] = ()
    types: Mapping[str, str] | None = None
    skip: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Prepared:
    """What is to be moved."""

    pairs: tuple[Pair, ...]
    notes: tuple[str, ...]


class _Undone(Exception):
    """Ends a transaction that only looked."""


def prepare(source: AnySide, target: AnySide, options: Options, *, look: bool) -> Prepared:
    """Make the target ready, or find it so; :param look: touch nothing.

    :raises TransferRefusedError: with every reason.
    """
    found: list[Prepared] = []
    try:
        with _working(target, options) as (work, connection):
            state = State(work)
            if state.exists():
                found.append(_resumed(source, work, state, options))
            else:
                found.append(_begun(source, work, state, options, connection))
            if look:
                raise _Undone
    except _Undone:
        pass
    return found[0]


def pairs_of(source: AnySide, target: AnySide, options: Options) -> tuple[Pair, ...]:
    """Pair the tables of two databases as they are.

    :raises TransferRefusedError: when they do not belong to each other.
    """
    pairs, wrong = paired(source.schema(), target.schema(), _skipped(options))
    if wrong:
        raise TransferRefusedError(wrong)
    return tuple(pairs)


def _skipped(options: Options) -> set[str]:
    """Return which tables are not looked at: who migrated them is the migrations' business."""
    counts = {row.partition(".")[0] for one in options.migrations for row, _ in one.numbers}
    return {*options.skip, *counts, *(version_table(one) for one in options.migrations)}


def _resumed(source: AnySide, work: AnySide, state: State, options: Options) -> Prepared:
    noted = state.read()
    if noted.source != source.identity:
        what = f"{work.shown} holds a transfer from {noted.shown}, which is another source."
        raise TransferRefusedError([what], "Go on with that one, or make an empty target.")
    pairs = pairs_of(source, work, options)
    if noted.plan != _fingerprint(pairs):
        what = f"{work.shown} holds a transfer of tables that were not the same then."
        raise TransferRefusedError(
            [what], "Run it with the same options and versions as before, or make an empty target."
        )
    return Prepared(pairs, ())


def _begun(source: AnySide, work: AnySide, state: State, options: Options, connection: Connection | None) -> Prepared:
    reasons = [*_unreadable(source), *_unreadable(work), *_orphans(source)]
    mine = source.schema()
    reasons += [f"There is no table {name} to skip in the source." for name in options.skip if name not in mine.tables]
    if options.migrations:
        assert connection is not None
        notes = _migrate(source, mine, work, options, connection, reasons)
    else:
        notes = _derive(mine, work, options, reasons)
    pairs, wrong = paired(mine, work.schema(), _skipped(options))
    reasons += wrong
    if not pairs:
        reasons.append(f"{source.shown} has no tables.")
    if reasons:
        raise TransferRefusedError(reasons)
    names = [pair.name for pair in pairs]
    if options.migrations:
        set_aside = (
            aside.of_sqlite(work.connection, names)
            if isinstance(work, SqliteSide)
            else aside.of_postgresql(work.connection, names)
        )
        for statement in set_aside.now:
            work.execute(statement)
        # Whatever the migrations filled in is in the source, too, perhaps changed.
        for pair in pairs:
            work.empty(pair)
        early, late = list(set_aside.early), list(set_aside.late)
        notes += set_aside.notes
    else:
        early, late = ddl.finish(derived(mine, work.dialect, options.types or {}, options.skip)[0])
    state.create(source, _fingerprint(pairs), names, early, late)
    notes += [
        f"{pair.name} has no primary key: it is copied whole, and anew when it changes meanwhile."
        for pair in pairs
        if not pair.keys
    ]
    return Prepared(tuple(pairs), tuple(notes))


def _derive(mine: Schema, work: AnySide, options: Options, reasons: list[str]) -> list[str]:
    present = sorted(work.schema().tables)
    if present:
        reasons.append(
            f"The target is not empty: it has the tables {', '.join(present[:5])}{' …' * (len(present) > 5)}."
        )
    schema, wrong = derived(mine, work.dialect, options.types or {}, options.skip)
    reasons += wrong
    if reasons:
        raise TransferRefusedError(reasons)
    for statement in ddl.create(mine, schema):
        try:
            work.execute(statement)
        except Exception as error:
            words = str(error).partition("\n")[0]
            raise TransferRefusedError([f"A table cannot be made in the target: {words}."]) from None
    return ddl.notes(mine, schema)


def _migrate(
    source: AnySide, mine: Schema, work: AnySide, options: Options, connection: Connection, reasons: list[str]
) -> list[str]:
    present = work.schema().tables
    versions = _skipped(options)
    reasons += [
        f"The target is not empty: {name} has rows."
        for name in sorted(present.keys() - versions)
        if work.execute(f"SELECT 1 FROM {quoted(name)} LIMIT 1")
    ]
    wanted = []
    for one in options.migrations:
        table, newest = version_table(one), head(one)
        if table not in mine.tables:
            continue
        wanted.append(one)
        for side, what, tables in ((source, "source", mine.tables), (work, "target", present)):
            revision = _revision(side, table) if table in tables else newest
            if revision != newest:
                reasons.append(
                    f"The tables of {one.name} are at revision {revision or 'none'} in the {what}, and at {newest} in "
                    "this version of the service: start this version on it once, or use the version that it is of."
                )
    if not wanted:
        reasons.append("The source has no tables of this service: is it its database?")
    if reasons:
        raise TransferRefusedError(reasons)
    upgrade(connection, wanted, 30.0)
    reasons += uncounted(source, work, [pair for one in wanted for pair in one.numbers])
    return [note for note in mine.others if not note.startswith("The trigger")]


def _revision(side: AnySide, table: str) -> str | None:
    rows = side.execute(f"SELECT version_num FROM {quoted(table)}")
    return str(rows[0][0]) if rows else None


def _unreadable(side: AnySide) -> list[str]:
    """Return whose rows row security would keep from us."""
    if isinstance(side, SqliteSide):
        return []
    rows = side.execute(
        "SELECT relname FROM pg_class WHERE relnamespace = current_schema()::regnamespace AND relkind IN ('r', 'p') "
        "AND row_security_active(oid) ORDER BY 1"
    )
    return [
        f"Row security keeps rows of {row[0]} from this user: use the owner of its tables, or BYPASSRLS."
        for row in rows
    ]


def _orphans(source: AnySide) -> list[str]:
    if not isinstance(source, SqliteSide):
        return []
    try:
        return [f"A foreign key points to nothing: {one}" for one in source.orphans()]
    except sqlite3.OperationalError as error:
        return [f"The foreign keys of the source are not right: {error}."]


def _fingerprint(pairs: Sequence[Pair]) -> str:
    said = [
        (pair.name, pair.keys, [(one.name, one.kind, one.source.type, one.target.type) for one in pair.columns])
        for pair in pairs
    ]
    return blake2b(repr(said).encode(), digest_size=16).hexdigest()


@contextmanager
def _working(target: AnySide, options: Options) -> Iterator[tuple[AnySide, Connection | None]]:
    """Run a transaction of the target while inside; with migrations it is also one of SQLAlchemy, which they speak."""
    if not options.migrations:
        with target.transaction():
            yield target, None
        return
    from sqlalchemy import create_engine, event
    from sqlalchemy.pool import StaticPool

    if isinstance(target, SqliteSide):
        raw: Any = target.connection
        engine = create_engine("sqlite://", creator=lambda: raw, poolclass=StaticPool)

        @event.listens_for(engine, "begin")
        def begun(connection: Any) -> None:
            connection.exec_driver_sql("BEGIN IMMEDIATE")

        # The file stays open for the rest: the engine is left, not disposed of.
        with engine.begin() as connection:
            yield target, connection
        return
    raw = connect(options.target)
    raw.autocommit = False
    engine = create_engine("postgresql+psycopg://", creator=lambda: raw, poolclass=StaticPool)

    @event.listens_for(engine, "before_cursor_execute", retval=True)
    def written(
        connection: Any, cursor: Any, statement: str, parameters: Any, context: Any, many: bool
    ) -> tuple[str, Any]:
        # Services migrate through a driver to which % in a statement of their own means nothing; to this one it does.
        own = context.compiled is None and not parameters
        return statement.replace("%", "%%") if own else statement, parameters

    try:
        with engine.begin() as connection:
            yield PostgresqlSide(raw, "target", target.shown), connection
    finally:
        engine.dispose()
