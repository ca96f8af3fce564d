"""The partitioned twin of a table: the statements that make it, in the order in which they are carried out.

The twin has the columns in the same order, so that ``SELECT *`` and plans kept by clients fit both, and all that makes
a table what it is. Four things cannot be the same, and :attr:`Layout.notes` says where: primary key and unique
constraints begin with the partition key, as PostgreSQL wants; names of indexes are new, as they are unique in a schema;
an identity draws from a sequence of its own; storage parameters are the partitions'.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from bedplate.database.cutover.asking import CutoverError, ask, literal, quoted, transaction
from bedplate.database.cutover.catalog import Column, Table, read
from bedplate.database.cutover.plan import NAME, Plan

if TYPE_CHECKING:
    from psycopg import Connection

__all__ = ["Layout", "Statement", "derived", "layout", "partition_name", "refusals", "twin_name", "unparted"]

Part = Literal["table", "partitions", "keys", "indexes", "constraints", "rights", "words"]

_STORAGE = {"p": "PLAIN", "e": "EXTERNAL", "m": "MAIN", "x": "EXTENDED"}
_COMPRESSION = {"p": "pglz", "l": "lz4"}


@dataclass(frozen=True, slots=True)
class Statement:
    """A statement of a layout; ``part`` says when it is due: indexes may wait until the rows are in.

    :ivar name: of the index or constraint that it makes, if it can be made on each partition by itself, and found again
        when it is made on all: ``before`` and ``after`` are what stands around its name and the table's.
    """

    part: Part
    sql: str
    name: str = ""
    before: str = ""
    after: str = ""

    @property
    def unique(self) -> bool:
        """Whether rows can break it."""
        return self.part == "keys" or self.before.startswith("CREATE UNIQUE")

    def on(self, table: str, name: str) -> str:
        """Return the statement for one partition, with another name for what it makes."""
        if self.part == "keys":
            return f"{self.before} {table} ADD CONSTRAINT {quoted(name)} {self.after}"
        return f"{self.before} {quoted(name)} ON {table} {self.after}"

    @classmethod
    def key(cls, table: str, name: str, definition: str) -> Statement:
        """A primary key or a unique constraint."""
        made = cls("keys", "", name, "ALTER TABLE", definition)
        return replace(made, sql=made.on(table, name))

    @classmethod
    def index(cls, table: str, name: str, definition: str, *, unique: bool = False) -> Statement:
        """An index."""
        made = cls("indexes", "", name, f"CREATE {'UNIQUE ' if unique else ''}INDEX", definition)
        return replace(made, sql=made.on(table, name))


@dataclass(frozen=True, slots=True)
class Layout:
    """How a table's twin is made.

    :ivar source: the table. :ivar twin: its twin's name, quoted in full. :ivar statements: in order.
    :ivar notes: where the twin is not the same as its source, in sentences.
    :ivar names: of all tables, indexes and statistics that they make in the table's schema.
    """

    source: Table
    twin: str
    statements: tuple[Statement, ...]
    notes: tuple[str, ...]
    names: frozenset[str]

    @property
    def text(self) -> str:
        """All statements, as a script."""
        return "".join(f"{statement.sql};\n" for statement in self.statements)

    def execute(self, connection: Connection[Any], *parts: Part) -> None:
        """Make the twin, all of it or some parts, in one transaction: it is there as a whole or not at all."""
        with transaction(connection):
            for statement in self.statements:
                if not parts or statement.part in parts:
                    ask(connection, statement.sql)


def layout(connection: Connection[Any], cutover: Plan, table: str) -> Layout:
    """Derive the twin of one of the cutover's tables from the catalog; nothing is changed.

    :raises CutoverError: when the table cannot have a twin; :func:`~bedplate.database.cutover.preflight` says all
        reasons, this the first.
    """
    with transaction(connection, "READ ONLY"):
        source = read(connection, table)
    for what, mend in refusals(source, cutover.key):
        raise CutoverError(f"{source.schema}.{source.name} cannot be partitioned by {cutover.key}: it {what}.", mend)
    return derived(source, cutover)


def derived(source: Table, cutover: Plan) -> Layout:
    """Return the layout of a table that was read, and can have a twin."""
    return _Layout(source, cutover).derive()


def unparted(source: Table, cutover: Plan) -> Layout:
    """Return a layout of the table without partitions, under its own names, with keys that begin with the cutover's."""
    return _Layout(source, cutover, parted=False).derive()


