"""In an SQLite file: what is there, what is missing or another, and what each does for its path."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from bedplate.database.indexes import AccessPath, Index, full_text, json_paths
from bedplate.database.indexes.measure import verdict
from bedplate.database.indexes.place import Place
from bedplate.database.indexes.work import apply, look, measure
from bedplate.problems import BedplateError

CUSTOMER = Index(
    name="ix_orders_customer",
    table="orders",
    on=("customer", "at DESC"),
    path=AccessPath(
        statement='SELECT * FROM orders WHERE customer = :customer ORDER BY "at" DESC LIMIT 20',
        sample="SELECT customer FROM orders GROUP BY customer ORDER BY count(*) DESC LIMIT 3",
        asked="The first page.",
    ),
)
LOWER = Index(
    name="ix_orders_lower",
    table="orders",
    on=("lower(note)",),
    where="note <> ''",
    path=AccessPath(
        statement="SELECT id FROM orders WHERE lower(note) = :note AND note <> ''",
        sample={"note": "note 77"},
        asked="A note.",
    ),
)
PATH = AccessPath(statement="SELECT id FROM orders WHERE {matches}", sample={"words": "77"}, asked="A word.")
WORDS = full_text("ix_orders_words", "orders", ["note"], path=PATH)
PLAN = json_paths(
    "ix_orders_plan",
    "orders",
    "plan",
    ["action", "size"],
    path=AccessPath(
        statement="SELECT id FROM orders WHERE {matches}", sample={"words": '{"action": "a7"}'}, asked="An action."
    ),
)
ALL = (CUSTOMER, LOWER, WORDS, PLAN)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "orders.sqlite3"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE orders (id INTEGER PRIMARY KEY, customer, at, note, plan)")
        connection.execute("CREATE TABLE lines (id INTEGER PRIMARY KEY, order_id REFERENCES orders (id))")
        connection.executemany(
            "INSERT INTO orders VALUES (?, ?, ?, ?, ?)",
            [(i, i % 100, i, f"note {i}", f'{{"action": "a{i % 50}"}}') for i in range(2000)],
        )
    connection.close()
    return path


def _do(file: Path, statement: str) -> None:
    connection = sqlite3.connect(file)
    connection.execute(statement)
    connection.commit()
    connection.close()


def test_all_kinds_are_made_and_used(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = Place(f"sqlite:///{file}")
    assert {state.word for state in look(place, ALL).states} == {"missing"}
    before = measure(place, (CUSTOMER, LOWER, PLAN))
    assert apply(place, ALL).names == tuple(index.name for index in ALL)
    assert look(place, ALL).complete
    assert apply(place, ALL).names == ()
    for one in [*measure(place, ALL, before=before), *measure(place, (CUSTOMER, LOWER, PLAN), drop=True)]:
        assert one.within is not None and one.within.used, one
        if one.index is WORDS:
            assert one.why == "SQLite finds nothing without it" or not one.without
        else:
            assert one.without is not None and not one.without.used
    monkeypatch.setattr("bedplate.database.indexes.measure.DROPPED", 0.0)
    late = measure(place, [CUSTOMER], drop=True)[0]
    assert late.without is None and "kept waiting" in late.why
    # What was dropped for a moment is there.
    assert look(place, ALL).complete
    assert "--drop-to-compare" in measure(place, [CUSTOMER])[0].why
    assert verdict(measure(place, [CUSTOMER])[0]) == "used"


def test_what_is_lost_or_another_is_seen(file: Path) -> None:
    place = Place(f"sqlite:///{file}")
    apply(place, ALL)
    _do(file, "DROP TRIGGER ix_orders_words_delete")
    _do(file, "DROP INDEX ix_orders_customer")
    _do(file, "CREATE INDEX ix_orders_customer ON orders (customer)")
    _do(file, "DROP INDEX ix_orders_lower")
    _do(file, "create index if not exists ix_orders_lower on orders ( lower( note ) ) where (note <> '')")
    _do(file, "DROP INDEX ix_orders_plan_2")
    words = {state.index.name: state.word for state in look(place, ALL).states}
    assert words == {
        "ix_orders_customer": "different",
        "ix_orders_lower": "present",
        "ix_orders_words": "invalid",
        "ix_orders_plan": "invalid",
    }
    _do(file, "DELETE FROM orders WHERE id = 77")
    assert apply(place, ALL, replace=True).names == ("ix_orders_customer", "ix_orders_words", "ix_orders_plan")
    assert look(place, ALL).complete


def test_foreign_keys_and_twins_are_told(file: Path) -> None:
    place = Place(f"sqlite:///{file}")
    apply(place, [CUSTOMER])
    _do(file, "CREATE INDEX ix_dup ON orders (customer)")
    told = {(one.kind, one.table, one.name) for one in look(place, [CUSTOMER]).findings}
    assert told == {("missing", "lines", ""), ("duplicate", "orders", "ix_dup")}
    _do(file, "CREATE INDEX ix_lines ON lines (order_id)")
    assert ("missing", "lines", "") not in {(one.kind, one.table, one.name) for one in look(place, [CUSTOMER]).findings}


def test_what_cannot_be_is_told(file: Path, tmp_path: Path) -> None:
    place = Place(f"sqlite:///{file}")
    path = AccessPath(statement="SELECT 1", asked="x")
    lost = Index(name="ix_lost", table="nowhere", on=("a",), path=path)
    assert look(place, [lost]).states[0].word == "no table"
    wrong = Index(name="ix_wrong", table="orders", on=("nothing",), path=path)
    assert "nothing" in str(apply(place, [wrong]).faults["ix_wrong"])
    with pytest.raises(BedplateError, match="There is no file"):
        look(Place(f"sqlite:///{tmp_path / 'none.sqlite3'}"), [])
