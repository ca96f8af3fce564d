"""What is bound to a table goes where its name goes, there and back, and does nothing on what only follows."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest

from bedplate.database.cutover import CutoverError, Plan, preflight
from bedplate.database.cutover.asking import transaction
from bedplate.database.cutover.catalog import read
from bedplate.database.cutover.steps import tend
from bedplate.database.cutover.switch import carried, finalize, rollback, switch
from bedplate.database.cutover.switch.sides import sides
from tests.moving import apart
from tests.postgres import Postgres
from tests.switching import brought, switching

Connection = psycopg.Connection[Any]
PLAN = Plan(tables="sales.orders", key="organization_id", partitions=3)

#: Everything that a cutover carries over, on one table.
BOUND = """
CREATE SCHEMA sales;
CREATE TABLE places (id int PRIMARY KEY);
INSERT INTO places SELECT generate_series(1, 9);
CREATE TABLE audit (what text);
CREATE TABLE sales.orders (
    id bigint GENERATED ALWAYS AS IDENTITY (START 500), organization_id int NOT NULL, "its note" text,
    place int CONSTRAINT has_place REFERENCES places, doubtful int, number serial,
    PRIMARY KEY (organization_id, id));
INSERT INTO sales.orders (organization_id, "its note", place)
    SELECT i % 5, 'n' || i, i % 9 + 1 FROM generate_series(1, 60) i;
INSERT INTO sales.orders (organization_id, doubtful) VALUES (1, 77);
ALTER TABLE sales.orders ADD CONSTRAINT doubted FOREIGN KEY (doubtful) REFERENCES places NOT VALID;
COMMENT ON CONSTRAINT has_place ON sales.orders IS 'where it is';
CREATE STATISTICS sales.together ON organization_id, place FROM sales.orders;
CREATE TABLE parts (order_id bigint, organization_id int, CONSTRAINT of_order FOREIGN KEY (organization_id, order_id)
    REFERENCES sales.orders ON DELETE CASCADE);
INSERT INTO parts SELECT id, organization_id FROM sales.orders LIMIT 5;
CREATE FUNCTION tell() RETURNS trigger LANGUAGE plpgsql AS
    'BEGIN INSERT INTO public.audit VALUES (TG_NAME); RETURN NULL; END';
CREATE FUNCTION shout() RETURNS trigger LANGUAGE plpgsql AS
    'BEGIN NEW."its note" = upper(NEW."its note"); RETURN NEW; END';
CREATE TRIGGER told AFTER INSERT OR UPDATE OR DELETE ON sales.orders FOR EACH ROW EXECUTE FUNCTION tell();
CREATE TRIGGER " ON odd" BEFORE INSERT OR UPDATE OF "its note" ON sales.orders FOR EACH ROW
    WHEN (NEW."its note" <> 'quiet') EXECUTE FUNCTION shout();
CREATE TRIGGER counted AFTER INSERT ON sales.orders REFERENCING NEW TABLE AS n FOR EACH STATEMENT
    EXECUTE FUNCTION tell();
CREATE TRIGGER asleep AFTER INSERT ON sales.orders FOR EACH ROW EXECUTE FUNCTION tell();
CREATE CONSTRAINT TRIGGER late AFTER INSERT ON sales.orders DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
    EXECUTE FUNCTION tell();
ALTER TABLE sales.orders DISABLE TRIGGER asleep;
ALTER TABLE sales.orders ENABLE ALWAYS TRIGGER told;
COMMENT ON TRIGGER told ON sales.orders IS 'tells';
CREATE VIEW seen WITH (security_barrier, check_option = 'local') AS
    SELECT id, organization_id, "its note" AS note FROM sales.orders WHERE id > 0;
CREATE VIEW seen_again AS SELECT count(*) AS n FROM seen;
GRANT SELECT ON seen, seen_again TO guest;
CREATE FUNCTION counting() RETURNS bigint BEGIN ATOMIC SELECT count(*) FROM sales.orders; END;
CREATE PUBLICATION told FOR TABLE sales.orders (organization_id, id, "its note") WHERE (organization_id > 0)
    WITH (publish_via_partition_root);
CREATE POLICY mine ON sales.orders AS PERMISSIVE FOR ALL TO guest
    USING (organization_id = current_setting('app.organization', true)::int);
