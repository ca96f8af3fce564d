"""Declaring an index that SQLAlchemy's table has already: only its access path is to be said."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Column, Table
from sqlalchemy.dialects import postgresql

from bedplate.database.indexes.declaration import AccessPath, Index
from bedplate.problems import DeclarationError

__all__ = ["indexed"]


def indexed(table: Table, name: str, path: AccessPath) -> Index:
    """Return the declaration of an index of a table, by its name.

    :raises DeclarationError: when the table has none of that name.
    """
    found = next((index for index in table.indexes if index.name == name), None)
    if found is None:
        raise DeclarationError(
            f"The table {table.name} has no index {name}.",
            f"It has {', '.join(sorted(str(i.name) for i in table.indexes))}.",
        )
    options: Any = found.dialect_options["postgresql"]
    expressions = {_written(one): one for one in found.expressions}
    operators: dict[str, str] = options["ops"] or {}
    named = {
        written: operators[key]
        for written, one in expressions.items()
        if (key := getattr(one, "key", None)) is not None and key in operators
    }
    return Index(
        name=name,
        table=table.fullname,
        on=tuple(expressions),
        path=path,
        where="" if options["where"] is None else _written(options["where"]),
        include=tuple(getattr(one, "name", one) for one in options["include"] or ()),
        unique=bool(found.unique),
        method=str(options["using"] or "btree"),
        operators=tuple(named.items()),
    )


def _written(expression: Any) -> str:
    if isinstance(expression, Column):
        return expression.name
    # Without the table's name, as `CREATE INDEX` wants it.
    dialect: Any = postgresql.dialect()  # type: ignore[no-untyped-call]
    return str(expression.compile(dialect=dialect, compile_kwargs={"literal_binds": True, "include_table": False}))
