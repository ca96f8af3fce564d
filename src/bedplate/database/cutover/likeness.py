"""Whether a twin is like its source, by the catalog alone: what is missing, extra or otherwise, in words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from bedplate.database.cutover.asking import CutoverError, ask, transaction
from bedplate.database.cutover.catalog import Table, read
from bedplate.database.cutover.layout import Layout

if TYPE_CHECKING:
    from psycopg import Connection

__all__ = ["alike", "unlike"]

_WRITTEN = (
    "SELECT ARRAY(SELECT quote_ident(name) FROM unnest(%s::text[]) WITH ORDINALITY AS n(name, place) ORDER BY place)"
)


def unlike(connection: Connection[Any], layout: Layout, partitions: int, *, early: bool = False) -> list[str]:
    """Compare the twin of a layout, as it is in the database, with its source, as it is now.

    :param early: leave aside the foreign keys, which come with the switch.
    :return: sentences; none when the twin is what its layout wants and the source has not changed since.
    :raises CutoverError: when one of them is not there.
    """
    return alike(connection, layout.source.sql, layout.twin, partitions, early=early)


def alike(connection: Connection[Any], plain: str, parted: str, partitions: int, *, early: bool = False) -> list[str]:
    """Compare a plain table with a partitioned one that should be its twin, whichever of them is live; see `unlike`."""
    with transaction(connection, "ISOLATION LEVEL REPEATABLE READ READ ONLY"):
        source, twin = (_early(read(connection, name), early) for name in (plain, parted))
        key = _partition_key(connection, twin)
        leaves = _leaves(connection, twin)
        # As definitions write names: in quotes only where they must be.
        names = [column.name for column in source.columns]
        written = dict(zip(names, ask(connection, _WRITTEN, (names,))[0][0], strict=True))
    found = list(_differences(source, twin, key, written))
    if len(leaves) != partitions:
        found.append(f"The twin has {len(leaves)} partitions instead of {partitions}.")
    for name, options, owner in leaves:
        if tuple(sorted(options)) != source.options or owner != source.owner:
            found.append(f"Partition {name} has other storage parameters or another owner than the table.")
    return found


def _early(table: Table, early: bool) -> Table:
    kept = tuple(one for one in table.constraints if one.kind != "f")
    return replace(table, constraints=kept) if early else table


def _differences(source: Table, twin: Table, key: str, written: Mapping[str, str]) -> Iterable[str]:
    if [column.name for column in source.columns] != [column.name for column in twin.columns]:
        yield "The columns are not the same, or not in the same order."
    for mine, its in zip(source.columns, twin.columns, strict=False):
        # A serial's sequence belongs to the source until the cutover is finalized.
        if replace(mine, owned=None, unknown=()) != replace(its, owned=None, unknown=()):
            yield f"Column {mine.name} is not the same: {mine} against {its}."
    for what in ("schema", "owner", "tablespace", "replica_identity", "comment", "grants"):
        ours, theirs = getattr(source, what), getattr(twin, what)
        if ours != theirs:
            yield f"The {what.replace('_', ' ')} is not the same: {ours} against {theirs}."
    yield from _counted("Constraint", _constraints(source, key, written), _constraints(twin, key, written))
    yield from _counted("Index", _indexes(source, key, written, stand_in=True), _indexes(twin, key, written))
    yield from _counted("Statistics", _statistics(source), _statistics(twin))


def _counted(what: str, mine: Counter[Any], its: Counter[Any]) -> Iterable[str]:
    for missing in (mine - its).elements():
        yield f"{what} of the source that the twin lacks: {missing}."
    for extra in (its - mine).elements():
        yield f"{what} of the twin that the source lacks: {extra}."


def _statistics(table: Table) -> Counter[Any]:
    return Counter((one.definition, one.comment) for one in table.statistics)


def _constraints(table: Table, key: str, written: Mapping[str, str]) -> Counter[Any]:
    found: Counter[Any] = Counter()
    for one in table.constraints:
        if one.kind == "t":
            continue  # a trigger, which comes with the switch
        if one.kind in "pu":
            # Unique with the key is all that partitions can be.
            definition = one.definition
            if key not in one.columns:
                definition = definition.replace("(", f"({written[key]}, ", 1)
            found[one.kind, definition, one.comment] += 1
        else:
            definition = one.definition.replace(" NO INHERIT", "")
            if one.kind == "f":
                definition = definition.replace(" NOT VALID", "")
            found[one.kind, one.name, definition, one.comment] += 1
    return found


def _indexes(table: Table, key: str, written: Mapping[str, str], stand_in: bool = False) -> Counter[Any]:
    """Return what the table's indexes serve; the source is taken as having those that the twin has instead."""
    found: Counter[Any] = Counter()
    for index in table.indexes:
        if not index.valid:
            continue
        definition = index.definition
        if index.unique and key not in index.columns:
            found[False, definition.replace(" NULLS NOT DISTINCT", ""), None] += 1
            definition = definition.replace("(", f"({written[key]}, ", 1)
        found[index.unique, definition, index.comment] += 1
    if stand_in:
        for one in table.of_kind("p", "u"):
            if key not in one.columns:
                columns = ", ".join(written[name] for name in one.columns)
                found[False, f"USING btree ({columns})", None] += 1
    return found


def _partition_key(connection: Connection[Any], twin: Table) -> str:
    rows = ask(
        connection,
        """SELECT a.attname, p.partstrat::text, p.partnatts FROM pg_partitioned_table p
        JOIN pg_attribute a ON a.attrelid = p.partrelid AND a.attnum = p.partattrs[0] WHERE p.partrelid = %s""",
        (twin.oid,),
    )
    if not rows or rows[0][1:] != ("h", 1):
        raise CutoverError(f"{twin.schema}.{twin.name} is not partitioned by the hash of a column.", "Remove it.")
    return str(rows[0][0])


def _leaves(connection: Connection[Any], twin: Table) -> list[Any]:
    return ask(
        connection,
        """SELECT c.relname, coalesce(c.reloptions, '{}') || coalesce((SELECT array_agg('toast.' || o)
          FROM pg_class x, unnest(x.reloptions) o WHERE x.oid = c.reltoastrelid), '{}'), pg_get_userbyid(c.relowner)
        FROM pg_partition_tree(%s::oid) p JOIN pg_class c ON c.oid = p.relid WHERE p.isleaf AND p.level = 1""",
        (twin.oid,),
    )
