"""On real servers: what is missing is made, what is broken mended, what another is replaced; and each is measured."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest

from bedplate.database.indexes import AccessPath, Index, full_text, json_paths, trigrams
from bedplate.database.indexes.build import LOCK, Limits
from bedplate.database.indexes.measure import Measured, Timing, verdict
from bedplate.database.indexes.place import Place
from bedplate.database.indexes.progress import Progress
from bedplate.database.indexes.work import Report, apply, look, measure
from bedplate.problems import BedplateError
from tests.postgres import Postgres, pgbouncer, replica

ROWS = 4_000
SCHEMA = f"""
CREATE TABLE orders (id int PRIMARY KEY, customer int NOT NULL, at int NOT NULL, state text NOT NULL, note text,
  plan jsonb NOT NULL);
INSERT INTO orders SELECT i, i % 400, i, CASE WHEN i % 100 = 0 THEN 'open' ELSE 'done' END, 'note ' || i,
  jsonb_build_object('action', 'a' || i % 500) FROM generate_series(1, {ROWS}) i;
CREATE TABLE lines (id int, order_id int REFERENCES orders (id), at int) PARTITION BY HASH (id);
CREATE TABLE lines_0 PARTITION OF lines FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE lines_1 PARTITION OF lines FOR VALUES WITH (MODULUS 2, REMAINDER 1) PARTITION BY HASH (at);
CREATE TABLE lines_1_0 PARTITION OF lines_1 FOR VALUES WITH (MODULUS 1, REMAINDER 0);
INSERT INTO lines SELECT i, i % 50 + 1, i FROM generate_series(1, 4000) i;
ANALYZE orders;
ANALYZE lines;
"""
MORE = "INSERT INTO orders SELECT i, i, i, 'done', '', '{}' FROM generate_series(10000, 16000) i"


def _path(statement: str, sample: Any = None) -> AccessPath:
    return AccessPath(statement=statement, asked="A test asks it.", sample=sample or {})


CUSTOMER = Index(
    name="ix_orders_customer",
    table="orders",
    on=("customer", "at DESC"),
    path=_path(
        "SELECT * FROM orders WHERE customer = :customer ORDER BY at DESC LIMIT 20",
        "SELECT customer FROM orders GROUP BY customer ORDER BY count(*) DESC LIMIT 3",
    ),
)
OPEN = Index(
    name="ix_orders_open",
    table="orders",
    on=("at",),
    where="state = 'open'",
    include=("customer",),
    path=_path("SELECT customer FROM orders WHERE state = 'open' AND at > :at", {"at": 3900}),
)
LOWER = Index(
    name="ix_orders_lower",
    table="orders",
    on=("lower(note)",),
    path=_path("SELECT id FROM orders WHERE lower(note) = :note", {"note": "note 77"}),
)
USELESS = Index(
    name="ix_orders_state",
    table="orders",
    on=("state",),
    path=_path("SELECT count(*) FROM orders WHERE note LIKE :note", {"note": "%7"}),
)
WORDS = full_text(
    "ix_orders_words", "orders", ["note"], path=_path("SELECT id FROM orders WHERE {matches}", {"words": "77"})
)
PARTS = trigrams(
    "ix_orders_parts", "orders", ["note"], path=_path("SELECT id FROM orders WHERE {matches}", {"words": "e 77"})
)
PLAN = json_paths(
    "ix_orders_plan", "orders", "plan", ["action"],
    path=_path("SELECT id FROM orders WHERE {matches}", {"words": '{"action": "a7"}'}),
)  # fmt: skip
LINES = Index(
    name="ix_lines_at", table="lines", on=("at",), path=_path("SELECT * FROM lines WHERE at = :at", {"at": 7})
)
MIXED = Index(
    name="ix_orders_mixed", table="orders", on=("customer", "plan"), method="gin", extensions=("btree_gin",),
    path=_path("SELECT id FROM orders WHERE customer = 7 AND plan @> CAST(:plan AS jsonb)", {"plan": "{}"}),
)  # fmt: skip
ALL = (CUSTOMER, OPEN, LOWER, WORDS, PARTS, PLAN, LINES, MIXED)


@contextmanager
def _filled(server: Postgres) -> Iterator[Place]:
    place = Place(server.database())
    with psycopg.connect(_url(place), autocommit=True) as connection:
        for statement in SCHEMA.split(";\n"):
            connection.execute(statement.encode())
    yield place
    place.close()


@pytest.fixture
def shop(server: Postgres) -> Iterator[Place]:
    with _filled(server) as place:
        yield place


def _url(place: Place) -> str:
    return place._url


def _sql(place: Place, statement: str) -> Any:
    with psycopg.connect(_url(place), autocommit=True) as connection:
        cursor = connection.execute(statement.encode())
        return cursor.fetchall() if cursor.description else None


def _words(report: Report) -> dict[str, str]:
    return {state.index.name: state.word for state in report.states}


def _told(report: Report) -> set[tuple[str, str, str]]:
    return {(finding.kind, finding.table, finding.name) for finding in report.findings}


def test_all_kinds_are_made_and_serve_their_paths(shop: Place) -> None:
    assert set(_words(look(shop, ALL)).values()) == {"missing"}
    before = measure(shop, ALL)
    assert all(one.within is None and one.without is not None for one in before)
    done = apply(shop, ALL)
    assert (done.names, done.faults) == (tuple(index.name for index in ALL), {})
    report = look(shop, ALL)
    assert report.complete, [(state.index.name, state.word, state.why) for state in report.states]
    assert apply(shop, ALL).names == ()
    assert _sql(shop, "SELECT count(*) FROM pg_inherits h JOIN pg_index i ON i.indexrelid = h.inhrelid") == [(3,)]
    # As it was before they were made, and with each of them hidden from one transaction.
    for one in [*measure(shop, ALL[:7], before=before), *measure(shop, ALL[:7])]:
        assert one.within is not None and one.within.used, one
        assert one.without is not None and not one.without.used, one
    assert _sql(shop, "SELECT count(*) FROM pg_index WHERE NOT indisvalid") == [(0,)]


def test_the_oldest_server_does_the_same(debian: Postgres) -> None:
    with _filled(debian) as place:
        some = (OPEN, WORDS, PARTS, LINES, MIXED)
        assert (apply(place, some).faults, look(place, some).complete) == ({}, True)
        (hidden,) = measure(place, [OPEN])
        assert hidden.within is not None and hidden.within.used
        assert hidden.without is not None and not hidden.without.used


def test_what_does_not_pay_is_said_plainly(shop: Place) -> None:
    apply(shop, [USELESS, CUSTOMER])
    (useless,) = measure(shop, [USELESS])
    assert verdict(useless) == "not used by its path"
    assert useless.within is not None and "Seq Scan on orders" in useless.within.nodes
    assert useless.to_json()["verdict"] == "not used by its path"
    twin = Index(name="ix_orders_twin", table="orders", on=CUSTOMER.on, path=CUSTOMER.path)
    apply(shop, [twin])
    # Without one its twin serves the path as well.
    (customer,) = measure(shop, [CUSTOMER])
    assert customer.without is not None and customer.without.nodes[0].endswith(" on ix_orders_twin")
    few = Index(name="ix_few", table="few", on=("a",), path=_path("SELECT * FROM few WHERE a = 1"))
    _sql(shop, "CREATE TABLE few (a int)")
    apply(shop, [few])
    assert verdict(measure(shop, [few])[0]) == "too few rows to tell"
    broken = Index(name="ix_orders_at", table="orders", on=("at",), path=_path("SELECT nothing FROM orders"))
    assert "its path fails" in measure(shop, [broken])[0].why


@pytest.mark.parametrize(
    ("without", "within", "used", "said"),
    [
        (10.0, 0.5, True, "pays: 20 times faster"),
        (1.0, 0.5, True, "pays: 2.0 times faster"),
        (0.6, 0.5, True, "does not pay"),
        (10.0, 0.5, False, "not used by its path"),
        (None, 0.5, True, "used"),
        (10.0, None, True, "not measured"),
    ],
)
def test_a_verdict_is_plain(without: float | None, within: float | None, used: bool, said: str) -> None:
    times = [None if one is None else Timing(one, (), None, used) for one in (without, within)]
    measured = Measured(CUSTOMER, 5000, *times)
    assert verdict(measured) == measured.to_json()["verdict"] == said


def test_nothing_is_written_by_a_path_that_is_measured(shop: Place) -> None:
    writes = _path("WITH gone AS (DELETE FROM orders RETURNING id) SELECT count(*) FROM gone")
    index = Index(name="ix_orders_at", table="orders", on=("at",), path=writes)
    assert "read-only transaction" in measure(shop, [index])[0].why
    assert _sql(shop, "SELECT count(*) FROM orders") == [(ROWS,)]


def test_statistics_and_definitions_are_told(shop: Place) -> None:
    _sql(
        shop,
        "CREATE INDEX ix_dup ON orders (customer); CREATE INDEX ix_dup2 ON orders (customer);"
        "CREATE INDEX ix_part ON orders (customer) WHERE state = 'open';"
        "CREATE INDEX ix_desc ON orders (customer DESC)",
    )
    apply(shop, [CUSTOMER])
    told = _told(look(shop, [CUSTOMER]))
    assert {one for one in told if one[0] == "duplicate"} == {
        ("duplicate", "orders", "ix_dup"),
        ("duplicate", "orders", "ix_dup2"),
    }
    assert ("unused", "orders", "ix_part") in told
    assert ("missing", "lines", "") in told  # its foreign key
    _sql(shop, "CREATE INDEX ON lines (order_id, at)")
    assert ("missing", "lines", "") not in _told(look(shop, [CUSTOMER]))


def test_a_large_table_that_is_read_in_full_is_told(shop: Place) -> None:
    _sql(shop, f"{MORE}; ANALYZE orders")
    for _ in range(25):
        _sql(shop, "SELECT count(*) FROM orders WHERE note = 'x'")
    found = [one for one in look(shop, []).findings if one.table == "orders" and not one.name]
    assert len(found) == 1 and "were read in full" in found[0].what


def test_statements_that_read_a_large_table_for_few_rows_are_told(shop: Place) -> None:
    _sql(shop, f"CREATE EXTENSION pg_stat_statements; {MORE}; ANALYZE orders")
    with psycopg.connect(_url(shop), autocommit=True) as connection:
        for number in range(25):
            connection.execute("SELECT id FROM orders WHERE customer = %s AND at > %s", (number, 1))
            connection.execute("SELECT count(*) FROM orders WHERE state <> %s", ("open",))
    found = [one for one in look(shop, []).findings if "Asked" in one.what]
    assert len(found) == 1, found
    assert "customer = $1" in found[0].what and "customer" in found[0].mend


def test_one_that_is_another_than_declared_is_replaced_when_that_is_wanted(shop: Place) -> None:
    _sql(shop, "CREATE INDEX ix_orders_customer ON orders (customer)")
    state = look(shop, [CUSTOMER]).states[0]
    assert state.word == "different" and "(customer), not" in state.why
    assert apply(shop, [CUSTOMER]).names == ()
    assert apply(shop, [CUSTOMER], replace=True).names == ("ix_orders_customer",)
    assert look(shop, [CUSTOMER]).complete
    names = _sql(shop, "SELECT relname FROM pg_class WHERE relname LIKE 'ix_orders_customer%'")
    assert names == [("ix_orders_customer",)]
    # Killed between dropping the old one and naming the new one as it.
    _sql(shop, "ALTER INDEX ix_orders_customer RENAME TO ix_orders_customer_new")
    assert apply(shop, [CUSTOMER]).names == ("ix_orders_customer",)
    assert look(shop, [CUSTOMER]).complete


def test_a_broken_one_is_dropped_and_made_anew(shop: Place) -> None:
    unique = Index(name="ux_orders_note", table="orders", on=("note",), unique=True, path=_path("SELECT 1"))
    _sql(shop, "UPDATE orders SET note = 'note 1' WHERE id = 2")
    done = apply(shop, [unique])
    assert "Rows that are there already break it" in str(done.faults["ux_orders_note"])
    assert "note 1" not in str(done.faults["ux_orders_note"])
    assert _words(look(shop, [unique])) == {"ux_orders_note": "missing"}
    with pytest.raises(psycopg.errors.UniqueViolation):
        _sql(shop, "CREATE UNIQUE INDEX CONCURRENTLY ux_orders_note ON orders (note)")
    assert _words(look(shop, [unique])) == {"ux_orders_note": "invalid"}
    assert ("invalid", "orders", "ux_orders_note") in _told(look(shop, []))
    _sql(shop, "UPDATE orders SET note = 'note 2' WHERE id = 2")
    assert apply(shop, [unique]).names == ("ux_orders_note",)
    assert look(shop, [unique]).complete


def test_half_of_a_partitioned_one_is_completed(shop: Place) -> None:
    _sql(shop, "CREATE INDEX ix_lines_at ON ONLY lines (at)")
    _sql(shop, "CREATE INDEX ix_lines_at_0 ON lines_0 (at)")
    assert look(shop, [LINES]).states[0].why == "on 0 of 2 partitions"
    _sql(shop, "ALTER INDEX ix_lines_at ATTACH PARTITION ix_lines_at_0")
    assert look(shop, [LINES]).states[0].why == "on 1 of 2 partitions"
    assert apply(shop, [LINES]).names == ("ix_lines_at",)
    assert look(shop, [LINES]).complete
    _sql(shop, "CREATE INDEX ix_lines_order ON lines (order_id)")
    other = Index(name="ix_lines_order", table="lines", on=("order_id", "at"), path=_path("SELECT 1"))
    assert "Declare it by a new name" in str(apply(shop, [other], replace=True).faults["ix_lines_order"])


def test_who_waits_for_a_transaction_says_for_whom_and_gives_up(shop: Place) -> None:
    seen: list[Progress] = []
    with psycopg.connect(_url(shop), application_name="sleeper") as holder:
        holder.execute("UPDATE orders SET at = at WHERE id = 1")
        done = apply(shop, [CUSTOMER], limits=Limits(patience=0.5), watch=seen.append)
        assert "sleeper, idle in transaction" in str(done.faults["ix_orders_customer"])
        assert any("sleeper" in progress.waits_for for progress in seen)
        # To drop what is left of it would have to wait for the same one.
        assert _words(look(shop, [CUSTOMER])) == {"ix_orders_customer": "invalid"}
        again = apply(shop, [CUSTOMER], limits=Limits(patience=0.2))
        assert "end their transactions" in str(again.faults["ix_orders_customer"])
    assert apply(shop, [CUSTOMER]).names == ("ix_orders_customer",)


def test_two_do_not_make_indexes_at_once(shop: Place) -> None:
    seen: list[Progress] = []
    with psycopg.connect(_url(shop), application_name="holder") as other:
        other.execute("SELECT pg_advisory_lock(%s)", (LOCK,))
        with pytest.raises(BedplateError, match=r"holder.* makes indexes in this database"):
            apply(shop, [CUSTOMER], limits=Limits(patience=0.3), watch=seen.append)
        assert seen[0].phase == "waiting for another run"
    results: list[tuple[str, ...]] = []

    def work() -> None:
        results.append(apply(shop, [CUSTOMER, OPEN]).names)

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    # Whoever came second found nothing left to do.
    assert sorted(results, key=len) == [(), ("ix_orders_customer", "ix_orders_open")]


def test_a_pooler_or_a_replica_is_no_place_to_make_indexes(server: Postgres, shop: Place) -> None:
    with pgbouncer(server) as bouncer:
        behind = Place(bouncer.url(_url(shop)))
        assert _words(look(behind, [CUSTOMER])) == {"ix_orders_customer": "missing"}
        with pytest.raises(BedplateError, match=r"A pooler stands between.*--url"):
            apply(behind, [CUSTOMER])
    with replica(server) as follower:
        copy = Place(follower.url(_url(shop).rpartition("@/")[2].partition("?")[0]))
        with pytest.raises(BedplateError, match="This is a replica"):
            apply(copy, [CUSTOMER])


def test_who_may_not_is_told_what_to_ask_for(server: Postgres, shop: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    _sql(shop, "DROP ROLE IF EXISTS clerk_of_indexes; CREATE ROLE clerk_of_indexes LOGIN")
    _sql(shop, "GRANT SELECT ON orders TO clerk_of_indexes")
    _sql(shop, f"REVOKE CREATE ON DATABASE {_url(shop).rpartition('@/')[2].partition('?')[0]} FROM public")
    clerk = Place(_url(shop).replace("postgres@", "clerk_of_indexes@"))
    done = apply(clerk, [CUSTOMER, PARTS])
    assert "must own the table" in str(done.faults["ix_orders_customer"])
    assert 'CREATE EXTENSION "pg_trgm"' in str(done.faults["ix_orders_parts"])
    apply(shop, [CUSTOMER])
    assert "--drop-to-compare" in measure(clerk, [CUSTOMER])[0].why
    _sql(shop, "ALTER TABLE orders OWNER TO clerk_of_indexes")
    dropped = measure(clerk, [CUSTOMER], drop=True)[0].without
    assert dropped is not None and dropped.nodes == ("Seq Scan on orders",)
    assert look(shop, [CUSTOMER]).complete
    # Others wait for that, and not for longer than was said, be it for the samples.
    sample = """SELECT 7 AS customer
    WHERE to_regclass('ix_orders_customer') IS NOT NULL OR current_setting('statement_timeout') <> '1min'"""
    brief = Index(name=CUSTOMER.name, table="orders", on=CUSTOMER.on, path=_path(CUSTOMER.path.statement, sample))
    assert measure(clerk, [brief], drop=True)[0].without is not None
    monkeypatch.setattr("bedplate.database.indexes.measure.DROPPED", 0.001)
    late = measure(clerk, [CUSTOMER], drop=True)[0]
    assert late.without is None and "kept waiting" in late.why
    assert look(shop, [CUSTOMER]).complete
    missing = Index(name="ix_x", table="orders", on=("at",), extensions=("uuid-ossp",), path=_path("SELECT 1"))
    assert "does not have the extension uuid-ossp (UUIDs" in str(apply(shop, [missing]).faults["ix_x"])
    assert apply(shop, [Index(name="ix_y", table="nowhere", on=("a",), path=_path("SELECT 1"))]).names == ()


def test_a_column_that_keeps_words_is_added_to_small_tables_alone(shop: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    path = _path("SELECT id FROM orders WHERE {matches}", {"words": "77"})
    index = full_text("ix_orders_vector", "orders", ["note"], path=path, vector="note_words")
    monkeypatch.setattr("bedplate.database.indexes.build.REWRITTEN", 1000)
    assert "ALTER TABLE" in str(apply(shop, [index]).faults["ix_orders_vector"])
    monkeypatch.undo()
    assert apply(shop, [index]).names == ("ix_orders_vector",)
    assert look(shop, [index]).complete
    within = measure(shop, [index])[0].within
    assert within is not None and within.used


def test_a_lock_that_others_would_queue_behind_is_asked_for_shortly(shop: Place) -> None:
    seen: list[Progress] = []
    with psycopg.connect(_url(shop), application_name="writer") as writer:
        writer.execute("UPDATE lines SET at = at WHERE id = 1")
        done = apply(shop, [LINES], limits=Limits(lock=0.05, patience=0.4), watch=seen.append)
    assert "writer" in str(done.faults["ix_lines_at"])
    assert any(progress.phase == "waiting for a lock" for progress in seen)
    assert apply(shop, [LINES]).names == ("ix_lines_at",)


def test_what_is_no_database_is_refused() -> None:
    for url, what in (
        ("mysql://x", "no database that Bedplate knows"),
        ("postgresql://nobody@127.0.0.1:1/x", "reached"),
    ):
        with pytest.raises(BedplateError, match=what):
            look(Place(url), [])