def twin_name(name: str, suffix: str = "_partitioned") -> str:
    """Return a name with a suffix that fits PostgreSQL's limit, and stays apart from others of the same beginning."""
    if len((name + suffix).encode()) <= NAME:
        return name + suffix
    # Not for secrets: it only keeps names apart.
    short = hashlib.sha256(name.encode()).hexdigest()[:8]
    room = NAME - len(suffix.encode()) - len(short) - 1
    return name.encode()[:room].decode(errors="ignore") + f"_{short}{suffix}"


def partition_name(name: str, number: int) -> str:
    """Return the name of a table's partition: ``orders_p007``."""
    return twin_name(name, f"_p{number:03}")


def refusals(source: Table, key: str) -> list[tuple[str, str]]:
    """Return why a table cannot have a twin, each reason with its mend; none when it can."""
    column = next((one for one in source.columns if one.name == key), None)
    foreign = source.of_kind("f")
    reasons = (
        (source.kind != "r", "is partitioned already", "Name a plain table."),
        (source.persistence != "p", "is temporary or unlogged", "Make it LOGGED first."),
        (source.method not in (None, "heap"), f"is stored by {source.method}, not as a heap", "Move it to heap first."),
        (column is None, f"has no column {key}", "Name its key's column."),
        (column is not None and not column.required, f"allows NULL in {key}", f"Make {key} NOT NULL first."),
        (column is not None and column.generated != "", f"computes {key}", "Partition it by a column that is stored."),
        (not source.primary, "has no primary key", "Add one: it tells rows apart."),
        (bool(source.of_kind("x")), "has exclusion constraints", "Drop them first."),
        (any(one.to_itself for one in foreign), "has a foreign key to itself", "Drop it first."),
        (any(_temporal(one.definition) for one in source.constraints), "has temporal keys", "Drop them first."),
        (source.replica_identity == "i", "has an index as its replica identity", "Use the primary key or FULL first."),
    )
    return [(what, mend) for refused, what, mend in reasons if refused]


def _temporal(definition: str) -> bool:
    return "WITHOUT OVERLAPS" in definition or ", PERIOD " in definition


