"""The look before a cutover finds each thing that stands in the way, says its cost and mend, and touches nothing."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from typer.testing import CliRunner

from bedplate.cli import app
from bedplate.database.cutover import CutoverError, Plan, preflight
from bedplate.database.cutover.keylog import KeyLog
from bedplate.database.cutover.preflight.statements import conflicts, prunes, touches
from tests.postgres import Postgres, postgres

Connection = psycopg.Connection[Any]
CUTOVER = Plan(tables="orders", key="organisation", partitions=4)
PLAIN = "CREATE TABLE orders (id int, organisation int NOT NULL, note text, PRIMARY KEY (organisation, id));"

FINDINGS = {
    "unsupported": "CREATE TABLE orders (id int PRIMARY KEY, organisation int)",
    "unhashable-key": "CREATE TABLE orders (id int PRIMARY KEY, organisation tsvector NOT NULL)",
    "odd-equality": "CREATE EXTENSION citext; CREATE DOMAIN code AS citext; CREATE TABLE orders (id code PRIMARY KEY, "
    "organisation int NOT NULL)",
    "percent": 'ALTER TABLE orders ADD "share %" int',
    "unique-without-key": "CREATE TABLE orders (id int PRIMARY KEY, organisation int NOT NULL)",
    "incoming-foreign-key": "ALTER TABLE orders ADD UNIQUE (id); CREATE TABLE o (a int REFERENCES orders (id))",
    "incoming-key": "CREATE TABLE o (a int, b int, FOREIGN KEY (a, b) REFERENCES orders (organisation, id))",
    "foreign-key": "CREATE TABLE o (a int PRIMARY KEY); ALTER TABLE orders ADD FOREIGN KEY (id) REFERENCES o",
    "view": "CREATE VIEW seen AS SELECT * FROM orders",
    "view-of-others": "CREATE VIEW seen AS SELECT * FROM orders; CREATE ROLE passing; GRANT ALL ON orders TO passing; "
    "ALTER TABLE orders OWNER TO passing; GRANT CREATE ON SCHEMA public TO passing; SET LOCAL ROLE passing",
    "view-by-primary-key": "CREATE VIEW seen AS SELECT note FROM orders GROUP BY organisation, id",
    "materialized-view": "CREATE MATERIALIZED VIEW seen AS SELECT * FROM orders",
    "rule": "CREATE RULE quiet AS ON DELETE TO orders DO INSTEAD NOTHING",
    "trigger": "CREATE TRIGGER t BEFORE UPDATE ON orders FOR EACH ROW "
    "EXECUTE FUNCTION suppress_redundant_updates_trigger()",
    "trigger-of-rows": "CREATE FUNCTION t() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'; "
    "CREATE TRIGGER t AFTER INSERT ON orders REFERENCING NEW TABLE AS n FOR EACH ROW EXECUTE FUNCTION t()",
    "row-security": "ALTER TABLE orders ENABLE ROW LEVEL SECURITY",
    "row-security-of-worker": "ALTER TABLE orders ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY; "
    "CREATE ROLE passing; ALTER TABLE orders OWNER TO passing; GRANT CREATE ON SCHEMA public TO passing; "
    "SET LOCAL ROLE passing",
    "rights-of-owner": "REVOKE USAGE ON SCHEMA public FROM PUBLIC; CREATE ROLE passing; "
    "ALTER TABLE orders OWNER TO passing",
    "sequence-of-others": "ALTER TABLE orders ALTER id ADD GENERATED ALWAYS AS IDENTITY; "
    "CREATE TABLE o (a bigint DEFAULT nextval('orders_id_seq'))",
    "policy-elsewhere": "CREATE TABLE o (a int); CREATE POLICY p ON o USING (EXISTS (SELECT FROM orders WHERE id = a))",
    "publication": "CREATE PUBLICATION told FOR TABLE orders",
    "publication-via-root": "CREATE PUBLICATION told FOR TABLE orders WITH (publish_via_partition_root)",
    "publication-of-all": "CREATE PUBLICATION told FOR TABLES IN SCHEMA public",
    "inheritance": "CREATE TABLE child () INHERITS (orders)",
    "function": "CREATE FUNCTION f(orders) RETURNS int LANGUAGE sql AS 'SELECT 1'",
    "function-body": "CREATE FUNCTION f() RETURNS bigint BEGIN ATOMIC SELECT count(*) FROM orders; END",
    "row-type": "CREATE TABLE o (a orders[])",
    "not-validated": "ALTER TABLE orders ADD CONSTRAINT c CHECK (id > 0) NOT VALID",
    "sequence": "ALTER TABLE orders ALTER id ADD GENERATED ALWAYS AS IDENTITY",
    "generated": "ALTER TABLE orders ADD g int GENERATED ALWAYS AS (id * 2) STORED",
    "name-taken": "CREATE TABLE orders_p002 ()",
    "few-values": "INSERT INTO orders SELECT i, i % 2 FROM generate_series(1, 99) i; ANALYZE orders",
    "skew": "INSERT INTO orders SELECT i, greatest(i, 30) FROM generate_series(1, 50) i; ANALYZE orders",
    "no-statistics": "SELECT 1",
    "no-statements": "SELECT 1",
    "on-conflict": "CREATE FUNCTION f() RETURNS void LANGUAGE plpgsql AS 'BEGIN INSERT INTO orders VALUES (1, 1) "
    "ON CONFLICT (id) DO NOTHING; END'",
}  # fmt: skip
BLOCK = """unsupported unhashable-key odd-equality percent rights-of-owner sequence-of-others
    incoming-foreign-key view-of-others
    view-by-primary-key materialized-view rule trigger-of-rows row-security-of-worker
    policy-elsewhere publication inheritance function row-type name-taken on-conflict""".split()


@pytest.mark.parametrize("code", FINDINGS)
def test_what_stands_in_the_way_is_found(shared: Connection, code: str) -> None:
    statement = FINDINGS[code]
    with shared.transaction(force_rollback=True):
        if "TABLE orders (" not in statement:
            shared.execute(PLAIN.encode())
        shared.execute(statement.encode())
        before = _catalog(shared)
        found = preflight(shared, CUTOVER)
        one = next(one for one in found.findings if one.code == code)
        assert all((one.what, one.cost, one.mend, one.table.startswith("public.orders")))
        assert (one.severity == "blocker") == (code in BLOCK)
        assert found.ready == (code not in BLOCK)
        assert _catalog(shared) == before


@pytest.mark.parametrize(
    "taken",
    [
        "TABLE orders_keys_truncated_back (a int)",
        "TYPE orders_partitioned AS ENUM ('a')",
        "FUNCTION orders_fence() RETURNS int LANGUAGE sql AS 'SELECT 1'",
        "VIEW orders_pkey_legacy AS SELECT 1",
        "SEQUENCE orders_pkey_partitioned_p001",
    ],
)
def test_every_name_that_a_cutover_needs_must_be_free(shared: Connection, taken: str) -> None:
    with shared.transaction(force_rollback=True):
        shared.execute(PLAIN.encode())
        shared.execute(f"CREATE {taken}".encode())
        (one,) = (one for one in preflight(shared, CUTOVER).findings if one.code == "name-taken")
        assert one.what == f"There is a {taken.split()[1]} already."


def test_what_a_cutover_left_whose_tables_were_dropped_by_hand_is_in_nobodys_way(connection: Connection) -> None:
    connection.execute(PLAIN.encode())
    KeyLog(connection, "orders").create()
    connection.execute("DROP TABLE orders, orders_keys, orders_keys_truncated")
    connection.execute(PLAIN.encode())
    assert not [one for one in preflight(connection, CUTOVER).findings if one.code == "name-taken"]


def test_texts_that_are_equal_though_written_otherwise_tell_no_rows_apart(oldest: Postgres) -> None:
    # Whose build knows such collations.
    with psycopg.connect(oldest.database(), autocommit=True) as connection:
        connection.execute(
            """CREATE COLLATION loose (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
            CREATE TYPE mood AS ENUM ('good');
            CREATE TABLE orders (id text COLLATE loose, mood mood, moods mood[], organisation int NOT NULL,
                PRIMARY KEY (id, mood, moods))"""
        )
        found = [one.what for one in preflight(connection, CUTOVER).findings if one.code == "odd-equality"]
        assert found == ["id tells rows apart by an equality of its own, that of the collation loose."]


def test_a_table_has_one_name_in_a_plan(shared: Connection) -> None:
    with shared.transaction(force_rollback=True):
        shared.execute(PLAIN.encode())
        twice = Plan(tables=("orders", "public.orders"), key="organisation", partitions=4)
        assert "twice" in {one.code for one in preflight(shared, twice).findings if one.severity == "blocker"}


def test_indexes_that_are_used_without_the_key_are_found(connection: Connection) -> None:
    connection.execute(f"{PLAIN} CREATE INDEX i ON orders (note); SET enable_seqscan = off".encode())
    connection.execute("SELECT count(*) FROM orders WHERE note = 'a'")
    connection.execute("SELECT pg_stat_force_next_flush()")
    assert [one.code for one in preflight(connection, CUTOVER).findings if one.code == "index-used"]


def _catalog(connection: Connection) -> Any:
    return connection.execute("SELECT oid, relname, xmin::text FROM pg_class ORDER BY oid").fetchall()


def test_a_plain_table_may_go_and_is_estimated(connection: Connection) -> None:
    connection.execute(PLAIN.encode())
    connection.execute("INSERT INTO orders SELECT i, i FROM generate_series(1, 10000) i; ANALYZE orders")
    found = preflight(connection, CUTOVER, free=10**9)
    assert found.ready and {one.code for one in found.findings} == {"no-statements"}
    (estimate,) = found.estimates
    assert (estimate.rows, estimate.disk) == (10000, estimate.size)
    assert estimate.size > 400_000 and 0 < estimate.seconds < 1 and estimate.locks == 12
    refused = preflight(connection, CUTOVER, free=1000)
    assert [one.code for one in refused.findings if one.severity == "blocker"] == ["disk"]
    with pytest.raises(CutoverError, match="no table nowhere"):
        preflight(connection, Plan(tables="nowhere", key="id"))


def test_rows_are_estimated_before_there_are_statistics_of_them(connection: Connection) -> None:
    connection.execute(PLAIN.encode())
    connection.execute("INSERT INTO orders SELECT i, i FROM generate_series(1, 10000) i")
    (estimate,) = preflight(connection, CUTOVER).estimates
    assert 5_000 < estimate.rows < 20_000 and estimate.seconds > 0
    connection.execute("ANALYZE orders; INSERT INTO orders SELECT i, i FROM generate_series(10001, 50000) i")
    (estimate,) = preflight(connection, CUTOVER).estimates
    assert 45_000 < estimate.rows < 55_000


def test_only_the_owner_may(connection: Connection) -> None:
    connection.execute(PLAIN.encode())
    connection.execute("CREATE ROLE passer; SET SESSION AUTHORIZATION passer")
    assert {"rights", "transactions-hidden"} <= {one.code for one in preflight(connection, CUTOVER).findings}
    connection.execute("RESET SESSION AUTHORIZATION; DROP ROLE passer")


@pytest.fixture(scope="module")
def counting() -> Iterator[Postgres]:
    with postgres(18, "shared_preload_libraries=pg_stat_statements") as running:
        yield running


def test_statements_that_break_or_read_everything_are_found(counting: Postgres) -> None:
    with psycopg.connect(counting.database(), autocommit=True) as connection:
        connection.execute("CREATE EXTENSION pg_stat_statements")
        connection.execute("CREATE TABLE orders (id int PRIMARY KEY, organisation int NOT NULL, note text)")
        connection.execute("INSERT INTO orders VALUES (1, 1) ON CONFLICT (id) DO NOTHING")
        connection.execute("SELECT note FROM orders WHERE id = 7")
        connection.execute("SELECT note FROM orders WHERE organisation = 7 AND id = 7")
        found = preflight(connection, CUTOVER).findings
    told = [(one.code, one.what) for one in found if one.code in ("on-conflict", "unpruned", "no-statements")]
    assert [code for code, _ in told] == ["on-conflict", "unpruned"]
    assert "ON CONFLICT (id)" in told[0][1] and "WHERE id = $1" in told[1][1]


@pytest.mark.parametrize(
    ("statement", "whether"),
    [
        ("SELECT * FROM orders WHERE organisation = $1", True),
        ('SELECT * FROM orders o WHERE o."organisation" = ANY($1)', True),
        ("DELETE FROM orders WHERE organisation IN ($1, $2)", True),
        ("SELECT * FROM a JOIN orders o ON a.x = o.organisation", True),
        ("INSERT INTO orders (organisation) VALUES ($1)", True),
        ("SELECT organisation FROM orders WHERE id = $1", False),
        ("SELECT * FROM orders WHERE organisation > $1", False),
        ("SELECT * FROM orders WHERE note = 'organisation = 1' -- organisation = 1", False),
        ("UPDATE orders SET note = $1 WHERE id = $2", False),
    ],
)
def test_whether_a_statement_gives_the_key(statement: str, whether: bool) -> None:
    assert prunes(statement, "organisation") is whether
    assert touches(statement, "orders") and not touches(statement, "order")


def test_whose_conflict_has_the_key() -> None:
    assert conflicts("INSERT … ON CONFLICT (organisation, id) DO NOTHING", "organisation") is None
    assert conflicts("INSERT … ON CONFLICT DO NOTHING", "organisation") is None
    assert conflicts("insert … on  conflict (id) do nothing", "organisation") == "on conflict (id)"
    assert conflicts("… ON CONFLICT ON CONSTRAINT orders_pkey DO", "organisation") is not None


def test_the_commands_say_it_and_exit_by_it(server: Postgres, monkeypatch: pytest.MonkeyPatch) -> None:
    url = server.database()
    monkeypatch.setenv("DATABASE_URL", url)
    monkeypatch.setenv("COLUMNS", "200")
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(PLAIN.encode())
        connection.execute("CREATE TABLE copy (LIKE orders INCLUDING ALL); INSERT INTO orders VALUES (5, 1)")

    def said(status: int, *words: str) -> str:
        done = CliRunner().invoke(app, ["cutover", *words])
        assert done.exit_code == status, done.output
        return done.output

    how = ("orders", "--key", "organisation", "--partitions", "2")
    assert "Nothing refuses it." in said(0, "preflight", *how)
    assert json.loads(said(0, "preflight", *how, "--json"))["ready"] is True
    assert "PARTITION BY HASH" in said(0, "layout", *how)
    assert len(json.loads(said(0, "layout", *how, "--json"))) == 1
    assert "nothing" in said(1, "preflight", "orders", "--key", "nothing")
    assert "missing organisation=1, id=5" in said(1, "compare", "orders", "copy")
    assert json.loads(said(0, "compare", "copy", "copy", "--json"))["equal"] is True
    assert "no table" in said(2, "compare", "orders", "nowhere")
    assert "cannot be reached" in said(2, "preflight", "orders", "--url", "postgresql://localhost:1/x")
    assert "PostgreSQL" in said(2, "preflight", "orders", "--url", "sqlite:///x")
    monkeypatch.delenv("DATABASE_URL")
    assert "DATABASE_URL" in said(2, "preflight", "orders")
