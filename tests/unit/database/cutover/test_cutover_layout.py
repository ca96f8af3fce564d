"""The partitioned twin of a table: it has all that the table has, as the catalog tells it."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest

from bedplate.database.cutover import CutoverError, Plan, layout, unlike
from bedplate.problems import DeclarationError
from tests.postgres import Postgres

Connection = psycopg.Connection[Any]

ODD = """
CREATE SCHEMA "Odd Schema";
CREATE TYPE "Odd Schema"."Mood" AS ENUM ('good', 'it''s bad');
CREATE DOMAIN "Odd Schema".cents AS bigint CHECK (VALUE > -1000000);
CREATE ROLE reader; CREATE ROLE keeper; CREATE ROLE stranger;
ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO stranger;
CREATE TABLE currencies (code char(3) PRIMARY KEY);
CREATE SEQUENCE numbers START 5;
CREATE TABLE "Odd Schema"."My ""Table"" %s" (
    gone int,
    id bigint GENERATED ALWAYS AS IDENTITY (START WITH 7 INCREMENT BY 3 CACHE 5),
    "Organisation %" bigint NOT NULL,
    currency char(3) NOT NULL DEFAULT 'EUR' REFERENCES currencies ON UPDATE CASCADE ON DELETE RESTRICT DEFERRABLE,
    amount numeric(14, 2) NOT NULL CHECK (amount <> 0),
    "from" text COLLATE "C" DEFAULT 'it''s \\ %s "so"',
    number int NOT NULL DEFAULT nextval('numbers'),
    mood "Odd Schema"."Mood"[] DEFAULT ARRAY['good']::"Odd Schema"."Mood"[],
    cents "Odd Schema".cents,
    twice numeric GENERATED ALWAYS AS (amount * 2) STORED,
    made timestamptz(3) NOT NULL DEFAULT now(),
    document jsonb NOT NULL DEFAULT '{}',
    CONSTRAINT "its rule" CHECK ("from" <> 'x' OR cents > 0) NO INHERIT,
    CONSTRAINT late UNIQUE NULLS NOT DISTINCT (number, "from") INCLUDE (amount) DEFERRABLE INITIALLY DEFERRED,
    CONSTRAINT with_key UNIQUE ("Organisation %", number),
    PRIMARY KEY (id)
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.05, toast.autovacuum_enabled = false);
ALTER TABLE "Odd Schema"."My ""Table"" %s" DROP gone, ALTER document SET STORAGE EXTERNAL,
    ALTER "from" SET COMPRESSION pglz, ALTER made SET STATISTICS 500, ALTER made SET (n_distinct = -0.5),
    ADD CONSTRAINT unsure CHECK (cents < 10) NOT VALID, REPLICA IDENTITY FULL;
CREATE INDEX ON "Odd Schema"."My ""Table"" %s" USING gin (document jsonb_path_ops) WITH (fastupdate = off);
CREATE INDEX "by lower" ON "Odd Schema"."My ""Table"" %s" (lower("from") DESC NULLS LAST, made) INCLUDE (amount)
    WHERE amount > 10;