class _Layout:
    """Statements as they come about."""

    def __init__(self, source: Table, cutover: Plan, *, parted: bool = True) -> None:
        self._source, self._cutover, self._parted = source, cutover, parted
        self._count = cutover.partitions if parted else 0
        self._name = self._renamed(source.name)
        self._twin = quoted(source.schema, self._name)
        self._statements: list[Statement] = []
        self._notes: list[str] = []
        self._names: set[str] = set()

    def derive(self) -> Layout:
        self._table()
        self._partitions()
        self._keys()
        self._indexes()
        self._constraints()
        self._rights()
        self._words()
        made, said = tuple(self._statements), tuple(self._notes)
        return Layout(self._source, self._twin, made, said, frozenset(self._names))

    def _renamed(self, name: str) -> str:
        return twin_name(name) if self._parted else name

    def _add(self, part: Part, sql: str) -> None:
        self._statements.append(Statement(part, sql))

    def _add_named(self, statement: Statement) -> None:
        """Add what makes an index on the twin and, under names of their own, on each partition."""
        self._statements.append(statement)
        self._names |= {statement.name, *(partition_name(statement.name, number) for number in range(self._count))}

    def _alter(self, part: Part, what: str, table: str = "") -> None:
        self._add(part, f"ALTER TABLE {table or self._twin} {what}")

    def _table(self) -> None:
        source = self._source
        self._names.add(self._name)
        columns = ",\n  ".join(self._column(column) for column in source.columns)
        space = f"\nTABLESPACE {quoted(source.tablespace)}" if source.tablespace else ""
        by = f" PARTITION BY HASH ({quoted(self._cutover.key)})" if self._parted else self._options()
        self._add("table", f"CREATE TABLE {self._twin} (\n  {columns}\n){by}{space}")
        # The partitions take these from the table when they are made; a clause in CREATE TABLE is for 16 and later.
        for column in source.columns:
            name = quoted(column.name)
            self._alter("table", f"ALTER COLUMN {name} SET STORAGE {_STORAGE[column.storage]}")
            if column.compression:
                method = _COMPRESSION[column.compression]
                self._alter("table", f"ALTER COLUMN {name} SET COMPRESSION {method}")
        for check in source.of_kind("c"):
            definition = check.definition.replace(" NO INHERIT", "")
            self._alter("table", f"ADD CONSTRAINT {quoted(check.name)} {definition}")

    def _column(self, column: Column) -> str:
        words = [quoted(column.name), column.type]
        if column.collation:
            words.append(f"COLLATE {column.collation}")
        if column.generated:
            kind = {"s": "STORED", "v": "VIRTUAL"}[column.generated]
            words.append(f"GENERATED ALWAYS AS ({column.default}) {kind}")
        elif column.sequence is not None:
            words.append(self._identity(column))
        elif column.default is not None:
            words.append(f"DEFAULT {column.default}")
        if column.required:
            words.append("NOT NULL")
        return " ".join(words)

    def _identity(self, column: Column) -> str:
        assert column.sequence is not None
        _, start, increment, least, greatest, cache, cycle = column.sequence
        always = "ALWAYS" if column.identity == "a" else "BY DEFAULT"
        self._notes.append(
            f"{column.name} draws from a sequence of its own; the switch sets it to where the source's is."
        )
        return (
            f"GENERATED {always} AS IDENTITY (INCREMENT BY {increment} MINVALUE {least} MAXVALUE {greatest} "
            f"START WITH {start} CACHE {cache} {'CYCLE' if cycle else 'NO CYCLE'})"
        )

    def _partitions(self) -> None:
        source, count = self._source, self._count
        options = self._options()
        kind = {"f": "FULL", "n": "NOTHING"}.get(source.replica_identity)
        for number in range(count):
            self._names.add(partition_name(source.name, number))
            name = quoted(source.schema, partition_name(source.name, number))
            values = f"FOR VALUES WITH (MODULUS {count}, REMAINDER {number})"
            self._add("partitions", f"CREATE TABLE {name} PARTITION OF {self._twin} {values}{options}")
            if kind:
                self._alter("partitions", f"REPLICA IDENTITY {kind}", name)
        if kind:
            self._alter("partitions", f"REPLICA IDENTITY {kind}")
        for column in source.columns:
            if column.statistics >= 0:
                self._alter("partitions", f"ALTER COLUMN {quoted(column.name)} SET STATISTICS {column.statistics}")
            if column.options:
                for one in (self._twin, *(quoted(source.schema, partition_name(source.name, n)) for n in range(count))):
                    self._alter(
                        "partitions", f"ALTER COLUMN {quoted(column.name)} SET ({', '.join(column.options)})", one
                    )
        unknown = sorted({option for column in source.columns for option in column.unknown})
        if unknown:
            self._notes.append(
                f"Columns have options of this server's own ({', '.join(unknown)}), which are not copied."
            )
        if source.options and self._parted:
            self._notes.append("Storage parameters are set on each partition: the twin itself stores nothing.")

    def _options(self) -> str:
        return f" WITH ({', '.join(self._source.options)})" if self._source.options else ""

    def _keys(self) -> None:
        """Primary key and unique constraints begin with the key, and what they served alone gets an index."""
        key = quoted(self._cutover.key)
        for one in self._source.of_kind("p", "u"):
            definition = one.definition
            if self._cutover.key not in one.columns:
                definition = definition.replace("(", f"({key}, ", 1)
                self._notes.append(f"{one.name} is unique for each {self._cutover.key} only.")
                columns = ", ".join(map(quoted, one.columns))
                name = twin_name(one.name, "_alone_idx")
                self._add_named(Statement.index(self._twin, name, f"({columns})"))
            self._add_named(Statement.key(self._twin, self._renamed(one.name), definition))

    def _indexes(self) -> None:
        key = quoted(self._cutover.key)
        for index in self._source.indexes:
            if not index.valid:
                self._notes.append(f"Index {index.name} is invalid, and the twin does without it.")
                continue
            definition = index.definition
            if index.unique and self._cutover.key not in index.columns:
                definition = definition.replace("(", f"({key}, ", 1)
                self._notes.append(f"{index.name} is unique for each {self._cutover.key} only.")
                alone = index.definition.replace(" NULLS NOT DISTINCT", "")
                self._add_named(Statement.index(self._twin, twin_name(index.name, "_alone_idx"), alone))
            name = self._renamed(index.name)
            self._add_named(Statement.index(self._twin, name, definition, unique=index.unique))
        for one in self._source.statistics:
            self._names.add(self._renamed(one.name))
            name = quoted(self._source.schema, self._renamed(one.name))
            self._add("indexes", f"CREATE STATISTICS {name} {one.definition} FROM {self._twin}")

    def _constraints(self) -> None:
        for one in self._source.of_kind("f"):
            definition = one.definition
            if not one.validated:
                definition = definition.replace(" NOT VALID", "")
                self._notes.append(f"{one.name} was never validated; the twin's is.")
            self._alter("constraints", f"ADD CONSTRAINT {quoted(one.name)} {definition}")

    def _rights(self) -> None:
        source = self._source
        for role in source.by_default:
            if role != source.owner:
                self._add("rights", f"REVOKE ALL ON TABLE {self._twin} FROM {_role(role)}")
        # Whoever made the twin has rights that go to the owner with it.
        self._alter("rights", f"OWNER TO {quoted(source.owner)}")
        for number in range(self._count):
            name = quoted(source.schema, partition_name(source.name, number))
            self._alter("rights", f"OWNER TO {quoted(source.owner)}", name)
        if not source.untouched:
            self._add("rights", f"REVOKE ALL ON TABLE {self._twin} FROM {quoted(source.owner)}")
        for grant in source.grants:
            if source.untouched and grant.column is None:
                continue
            column = f" ({quoted(grant.column)})" if grant.column else ""
            more = " WITH GRANT OPTION" if grant.grantable and grant.role != source.owner else ""
            self._add("rights", f"GRANT {grant.privilege}{column} ON TABLE {self._twin} TO {_role(grant.role)}{more}")

    def _words(self) -> None:
        for part, what, comment in self._commented():
            self._add(part, f"COMMENT ON {what} IS {literal(comment)}")

    def _commented(self) -> Iterator[tuple[Part, str, str]]:
        source, twin = self._source, self._twin
        if source.comment is not None:
            yield "words", f"TABLE {twin}", source.comment
        for column in source.columns:
            if column.comment is not None:
                yield "words", f"COLUMN {twin}.{quoted(column.name)}", column.comment
        for one in source.constraints:
            if one.comment is not None:
                name = self._renamed(one.name) if one.kind in "pu" else one.name
                # A foreign key may come later than all the rest.
                part: Part = "constraints" if one.kind == "f" else "words"
                yield part, f"CONSTRAINT {quoted(name)} ON {twin}", one.comment
        for index in source.indexes:
            if index.comment is not None and index.valid:
                yield "words", f"INDEX {quoted(source.schema, self._renamed(index.name))}", index.comment
        for statistic in source.statistics:
            if statistic.comment is not None:
                yield "words", f"STATISTICS {quoted(source.schema, self._renamed(statistic.name))}", statistic.comment


def _role(role: str | None) -> str:
    return "PUBLIC" if role is None else quoted(role)
