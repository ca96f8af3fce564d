"""Names that both tables exchange: their own, their indexes', statistics' and sequences'; and where sequences go on.

What is live has the names that it always had, so that migrations, ``ON CONFLICT ON CONSTRAINT`` and people find them;
the other's end in ``_legacy`` or ``_partitioned``. So the way back is the same as the way there.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from bedplate.database.cutover.asking import CutoverError, ask, literal, quoted
from bedplate.database.cutover.catalog import Table
from bedplate.database.cutover.layout import twin_name
from bedplate.database.cutover.switch.sides import LEGACY, PARTITIONED, Side

if TYPE_CHECKING:
    from psycopg import Connection

__all__ = ["free", "identities", "indexes", "later", "owned", "sequence_rights", "tables", "taken"]

_SEQUENCES = """SELECT a.attname, n.nspname, c.relname, c.oid FROM pg_depend d
JOIN pg_sequence s ON s.seqrelid = d.objid JOIN pg_class c ON c.oid = d.objid
JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
WHERE d.classid = 'pg_class'::regclass AND d.refclassid = 'pg_class'::regclass AND d.refobjid = %s
  AND d.deptype::text = %s ORDER BY a.attnum, c.relname"""

_STATISTICS = (
    "SELECT stxname, n.nspname FROM pg_statistic_ext JOIN pg_namespace n ON n.oid = stxnamespace WHERE stxrelid = %s"
)

#: A table has a type of its own name, too.
_TAKEN = """SELECT name FROM unnest(%s::text[]) name, pg_namespace n WHERE n.nspname = %s AND (
  EXISTS (SELECT FROM pg_class c WHERE c.relnamespace = n.oid AND c.relname = name)
  OR EXISTS (SELECT FROM pg_type t WHERE t.typnamespace = n.oid AND t.typname = name)
  OR EXISTS (SELECT FROM pg_statistic_ext s WHERE s.stxnamespace = n.oid AND s.stxname = name)) ORDER BY 1"""

_RIGHTS = """SELECT pg_get_userbyid(nullif(g.grantee, 0)), g.privilege_type, g.is_grantable
FROM pg_class c, aclexplode(c.relacl) g WHERE c.oid = %s AND g.grantee <> c.relowner ORDER BY 1 NULLS FIRST, 2"""


def later(connection: Connection[Any], plain: Table) -> set[str]:
    """Return the names that a plain table, and what is its own, have when they are not live; in a transaction."""
    own = {plain.name, *_indexes(plain), *_statistics(connection, plain)}
    sequences = {name for _, _, name, _ in ask(connection, _SEQUENCES, (plain.oid, "i"))}
    # After a rollback the other's sequences have names like these; all else of it had its names before.
    return {twin_name(name, LEGACY) for name in own | sequences} | {twin_name(one, PARTITIONED) for one in sequences}


def free(connection: Connection[Any], side: Side) -> None:
    """See that nobody has taken the names meanwhile that what is live is to have; in a transaction.

    :raises CutoverError: when somebody has.
    """
    live = side.live
    own = {live.name, *_indexes(live), *_statistics(connection, live)}
    own |= {name for _, _, name, _ in ask(connection, _SEQUENCES, (live.oid, "i"))}
    found = taken(connection, live.schema, {twin_name(name, side.away) for name in own})
    if found:
        what = f"There is a {found[0]} in {live.schema}, and {side.table} or what is its own is to be called so."
        raise CutoverError(what, "Rename it: what is not live keeps that name until the end.")


def taken(connection: Connection[Any], schema: str, wanted: set[str]) -> list[str]:
    """Return which of these names relations, types or extended statistics of a schema have."""
    rows = ask(connection, _TAKEN, (list(wanted), schema))
    return [row[0] for row in rows]


def tables(side: Side) -> tuple[str, str]:
    """The two renames of the tables themselves, in order."""
    live, shadow = side.live, side.other
    return (
        f"ALTER TABLE {live.sql} RENAME TO {quoted(twin_name(live.name, side.away))}",
        f"ALTER TABLE {shadow.sql} RENAME TO {quoted(live.name)}",
    )


def indexes(connection: Connection[Any], side: Side) -> Iterator[str]:
    """Yield the renames of indexes, with the constraints that are theirs, and of extended statistics."""
    live, shadow = side.live, side.other
    yield from _exchanged("INDEX", live.schema, _indexes(live), _indexes(shadow), side)
    mine, its = (_statistics(connection, table) for table in (live, shadow))
    yield from _exchanged("STATISTICS", live.schema, mine, its, side)


def _statistics(connection: Connection[Any], table: Table) -> set[str]:
    return {name for name, schema in ask(connection, _STATISTICS, (table.oid,)) if schema == table.schema}


def _indexes(table: Table) -> set[str]:
    return {one.name for one in table.of_kind("p", "u")} | {one.name for one in table.indexes}


def _exchanged(kind: str, schema: str, mine: set[str], its: set[str], side: Side) -> Iterator[str]:
    # Each of these takes a lock on the index alone that neither reads nor writes wait for.
    for name in sorted(mine):
        waiting = twin_name(name, side.back)
        if waiting in its:
            yield f"ALTER {kind} {quoted(schema, name)} RENAME TO {quoted(twin_name(name, side.away))}"
            yield f"ALTER {kind} {quoted(schema, waiting)} RENAME TO {quoted(name)}"


def identities(connection: Connection[Any], side: Side) -> Iterator[str]:
    """Yield what lets the shadow's identities go on where the live one's are, under their names."""
    its = {column: (schema, name) for column, schema, name, _ in ask(connection, _SEQUENCES, (side.other.oid, "i"))}
    for column, schema, name, _ in ask(connection, _SEQUENCES, (side.live.oid, "i")):
        if column not in its:
            continue
        away = twin_name(name, side.away)
        # The rename comes first: it waits for whoever draws a number beside the table, and lets no one else.
        yield f"ALTER SEQUENCE {quoted(schema, name)} RENAME TO {quoted(away)}"
        yield f"ALTER SEQUENCE {quoted(*its[column])} RENAME TO {quoted(name)}"
        reached = quoted(its[column][0], name)
        yield f"SELECT setval({literal(reached)}, last_value, is_called) FROM {quoted(schema, away)}"


def owned(connection: Connection[Any], side: Side) -> Iterator[str]:
    """Yield what makes serials' sequences the new live table's, to be done after the renames."""
    for column, schema, name, _ in ask(connection, _SEQUENCES, (side.live.oid, "a")):
        yield f"ALTER SEQUENCE {quoted(schema, name)} OWNED BY {side.live.sql}.{quoted(column)}"


def sequence_rights(connection: Connection[Any], side: Side) -> Iterator[str]:
    """Yield what gives the shadow's identities the same rights as the live one's; may be done long before."""
    its = {
        column: (schema, name, oid) for column, schema, name, oid in ask(connection, _SEQUENCES, (side.other.oid, "i"))
    }
    for column, _, _, oid in ask(connection, _SEQUENCES, (side.live.oid, "i")):
        if column not in its:
            continue
        schema, name, other = its[column]
        have, want = (ask(connection, _RIGHTS, (one,)) for one in (other, oid))
        if have == want:
            continue
        sequence = quoted(schema, name)
        for role in sorted({role for role, *_ in have}, key=str):
            yield f"REVOKE ALL ON SEQUENCE {sequence} FROM {_role(role)}"
        for role, privilege, grantable in want:
            more = " WITH GRANT OPTION" if grantable else ""
            yield f"GRANT {privilege} ON SEQUENCE {sequence} TO {_role(role)}{more}"


def _role(role: str | None) -> str:
    return "PUBLIC" if role is None else quoted(role)
