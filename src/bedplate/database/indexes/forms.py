"""Indexes that databases have in different forms: full text, trigrams, JSON.

On PostgreSQL each is an index. SQLite keeps words and trigrams in a table of FTS5, which triggers keep equal to the
table that is searched. A row is known there by its key and not by SQLite's row number, which ``VACUUM`` may change.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from bedplate.database.indexes.ddl import Made, bracketed, create, quoted
from bedplate.database.indexes.words import fts5_query, parsed, tsquery
from bedplate.problems import DeclarationError

if TYPE_CHECKING:
    from bedplate.database.indexes.declaration import AccessPath, Index

__all__ = [
    "BLANKS",
    "BREAK",
    "PUNCTUATION",
    "Form",
    "FullText",
    "JsonPaths",
    "Trigrams",
    "full_text",
    "json_paths",
    "trigrams",
]

#: What separates words. PostgreSQL's own reading of ``a.b``, ``a-b`` and ``a/b`` as hosts, compounds and paths would
#: find other rows than SQLite does.
PUNCTUATION = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~\u2010\u2011–—‘’“”„«»…·•"
BLANKS = " " * len(PUNCTUATION)

_KEYS = "number INTEGER PRIMARY KEY, key UNIQUE NOT NULL"
#: What stands between two columns, so that the last word of one and the first of the next are not beside each other.
BREAK = "columnbreak"
#: PostgreSQL's configurations of which SQLite has a likeness.
_TOKENIZERS = {"simple": "unicode61 remove_diacritics 0", "english": "porter unicode61 remove_diacritics 0"}


@dataclass(frozen=True, slots=True)
class Form:
    """What an index is where it is none of its kind."""

    columns: tuple[str, ...]
    key: str

    #: Whether SQLite keeps a table beside the one that is searched, without which nothing is found there.
    kept: ClassVar[bool] = True

    def made(self, index: Index) -> tuple[Made, ...]:
        """Return what stands for it in an SQLite file."""
        raise NotImplementedError

    def filled(self, index: Index) -> tuple[str, ...]:
        """Return the statements that bring what is there already into it."""
        return ()

    def condition(self, index: Index, dialect: str) -> str:
        """Return the condition in SQL, with the parameter ``:words``."""
        raise NotImplementedError

    def value(self, words: str, dialect: str) -> str:
        """Return what ``:words`` is for what somebody looks for."""
        raise NotImplementedError

    def _beside(self, index: Index, tokenizer: str) -> tuple[Made, ...]:
        words, keys, table = quoted(index.name), quoted(f"{index.name}_keys"), quoted(index.plain_table)
        names = ", ".join(map(bracketed, self.columns))
        key = bracketed(self.key)

        def forget(row: str) -> str:
            number = f"(SELECT number FROM {keys} WHERE key = {row}.{key})"
            return f"DELETE FROM {words} WHERE rowid = {number}; DELETE FROM {keys} WHERE key = {row}.{key};"

        values = ", ".join(f"new.{bracketed(column)}" for column in self.columns)
        remember = (
            f"INSERT INTO {keys} (key) VALUES (new.{key}); INSERT INTO {words} (rowid, {names})"
            f" VALUES ((SELECT number FROM {keys} WHERE key = new.{key}), {values});"
        )
        told = ", ".join(map(bracketed, dict.fromkeys((self.key, *self.columns))))

        def trigger(event: str, on: str, body: str) -> Made:
            name = f"{index.name}_{event}"
            return Made(
                "trigger", name, f"CREATE TRIGGER {quoted(name)} AFTER {on} ON {table} FOR EACH ROW BEGIN {body} END"
            )

        # A row is forgotten before it is remembered: `INSERT OR REPLACE` tells nobody of the row that it replaces.
        return (
            Made("table", index.name, f"CREATE VIRTUAL TABLE {words} USING fts5({names}, tokenize = '{tokenizer}')"),
            Made("table", f"{index.name}_keys", f"CREATE TABLE {keys} ({_KEYS})"),
            trigger("insert", "INSERT", f"{forget('new')} {remember}"),
            trigger("update", f"UPDATE OF {told}", f"{forget('old')} {forget('new')} {remember}"),
            trigger("delete", "DELETE", forget("old")),
        )

    def _brought(self, index: Index) -> tuple[str, ...]:
        words, keys, table = quoted(index.name), quoted(f"{index.name}_keys"), quoted(index.plain_table)
        names, values = (
            ", ".join(map(bracketed, self.columns)),
            ", ".join(f"t.{bracketed(column)}" for column in self.columns),
        )
        rows = f"{keys} k JOIN {table} t ON t.{bracketed(self.key)} = k.key"
        return (
            f"INSERT INTO {keys} (key) SELECT {bracketed(self.key)} FROM {table}",
            f"INSERT INTO {words} (rowid, {names}) SELECT k.number, {values} FROM {rows}",
        )

    def _among(self, index: Index) -> str:
        words, keys = quoted(index.name), quoted(f"{index.name}_keys")
        return (
            f"{bracketed(self.key)} IN (SELECT k.key FROM {words} w JOIN {keys} k ON k.number = w.rowid"
            f" WHERE w.{words} MATCH :words)"
        )


@dataclass(frozen=True, slots=True)
class FullText(Form):
    """Words, wherever they stand.

    :ivar language: PostgreSQL's configuration. :ivar vector: the generated column that keeps the words; empty where the
        index has them alone.
    """

    language: str
    vector: str = ""

    def document(self) -> str:
        """Return the expression of the words on PostgreSQL."""
        texts = f" || ' {BREAK} ' || ".join(f"coalesce({quoted(column)}, '')" for column in self.columns)
        marks = PUNCTUATION.replace("'", "''")
        return f"to_tsvector('{self.language}'::regconfig, translate({texts}, '{marks}', '{BLANKS}'))"

    def kept_by(self, table: str) -> str:
        """Return the statement that adds the generated column where it is not there."""
        return (
            f"ALTER TABLE {table} ADD COLUMN IF NOT EXISTS {quoted(self.vector)} tsvector"
            f" GENERATED ALWAYS AS ({self.document()}) STORED"
        )

    def made(self, index: Index) -> tuple[Made, ...]:
        """Return a table of FTS5 with its triggers."""
        return self._beside(index, _TOKENIZERS[self.language])

    def filled(self, index: Index) -> tuple[str, ...]:
        """Return the statements that bring what is there already into it."""
        return self._brought(index)

    def condition(self, index: Index, dialect: str) -> str:
        """Return the condition in SQL, with the parameter ``:words``."""
        if dialect == "sqlite":
            return self._among(index)
        vector = quoted(self.vector) if self.vector else self.document()
        return f"{vector} @@ to_tsquery('{self.language}'::regconfig, :words)"

    def value(self, words: str, dialect: str) -> str:
        """Return the search as the database reads it."""
        terms = parsed(words)
        return fts5_query(terms) if dialect == "sqlite" else tsquery(terms)


@dataclass(frozen=True, slots=True)
class Trigrams(Form):
    """Parts of texts, of three letters or more."""

    def made(self, index: Index) -> tuple[Made, ...]:
        """Return a table of FTS5 with its triggers."""
        return self._beside(index, "trigram")

    def filled(self, index: Index) -> tuple[str, ...]:
        """Return the statements that bring what is there already into it."""
        return self._brought(index)

    def condition(self, index: Index, dialect: str) -> str:
        """Return the condition in SQL, with the parameter ``:words``."""
        if dialect == "sqlite":
            return self._among(index)
        return "(" + " OR ".join(f"{quoted(column)} ILIKE :words" for column in self.columns) + ")"

    def value(self, words: str, dialect: str) -> str:
        """Return the part of a text as the database looks for it."""
        if dialect == "sqlite":
            return '"' + words.replace('"', '""') + '"'
        return "%" + words.replace("\\", "\\\\").replace("%", r"\%").replace("_", r"\_") + "%"


@dataclass(frozen=True, slots=True)
class JsonPaths(Form):
    """Values of members of a JSON document."""

    members: tuple[str, ...]

    kept: ClassVar[bool] = False

    def made(self, index: Index) -> tuple[Made, ...]:
        """Return an index for each member."""
        names = [index.name if not place else f"{index.name}_{place + 1}" for place in range(len(self.members))]
        return tuple(
            Made("index", name, create(_on_member(index, self.extracted(member)), "sqlite", name=name))
            for name, member in zip(names, self.members, strict=True)
        )

    def extracted(self, member: str) -> str:
        """Return a member's value on SQLite."""
        return f"json_extract({bracketed(self.columns[0])}, '$.{member}')"

    def condition(self, index: Index, dialect: str) -> str:
        """Return the condition in SQL, of the first member on SQLite; ``:words`` is a document."""
        if dialect == "sqlite":
            return f"{self.extracted(self.members[0])} = json_extract(:words, '$.{self.members[0]}')"
        return f"{quoted(self.columns[0])} @> CAST(:words AS jsonb)"

    def value(self, words: str, dialect: str) -> str:
        """Return the document.

        :raises DeclarationError: when it is none.
        """
        try:
            json.loads(words)
        except ValueError:
            raise DeclarationError(f"The sample {words!r} is no JSON.", 'Write {"member": value}.') from None
        return words