CREATE UNIQUE INDEX once ON "Odd Schema"."My ""Table"" %s" (upper("from")) NULLS NOT DISTINCT WHERE number > 3;
CREATE STATISTICS "its statistics" (ndistinct, mcv) ON number, currency FROM "Odd Schema"."My ""Table"" %s";
GRANT SELECT, INSERT ON "Odd Schema"."My ""Table"" %s" TO reader WITH GRANT OPTION;
GRANT UPDATE (amount, "from") ON "Odd Schema"."My ""Table"" %s" TO PUBLIC;
REVOKE TRUNCATE ON "Odd Schema"."My ""Table"" %s" FROM CURRENT_USER;
REVOKE ALL ON "Odd Schema"."My ""Table"" %s" FROM stranger;
COMMENT ON TABLE "Odd Schema"."My ""Table"" %s" IS 'it''s \\ odd';
COMMENT ON COLUMN "Odd Schema"."My ""Table"" %s".amount IS 'of money';
COMMENT ON CONSTRAINT late ON "Odd Schema"."My ""Table"" %s" IS 'checked late';
COMMENT ON INDEX "Odd Schema"."by lower" IS 'for search';
ALTER TABLE "Odd Schema"."My ""Table"" %s" OWNER TO keeper;
"""
NAME = '"Odd Schema"."My ""Table"" %s"'


def test_the_twin_of_an_odd_table_is_like_it(connection: Connection) -> None:
    _odd(connection)


def test_so_it_is_on_the_oldest_server(oldest: Postgres) -> None:
    with psycopg.connect(oldest.database(), autocommit=True) as connection:
        _odd(connection)


def _odd(connection: Connection) -> None:
    connection.execute(ODD.encode())
    cutover = Plan(tables=NAME, key="Organisation %", partitions=4)
    plan = layout(connection, cutover, NAME)
    assert "PARTITION BY HASH" in plan.text
    plan.execute(connection)
    assert unlike(connection, plan, 4) == []
    for table in (NAME, plan.twin):
        connection.execute(
            f'INSERT INTO {table} ("Organisation %", amount, "from") SELECT i, i + 1, i FROM generate_series(1, 50) i'
            .replace("INSERT", "INSERT INTO currencies VALUES ('EUR') ON CONFLICT DO NOTHING; INSERT", 1).encode()
        )  # fmt: skip
    with pytest.raises(psycopg.errors.CheckViolation):
        connection.execute(f'INSERT INTO {plan.twin} ("Organisation %", amount) VALUES (1, 0)'.encode())
    # Roles are the server's, which other tests share.
    connection.execute("DROP OWNED BY reader, keeper, stranger CASCADE; DROP ROLE reader, keeper, stranger")


CHANGES = {
    "order": "ALTER TABLE twin ADD more int",
    "default": "ALTER TABLE twin ALTER amount SET DEFAULT 3",
    "nullable": "ALTER TABLE twin ALTER amount DROP NOT NULL",
    "type": "ALTER TABLE twin ALTER amount TYPE bigint",
    "check": "ALTER TABLE twin DROP CONSTRAINT positive",
    "index": "CREATE INDEX ON twin (amount)",
    "no index": "DROP INDEX moved_amount_made_idx_partitioned",
    "grant": "GRANT SELECT ON twin TO PUBLIC",
    "comment": "COMMENT ON COLUMN twin.amount IS 'x'",
    "partition": "DROP TABLE moved_p001",
    "storage": "ALTER TABLE moved_p001 SET (fillfactor = 50)",
    "source": "ALTER TABLE moved ALTER made SET DEFAULT '2000-01-01'",
}


def test_whatever_is_not_the_same_is_told(connection: Connection) -> None:
    connection.execute(
        """CREATE TABLE moved (id bigserial PRIMARY KEY, organisation int NOT NULL,
        amount int NOT NULL CONSTRAINT positive CHECK (amount > 0), made date); CREATE INDEX ON moved (amount, made)"""
    )
    plan = layout(connection, Plan(tables="moved", key="organisation", partitions=3), "moved")
    for what, change in CHANGES.items():
        with connection.transaction(force_rollback=True):
            plan.execute(connection)
            assert unlike(connection, plan, 3) == [], what
            connection.execute("SET LOCAL search_path TO DEFAULT")
            connection.execute(change.replace("twin", "moved_partitioned").encode())
            assert len(unlike(connection, plan, 3)) == 1, what


def test_a_lookup_by_the_old_key_alone_keeps_an_index(connection: Connection) -> None:
    connection.execute("CREATE TABLE found (id bigserial PRIMARY KEY, organisation int NOT NULL)")
    plan = layout(connection, Plan(tables="found", key="organisation", partitions=2), "found")
    plan.execute(connection)
    connection.execute("SET enable_seqscan = off")
    rows = connection.execute("EXPLAIN SELECT * FROM found_partitioned WHERE id = 7").fetchall()
    assert "Seq Scan" not in str(rows)
    assert plan.notes[-1] == "found_pkey is unique for each organisation only."
    # The sequence is shared: no number comes twice, whichever table is written to.
    ids = [
        connection.execute(f"INSERT INTO {table} (organisation) VALUES (1) RETURNING id".encode()).fetchone()
        for table in ("found", "found_partitioned", "found")
    ]
    assert ids == [(1,), (2,), (3,)]


@pytest.mark.parametrize(
    ("definition", "words"),
    [
        ("(id int, organisation int NOT NULL)", "no primary key"),
        ("(id int PRIMARY KEY, organisation int)", "allows NULL in organisation"),
        ("(id int PRIMARY KEY)", "no column organisation"),
        ("(id int PRIMARY KEY, organisation int NOT NULL, up int REFERENCES refused)", "foreign key to itself"),
        ("(id int PRIMARY KEY, organisation int NOT NULL, EXCLUDE (id WITH =))", "exclusion"),
        ("(id int PRIMARY KEY, organisation int NOT NULL) PARTITION BY HASH (id)", "partitioned already"),
    ],
)
def test_a_table_that_cannot_have_a_twin_is_refused_in_words(shared: Connection, definition: str, words: str) -> None:
    with shared.transaction(force_rollback=True):
        shared.execute(f"CREATE TABLE refused {definition}".encode())
        with pytest.raises(CutoverError, match=words):
            layout(shared, Plan(tables="refused", key="organisation"), "refused")


def test_a_twin_is_there_as_a_whole_or_not_at_all(connection: Connection) -> None:
    connection.execute("CREATE TABLE half (id int PRIMARY KEY, organisation int NOT NULL); CREATE TABLE half_p001 ()")
    plan = layout(connection, Plan(tables="half", key="organisation", partitions=2), "half")
    with pytest.raises(psycopg.errors.DuplicateTable):
        plan.execute(connection)
    assert connection.execute("SELECT to_regclass('half_partitioned')").fetchone() == (None,)


def test_long_names_stay_apart(connection: Connection) -> None:
    for last in "ab":
        name = "n" * 62 + last
        connection.execute(f"CREATE TABLE {name} (id int PRIMARY KEY, organisation int NOT NULL)".encode())
        plan = layout(connection, Plan(tables=name, key="organisation", partitions=2), name)
        plan.execute(connection)
        assert unlike(connection, plan, 2) == []


def test_a_declaration_that_cannot_be_right_is_refused() -> None:
    for wrong in ({"tables": ()}, {"tables": ("a", "a")}, {"key": ""}, {"partitions": 1}):
        with pytest.raises(DeclarationError):
            Plan(**{"tables": "orders", "key": "organisation", **wrong})  # type: ignore[arg-type]
    assert Plan(tables="orders", key="organisation").tables == ("orders",)
