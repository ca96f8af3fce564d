"""Statements that a cutover breaks or makes slow, from those that the server has counted."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from bedplate.database.cutover.asking import ask, quoted
from bedplate.database.cutover.catalog import Table
from bedplate.database.cutover.preflight.report import Finding

if TYPE_CHECKING:
    from psycopg import Connection

__all__ = ["conflicts", "prunes", "statements", "touches"]

_MOST = 20
_NOISE = re.compile(r"--[^\n]*|/\*.*?\*/|'(?:[^']|'')*'", re.DOTALL)
_CONFLICT = re.compile(r"\bon\s+conflict\s*(?:\(([^)]*)\)|on\s+constraint\s+(\S+))", re.IGNORECASE)
_NAME = r'(?:"{0}"|\b{1}\b)'


def _pattern(name: str) -> str:
    return _NAME.format(re.escape(name.replace('"', '""')), re.escape(name))


def touches(statement: str, table: str) -> bool:
    """Whether a statement names a table, by its last name alone: a schema may be left to the search path."""
    return re.search(_pattern(table), _NOISE.sub("''", statement), re.IGNORECASE) is not None


def conflicts(statement: str, key: str) -> str | None:
    """Return the ON CONFLICT of a statement whose target no unique constraint with the key will match."""
    for found in _CONFLICT.finditer(_NOISE.sub("''", statement)):
        target = found.group(1)
        if target is None or not re.search(_pattern(key), target, re.IGNORECASE):
            return " ".join(found.group().split())
    return None


def prunes(statement: str, key: str) -> bool:
    """Whether a statement reads, changes or deletes by the key's value, or only inserts.

    By its words alone: a condition on the key is an equation or IN. What says neither reads every partition.
    """
    text = _NOISE.sub("''", statement)
    name = _pattern(key)
    equals = rf"{name}\s*(?:=|\bin\b)|=\s*(?:\w+\.|\"[^\"]+\"\.)?{name}"
    if re.search(equals, text, re.IGNORECASE):
        return True
    return (
        re.match(r"\s*(insert\b(?!.*\bselect\b)|copy\b|truncate\b|lock\b)", text, re.IGNORECASE | re.DOTALL) is not None
    )


def statements(connection: Connection[Any], table: Table, key: str, partitions: int) -> Iterator[Finding]:
    """Yield findings from pg_stat_statements, if it is there, and from the texts of functions."""
    name = f"{table.schema}.{table.name}"
    yield from _functions(connection, table, key)
    counted = _counted(connection)
    if counted is None:
        yield Finding(
            "note",
            "no-statements",
            name,
            "The statements that the server has counted cannot be read here.",
            "Nobody knows which ones a cutover breaks or makes slow.",
            "Preload pg_stat_statements, create its extension, grant pg_read_all_stats; look again after a day.",
        )
        return
    told = 0
    for text, calls, mean in counted:
        if told >= _MOST or not touches(text, table.name):
            continue
        whole = " ".join(text.split())
        short = whole if len(whole) <= 160 else f"{whole[:159]}…"
        conflict = conflicts(text, key)
        if conflict is not None:
            told += 1
            yield Finding(
                "blocker", "on-conflict", name, f"A statement has {conflict}: {short}",
                f"It fails after the switch; it was called {calls} times.",
                f"Add {key} to its target; that works before the switch only with a unique constraint that has it.",
            )  # fmt: skip
        elif not prunes(text, key):
            told += 1
            yield Finding(
                "warning", "unpruned", name, f"A statement does not give {key}: {short}",
                f"Each call, of {calls} so far, {mean:.3g} ms each, will look into all {partitions} partitions.",
                f"Give {key} in its condition.",
            )  # fmt: skip


def _counted(connection: Connection[Any]) -> list[Any] | None:
    """Return text, calls and mean milliseconds of the statements of this database; None where nobody says all."""
    import psycopg

    schema = ask(
        connection,
        """SELECT n.nspname FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace
        WHERE e.extname = 'pg_stat_statements' AND pg_has_role('pg_read_all_stats', 'USAGE')""",
    )
    if not schema:
        return None
    try:
        # The extension can be there without its library, which only the attempt tells.
        with connection.transaction():
            return ask(
                connection,
                f"""SELECT query, sum(calls)::bigint, (sum(total_exec_time) / greatest(sum(calls), 1))::float8
                FROM {quoted(schema[0][0], "pg_stat_statements")} s JOIN pg_database d ON d.oid = s.dbid
                WHERE d.datname = current_database()
                  AND query ~* '^\\s*(/\\*|--|select|with|insert|update|delete|merge)'
                GROUP BY query ORDER BY 2 DESC""",
            )
    except psycopg.Error:
        return None


def _functions(connection: Connection[Any], table: Table, key: str) -> Iterator[Finding]:
    rows = ask(
        connection,
        """SELECT p.oid::regprocedure::text, p.prosrc FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
        WHERE n.nspname NOT IN ('pg_catalog', 'information_schema') AND p.prosrc ILIKE '%%on%%conflict%%' AND
        position(lower(%s) IN lower(p.prosrc)) > 0 ORDER BY 1""",
        (table.name,),
    )
    for function, text in rows:
        conflict = conflicts(text, key)
        if touches(text, table.name) and conflict is not None:
            yield Finding(
                "blocker", "on-conflict", f"{table.schema}.{table.name}", f"Function {function} has {conflict}.",
                "It fails after the switch, if it is about this table.", f"Add {key} to its target.",
            )  # fmt: skip
