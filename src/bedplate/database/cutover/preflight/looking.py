"""The look before a cutover: every reason against it, what it costs, and how to mend it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from bedplate.database.cutover.asking import ask, transaction
from bedplate.database.cutover.catalog import Table, read
from bedplate.database.cutover.layout import refusals
from bedplate.database.cutover.plan import Plan
from bedplate.database.cutover.preflight.bound import bound
from bedplate.database.cutover.preflight.estimates import estimate
from bedplate.database.cutover.preflight.identity import identity
from bedplate.database.cutover.preflight.report import Estimate, Finding, Preflight
from bedplate.database.cutover.preflight.statements import statements
from bedplate.database.cutover.preflight.taken import names_taken

if TYPE_CHECKING:
    from psycopg import Connection

__all__ = ["preflight"]

#: Seconds after which a transaction is in the way of a switch.
_LONG = 60
_OLDEST = 15


def preflight(connection: Connection[Any], cutover: Plan, *, free: int | None = None) -> Preflight:
    """Look at the tables of a cutover, in a transaction that can only read.

    :param connection: to the primary, as the user who would do the cutover.
    :param free: bytes free where the database is, if known: SQL does not tell.
    :raises CutoverError: when a table is not there.
    """
    findings: list[Finding] = []
    estimates: list[Estimate] = []
    with transaction(connection, "ISOLATION LEVEL REPEATABLE READ READ ONLY"):
        tables = [read(connection, name) for name in cutover.tables]
        for table in tables:
            name = f"{table.schema}.{table.name}"
            for what, mend in refusals(table, cutover.key):
                cost = "Such a table cannot be partitioned."
                findings.append(Finding("blocker", "unsupported", name, f"It {what}.", cost, mend))
            findings += _of_the_layout(table, cutover)
            findings += _of_the_key(connection, table, cutover)
            findings += identity(connection, table, cutover)
            findings += _of_dual_writes(connection, table, cutover)
            findings += _of_the_worker(connection, table)
            findings += names_taken(connection, table, cutover)
            findings += bound(connection, table, cutover.key)
            findings += statements(connection, table, cutover.key, cutover.partitions)
            estimates.append(estimate(connection, table, cutover))
        findings += _of_the_plan(tables)
        findings += _of_the_server(connection, estimates, free)
    return Preflight.of(cutover, findings, estimates)


def _of_the_plan(tables: list[Table]) -> Iterator[Finding]:
    for number, table in enumerate(tables):
        if table.oid in {one.oid for one in tables[:number]}:
            yield Finding(
                "blocker", "twice", f"{table.schema}.{table.name}", "The plan names this table twice.",
                "It would be renamed twice.", "Name it once.",
            )  # fmt: skip


def _of_the_layout(table: Table, cutover: Plan) -> Iterator[Finding]:
    name, key = f"{table.schema}.{table.name}", cutover.key
    unique = [(one.name, one.columns) for one in table.of_kind("p", "u")]
    for which, columns in [*unique, *((index.name, index.columns) for index in table.indexes if index.unique)]:
        if key not in columns:
            yield Finding(
                "warning", "unique-without-key", name,
                f"{which} is unique on ({', '.join(columns) or 'expressions'}), without {key}.",
                f"Afterwards it is unique for each {key} only, and ON CONFLICT on these columns fails.",
                f"Be sure that values come from a sequence or are random, or that {key} and they belong together.",
            )  # fmt: skip
    for one in table.constraints:
        if not one.validated:
            yield Finding(
                "warning", "not-validated", name, f"{one.name} was never validated.",
                "A row that breaks it stops the copying.", f"ALTER TABLE … VALIDATE CONSTRAINT {one.name}.",
            )  # fmt: skip
    for index in table.indexes:
        if not index.valid:
            yield Finding(
                "warning", "invalid-index", name, f"Index {index.name} is invalid.",
                "The new table does without it.", "REINDEX it CONCURRENTLY, or drop it.",
            )  # fmt: skip
    for column in table.columns:
        if column.sequence is not None or column.owned is not None:
            kind = "an identity" if column.sequence is not None else "a serial"
            yield Finding(
                "note", "sequence", name, f"{column.name} is {kind}.",
                "Its sequence is shared or set under the lock, so no number comes twice.", "Nothing to do.",
            )  # fmt: skip
        if column.generated:
            yield Finding(
                "note", "generated", name, f"{column.name} is generated.",
                "Its values are computed anew, not copied.", "Be sure that its functions have not changed since.",
            )  # fmt: skip


def _of_the_key(connection: Connection[Any], table: Table, cutover: Plan) -> Iterator[Finding]:
    name, key = f"{table.schema}.{table.name}", cutover.key
    rows = ask(
        connection,
        """SELECT EXISTS (SELECT FROM pg_opclass o JOIN pg_am m ON m.oid = o.opcmethod AND m.amname = 'hash'
          WHERE o.opcdefault AND (o.opcintype IN (t.oid, t.typbasetype) OR t.typtype IN ('e', 'r', 'm', 'c')
            OR t.typcategory = 'A' OR EXISTS (SELECT FROM pg_cast c WHERE c.castsource IN (t.oid, t.typbasetype)
              AND c.casttarget = o.opcintype AND c.castmethod = 'b' AND c.castcontext = 'i'))), format_type(t.oid, NULL)
        FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid WHERE a.attrelid = %s AND a.attname = %s""",
        (table.oid, key),
    )
    if not rows:
        return
    if not rows[0][0]:
        yield Finding(
            "blocker", "unhashable-key", name, f"{key} is of type {rows[0][1]}, which has no hash.",
            "Rows cannot be spread by it.", "Choose another key.",
        )  # fmt: skip
    known = ask(
        connection,
        """SELECT s.n_distinct::float8, (s.most_common_freqs)[1]::float8, c.reltuples::float8 FROM pg_class c
        LEFT JOIN pg_stats s ON s.schemaname = %s AND s.tablename = c.relname AND s.attname = %s AND NOT s.inherited
        WHERE c.oid = %s""",
        (table.schema, key, table.oid),
    )[0]
    distinct, most, tuples = known
    if tuples < 0 or distinct is None:
        yield Finding(
            "note", "no-statistics", name, "The planner has no statistics of it.",
            "How many rows it has is guessed from its size.", "ANALYZE it, and look again.",
        )  # fmt: skip
        return
    values = -distinct * tuples if distinct < 0 else distinct
    if values < cutover.partitions:
        yield Finding(
            "warning", "few-values", name, f"{key} has about {values:.0f} values.",
            f"At most so many of {cutover.partitions} partitions get rows.", "Choose fewer partitions or another key.",
        )  # fmt: skip
    if most is not None and most > 2 / cutover.partitions:
        yield Finding(
            "warning", "skew", name, f"One value of {key} has {most:.0%} of the rows.",
            "Its partition will be far larger than the others.", "Keep it in mind for disk and vacuum.",
        )  # fmt: skip


def _of_dual_writes(connection: Connection[Any], table: Table, cutover: Plan) -> Iterator[Finding]:
    if cutover.mode != "dual-write":
        return
    from bedplate.database.cutover.dualwrite import refusals

    for what, mend in refusals(connection, table, (*table.primary, cutover.key)):
        cost = "Triggers cannot keep its twin equal."
        yield Finding("blocker", "no-dual-writes", f"{table.schema}.{table.name}", f"It {what}.", cost, mend)


def _of_the_worker(connection: Connection[Any], table: Table) -> Iterator[Finding]:
    name = f"{table.schema}.{table.name}"
    owner, creator, its = ask(
        connection,
        """SELECT pg_has_role(%s::name, 'USAGE'), has_schema_privilege(n.oid, 'CREATE'),
          has_schema_privilege(%s::name, n.oid, 'USAGE') AND (has_schema_privilege(%s::name, n.oid, 'CREATE')
            OR (SELECT rolsuper FROM pg_roles WHERE rolname = current_user))
        FROM pg_namespace n WHERE n.nspname = %s""",
        (table.owner, table.owner, table.owner, table.schema),
    )[0]
    if not owner or not creator:
        yield Finding(
            "blocker", "rights", name, "This user does not own the table, or may make none beside it.",
            "Only its owner can rename it.", f"Work as a member of {table.owner}, with CREATE on {table.schema}.",
        )  # fmt: skip
    if not its:
        yield Finding(
            "blocker", "rights-of-owner", name, f"{table.owner} owns the table, and may not use its schema.",
            "What is logged of each write is logged in the owner's name: all writes would fail.",
            f"GRANT USAGE, CREATE ON SCHEMA {table.schema} TO {table.owner}.",
        )  # fmt: skip


def _of_the_server(connection: Connection[Any], estimates: list[Estimate], free: int | None) -> Iterator[Finding]:
    version, replica, room, long, prepared, slots, seen = ask(
        connection,
        f"""SELECT current_setting('server_version_num')::int / 10000, pg_is_in_recovery(),
          current_setting('max_locks_per_transaction')::int * (current_setting('max_connections')::int
            + current_setting('max_prepared_transactions')::int),
          (SELECT count(*) FROM pg_stat_activity WHERE xact_start < now() - interval '{_LONG} seconds'
            AND datname = current_database() AND pid <> pg_backend_pid()),
          (SELECT count(*) FROM pg_prepared_xacts WHERE database = current_database()),
          (SELECT count(*) FROM pg_replication_slots WHERE NOT active), pg_has_role('pg_read_all_stats', 'USAGE')""",
    )[0]
    names = ", ".join(one.table for one in estimates)
    locks, disk = sum(one.locks for one in estimates), sum(one.disk + one.wal for one in estimates)
    if version < _OLDEST:
        what = f"The server is PostgreSQL {version}."
        yield Finding("blocker", "version", names, what, "Cutovers are tested on 15 and 18.", "Upgrade it.")
    if replica:
        cost = "Nothing can be changed on it."
        yield Finding("blocker", "replica", names, "This is a replica.", cost, "Connect to the primary.")
    if locks > room // 4:
        what, cost = f"The switch takes {locks} locks of {room}.", "The table of locks may run full."
        yield Finding("warning", "locks", names, what, cost, "Raise max_locks_per_transaction.")
    if long:
        what, cost = f"{long} transactions are older than {_LONG} s.", "A switch would wait for them, and give up."
        yield Finding("warning", "long-transactions", names, what, cost, "End them before the switch.")
    if prepared:
        what, cost = f"{prepared} prepared transactions are open.", "Their locks outlive sessions."
        yield Finding("warning", "prepared-transactions", names, what, cost, "Commit them or roll them back.")
    if not seen:
        what = "This user does not see other users' transactions."
        cost = "A switch would not wait for their old snapshots, nor name who holds a table."
        mend = "GRANT pg_read_all_stats to it, where others than itself use the tables."
        yield Finding("warning", "transactions-hidden", names, what, cost, mend)
    if slots:
        what, cost = f"{slots} replication slots have no reader.", "WAL of the copying piles up for them."
        yield Finding("warning", "idle-slots", names, what, cost, "Drop them, or let their readers run.")
    if free is not None and disk > free:
        what = f"About {disk / 1e9:.3g} GB are needed, with WAL until it is removed."
        yield Finding("blocker", "disk", names, what, f"Only {free / 1e9:.3g} GB are free.", "Add disk.")
