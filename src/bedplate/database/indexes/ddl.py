"""The statements that make indexes."""

from __future__ import annotations

import re
from dataclasses import dataclass

from bedplate.database.indexes.declaration import Index

__all__ = ["Made", "bracketed", "create", "is_column", "made_on_sqlite", "quoted"]

_ITEM = re.compile(
    r"(?P<what>.*?)(?P<order>\s+(?:ASC|DESC))?(?P<nulls>\s+NULLS\s+(?:FIRST|LAST))?\s*\Z", re.IGNORECASE | re.DOTALL
)
_COLUMN = re.compile(r"[a-z_][a-z0-9_]*\Z")


@dataclass(frozen=True, slots=True)
class Made:
    """A thing that stands for an index in an SQLite file.

    :ivar kind: ``index``, ``table`` or ``trigger``, as ``sqlite_master`` calls it.
    """

    kind: str
    name: str
    sql: str


def quoted(name: str) -> str:
    """Return a name, or a name in a schema, as SQL takes it whatever is in it."""
    return ".".join('"' + part.replace('"', '""') + '"' for part in name.split("."))


def is_column(item: str) -> bool:
    """Say whether a part of an index is a column and no expression."""
    match = _ITEM.match(item)
    return match is not None and _COLUMN.match(match["what"].strip()) is not None


def bracketed(name: str) -> str:
    """Return a plain name as SQLite takes it; one in double quotes is a text there if no column has it."""
    return f"[{name}]"


def create(
    index: Index,
    dialect: str,
    *,
    table: str = "",
    name: str = "",
    concurrently: bool = False,
    only: bool = False,
) -> str:
    """Return the ``CREATE INDEX`` of a declaration.

    :param table: another table, in SQL, such as a partition. :param name: another name of the index.
    :param only: for a partitioned table without its partitions.
    """
    server = dialect == "postgresql"
    how = f"{'UNIQUE ' if index.unique else ''}INDEX {'CONCURRENTLY ' if concurrently else ''}"
    parts = [f"CREATE {how}{quoted(name or index.name)} ON {'ONLY ' if only else ''}{table or quoted(index.table)}"]
    if server:
        parts.append(f"USING {index.method}")
    parts.append(f"({', '.join(_item(index, item, server) for item in index.on)})")
    if server and index.include:
        parts.append(f"INCLUDE ({', '.join(map(quoted, index.include))})")
    if index.where:
        parts.append(f"WHERE {index.where}")
    return " ".join(parts)


def _item(index: Index, item: str, server: bool) -> str:
    match = _ITEM.match(item)
    assert match is not None
    what = match["what"].strip()
    write = quoted if server else bracketed
    written = write(what) if _COLUMN.match(what) else f"({what})"
    if server and (operators := dict(index.operators).get(item)):
        written += f" {operators}"
    written += (match["order"] or "").upper().rstrip()
    # SQLite knows no other order of NULLs in an index than its own.
    return written + (" ".join(["", *match["nulls"].upper().split()]) if server and match["nulls"] else "")


def made_on_sqlite(index: Index) -> tuple[Made, ...]:
    """Return what stands for an index in an SQLite file, in the order of its making."""
    if index.form is not None:
        return index.form.made(index)
    return (Made("index", index.name, create(index, "sqlite")),)
