"""Which column becomes which: by the two tables where both are there, else by the types of the source alone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from bedplate.database.transfer.kinds import Kind, fits, for_postgresql, for_sqlite, kind_of
from bedplate.database.transfer.schema import Column, Schema, Table

__all__ = ["Pair", "PairColumn", "derived", "paired"]


@dataclass(frozen=True, slots=True)
class PairColumn:
    """A column on both sides, and what its values are."""

    name: str
    source: Column
    target: Column
    kind: Kind


@dataclass(frozen=True, slots=True)
class Pair:
    """A table on both sides; the columns of its key come first. Without a key it is moved as a whole."""

    name: str
    columns: tuple[PairColumn, ...]
    keys: int
    source: Table
    target: Table

    @property
    def names(self) -> tuple[str, ...]:
        """The columns' names, in the order of the canonical line."""
        return tuple(column.name for column in self.columns)


def paired(source: Schema, target: Schema, skip: Iterable[str] = ()) -> tuple[list[Pair], list[str]]:
    """Pair the tables of both sides; return them, and in words what is not the same."""
    skipped = set(skip)
    pairs, wrong = [], []
    for name in sorted(source.tables.keys() | target.tables.keys()):
        mine, its = source.tables.get(name), target.tables.get(name)
        if name in skipped:
            continue
        if its is None:
            wrong.append(f"The target has no table {name}: it has drifted from the source, or --skip {name}.")
        elif mine is None:
            wrong.append(f"The source has no table {name}, which the target has.")
        else:
            pair, faults = _pair(source.dialect, mine, target.dialect, its)
            pairs.append(pair)
            wrong.extend(faults)
    return pairs, wrong


def _pair(source: str, mine: Table, target: str, its: Table) -> tuple[Pair, list[str]]:
    wrong: list[str] = []
    stored = {column.name: column for column in mine.columns}
    kept = {column.name: column for column in its.stored}
    lost, known = sorted(kept.keys() - stored.keys()), {column.name for column in its.columns}
    wrong += [f"{mine.name} of the source has no column {name}, which the target has." for name in lost]
    lost = [column.name for column in mine.stored if column.name not in known]
    wrong += [f"{mine.name} of the target has no column {name}, which the source has." for name in lost]
    if mine.key != its.key:
        said = [", ".join(key) or "none" for key in (mine.key, its.key)]
        wrong.append(f"The primary key of {mine.name} is {said[0]} in the source and {said[1]} in the target.")
    columns = []
    for name in [*its.key, *(name for name in kept if name not in its.key)]:
        if name not in stored or name not in kept:
            continue
        kind = _kind(source, stored[name], target, kept[name])
        if kind is None:
            wrong.append(
                f"{mine.name}.{name} is {stored[name].type or 'of no type'} in the source and {kept[name].type} in the "
                "target, between which no values are moved."
            )
        else:
            columns.append(PairColumn(name, stored[name], kept[name], kind))
    return Pair(mine.name, tuple(columns), len(its.key), mine, its), wrong


def _kind(source: str, mine: Column, target: str, its: Column) -> Kind | None:
    if source == target == "sqlite":
        return None
    if source == target:
        # PostgreSQL's own texts are moved as they are, and the target reads them.
        return Kind("verbatim") if mine.type == its.type else None
    server, file = (mine, its) if source == "postgresql" else (its, mine)
    kind = kind_of(server.type)
    return kind if fits(kind, file.type) else None


def derived(source: Schema, dialect: str, types: Mapping[str, str], skip: Iterable[str]) -> tuple[Schema, list[str]]:
    """Return the schema of a target that is made after the source, and in words what cannot be.

    :param types: the target's types that were asked for, by ``table.column``.
    """
    wrong = []
    skipped, unused = set(skip), set(types)
    tables = {}
    for table in source.tables.values():
        if table.name in skipped:
            continue
        if dialect == "postgresql" and len(table.name.encode()) > 63:
            wrong.append(f"The name of {table.name} is longer than PostgreSQL's 63 bytes.")
        columns = []
        for column in table.stored:
            place = f"{table.name}.{column.name}"
            unused.discard(place)
            numbers = dialect == "sqlite" and column.counted and table.key == (column.name,)
            # Only a column of exactly this type numbers rows by itself.
            type = "INTEGER" if numbers else types.get(place) or _type(source.dialect, column, dialect)
            if type is None:
                said = column.type or "no type"
                wrong.append(f"{place} has {said}, which has no equal in the target: choose one, --type {place}=TYPE.")
                type = ""
            elif source.dialect != dialect and not _suits(column, type, dialect):
                wrong.append(f"{place} is {column.type} in the source, whose values cannot become {type}.")
            columns.append(replace(column, type=type))
        references = tuple(one for one in table.references if one.table not in skipped)
        tables[table.name] = replace(table, columns=tuple(columns), references=references)
    wrong += [f"There is no column {place}, for which a type is given." for place in sorted(unused)]
    return Schema(dialect, tables), wrong


def _type(source: str, column: Column, target: str) -> str | None:
    if source == target:
        return column.type
    return for_postgresql(column.type) if target == "postgresql" else for_sqlite(column.type)


def _suits(column: Column, type: str, dialect: str) -> bool:
    if dialect == "postgresql":
        return fits(kind_of(type), column.type)
    return fits(kind_of(column.type), type)
