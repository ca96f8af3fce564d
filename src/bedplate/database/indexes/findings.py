"""What the statistics of a database say of its indexes: unused ones, those that another covers, those that lack."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from bedplate.clock import duration
from bedplate.database.indexes.catalog import Present, Table

if TYPE_CHECKING:
    from sqlalchemy import Connection

__all__ = ["Finding", "findings"]

#: Rows from which a table is large: smaller ones are read in full as fast.
LARGE = 10_000
#: Seconds of counting from which an unused index means something.
BRIEF = 7 * 86400.0
#: How often a large table must have been read in full to be told.
OFTEN = 20
#: The share of a table's rows that a selective filter lets through at most.
SELECTIVE = 0.05
#: Statements that are looked at, those that took longest first.
STATEMENTS = 50


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that statistics or definitions say.

    :ivar kind: ``unused``, ``duplicate``, ``invalid`` or ``missing``. :ivar name: of the index; empty where none is.
    """

    kind: Literal["unused", "duplicate", "invalid", "missing"]
    table: str
    name: str
    what: str
    mend: str

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON-able data."""
        return {"kind": self.kind, "table": self.table, "name": self.name, "what": self.what, "mend": self.mend}


def findings(
    connection: Connection, found: Sequence[Present], tables: Sequence[Table], seconds: float | None, ours: set[str]
) -> list[Finding]:
    """Return what is to be said.

    :param seconds: for how long uses have been counted; None where nobody does. :param ours: declared indexes.
    """
    told = [*_invalid(found, ours), *_duplicates(found), *_foreign(found, tables)]
    if seconds is not None:
        told += [*_unused(found, seconds), *_statements(connection, tables), *_read_in_full(tables)]
    seen: set[tuple[str, str, str]] = set()
    kept = []
    for one in told:
        key = (one.kind, one.table, one.name or one.what)
        if key not in seen:
            seen.add(key)
            kept.append(one)
    return kept


def _invalid(found: Sequence[Present], ours: set[str]) -> Iterator[Finding]:
    for one in found:
        if not one.valid and not one.building and one.name not in ours and not one.parent and not one.partitioned:
            yield Finding(
                "invalid",
                one.table,
                one.name,
                "Its making was broken off; it costs every write and serves no query.",
                f"DROP INDEX CONCURRENTLY {one.name}, and make it anew if somebody wants it.",
            )


def _unused(found: Sequence[Present], seconds: float) -> Iterator[Finding]:
    for one in found:
        parts = [each for each in found if each.parent == one.name] if one.partitioned else [one]
        if one.parent or one.unique or one.constraint or not one.valid:
            continue
        if not any(part.scans for part in parts):
            size = sum(part.size for part in parts)
            brief = ", which is too short to tell" if seconds < BRIEF else ""
            yield Finding(
                "unused",
                one.table,
                one.name,
                f"No query has used it since uses are counted, for {duration(seconds)}{brief}; {size / 1e6:,.1f} MB.",
                "Look at the replicas' own statistics, too, and wait for the end of a month, before it is dropped.",
            )


def _duplicates(found: Sequence[Present]) -> Iterator[Finding]:
    for one in found:
        if one.unique or one.constraint or one.parent or not one.valid or not one.keys:
            continue
        for other in found:
            if other.name == one.name or other.table != one.table or not other.valid or other.parent:
                continue
            if one.rest != other.rest:
                continue
            if one.keys == other.keys and (other.unique or other.constraint or other.name < one.name):
                yield _covered(one, other, "is the same")
            elif len(other.keys) > len(one.keys) and one.rest[0] == "btree" and _begins(other, one):
                yield _covered(one, other, "begins with the same columns")


def _begins(longer: Present, shorter: Present) -> bool:
    return longer.keys[: len(shorter.keys)] == shorter.keys


def _covered(one: Present, other: Present, how: str) -> Finding:
    return Finding(
        "duplicate",
        one.table,
        one.name,
        f"{other.name} {how} and serves the same queries.",
        "Drop it.",
    )


def _foreign(found: Sequence[Present], tables: Sequence[Table]) -> Iterator[Finding]:
    for table in tables:
        for name, columns, other in table.foreign:
            wanted = set(columns)
            served = any(
                one.table == table.name
                and one.valid
                and one.rest[1:2] == ("",)
                and {key[0].strip('"') for key in one.keys[: len(columns)]} == wanted
                for one in found
            )
            if not served:
                yield Finding(
                    "missing",
                    table.name,
                    "",
                    f"The foreign key {name} has no index on ({', '.join(columns)}): deletes in {other} read it all.",
                    f"Declare an index on ({', '.join(columns)}), unless nothing is ever deleted there.",
                )


def _read_in_full(tables: Sequence[Table]) -> Iterator[Finding]:
    for table in tables:
        if table.rows >= LARGE and table.scans >= OFTEN and table.read / table.scans >= table.rows / 2:
            yield Finding(
                "missing",
                table.name,
                "",
                f"Its {table.rows:,.0f} rows were read in full {table.scans:,} times.",
                "Find who asks (pg_stat_statements, or the log of slow statements), and declare that access path.",
            )


def _statements(connection: Connection, tables: Sequence[Table]) -> Iterator[Finding]:
    """Yield statements that read a large table in full for a few of its rows."""
    large = {table.name: table.rows for table in tables if table.rows >= LARGE}
    place = connection.exec_driver_sql(
        "SELECT n.nspname FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace"
        " WHERE e.extname = 'pg_stat_statements' AND current_setting('server_version_num')::int >= 160000"
    ).scalar()
    if place is None or not large:
        return
    cursor = connection.connection.cursor()
    for text, calls in _dearest(connection, cursor, place):
        plan = _planned(connection, cursor, text)
        for node in _nodes(plan) if plan is not None else ():
            # Workers of a parallel plan share the rows; what each expects is a part.
            full = node["Node Type"] == "Seq Scan"
            rows = large.get(node.get("Relation Name", ""), 0.0) if full else 0.0
            if rows and node.get("Filter") and node["Plan Rows"] <= rows * SELECTIVE:
                yield Finding(
                    "missing",
                    node["Relation Name"],
                    "",
                    f"Asked {calls:,} times, read in full for about {node['Plan Rows']:,} of {rows:,.0f} rows:"
                    f" {' '.join(text.split())[:300]}",
                    f"Declare an index for {node['Filter']}.",
                )


def _dearest(connection: Connection, cursor: Any, place: str) -> list[tuple[str, int]]:
    nested = connection.begin_nested()
    try:
        name = '"' + place.replace('"', '""') + '"'
        cursor.execute(
            f"SELECT query, calls FROM {name}.pg_stat_statements s"
            " WHERE dbid = (SELECT oid FROM pg_database WHERE datname = current_database()) AND query ~* '^\\s*select'"
            f" AND calls >= {OFTEN} AND query !~* 'pg_(catalog|stat|class)'"
            f" ORDER BY total_exec_time DESC LIMIT {STATEMENTS}"
        )
        return list(cursor.fetchall())
    except Exception:  # not preloaded, or not ours to read
        return []
    finally:
        nested.rollback()


def _planned(connection: Connection, cursor: Any, text: str) -> dict[str, Any] | None:
    nested = connection.begin_nested()
    try:
        cursor.execute(f"EXPLAIN (GENERIC_PLAN, FORMAT JSON) {text}")
        found = cursor.fetchone()[0]
        plan: dict[str, Any] = (json.loads(found) if isinstance(found, str) else found)[0]["Plan"]
        return plan
    except Exception:  # cut off by the statistics, or of types that only its values tell
        return None
    finally:
        nested.rollback()


def _nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for inner in plan.get("Plans", ()):
        yield from _nodes(inner)
