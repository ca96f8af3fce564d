"""Whatever is written to a table, however and by whom, its triggers write to the twin as well."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest

from bedplate.database.cutover import CutoverError, Plan, preflight
from bedplate.database.cutover.dualwrite import DualWrites, Tombstones, removed
from bedplate.database.cutover.steps import backfill, capture, index, keylog, pairs, prepare
from bedplate.database.cutover.work import Stopped, Work
from tests.moving import LEVELS, apart, moving
from tests.postgres import Postgres

Connection = psycopg.Connection[Any]
PLAN = Plan(tables='"The orders"', key="its organisation", partitions=2, mode="dual-write")

#: Names that the language of triggers uses, too; an identity that only OVERRIDING may set; computed columns.
_TABLE = """CREATE TABLE "The orders" (id int PRIMARY KEY, "its organisation" int NOT NULL, note text,
    gone text DEFAULT '', written numeric, new int, number bigint GENERATED ALWAYS AS IDENTITY,
    twice numeric GENERATED ALWAYS AS (id * 2) STORED,
    found text UNIQUE DEFERRABLE, CHECK (id <> 666))"""
_ROWS = """INSERT INTO "The orders" (id, "its organisation", note, found)
    SELECT i, i % 5, 'a', i FROM generate_series(1, 100) i"""

_STATEMENTS = (
    """INSERT INTO "The orders" VALUES (101, 1, 'b'), (102, 1, 'b')""",
    """INSERT INTO "The orders" (id, "its organisation", number) OVERRIDING SYSTEM VALUE VALUES (103, 1, 7000)""",
    """INSERT INTO "The orders" SELECT i, i % 7, 'bulk' FROM generate_series(1001, 1100) i""",
    """UPDATE "The orders" SET id = id - 1 WHERE id BETWEEN 1001 AND 1003""",
    """INSERT INTO "The orders" SELECT i, i % 7, 'none' FROM generate_series(1, 0) i""",
    """UPDATE "The orders" SET note = 'c', written = 1.0 WHERE id BETWEEN 7 AND 9""",
    """UPDATE "The orders" SET written = 1.00 WHERE id = 7""",
    """UPDATE "The orders" SET id = id + 2000 WHERE id IN (3, 4)""",
    """UPDATE "The orders" SET "its organisation" = "its organisation" + 1 WHERE id % 3 = 0""",
    """DELETE FROM "The orders" WHERE id IN (5, 50)""",
    """DELETE FROM "The orders" WHERE id BETWEEN 1010 AND 1050""",
    """INSERT INTO "The orders" VALUES (7, 2), (201, 1) ON CONFLICT (id) DO UPDATE SET note = 'd', new = 3""",
    """INSERT INTO "The orders" VALUES (7, 2) ON CONFLICT DO NOTHING""",
    """MERGE INTO "The orders" USING (VALUES (8), (301)) v(k) ON id = k WHEN MATCHED THEN DELETE
    WHEN NOT MATCHED THEN INSERT VALUES (k, 1)""",
    # The insert ends before the delete does: its trigger fires first, with the same key.
    """WITH away AS (DELETE FROM "The orders" WHERE id IN (11, 12) RETURNING *)
    INSERT INTO "The orders" SELECT id, "its organisation", 'anew' FROM away LIMIT 1""",
    """DELETE FROM "The orders" WHERE id = 20; INSERT INTO "The orders" VALUES (20, 0, 'x');
    UPDATE "The orders" SET "its organisation" = 1 WHERE id = 20""",
    """SAVEPOINT a; DELETE FROM "The orders" WHERE id < 60; ROLLBACK TO a""",
)


@pytest.fixture
def url(server: Postgres) -> str:
    made = server.database()
    with psycopg.connect(made, autocommit=True) as opened:
        opened.execute(_TABLE)
        opened.execute(_ROWS)
    return made


@contextmanager
def begun(url: str) -> Iterator[tuple[Work, Tombstones]]:
    with moving(url, PLAN) as work:
        prepare(work)
        capture(work)
        (pair,) = pairs(work.connection, PLAN)
        yield work, Tombstones(work.connection, DualWrites(work.connection, pair))


def _apart(connection: Connection, columns: str = "t::text") -> int:
    """Count what differs to the last digit."""
    return apart(connection, '"The orders" t', '"The orders_partitioned" t', columns)


def _copied(work: Work) -> None:
    """Copy all rows, and stop before triggers are strict."""
    work.pace.rests = 0  # type: ignore[attr-defined]
    with pytest.raises(Stopped):
        backfill(work)
    work.pace.rests = None  # type: ignore[attr-defined]


@pytest.mark.parametrize("role", ["origin", "replica"])
def test_every_statement_is_written_twice(url: str, connection: Connection, role: str) -> None:
    with begun(url) as (work, tombstones):
        _copied(work)
        for strict in (False, True):
            if strict:
                backfill(work)
                index(work)
            connection.execute(f"SET session_replication_role = {role}".encode())
            for number, statement in enumerate(_STATEMENTS):
                connection.execute(f"SET default_transaction_isolation = '{LEVELS[number % 3]}'".encode())
                with connection.transaction():
                    for part in statement.split("; "):
                        connection.execute(part.encode())
                while not strict and tombstones.count():
                    tombstones.reap()
                assert _apart(connection) == 0, statement
            with connection.cursor().copy('COPY "The orders" (id, "its organisation") FROM STDIN') as copy:
                copy.write("".join(f"{number}\t{number % 5}\n" for number in range(4000, 4100)))
            assert _apart(connection) == 0
            connection.execute('TRUNCATE "The orders" RESTART IDENTITY')
            connection.execute(_ROWS)
            assert _apart(connection) == 0


def test_a_table_is_emptied_before_its_rows_are_copied(url: str, connection: Connection) -> None:
    with begun(url) as (work, tombstones):
        _copied(work)
        connection.execute('DELETE FROM "The orders" WHERE id = 5')
        connection.execute('TRUNCATE "The orders"')
        connection.execute("""INSERT INTO "The orders" VALUES (5, 0, 'anew'), (6, 0, 'new')""")
        assert tombstones.reap() == 1
        backfill(work)
        assert _apart(connection) == 0


def test_reaping_keeps_up_however_slow_the_server_is(url: str, connection: Connection) -> None:
    with begun(url) as (work, tombstones):
        _copied(work)
        for _ in range(15):
            connection.execute('INSERT INTO "The orders" SELECT i, 1 FROM generate_series(5001, 5020) i')
            connection.execute('DELETE FROM "The orders" WHERE id > 5000')
            # However short it is wanted to be: fewer at once would not be quicker.
            assert tombstones.reap(1e-9) == 20
        assert tombstones.count() == 0 and _apart(connection) == 0


def test_writers_need_no_right_on_the_twin_and_its_row_security_is_not_in_their_way(
    url: str, connection: Connection
) -> None:
    with begun(url) as (work, tombstones):
        _copied(work)
        connection.execute("""ALTER TABLE "The orders_partitioned" ENABLE ROW LEVEL SECURITY;
            CREATE POLICY nobody ON "The orders_partitioned" USING (false);
            DROP ROLE IF EXISTS clerk; CREATE ROLE clerk; GRANT SELECT, INSERT, UPDATE, DELETE ON "The orders" TO clerk;
            REVOKE ALL ON "The orders_partitioned" FROM clerk""")
        for strict in (False, True):
            if strict:
                backfill(work)
            # A name of the writer's own must not be taken for one of the system's.
            connection.execute("""SET SESSION AUTHORIZATION clerk; CREATE TEMP TABLE pg_class (a int);
                SET search_path = pg_temp, public""")
            connection.execute("""INSERT INTO "The orders" VALUES (900, 1, 'clerk'), (901, 1, 'clerk')""")
            connection.execute("""UPDATE "The orders" SET "its organisation" = 2, note = 'changed' WHERE id = 900""")
            connection.execute('DELETE FROM "The orders" WHERE id >= 900')
            connection.execute("RESET search_path; DROP TABLE pg_temp.pg_class; RESET SESSION AUTHORIZATION")
            while not strict and tombstones.count():
                tombstones.reap()
            assert _apart(connection) == 0
        connection.execute("DROP OWNED BY clerk; DROP ROLE clerk")


def test_rows_that_the_twin_lacks_or_has_too_many_never_refuse_a_write(url: str, connection: Connection) -> None:
    with begun(url) as (work, _):
        backfill(work)
        connection.execute("""INSERT INTO "The orders_partitioned" (id, "its organisation")
            SELECT i, i % 5 FROM generate_series(1000, 1050) i""")
        connection.execute('DELETE FROM "The orders_partitioned" WHERE id < 50')
        with connection.transaction():
            connection.execute('DELETE FROM "The orders" WHERE id < 20')
            connection.execute("""UPDATE "The orders" SET note = 'x' WHERE id < 60""")
            connection.execute('INSERT INTO "The orders" SELECT i, i % 5 FROM generate_series(990, 1050) i')
        assert _apart(connection, 'id, "its organisation", note') == 0


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ('DROP CONSTRAINT "The orders_pkey", ADD PRIMARY KEY (id) DEFERRABLE', "deferrable"),
        ('OWNER TO keeper_of_twins; REVOKE INSERT ON "The orders" FROM keeper_of_twins', "right to INSERT"),
        ('OWNER TO keeper_of_twins; ALTER TABLE "The orders" FORCE ROW LEVEL SECURITY', "row security"),
    ],
)
def test_what_cannot_be_moved_so_is_refused_in_words(url: str, connection: Connection, change: str, words: str) -> None:
    connection.execute("DROP ROLE IF EXISTS keeper_of_twins; CREATE ROLE keeper_of_twins")
    connection.execute(f'ALTER TABLE "The orders" {change}'.encode())
    blockers = [one.what for one in preflight(connection, PLAN).findings if one.code == "no-dual-writes"]
    with moving(url, PLAN) as work, pytest.raises(CutoverError, match=words):
        prepare(work)
        capture(work)
    # Rights on the twin are known when it is there, everything else before anything is touched.
    assert words == "right to INSERT" or words in blockers[0]
    connection.execute("DROP OWNED BY keeper_of_twins; DROP ROLE keeper_of_twins")


def test_it_goes_without_a_trace(url: str, connection: Connection) -> None:
    count = "SELECT (SELECT count(*) FROM pg_class), (SELECT count(*) FROM pg_trigger), (SELECT count(*) FROM pg_proc)"
    with moving(url, PLAN) as work:
        prepare(work)
        before = connection.execute(count).fetchone()
        (pair,) = pairs(work.connection, PLAN)
        assert DualWrites(work.connection, pair).phase == "none"
        capture(work)
        keylog(work.connection, pair, of=pair.shadow).drop()
        assert DualWrites(work.connection, pair).phase == "lenient"
        for _ in range(2):
            for statement in removed(work.connection, pair):
                connection.execute(statement.encode())
        connection.execute('ALTER TABLE "The orders_partitioned" DROP CONSTRAINT "The orders_pkey_partitioned"')
        assert connection.execute(count).fetchone() == before
        with pytest.raises(CutoverError, match="gone"):
            capture(work)


def test_triggers_that_were_disabled_are_not_trusted(url: str, connection: Connection) -> None:
    with begun(url) as (work, _):
        connection.execute('ALTER TABLE "The orders" DISABLE TRIGGER bedplate_dual_delete')
        for step in (capture, backfill):
            with pytest.raises(CutoverError, match="disabled"):
                step(work)
