"""The key log names every row that was written, whoever wrote it and however, and only if it was committed."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest

from bedplate.database.cutover import CutoverError, KeyLog

Connection = psycopg.Connection[Any]
LEVELS = ("READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE")
TABLE = """CREATE TABLE orders (id int PRIMARY KEY, "its organisation" int NOT NULL, note text);
CREATE TABLE children (order_id int REFERENCES orders ON DELETE CASCADE ON UPDATE CASCADE, id int PRIMARY KEY);
INSERT INTO orders SELECT i, i, 'a' FROM generate_series(1, 100) i; INSERT INTO children VALUES (50, 1)"""

#: A statement, and the ids that it writes.
WRITES: tuple[tuple[str, set[int]], ...] = (
    ("INSERT INTO orders VALUES (101, 1, 'b'), (102, 1, 'b')", {101, 102}),
    ("UPDATE orders SET note = 'c' WHERE id BETWEEN 7 AND 9", {7, 8, 9}),
    ("UPDATE orders SET id = id + 1000 WHERE id IN (3, 4)", {3, 4, 1003, 1004}),
    ("DELETE FROM orders WHERE id IN (5, 50)", {5, 50}),
    ("INSERT INTO orders VALUES (7, 1), (201, 1) ON CONFLICT (id) DO UPDATE SET note = 'd'", {7, 201}),
    ("INSERT INTO orders VALUES (7, 1) ON CONFLICT DO NOTHING", set()),
    (
        """MERGE INTO orders USING (VALUES (8), (301)) v(k) ON id = k WHEN MATCHED THEN DELETE
        WHEN NOT MATCHED THEN INSERT VALUES (k, 1)""",
        {8, 301},
    ),
    (
        "WITH gone AS (DELETE FROM orders WHERE id = 11 RETURNING *) INSERT INTO orders SELECT 401, 1 FROM gone",
        {11, 401},
    ),
)


@pytest.mark.parametrize("role", ["origin", "replica"])
@pytest.mark.parametrize("level", LEVELS)
def test_whatever_is_written_is_logged(connection: Connection, level: str, role: str) -> None:
    connection.execute(TABLE)
    log = KeyLog(connection, "orders")
    log.create()
    connection.execute(f"SET session_replication_role = {role}".encode())
    connection.execute(f"SET default_transaction_isolation = '{level}'".encode())
    for statement, ids in WRITES:
        connection.execute(f"DELETE FROM {log.sql}".encode())
        connection.execute(statement.encode())
        keys = log.keys(1000)
        assert keys is not None and {int(key[0] or 0) for key in keys} == ids, statement
    connection.execute(f"DELETE FROM {log.sql}".encode())
    with connection.cursor().copy("COPY orders FROM STDIN") as copy:
        copy.write(b"501\t1\tx\n502\t1\ty\n")
    assert sorted(log.keys(1000) or []) == [("501",), ("502",)]
    connection.execute("TRUNCATE orders CASCADE")
    assert log.keys(1000) is None


def test_what_was_not_committed_is_not_logged(connection: Connection) -> None:
    connection.execute(TABLE)
    log = KeyLog(connection, "orders")
    log.create()
    with connection.transaction(force_rollback=True):
        connection.execute("DELETE FROM orders")
    assert log.keys(10) == []


def test_a_key_of_several_columns_with_any_name_is_logged(connection: Connection) -> None:
    connection.execute(TABLE)
    log = KeyLog(connection, "orders", ["id", "its organisation"])
    log.create()
    connection.execute('UPDATE orders SET "its organisation" = 900 WHERE id = 9')
    assert sorted(log.keys(10) or []) == [("9", "9"), ("9", "900")]


def test_a_log_is_made_small_with_keys_that_only_the_server_can_hold(connection: Connection) -> None:
    connection.execute("CREATE TABLE prices (id interval, until timestamptz, note text, PRIMARY KEY (id, until))")
    log = KeyLog(connection, "prices")
    log.create()
    connection.execute("INSERT INTO prices VALUES ('1 mon -1 day', 'infinity')")
    # As if many had come and gone.
    connection.execute("INSERT INTO prices_keys SELECT '1 day', now() FROM generate_series(1, 30000)")
    connection.execute("DELETE FROM prices_keys WHERE k0 = '1 day'")
    assert log.shrink() > 0
    assert log.keys(10) == [("1 mon -1 days", "infinity")]


def test_writers_need_no_right_on_the_log(connection: Connection) -> None:
    connection.execute(TABLE)
    KeyLog(connection, "orders").create()
    connection.execute("CREATE ROLE writer; GRANT SELECT, UPDATE ON orders TO writer; SET SESSION AUTHORIZATION writer")
    connection.execute("UPDATE orders SET note = 'x' WHERE id = 1")
    connection.execute("RESET SESSION AUTHORIZATION; DROP OWNED BY writer; DROP ROLE writer")
    assert KeyLog(connection, "orders").keys(10) == [("1",)]


def test_a_write_that_began_before_the_log_ends_before_it(connection: Connection) -> None:
    connection.execute(TABLE)
    log = KeyLog(connection, "orders")
    with psycopg.connect(connection.info.dsn) as writer:
        writer.execute("DELETE FROM orders WHERE id = 1")
        # It would miss this one, so it is not made while it is open.
        with pytest.raises(psycopg.errors.LockNotAvailable):
            log.create(patience=0.01)
        assert connection.execute("SELECT to_regclass('orders_keys')").fetchone() == (None,)
    log.create()
    # A snapshot from before the log sees no log, and writes into it all the same.
    log.drop()
    with psycopg.connect(connection.info.dsn) as writer:
        writer.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        writer.execute("SELECT 1")
        log.create()
        writer.execute("DELETE FROM orders WHERE id = 2")
    assert log.keys(10) == [("2",)]


def test_it_goes_without_a_trace(connection: Connection) -> None:
    connection.execute(TABLE)
    count = "SELECT (SELECT count(*) FROM pg_class), (SELECT count(*) FROM pg_trigger), (SELECT count(*) FROM pg_proc)"
    before = connection.execute(count).fetchone()
    log = KeyLog(connection, "orders")
    log.create()
    log.drop()
    log.drop()
    assert connection.execute(count).fetchone() == before
    connection.execute("CREATE TABLE keyless (a int)")
    for table, columns in (("keyless", ()), ("orders", ("nothing",))):
        with pytest.raises(CutoverError, match="identifies"):
            KeyLog(connection, table, columns)
