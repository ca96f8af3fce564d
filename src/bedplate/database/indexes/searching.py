"""Searching, the same way in every database: a condition and a rank for a ``select()``.

.. code-block:: python

    found = search(NOTES_TEXT, NOTES, words, connection)
    query = select(NOTES).where(NOTES.c.user_id == user, found.condition).order_by(found.rank.desc(), NOTES.c.id)
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from sqlalchemy import (
    ColumnElement,
    Float,
    FromClause,
    Integer,
    String,
    and_,
    bindparam,
    case,
    cast,
    column,
    false,
    func,
    literal,
    literal_column,
    or_,
    select,
    table,
    type_coerce,
)
from sqlalchemy.dialects.postgresql import JSONB

from bedplate.database.indexes.ddl import quoted
from bedplate.database.indexes.declaration import Index
from bedplate.database.indexes.forms import BLANKS, BREAK, PUNCTUATION, Form, FullText, JsonPaths, Trigrams
from bedplate.database.indexes.words import parsed
from bedplate.problems import DeclarationError

__all__ = ["Found", "contains", "holds", "search"]

AnyForm = TypeVar("AnyForm", bound=Form)

#: Letters that FTS5 needs to look for a part of a text.
_TRIGRAM = 3


@dataclass(frozen=True, slots=True)
class Found:
    """What finds rows.

    :ivar condition: whether a row is found, for ``where()`` of a ``select()``.
    :ivar rank: how well, more for better; databases weigh words differently, so compare ranks of one search alone.
    """

    condition: ColumnElement[bool]
    rank: ColumnElement[float]


def search(index: Index, rows: FromClause, words: str, connection: Any) -> Found:
    """Return what finds the rows that hold what somebody looks for: see :mod:`bedplate.database.indexes.words`.

    :param index: made by :func:`~bedplate.database.indexes.full_text`. :param rows: its table, or an alias of it.
    :param connection: a connection of SQLAlchemy, or the name of its dialect.
    """
    form = _form(index, FullText)
    if not parsed(words):
        return _nothing()
    dialect = _dialect(connection)
    value = form.value(words, dialect)
    if dialect == "sqlite":
        return _beside(index, form, rows, value)
    # What the index is on must stand here as it does there, so nothing of it may become a parameter.
    vector = _document(form, rows)
    query = func.to_tsquery(_configuration(form), bindparam(None, value, String))
    return Found(vector.op("@@", is_comparison=True)(query), func.ts_rank_cd(vector, query, type_=Float))


def contains(index: Index, rows: FromClause, part: str, connection: Any) -> Found:
    """Return what finds the rows with a text that contains another, whatever the case.

    The shorter the text for what is looked for, the higher its rank. Fewer than three letters are looked for without
    the help of an index.

    :param index: made by :func:`~bedplate.database.indexes.trigrams`. :param rows: its table, or an alias of it.
    :param connection: a connection of SQLAlchemy, or the name of its dialect.
    """
    form = _form(index, Trigrams)
    if not part:
        return _nothing()
    dialect = _dialect(connection)
    columns = [rows.c[name] for name in form.columns]
    if dialect == "postgresql":
        # The backslash is ILIKE's own sign of escape; said again it would be a call that the index does not know.
        pattern = bindparam(None, form.value(part, dialect), String)
        held: list[ColumnElement[bool]] = [one.op("ILIKE", is_comparison=True)(pattern) for one in columns]
        return Found(or_(*held), func.greatest(*_shares(columns, held, part)))
    held = [func.instr(func.lower(one), part.lower()) > 0 for one in columns]
    shares = _shares(columns, held, part)
    rank = func.max(*shares) if len(shares) > 1 else shares[0]  # of one argument it is another function
    if len(part) < _TRIGRAM:
        return Found(or_(*held), rank)
    return Found(_beside(index, form, rows, form.value(part, dialect)).condition, rank)


def holds(index: Index, rows: FromClause, members: Mapping[str, Any], connection: Any) -> ColumnElement[bool]:
    """Return the condition that a document's members have some values.

    :param index: made by :func:`~bedplate.database.indexes.json_paths`. :param rows: its table, or an alias of it.
    :param members: those that the index names, ``{"plan.action": "buy"}``; texts, numbers and truth values.
    :raises DeclarationError: when the index does not name a member.
    """
    form = _form(index, JsonPaths)
    unknown = sorted(set(members) - set(form.members))
    if unknown or not members:
        raise DeclarationError(
            f"The index {index.name} is not on {unknown[0] if unknown else 'nothing'}.",
            f"It is on {', '.join(form.members)}.",
        )
    document = rows.c[form.columns[0]]
    if _dialect(connection) == "sqlite":
        return and_(
            *(
                func.json_extract(document, literal_column(f"'$.{name}'")) == literal(_plain(value))
                for name, value in members.items()
            )
        )
    nested: dict[str, Any] = {}
    for name, value in members.items():
        place = nested
        *parents, last = name.split(".")
        for parent in parents:
            place = place.setdefault(parent, {})
        place[last] = value
    wanted = cast(bindparam(None, json.dumps(nested), String), JSONB)
    return type_coerce(document, JSONB).op("@>", is_comparison=True)(wanted)


def _beside(index: Index, form: Form, rows: FromClause, value: str) -> Found:
    """Return what finds rows by the table of FTS5."""
    words = table(index.name, column("rowid", Integer), column("rank", Float), column(index.name, String)).alias()
    keys = table(f"{index.name}_keys", column("number", Integer), column("key", rows.c[form.key].type)).alias()
    matching = words.c[index.name].op("MATCH", is_comparison=True)(bindparam(None, value, String))
    hits = (
        select(keys.c.key.label("key"), words.c.rank.label("rank"))
        .join_from(words, keys, keys.c.number == words.c.rowid)
        .where(matching)
        .subquery()
    )
    # Its rank is the less the better.
    return Found(rows.c[form.key] == hits.c.key, -hits.c.rank)


def _document(form: FullText, rows: FromClause) -> ColumnElement[Any]:
    if form.vector:
        if form.vector in rows.c:
            return rows.c[form.vector]
        # Where the command has made the column, the table of SQLAlchemy need not name it.
        name: str = getattr(rows, "fullname", "") or getattr(rows, "name", "")
        return literal_column(f"{quoted(name)}.{quoted(form.vector)}")
    blank: ColumnElement[str] = literal_column("''")
    texts: ColumnElement[Any] | None = None
    for name in form.columns:
        one = func.coalesce(rows.c[name], blank)
        texts = one if texts is None else texts.op("||")(literal_column(f"' {BREAK} '")).op("||")(one)
    marks: ColumnElement[str] = literal_column("'" + PUNCTUATION.replace("'", "''") + "'")
    words = func.translate(texts, marks, literal_column(f"'{BLANKS}'"))
    return func.to_tsvector(_configuration(form), words)


def _configuration(form: FullText) -> ColumnElement[Any]:
    return literal_column(f"'{form.language}'::regconfig")


def _shares(columns: list[Any], held: list[Any], part: str) -> list[ColumnElement[float]]:
    """Return of each text what share of it a part is; 0 where it does not contain it."""
    length = literal(float(len(part)), Float)
    return [
        case((condition, length / func.length(one)), else_=literal(0.0, Float))
        for one, condition in zip(columns, held, strict=True)
    ]


def _plain(value: Any) -> Any:
    return int(value) if isinstance(value, bool) else value


def _nothing() -> Found:
    return Found(false(), literal(0.0, Float))


def _dialect(connection: Any) -> str:
    name: str = connection if isinstance(connection, str) else connection.dialect.name
    return name


def _form(index: Index, kind: type[AnyForm]) -> AnyForm:
    if not isinstance(index.form, kind):
        raise DeclarationError(f"The index {index.name} does not serve this.", f"Declare one of {kind.__name__}.")
    return index.form