CREATE POLICY no_zero ON sales.orders AS RESTRICTIVE FOR INSERT TO PUBLIC WITH CHECK (organization_id <> 0);
COMMENT ON POLICY mine ON sales.orders IS 'each its own';
ALTER TABLE sales.orders ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
GRANT USAGE ON SCHEMA sales TO guest;
GRANT SELECT, INSERT ON sales.orders TO guest;
GRANT USAGE ON SEQUENCE sales.orders_id_seq, sales.orders_number_seq TO guest;
ANALYZE sales.orders"""


def test_everything_goes_over_there_and_back(either: Postgres) -> None:
    url = either.database()
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("DROP ROLE IF EXISTS guest; CREATE ROLE guest")
        connection.execute(BOUND)
        old = either.programs.parent.name == "15"
        if old:
            # Partitions cannot have one that rows break, before 18.
            connection.execute(
                "UPDATE sales.orders SET doubtful = 7; ALTER TABLE sales.orders VALIDATE CONSTRAINT doubted"
            )
            connection.execute("DELETE FROM audit")
        found = preflight(connection, PLAN)
        assert found.ready, found.findings
        wanted = {
            "foreign-key",
            "incoming-key",
            "view",
            "trigger",
            "row-security",
            "publication-via-root",
            "function-body",
        }
        assert wanted <= {one.code for one in found.findings}
        before = _dumped(connection)
        with switching(url, PLAN) as work:
            brought(work)
            assert _told(connection) == []
            for turn in (switch,) if old else (switch, rollback, switch):
                turn(work)
                _all_is_as_before(connection)
                assert _dumped(connection) == before
                with transaction(work.connection):
                    (side,) = sides(work.connection, PLAN)
                    assert list(carried.unlike(work.connection, side.live, side.other)) == []
                while tend(work).total:
                    pass
                assert _told(connection) == []
                assert apart(connection, side.live.sql, side.other.sql) == 0
            done = finalize(work)
        assert len(done.dropped) == 1 and "orders_legacy" in done.dropped[0]
        _all_is_as_before(connection)
        assert _dumped(connection) == before
        connection.execute("DROP SCHEMA sales CASCADE; DROP TABLE audit, parts; DROP OWNED BY guest; DROP ROLE guest")


def _all_is_as_before(connection: Connection) -> None:
    """Use all of it; whatever is written is removed again."""
    connection.execute("DELETE FROM audit")
    row = connection.execute(
        'INSERT INTO sales.orders (organization_id, "its note", place) VALUES (2, \'loud\', 3) RETURNING id, "its note"'
    ).fetchone()
    assert row is not None and row[1] == "LOUD"
    assert _told(connection) == ["counted", "late", "told"]
    count = connection.execute("SELECT count(*), max(id) FROM sales.orders").fetchone()
    assert count is not None and count[1] == row[0]
    for how in ("SELECT n FROM seen_again", "SELECT counting()", "SELECT count(*) FROM seen"):
        assert connection.execute(how.encode()).fetchone() == count[:1]
    connection.execute("INSERT INTO parts VALUES (%s, 2)", (row[0],))
    for wrong in (
        "INSERT INTO parts VALUES (-1, 2)",
        "INSERT INTO sales.orders (organization_id, place) VALUES (2, 99)",
        "INSERT INTO sales.orders (organization_id, doubtful) VALUES (2, 99)",
        "DELETE FROM places WHERE id = 3",
    ):
        with pytest.raises(psycopg.errors.ForeignKeyViolation):
            connection.execute(wrong.encode())
    with connection.transaction(force_rollback=True):
        connection.execute("SET LOCAL ROLE guest; SET LOCAL app.organization = 3")
        assert connection.execute("SELECT DISTINCT organization_id FROM sales.orders").fetchall() == [(3,)]
        with pytest.raises(psycopg.errors.InsufficientPrivilege), connection.transaction():
            connection.execute("INSERT INTO sales.orders (organization_id) VALUES (0)")
        assert connection.execute("SELECT nextval('sales.orders_id_seq') > 0").fetchone() == (True,)
    connection.execute("DELETE FROM sales.orders WHERE id = %s AND organization_id = 2", (row[0],))
    assert connection.execute("SELECT count(*) FROM parts WHERE order_id = %s", (row[0],)).fetchone() == (0,)
    connection.execute("DELETE FROM audit")


def _told(connection: Connection) -> list[str]:
    return sorted(row[0] for row in connection.execute("SELECT what FROM audit").fetchall())


def _dumped(connection: Connection) -> Any:
    """What people see of all that is bound to the table, by its name."""
    oid = "'sales.orders'::regclass"
    return [
        sorted(map(str, connection.execute(statement.encode()).fetchall()))
        for statement in (
            f"""SELECT tgname, pg_get_triggerdef(oid), tgenabled, obj_description(oid, 'pg_trigger') FROM pg_trigger
            WHERE tgrelid = {oid} AND NOT tgisinternal AND tgname !~ '^bedplate'""",
            "SELECT policyname, permissive, roles, cmd, qual, with_check FROM pg_policies WHERE tablename = 'orders'",
            f"SELECT relrowsecurity, relforcerowsecurity, relowner FROM pg_class WHERE oid = {oid}",
            """SELECT relname, pg_get_viewdef(oid), reloptions, relacl FROM pg_class
            WHERE relkind = 'v' AND relname ~ '^seen'""",
            "SELECT pubname, schemaname, tablename, attnames, rowfilter FROM pg_publication_tables",
            f"""SELECT conname, pg_get_constraintdef(oid), convalidated, obj_description(oid, 'pg_constraint')
            FROM pg_constraint WHERE conparentid = 0 AND contype = 'f' AND (conrelid = {oid} OR confrelid = {oid})""",
            "SELECT grantee, privilege_type FROM information_schema.table_privileges WHERE table_name = 'orders'",
            "SELECT relname, relacl FROM pg_class WHERE relname IN ('orders_id_seq', 'orders_number_seq')",
            f"SELECT stxname FROM pg_statistic_ext WHERE stxrelid = {oid}",
            "SELECT pg_get_serial_sequence('sales.orders', 'id'), pg_get_serial_sequence('sales.orders', 'number')",
        )
    ]


def test_a_trigger_that_cannot_be_on_partitions_is_told_before_the_lock(url: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection, switching(url) as work:
        brought(work)
        connection.execute(
            """CREATE FUNCTION t() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
            CREATE TRIGGER rows AFTER INSERT ON orders REFERENCING NEW TABLE AS n FOR EACH ROW EXECUTE FUNCTION t()"""
        )
        with pytest.raises(CutoverError, match="Triggers for each row use transition tables: rows"):
            switch(work)


def test_foreign_keys_among_the_tables_of_a_plan_go_with_them(url: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection, switching(url) as work:
        connection.execute(
            """ALTER TABLE orders DROP CONSTRAINT orders_pkey, ADD PRIMARY KEY (organization_id, id);
            ALTER TABLE lines ADD order_id bigint,
              ADD CONSTRAINT of_order FOREIGN KEY (organization_id, order_id) REFERENCES orders ON DELETE CASCADE"""
        )
        brought(work)
        for turn in (switch, rollback, switch):
            turn(work)
            connection.execute("INSERT INTO lines (organization_id, order_id) SELECT organization_id, id FROM orders")
            with pytest.raises(psycopg.errors.ForeignKeyViolation):
                connection.execute("INSERT INTO lines (organization_id, order_id) VALUES (1, -1)")
            connection.execute("DELETE FROM orders WHERE id % 3 = 0")
            while tend(work).total:
                pass
        assert apart(connection, "lines", "lines_legacy") == 0
        finalize(work)


def test_who_lost_a_right_on_a_table_keeps_those_on_its_columns(url: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("DROP ROLE IF EXISTS guest_of_columns; CREATE ROLE guest_of_columns")
        # PostgreSQL takes those on all columns away with the one on the table.
        connection.execute(
            """GRANT SELECT (id) ON orders TO guest_of_columns; GRANT UPDATE ON orders TO guest_of_columns;
            GRANT SELECT, SELECT (id, note) ON lines TO guest_of_columns"""
        )
        with transaction(connection):
            live, shadow = (read(connection, f"public.{name}") for name in ("orders", "lines"))
            for statement in carried.grants(live, shadow):
                connection.execute(statement.encode())
            assert read(connection, "public.lines").grants == live.grants
        connection.execute("DROP OWNED BY guest_of_columns; DROP ROLE guest_of_columns")
