"""What somebody has done since the switch, or since a proof, is carried along or refused in words, never overlooked."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest

from bedplate.database.cutover import CutoverError
from bedplate.database.cutover.machine.real import compare_what_is_left
from bedplate.database.cutover.steps import repair, tend, verify
from bedplate.database.cutover.switch import finalize, rollback, switch
from tests.moving import apart
from tests.switching import Meanwhile, switching

Connection = psycopg.Connection[Any]

REFUSED = {
    "Materialized views read this table: .*sums": (
        "CREATE MATERIALIZED VIEW sums AS SELECT count(*) FROM orders",
        "DROP MATERIALIZED VIEW sums",
    ),
    "Rules rewrite statements on this table, or name it: quiet": (
        "CREATE RULE quiet AS ON DELETE TO lines DO INSTEAD NOTHING",
        "DROP RULE quiet ON lines",
    ),
    "Policies of other tables look into this one: p": (
        "CREATE TABLE o (a int); CREATE POLICY p ON o USING (EXISTS (SELECT FROM orders WHERE id = a))",
        "DROP TABLE o",
    ),
    "Partitions have something of their own: rule _RETURN on view .*seen, trigger quick on .*orders_p001": (
        """CREATE TRIGGER quick BEFORE UPDATE ON orders_p001 FOR EACH ROW
        EXECUTE FUNCTION suppress_redundant_updates_trigger(); CREATE VIEW seen AS SELECT * FROM orders_p002""",
        "DROP TRIGGER quick ON orders_p001; DROP VIEW seen",
    ),
    "Others draw numbers from an identity of this table": (
        "CREATE TABLE o (a bigint DEFAULT nextval('orders_id_seq'))",
        "DROP TABLE o",
    ),
}


def test_what_is_made_after_a_switch_and_cannot_go_back_is_refused_before_anything_is_touched(ready: str) -> None:
    with psycopg.connect(ready, autocommit=True) as other, switching(ready) as work:
        switch(work)
        for words, (made, gone) in REFUSED.items():
            other.execute(made.encode())
            before = _catalog(other)
            with pytest.raises(CutoverError, match=words):
                rollback(work)
            assert _catalog(other) == before and work.journal.state == "switched"
            other.execute(gone.encode())
        rollback(work)


def _catalog(connection: Connection) -> Any:
    return connection.execute(
        """SELECT oid, relname FROM pg_class UNION ALL SELECT oid, tgname FROM pg_trigger UNION ALL
        SELECT oid, proname FROM pg_proc UNION ALL SELECT oid, rulename FROM pg_rewrite ORDER BY 1, 2"""
    ).fetchall()


def test_what_is_made_after_a_switch_and_can_go_back_does_and_the_rest_is_told(ready: str) -> None:
    with psycopg.connect(ready, autocommit=True) as other, switching(ready) as work:
        switch(work)
        other.execute("DROP ROLE IF EXISTS guest_of_orders; CREATE ROLE guest_of_orders")
        other.execute(
            """CREATE POLICY odd ON orders FOR SELECT TO guest_of_orders USING (id % 2 = 1);
            ALTER TABLE orders ENABLE ROW LEVEL SECURITY; GRANT SELECT (id) ON orders TO guest_of_orders;
            GRANT INSERT ON lines TO guest_of_orders; CREATE INDEX orders_twice ON orders (id, note);
            CREATE VIEW seen AS SELECT id FROM orders"""
        )
        rollback(work)
        journal: Any = work.journal
        assert [note for note in journal.notes if note[0] == "left behind" and "id, note" in str(note)]
        other.execute("INSERT INTO orders (id, organization_id) VALUES (-1, 1)")
        assert other.execute("SELECT count(*) FROM seen WHERE id = -1").fetchone() == (1,)
        with other.transaction():
            other.execute("SET LOCAL ROLE guest_of_orders")
            assert other.execute("SELECT bool_and(id % 2 = 1), count(*) > 9 FROM orders").fetchone() == (True, True)
        right = "SELECT has_table_privilege('guest_of_orders', 'lines', 'INSERT')"
        assert other.execute(right.encode()).fetchone() == (True,)
        other.execute("DROP OWNED BY guest_of_orders; DROP ROLE guest_of_orders")


def test_a_partition_that_was_detached_keeps_both_ends_from_coming(ready: str) -> None:
    with psycopg.connect(ready, autocommit=True) as other, switching(ready) as work:
        switch(work)
        other.execute("ALTER TABLE orders DETACH PARTITION orders_p001")
        for turn in (rollback, finalize):
            with pytest.raises(CutoverError, match="1 partitions of orders were detached") as told:
                turn(work)
            assert "verify" in told.value.mend
        assert not verify(work).equal
        with pytest.raises(CutoverError, match="detached"):
            finalize(work)
        other.execute("ALTER TABLE orders ATTACH PARTITION orders_p001 FOR VALUES WITH (MODULUS 4, REMAINDER 1)")
        with pytest.raises(CutoverError, match="detached or attached"):
            rollback(work)
        assert verify(work).equal
        rollback(work)
        assert apart(other, "orders", "orders_partitioned") == 0


@pytest.mark.parametrize("first", [None, switch])
def test_triggers_that_were_disabled_and_enabled_again_keep_it_from_going_on(ready: str, first: Any) -> None:
    with psycopg.connect(ready, autocommit=True) as other, switching(ready) as work:
        ends: list[Any] = [switch]
        if first is not None:
            first(work)
            ends = [rollback, finalize]
        with other.transaction():
            other.execute("ALTER TABLE lines DISABLE TRIGGER USER; UPDATE lines SET note = 'unseen' WHERE id = 7")
            other.execute("ALTER TABLE lines ENABLE TRIGGER USER; ALTER TABLE lines DISABLE TRIGGER USER")
            back = "_back" if first else ""
            other.execute(f"ALTER TABLE lines ENABLE TRIGGER USER, ENABLE ALWAYS TRIGGER bedplate_keys{back}_truncate")
            if not back:
                other.execute("ALTER TABLE lines ENABLE REPLICA TRIGGER bedplate_keys_row")
        _enabled_as_before(other)
        tend(work)
        for end in ends:
            with pytest.raises(CutoverError, match="altered the triggers that log what is written to lines"):
                end(work)
        assert verify(work).differing == {"orders": 0, "lines": 1}
        assert repair(work).equal
        ends[0](work)
        assert other.execute("SELECT note FROM lines WHERE id = 7").fetchone() == ("unseen",)


def _enabled_as_before(connection: Connection) -> None:
    """Mend what ENABLE TRIGGER USER has made of triggers that fire for replicas only."""
    rows = connection.execute(
        "SELECT tgrelid::regclass::text, tgname FROM pg_trigger WHERE tgname = 'bedplate_keys_back_row'"
    )
    for table, name in rows.fetchall():
        connection.execute(f"ALTER TABLE {table} ENABLE REPLICA TRIGGER {name}".encode())


def test_a_partition_that_is_detached_right_before_the_lock_stops_the_way_back(ready: str) -> None:
    with psycopg.connect(ready, autocommit=True) as other, switching(ready) as work:
        switch(work)
        at = Meanwhile(work, lambda: other.execute("ALTER TABLE orders DETACH PARTITION orders_p001"))
        with pytest.raises(CutoverError, match="detached"):
            rollback(at.work)
        assert work.journal.state == "switched"


def test_writers_that_are_faster_than_the_replay_are_told_with_figures(ready: str) -> None:
    with psycopg.connect(ready, autocommit=True) as other, switching(ready) as work:
        rows = "INSERT INTO orders (organization_id, note) SELECT i % 12, 'fast' FROM generate_series(1, 600) i"
        # Each time right before the lock more is written than is compared under it.
        at = Meanwhile(work, lambda: other.execute(rows.encode()), times=1000)
        with pytest.raises(CutoverError, match=r"About [\d,]+ rows a second are written, and [\d,]+") as told:
            switch(at.work, within=0.5)
        assert "PAUSE" in told.value.mend and work.journal.state == "verified"
        switch(work)
        assert apart(other, "orders", "orders_legacy") == 0


def test_a_backlog_that_one_round_does_not_take_is_worked_off_before_the_lock(ready: str) -> None:
    with psycopg.connect(ready, autocommit=True) as other, switching(ready) as work:
        other.execute("INSERT INTO orders (organization_id) SELECT i % 12 FROM generate_series(1, 12000) i")
        assert switch(work).attempts == 1
        assert apart(other, "orders", "orders_legacy") == 0


@pytest.mark.parametrize("first", [None, switch])
def test_a_log_that_is_not_in_place_is_put_in_place_anew_by_a_repair(ready: str, first: Any) -> None:
    with psycopg.connect(ready, autocommit=True) as other, switching(ready) as work:
        if first is not None:
            first(work)
        # What people write after a bulk load; it lets triggers fire that are for replicas alone.
        other.execute("ALTER TABLE lines DISABLE TRIGGER ALL; UPDATE lines SET note = 'unseen' WHERE id = 7")
        other.execute("ALTER TABLE lines ENABLE TRIGGER ALL; UPDATE lines SET note = 'seen' WHERE id = 8")
        for step in (tend, verify, switch if first is None else rollback):
            with pytest.raises(CutoverError, match="not in place") as told:
                step(work)
            assert "`repair`" in told.value.mend
        found = repair(work)
        assert found.equal and 1 <= found.repaired["lines"] <= 2
        other.execute("UPDATE lines SET note = 'again' WHERE id = 9")
        (switch if first is None else rollback)(work)
        notes = other.execute("SELECT note FROM lines WHERE id IN (7, 8, 9) ORDER BY id").fetchall()
        assert notes == [("unseen",), ("seen",), ("again",)]


def test_who_has_removed_the_legacy_tables_by_hand_can_still_end_it(ready: str) -> None:
    with psycopg.connect(ready, autocommit=True) as other, switching(ready) as work:
        switch(work)
        other.execute("DROP TABLE orders_legacy")
        for step in (tend, rollback):
            with pytest.raises(CutoverError, match="orders_legacy beside it") as told:
                step(work)
            assert "finalize" in told.value.mend
        assert compare_what_is_left(work).rows.keys() == {"lines"}
        assert [name for name in finalize(work).dropped if "lines_legacy" in name]
        left = "SELECT relname FROM pg_class WHERE relname ~ '_(legacy|keys)' AND relkind IN ('r', 'p')"
        assert not other.execute(left).fetchall() and not other.execute("SELECT tgname FROM pg_trigger").fetchall()
