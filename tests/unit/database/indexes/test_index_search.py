"""Searching finds the same rows in every database, while rows come, change and go."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from sqlalchemy import JSON, Column, Connection, MetaData, String, Table, create_engine, select, text
from sqlalchemy.dialects.postgresql import JSONB

from bedplate.database.indexes import AccessPath, contains, full_text, holds, json_paths, search, trigrams
from bedplate.database.indexes.place import Place
from bedplate.database.indexes.words import parsed
from bedplate.database.indexes.work import apply, look
from bedplate.problems import DeclarationError
from tests.postgres import Postgres

PATH = AccessPath(statement="SELECT id FROM notes WHERE {matches}", asked="Who searches.", sample={"words": "one"})
WORDS = full_text("ix_notes_words", "notes", ["title", "body"], path=PATH)
ENGLISH = full_text("ix_notes_english", "notes", ["body"], path=PATH, language="english", vector="body_words")
PARTS = trigrams("ix_notes_parts", "notes", ["title", "body"], path=PATH)
PLAN = json_paths(
    "ix_notes_plan",
    "notes",
    "plan",
    ["action", "size.lots"],
    path=AccessPath(
        statement="SELECT id FROM notes WHERE {matches}", asked="Who filters.", sample={"words": '{"action": "buy"}'}
    ),
)
NOTES = Table(
    "notes",
    MetaData(),
    Column("id", String, primary_key=True),
    Column("title", String),
    Column("body", String),
    Column("plan", JSON().with_variant(JSONB(), "postgresql")),
)


class Both:
    """The same rows in both databases."""

    def __init__(self, *connections: Connection) -> None:
        self.connections = connections

    def execute(self, statement: Any, values: Any = None) -> None:
        for connection in self.connections:
            connection.execute(statement, values)

    def found(self, how: Any, index: Any, words: Any) -> list[Any]:
        """Return the ids that each finds, best first where there is a rank."""
        answers = []
        for connection in self.connections:
            told = how(index, NOTES, words, connection)
            condition, rank = (told.condition, told.rank) if hasattr(told, "rank") else (told, None)
            query = select(NOTES.c.id).where(condition)
            query = query.order_by(NOTES.c.id) if rank is None else query.order_by(rank.desc(), NOTES.c.id)
            answers.append(list(connection.execute(query).scalars()))
        return answers

    def same(self, how: Any, index: Any, words: Any) -> list[str]:
        one, other = self.found(how, index, words)
        assert sorted(one) == sorted(other), words
        return sorted(one)


@pytest.fixture(scope="module")
def both(server: Postgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Both]:
    path: Path = tmp_path_factory.mktemp("search") / "notes.sqlite3"
    urls = (f"sqlite:///{path}", server.database())
    engines = [create_engine(urls[0]), create_engine(urls[1].replace("postgresql://", "postgresql+psycopg://"))]
    for url, engine in zip(urls, engines, strict=True):
        with engine.begin() as connection:
            NOTES.create(connection)
        place = Place(url)
        done = apply(place, [WORDS, ENGLISH, PARTS, PLAN])
        assert not done.faults
        assert look(place, [WORDS, ENGLISH, PARTS, PLAN]).complete
        place.close()
    with engines[0].connect() as file, engines[1].connect() as server_connection:
        yield Both(file, server_connection)
    for engine in engines:
        engine.dispose()


@pytest.fixture
def empty(both: Both) -> Both:
    both.execute(NOTES.delete())
    return both


def _note(id: str, title: str | None, body: str | None = None, plan: Any = None) -> dict[str, Any]:
    return {"id": id, "title": title, "body": body, "plan": plan}


_SIMPLE = st.sampled_from("alpha beta gamma delta a b 007 x9 straße ärger".split())
_TEXT = st.lists(_SIMPLE, max_size=5).map(" ".join)
_ASKED = st.lists(
    st.tuples(st.sampled_from(["", "-"]), _SIMPLE | st.lists(_SIMPLE, min_size=2, max_size=2), st.booleans()),
    min_size=1,
    max_size=3,
).map(
    lambda terms: " ".join(
        f'{minus}"{" ".join(word)}"' if isinstance(word, list) else f"{minus}{word[:3] + '*' if prefix else word}"
        for minus, word, prefix in terms
    )
)


@settings(max_examples=25)
@given(texts=st.lists(st.tuples(_TEXT, st.none() | _TEXT), min_size=1, max_size=6), asked=_ASKED)
@example(texts=[("e-mail to a.b@example.com", "1.5 % of foo_bar/baz"), ("don’t", "“quoted”")], asked="example com")
@example(texts=[("e-mail to a.b@example.com", "1.5 % of foo_bar/baz"), ("don’t", "“quoted”")], asked="foo bar 5")
@example(texts=[("e-mail to a.b@example.com", "1.5 % of foo_bar/baz"), ("don’t", "“quoted”")], asked="t quoted")
def test_both_find_the_same_rows(both: Both, texts: list[tuple[str, str | None]], asked: str) -> None:
    both.execute(NOTES.delete())
    both.execute(NOTES.insert(), [_note(str(number), *one) for number, one in enumerate(texts)])
    both.same(search, WORDS, asked)
    both.same(contains, PARTS, asked)


def test_what_people_type_finds_what_they_mean(empty: Both) -> None:
    empty.execute(
        NOTES.insert(),
        [
            _note("a", "Earnings surprise", "Revenue grows"),
            _note("b", "Surprise party", "No earnings here"),
            _note("c", None, "earnings: earnings, Earnings!"),
        ],
    )
    assert empty.same(search, WORDS, "EARNINGS") == ["a", "b", "c"]
    assert empty.same(search, WORDS, "earnings surprise") == ["a", "b"]
    assert empty.same(search, WORDS, '"earnings surprise"') == ["a"]
    assert empty.same(search, WORDS, "earn* -party") == ["a", "c"]
    assert empty.same(search, WORDS, "earn") == []
    assert empty.same(search, ENGLISH, "growing") == ["a"]
    for nothing in ("", "-earnings", "!!!", "' OR 1=1 --", '"', "*", "\0"):
        assert empty.same(search, WORDS, nothing) == []
    best = [answer[0] for answer in empty.found(search, WORDS, "earnings")]
    assert best == ["c", "c"]


def test_parts_of_words_are_found_whatever_the_case(empty: Both) -> None:
    empty.execute(
        NOTES.insert(),
        [_note("a", "AAPL", "100% _sure_"), _note("b", "AAPL.US", None), _note("c", "x", "the aapl way")],
    )
    assert empty.found(contains, PARTS, "aapl") == [["a", "b", "c"], ["a", "b", "c"]]
    assert empty.same(contains, PARTS, "pl.") == ["b"]
    assert empty.same(contains, PARTS, "0% _s") == ["a"]
    assert empty.same(contains, PARTS, "%") == ["a"]
    assert empty.same(contains, PARTS, "us") == ["b"]
    assert empty.same(contains, PARTS, "a%l") == []
    assert empty.same(contains, PARTS, "") == []


def test_members_of_documents_are_found(empty: Both) -> None:
    plans = [{"action": "buy", "size": {"lots": 2}}, {"action": "sell"}, {"action": "buy", "size": {"lots": 3}}, None]
    empty.execute(NOTES.insert(), [_note(str(number), "x", None, plan) for number, plan in enumerate(plans)])
    assert empty.same(holds, PLAN, {"action": "buy"}) == ["0", "2"]
    assert empty.same(holds, PLAN, {"action": "buy", "size.lots": 3}) == ["2"]
    with pytest.raises(DeclarationError, match="is not on price"):
        holds(PLAN, NOTES, {"price": 1}, "sqlite")
    with pytest.raises(DeclarationError, match="does not serve this"):
        search(PLAN, NOTES, "buy", "sqlite")


def test_rows_that_change_or_go_are_searched_as_they_are(empty: Both) -> None:
    empty.execute(NOTES.insert(), [_note("a", "first"), _note("b", "second")])
    empty.execute(text("UPDATE notes SET title = 'third' WHERE id = 'a'"))
    assert (empty.same(search, WORDS, "first"), empty.same(search, WORDS, "third")) == ([], ["a"])
    empty.execute(text("UPDATE notes SET id = 'c' WHERE id = 'a'"))
    assert empty.same(search, WORDS, "third") == ["c"]
    empty.execute(text("DELETE FROM notes WHERE id = 'c'"))
    assert (empty.same(search, WORDS, "third"), empty.same(contains, PARTS, "econ")) == ([], ["b"])
    file = empty.connections[0]
    file.execute(text("INSERT OR REPLACE INTO notes (id, title) VALUES ('b', 'fourth')"))
    found = search(WORDS, NOTES, "fourth", file)
    assert file.execute(select(NOTES.c.id).where(found.condition)).scalars().all() == ["b"]
    assert not file.execute(select(NOTES.c.id).where(search(WORDS, NOTES, "second", file).condition)).all()


@given(st.text(max_size=30))
def test_any_text_can_be_looked_for(asked: str) -> None:
    for term in parsed(asked):
        assert term.words and all(word.isalnum() for word in term.words)


def test_words_are_read_once() -> None:
    assert [term.words for term in parsed('a "b c" -d e* a')] == [("a",), ("b", "c"), ("d",), ("e",)]
    assert [(term.prefix, term.excluded) for term in parsed("-d e*")] == [(False, True), (True, False)]
    assert parsed("well-known") == (parsed('"well known"')[0],)
    assert json.dumps([term.words for term in parsed("ÄRGER")]) == json.dumps([["ärger"]])
