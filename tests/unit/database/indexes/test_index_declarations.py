"""Declarations that cannot be right are refused where they are written; those that can say what is wanted."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import pytest
from sqlalchemy import Column, Integer, MetaData, String, Table, desc, func, text
from sqlalchemy import Index as Made

from bedplate.component import Spec
from bedplate.database import Database
from bedplate.database.indexes import AccessPath, Index, declared_for, full_text, json_paths, trigrams
from bedplate.database.indexes.ddl import create
from bedplate.database.indexes.tables import indexed
from bedplate.problems import DeclarationError

PATH = AccessPath(statement="SELECT 1", asked="Nobody.")


class Owner:
    """A component with indexes."""

    def __init__(self, database: Database, *indexes: Index, name: str = "default") -> None:
        self.spec = Spec(kind="owner", name=name, summary="Has indexes.", needs=(database,))
        self._indexes = indexes

    def lifespan(self, host: Any) -> Any:
        return nullcontext()

    def indexes(self) -> tuple[Index, ...]:
        return self._indexes


@pytest.mark.parametrize(
    ("values", "what"),
    [
        ({"statement": "DELETE FROM t"}, "is no query"),
        ({"asked": " "}, "Nobody is said to ask"),
        ({"statement": "SELECT :a"}, "No value is given for :a"),
        ({"statement": "SELECT :a, :b", "sample": {"a": 1}}, "No value is given for :b"),
        ({"statement": "SELECT 1 WHERE {matches}", "sample": {}}, "No value is given for :words"),
        ({"sample": "DROP TABLE t"}, "is no query"),
    ],
)
def test_access_paths_that_cannot_be_asked_are_refused(values: dict[str, Any], what: str) -> None:
    with pytest.raises(DeclarationError, match=what):
        AccessPath(**{"statement": "SELECT 1", "asked": "Nobody.", **values})


def test_casts_and_times_are_no_parameters() -> None:
    path = AccessPath(statement="SELECT :a::text, '12:30', b::int FROM t", asked="x", sample={"a": 1})
    assert path.parameters == ("a",)


@pytest.mark.parametrize(
    ("values", "what"),
    [
        ({"name": "Ix"}, "no plain name of an index"),
        ({"name": "i" * 64}, "at most 63"),
        ({"table": "a.b.c"}, "no plain name of a table"),
        ({"on": ()}, "is on nothing"),
        ({"method": "hashed"}, "no method 'hashed'"),
        ({"method": "gin", "unique": True}, "cannot be unique"),
        ({"operators": {"b": "text_ops"}}, "which it is not on"),
    ],
)
def test_indexes_that_cannot_be_are_refused(values: dict[str, Any], what: str) -> None:
    with pytest.raises(DeclarationError, match=what):
        Index(**{"name": "ix", "table": "t", "on": ("a",), "path": PATH, **values})


def test_helpers_refuse_what_one_database_lacks() -> None:
    with pytest.raises(DeclarationError, match="no likeness of 'german'"):
        full_text("ix", "t", ["a"], path=PATH, language="german")
    with pytest.raises(DeclarationError, match="no method 'btree'"):
        trigrams("ix", "t", ["a"], path=PATH, method="btree")
    with pytest.raises(DeclarationError, match="Name plain columns"):
        json_paths("ix", "t", "plan", ["a'b"], path=PATH)


def test_a_name_belongs_to_one_index_of_a_database() -> None:
    database, other = Database(), Database(name="other")
    one = Index(name="ix", table="t", on=("a",), path=PATH)
    assert declared_for(database, [Owner(database, one), Owner(other, one)]) == (one,)
    with pytest.raises(DeclarationError, match="Two indexes are named ix"):
        declared_for(database, [Owner(database, one), Owner(database, one)])


def test_each_database_gets_its_own_statement() -> None:
    index = Index(
        name="ix",
        table="sales.orders",
        on=("customer", "at DESC NULLS LAST", "lower(note)"),
        operators={"lower(note)": "text_pattern_ops"},  # type: ignore[arg-type]
        include=("total",),
        where="state = 'open'",
        path=PATH,
    )
    assert create(index, "postgresql", concurrently=True) == (
        'CREATE INDEX CONCURRENTLY "ix" ON "sales"."orders" USING btree'
        ' ("customer", "at" DESC NULLS LAST, (lower(note)) text_pattern_ops)'
        " INCLUDE (\"total\") WHERE state = 'open'"
    )
    # What is in double quotes and no column is a text in SQLite, and would be indexed.
    assert create(index, "sqlite", table='"orders"') == (
        'CREATE INDEX "ix" ON "orders" ([customer], [at] DESC, (lower(note))) WHERE state = \'open\''
    )


def test_what_a_table_says_of_its_index_is_not_said_again() -> None:
    metadata = MetaData()
    table = Table(
        "orders", metadata, Column("id", Integer), Column("at", Integer), Column("note", String),
        Made("ix_plain", "id", desc("at"), postgresql_where=text("id > 5"), postgresql_include=["note"]),
        Made("ux_lower", func.lower(Column("note")), unique=True),
    )  # fmt: skip
    plain = indexed(table, "ix_plain", PATH)
    assert create(plain, "postgresql") == (
        'CREATE INDEX "ix_plain" ON "orders" USING btree ("id", "at" DESC) INCLUDE ("note") WHERE id > 5'
    )
    assert indexed(table, "ux_lower", PATH).unique
    with pytest.raises(DeclarationError, match="has no index nothing"):
        indexed(table, "nothing", PATH)