def _on_member(index: Index, expression: str) -> Index:
    from dataclasses import replace

    return replace(index, on=(expression,), method="btree", operators=(), include=(), form=None)


def full_text(
    name: str,
    table: str,
    columns: Sequence[str],
    *,
    path: AccessPath,
    key: str = "id",
    language: str = "simple",
    vector: str = "",
) -> Index:
    """Return an index of the words in some columns; :func:`~bedplate.database.indexes.search` asks it.

    :param key: a unique column of the table. :param language: ``simple``, words as they are, or ``english``.
    :param vector: a generated column that keeps the words, for a rank that need not read the texts. PostgreSQL rewrites
        the table to add it, so ``bedplate db indexes`` does that for small tables only.
    """
    from bedplate.database.indexes.declaration import Index

    if language not in _TOKENIZERS:
        raise DeclarationError(f"SQLite has no likeness of {language!r}.", f"Use {' or '.join(_TOKENIZERS)}.")
    form = FullText(_names(name, columns), key, language, vector)
    return Index(name=name, table=table, on=(vector or form.document(),), path=path, method="gin", form=form)


def trigrams(
    name: str, table: str, columns: Sequence[str], *, path: AccessPath, key: str = "id", method: str = "gin"
) -> Index:
    """Return an index of parts of texts; :func:`~bedplate.database.indexes.contains` asks it.

    :param key: a unique column of the table. :param method: ``gin``, or ``gist`` for what is written more than read.
    """
    from bedplate.database.indexes.declaration import Index

    if method not in ("gin", "gist"):
        raise DeclarationError(f"Trigrams have no method {method!r}.", "Use gin or gist.")
    names = _names(name, columns)
    operators = tuple((column, f"{method}_trgm_ops") for column in names)
    return Index(
        name=name,
        table=table,
        on=names,
        path=path,
        method=method,
        operators=operators,
        extensions=("pg_trgm",),
        form=Trigrams(names, key),
    )


def json_paths(name: str, table: str, column: str, members: Sequence[str], *, path: AccessPath) -> Index:
    """Return an index of a JSONB column; :func:`~bedplate.database.indexes.holds` asks it.

    :param members: the members that are asked for, ``plan.action`` for one inside another; PostgreSQL indexes all.
    """
    from bedplate.database.indexes.declaration import Index

    names = _names(name, members)
    return Index(
        name=name,
        table=table,
        on=(column,),
        path=path,
        method="gin",
        operators=((column, "jsonb_path_ops"),),
        form=JsonPaths((column,), "", names),
    )


def _names(name: str, given: Sequence[str]) -> tuple[str, ...]:
    names = (given,) if isinstance(given, str) else tuple(given)
    if not names or not all(part.isidentifier() for one in names for part in one.split(".")):
        raise DeclarationError(f"The index {name} is on {', '.join(names) or 'nothing'}.", "Name plain columns.")
    return names
