"""The switch and the way back lose nothing, whoever writes meanwhile, and happen as a whole or not at all."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest

from bedplate.database.cutover import CutoverError, Plan
from bedplate.database.cutover.asking import transaction
from bedplate.database.cutover.catalog import read
from bedplate.database.cutover.preflight.taken import names_of
from bedplate.database.cutover.steps import backfill, capture, index, prepare, sync, tend, verify
from bedplate.database.cutover.switch import finalize, rollback, switch, undo
from bedplate.database.cutover.work import Work
from tests.moving import apart
from tests.postgres import Postgres, pgbouncer
from tests.switching import PLAN, TABLES, Meanwhile, brought, owners, rows, switching

Connection = psycopg.Connection[Any]


def _kinds(connection: Connection) -> dict[str, str]:
    found = connection.execute(
        "SELECT relname, relkind::text FROM pg_class WHERE relname ~ '^(orders|lines)(_legacy)?$'"
    ).fetchall()
    return dict(found)


SWITCHED = {"orders": "p", "lines": "p", "orders_legacy": "r", "lines_legacy": "r"}
BEFORE = {"orders": "r", "lines": "r"}


def test_nothing_is_lost_on_the_way_there_back_and_there_again(either: Postgres) -> None:
    url = either.database()
    with psycopg.connect(url, autocommit=True) as connection, pgbouncer(either) as pooler:
        connection.execute(TABLES)
        with switching(url) as work, owners(url, pooler.url(url)) as writing:
            brought(work)
            turns = [(switch, SWITCHED), (rollback, BEFORE), (switch, SWITCHED)]
            # Once is enough on another server; all of it is in the faults.
            for turn, kinds in turns if either.programs.parent.name != "15" else turns[:1]:
                done = turn(work)
                assert done.held > 0 and done.attempts >= 1
                assert kinds.items() <= _kinds(connection).items()
                counts = [one.done for one in writing]
                while any(one.done < count + 5 for one, count in zip(writing, counts, strict=True)):
                    assert not any(one.failed for one in writing), [one.failed for one in writing]
                    tend(work)
            assert work.journal.state == "switched"
            for one in writing:
                one.join()
            while tend(work).total:
                pass
            assert verify(work).equal
        for table in PLAN.tables:
            wanted = {key: value for one in writing for key, value in one.model.items() if key[0] == table}
            assert rows(connection, table) == wanted == rows(connection, table, f"{table}_legacy")
            assert apart(connection, table, f"{table}_legacy") == 0


def test_numbers_and_names_go_on(url: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection, switching(url) as work:
        before = _names(connection)
        there = _made(connection)
        wanted = _wanted(connection, work.plan)
        brought(work)
        ids = []
        for turn in (switch, rollback, switch, finalize):
            # Whatever comes to be has a name that preflight looks for.
            assert _made(connection) - there <= wanted
            turn(work)
            for table in PLAN.tables:
                row = connection.execute(f"INSERT INTO {table} (organization_id) VALUES (1) RETURNING id".encode())
                ids.append(row.fetchone())
        # Of both tables in turn, four times.
        assert ids == [(number,) for number in (301, 302, 303, 304) for _ in PLAN.tables]
        assert before <= _names(connection)
        assert connection.execute("SELECT pg_get_serial_sequence('lines', 'id')").fetchone() == ("public.lines_id_seq",)
        assert _kinds(connection) == {"orders": "p", "lines": "p"} and work.journal.state == "finalized"
        assert not connection.execute(
            "SELECT proname FROM pg_proc WHERE pronamespace = 'public'::regnamespace"
        ).fetchall()
        assert not connection.execute("SELECT tgname FROM pg_trigger").fetchall()


def test_names_of_dual_writes_are_looked_for_too(url: str) -> None:
    plan = Plan(tables="orders", key="organization_id", partitions=2, mode="dual-write")
    with psycopg.connect(url, autocommit=True) as connection, switching(url, plan) as work:
        there, wanted = _made(connection), _wanted(connection, plan)
        for step in (prepare, capture, backfill, index, sync):
            step(work)
            assert _made(connection) - there <= wanted
        assert {"orders_tombstones", "orders_dual_insert", "orders_keys_truncated_back"} <= wanted


def _wanted(connection: Connection, plan: Plan) -> set[str]:
    found: set[str] = set()
    for name in plan.tables:
        with transaction(connection):
            relations, functions = names_of(connection, read(connection, name), plan)
        found |= relations | functions
    return found


def _made(connection: Connection) -> set[str]:
    """Names in the schema, but for those that PostgreSQL chooses so that they are free."""
    chosen = "_(partitioned_id_seq|p\\d+_pkey)$"
    return {
        row[0]
        for row in connection.execute(
            """SELECT name FROM (SELECT relname, relnamespace FROM pg_class UNION ALL
            SELECT proname, pronamespace FROM pg_proc UNION ALL SELECT stxname, stxnamespace FROM pg_statistic_ext)
            AS all_of_them (name, schema) WHERE schema = 'public'::regnamespace AND name !~ %s""",
            (chosen,),
        )
    }


def test_a_name_that_somebody_has_taken_since_is_told_before_the_lock(ready: str) -> None:
    with psycopg.connect(ready, autocommit=True) as other, switching(ready) as work:
        other.execute("CREATE TABLE unrelated (a int); CREATE INDEX orders_note_legacy ON unrelated (a)")
        with pytest.raises(CutoverError, match="There is a orders_note_legacy in public"):
            switch(work)
        other.execute("DROP TABLE unrelated")
        switch(work)


def _names(connection: Connection) -> set[Any]:
    return set(connection.execute("SELECT c.relname FROM pg_class c WHERE relname ~ '_(pkey|note|id_seq)$'").fetchall())


def test_what_is_bound_by_other_means_ends_a_cutover(ready: str) -> None:
    with psycopg.connect(ready, autocommit=True) as connection, switching(ready) as work:
        with pytest.raises(CutoverError, match="not switched"):
            finalize(work)
        switch(work)
        with pytest.raises(CutoverError, match="It is switched"):
            undo(work)
        connection.execute("CREATE VIEW old AS SELECT * FROM lines_legacy")
        with pytest.raises(CutoverError, match="depends on"):
            finalize(work)
        assert _kinds(connection) == SWITCHED and work.journal.state == "switched"
        connection.execute("UPDATE orders SET note = 'still followed' WHERE id = 7; DROP VIEW old")
        while tend(work).total:
            pass
        assert apart(connection, "orders", "orders_legacy") == 0
        done = finalize(work, keep="_2026")
        assert done.kept == ('"public"."orders_2026"', '"public"."lines_2026"') and not done.dropped
        assert apart(connection, "orders", "orders_2026") == 0
        connection.execute("DELETE FROM orders; DROP TABLE lines_2026; INSERT INTO lines (organization_id) VALUES (1)")


@pytest.mark.parametrize("how_far", [1, 3, 4])
def test_what_a_cutover_made_is_undone_and_nothing_else(url: str, how_far: int) -> None:
    steps: list[Callable[[Work], Any]] = [lambda work: None, prepare, capture, backfill, _there_and_back]
    with psycopg.connect(url, autocommit=True) as connection:
        before = _catalog(connection)
        with switching(url) as work:
            for step in steps[: how_far + 1]:
                step(work)
            connection.execute("INSERT INTO orders (organization_id, note) VALUES (1, 'meanwhile')")
            undo(work)
            undo(work)
            assert work.journal.state == "none"
        connection.execute("DROP TABLE progress")
        assert _catalog(connection) == before
        assert connection.execute("SELECT count(*) FROM orders WHERE note = 'meanwhile'").fetchone() == (1,)


def _there_and_back(work: Work) -> None:
    brought(work)
    switch(work)
    rollback(work)


def _catalog(connection: Connection) -> Any:
    return connection.execute(
        """SELECT 'table', relname, relkind::text FROM pg_class WHERE relnamespace = 'public'::regnamespace
        UNION ALL SELECT 'function', proname, '' FROM pg_proc WHERE pronamespace = 'public'::regnamespace
        UNION ALL SELECT 'trigger', tgname, tgrelid::regclass::text FROM pg_trigger ORDER BY 1, 2, 3"""
    ).fetchall()


def test_whoever_holds_a_table_is_named_and_not_disturbed(ready: str) -> None:
    with psycopg.connect(ready, application_name="a report") as holder, switching(ready) as work:
        holder.execute("SELECT count(*) FROM orders")
        pid = holder.info.backend_pid
        with pytest.raises(CutoverError, match=f"process {pid} .a report, postgres., idle in transaction") as told:
            switch(work, within=0.3)
        assert f"SELECT pg_terminate_backend({pid})" in told.value.mend
        # While it waited for one lock after the other nothing was changed, and others went on.
        with psycopg.connect(ready, autocommit=True) as other:
            assert BEFORE.items() <= _kinds(other).items() and work.journal.state == "verified"
            other.execute("INSERT INTO orders (organization_id) VALUES (1)")
        holder.commit()
        assert switch(work).attempts >= 1


def test_a_lock_that_is_not_free_soon_is_given_up(ready: str) -> None:
    with psycopg.connect(ready) as holder, switching(ready) as work:
        # Too young to be noticed before it is waited for.
        at = Meanwhile(work, lambda: holder.execute("SELECT count(*) FROM lines"))
        with pytest.raises(CutoverError, match="cannot be locked"):
            switch(at.work, within=0.3)
        assert work.journal.state == "verified" and at.times >= 1
        holder.commit()
        switch(work)


def test_an_older_snapshot_keeps_it_from_happening(ready: str) -> None:
    with psycopg.connect(ready, application_name="pg_dump") as reader, switching(ready) as work:
        reader.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        reader.execute("SELECT 1")
        pid = reader.info.backend_pid
        words = rf"old snapshot is in use by process {pid} \(pg_dump, postgres\), idle in transaction, in a .* for \d+"
        with pytest.raises(CutoverError, match=words) as told:
            switch(work, within=0.3)
        assert f"SELECT pg_terminate_backend({pid})" in told.value.mend
        reader.rollback()
        switch(work)


def test_an_older_snapshot_that_is_busy_keeps_it_from_happening_too(ready: str) -> None:
    with (
        psycopg.connect(ready, autocommit=True) as locks,
        psycopg.connect(ready) as reader,
        switching(ready) as work,
        ThreadPoolExecutor(1) as pool,
    ):
        locks.execute("SELECT pg_advisory_lock(1)")
        reader.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        reader.execute("SELECT 1")
        busy = pool.submit(reader.execute, "SELECT pg_advisory_xact_lock(1)")
        try:
            with pytest.raises(CutoverError, match="old snapshot"):
                switch(work, within=0.3)
        finally:
            locks.execute("SELECT pg_advisory_unlock(1)")
        busy.result(60)
        # Here it would have seen none, and said so.
        assert reader.execute("SELECT count(*) FROM orders").fetchone() == (300,)
        reader.rollback()
        switch(work)


def test_a_transaction_that_looked_before_does_not_write_after(ready: str) -> None:
    with psycopg.connect(ready) as writer, switching(ready) as work:
        for turn, level in ((switch, "REPEATABLE READ"), (rollback, "SERIALIZABLE")):

            def look(level: str = level) -> None:
                writer.execute(f"SET TRANSACTION ISOLATION LEVEL {level}".encode())
                writer.execute("SELECT 1")

            turn(Meanwhile(work, look).work)
            with pytest.raises(psycopg.errors.SerializationFailure):
                writer.execute("UPDATE orders SET note = 'x' WHERE id = 1")
            writer.rollback()
            look()
            assert writer.execute("UPDATE orders SET note = 'y' WHERE id = 1").rowcount == 1
            writer.commit()


def test_what_is_made_right_before_the_lock_is_carried_over(ready: str) -> None:
    with psycopg.connect(ready, autocommit=True) as other, switching(ready) as work:
        at = Meanwhile(work, lambda: other.execute("CREATE VIEW seen AS SELECT id FROM orders WHERE id < 0"))
        assert switch(at.work).attempts == 2
        other.execute("INSERT INTO orders (id, organization_id) VALUES (-1, 1)")
        assert other.execute("SELECT id FROM seen").fetchall() == [(-1,)]


@pytest.mark.parametrize("level", ["repeatable read", "serializable"])
def test_the_last_writes_are_seen_whatever_level_a_role_has_by_default(ready: str, level: str) -> None:
    with psycopg.connect(ready, autocommit=True) as other, switching(ready) as work:
        work.connection.execute(f"SET default_transaction_isolation = '{level}'".encode())
        at = Meanwhile(work, lambda: other.execute("UPDATE orders SET note = 'last' WHERE id = 7"))
        assert switch(at.work).compared == 1
        assert other.execute("SELECT note FROM orders WHERE id = 7").fetchone() == ("last",)


def test_a_switch_is_one_though_somebody_keeps_its_log_from_going(ready: str) -> None:
    with psycopg.connect(ready) as reader, switching(ready) as work:
        switch(Meanwhile(work, lambda: reader.execute("SELECT count(*) FROM orders_keys")).work)
        assert work.journal.state == "switched"
        reader.rollback()
        rollback(work)
        assert reader.execute("SELECT to_regclass('orders_keys_back')").fetchone() == (None,)


def test_what_has_been_bound_to_a_table_since_it_was_looked_at_is_refused(ready: str) -> None:
    with psycopg.connect(ready, autocommit=True) as other, switching(ready) as work:
        made = "CREATE MATERIALIZED VIEW sums AS SELECT count(*) FROM orders"
        for at in (Meanwhile(work, lambda: other.execute(made)).work, work):
            with pytest.raises(CutoverError, match=r"Materialized views read this table: .*sums"):
                switch(at)
        assert BEFORE.items() <= _kinds(other).items()
        other.execute("DROP MATERIALIZED VIEW sums")
        switch(work)


def test_a_foreign_key_that_the_other_table_cannot_have_is_told(ready: str) -> None:
    with psycopg.connect(ready, autocommit=True) as other, switching(ready) as work:
        switch(work)
        other.execute("CREATE TABLE o (a int, b bigint, FOREIGN KEY (a, b) REFERENCES orders (organization_id, id))")
        with pytest.raises(CutoverError, match="unique constraint") as told:
            rollback(work)
        assert "Drop it" in told.value.mend and SWITCHED.items() <= _kinds(other).items()
        other.execute("DROP TABLE o")
        rollback(work)


def test_tables_that_are_no_longer_alike_are_not_switched(ready: str) -> None:
    with psycopg.connect(ready, autocommit=True) as other, switching(ready) as work:
        other.execute("ALTER TABLE orders ALTER note SET DEFAULT 'new'")
        with pytest.raises(CutoverError, match="Column note is not the same"):
            switch(work)
        other.execute("ALTER TABLE orders_partitioned ALTER note SET DEFAULT 'new'")
        switch(work)


def test_a_row_that_stays_different_stops_it(ready: str) -> None:
    with psycopg.connect(ready, autocommit=True) as other, switching(ready) as work:
        other.execute(
            """CREATE FUNCTION spoil() RETURNS trigger LANGUAGE plpgsql AS
            'BEGIN NEW.note = ''spoilt''; RETURN NEW; END';
            CREATE TRIGGER bedplate_spoils BEFORE INSERT ON orders_partitioned FOR EACH ROW EXECUTE FUNCTION spoil();
            UPDATE orders SET note = 'right' WHERE id = 7"""
        )
        with pytest.raises(CutoverError, match="1 rows of orders differ under the lock"):
            switch(work)
        assert BEFORE.items() <= _kinds(other).items() and work.journal.state == "verified"


def test_a_worker_that_is_cut_off_has_done_all_or_nothing(ready: str) -> None:
    with psycopg.connect(ready, autocommit=True) as other:
        with switching(ready) as work:
            pid = work.connection.info.backend_pid
            at = Meanwhile(work, lambda: other.execute("SELECT pg_terminate_backend(%s)", (pid,)))
            with pytest.raises(psycopg.OperationalError):
                switch(at.work)
        assert BEFORE.items() <= _kinds(other).items()
        with switching(ready) as work:
            switch(work)
            # Once more is no harm, and says so.
            assert switch(work).attempts == 0
        assert _kinds(other) == SWITCHED


@pytest.mark.parametrize("mode", ["capture", "dual-write"])
def test_a_publication_of_all_tables_is_in_nobodys_way(url: str, mode: Any) -> None:
    plan = Plan(tables="orders", key="organization_id", partitions=2, mode=mode)
    with psycopg.connect(url, autocommit=True) as other, switching(url, plan) as work:
        other.execute("CREATE PUBLICATION everything FOR ALL TABLES; ALTER TABLE progress REPLICA IDENTITY FULL")
        prepare(work)
        capture(work)
        other.execute("UPDATE orders SET note = 'new' WHERE id < 9; DELETE FROM orders WHERE id = 9")
        backfill(work)
        if mode == "capture":
            # As if it had come with two chunks.
            other.execute("INSERT INTO orders_partitioned SELECT * FROM orders WHERE id = 7")
        index(work)
        sync(work)
        assert verify(work).equal
        work.journal.enter("verified")
        for turn in (switch, rollback, switch, finalize):
            turn(work)
            other.execute("UPDATE orders SET note = note || '!' WHERE id < 9; DELETE FROM orders WHERE id = 10")
            if turn is not finalize:
                while tend(work).total:
                    pass
        assert other.execute("SELECT note FROM orders WHERE id = 7").fetchone() == ("new!!!!",)
        left = "SELECT relname, relreplident::text FROM pg_class WHERE relreplident = 'f' AND relname <> 'progress'"
        assert not other.execute(left).fetchall()


def test_a_plan_of_one_table_leaves_the_others(ready: str) -> None:
    with (
        psycopg.connect(ready, autocommit=True) as other,
        switching(ready, Plan(tables="lines", key="organization_id", partitions=4)) as work,
    ):
        switch(work)
        assert _kinds(other) == {"orders": "r", "lines": "p", "lines_legacy": "r"}
