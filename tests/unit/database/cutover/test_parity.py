"""Two tables are compared exactly: every difference is found to its row, and none is invented."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bedplate.database.cutover import Comparison, CutoverError, Difference, Progress, compare
from tests.postgres import Postgres

Connection = psycopg.Connection[Any]

_NUMBERS = itertools.count()

#: Of each type, values that it takes for equal though they are not the same, or hashes alike, and some others.
VALUES: dict[str, list[str | None]] = {
    "bigint": ["1", "4294967296", "-1", "4294967295", "-4294967297", None],
    "timestamptz": ["2000-01-01 00:00:00.000001+00", "2000-01-01 01:11:34.967296+00", "infinity", None],
    "time": ["00:00:00.000001", "01:11:34.967296"],
    "numeric": ["5", "-5", "5.0", "5.00", "0", "NaN", "Infinity", None],
    "numeric(14,2)": ["5", "-5", "0.05"],
    "float8": ["0", "-0", "NaN", "1e300"],
    "interval": ["1 day", "24 hours", "1 month", "30 days"],
    "text": ["a", "A", "a ", "", None],
    "char(5)": ["a", "A"],
    "bpchar": ["a", "a ", "A"],
    "jsonb": ['{"a": 1.0}', '{"a": 1.00}', '{"a": -1.0}', "null", None],
    "json": ['{"a": 1}', '{"a":  1}', None],
    "int[]": ["{1,2}", "[0:1]={1,2}", "{{1,2}}", "{1,NULL}", "{}", None],
    "numeric[]": ["{1.0}", "{1.00}", "{-1.0}"],
    "int4range": ["[1,2)", "empty", "(,2)", None],
    "point": ["(0,0)", "(-0,0)", "(1,1)"],
    "money": ["1", "-1"],
    "bit varying": ["1", "10", "01"],
    "tsvector": ["a:1", "a:2", "a"],
    "inet": ["10.0.0.0/8", "10.0.0.0/9"],
    "uuid": ["00000000-0000-0000-0000-000000000001", None],
    "bytea": ["\\x00", "\\x0000", "\\x"],
    "mood": ["good", "bad"],
    "cents": ["1", "4294967296"],
    "pair": ["(1,5.0)", "(1,5.00)", "(1,)"],
}
#: What Debian's server knows and the wheel's does not.
MORE: dict[str, list[str | None]] = {"text COLLATE und_ci": ["a", "A", "a "], "xml": ["<a/>", "<a></a>"]}
COLLATION = "CREATE COLLATION und_ci (provider = icu, locale = 'und-u-ks-level2', deterministic = false)"
SETUP = """
CREATE TYPE mood AS ENUM ('good', 'bad'); CREATE DOMAIN cents AS bigint; CREATE TYPE pair AS (a int, b numeric);
"""


@pytest.fixture(scope="module", autouse=True)
def _types(shared_url: str) -> None:
    with psycopg.connect(shared_url, autocommit=True) as opened:
        opened.execute(SETUP)


def _tables(connection: Connection, columns: str) -> tuple[str, str]:
    number = next(_NUMBERS)
    for name in (f"one{number}", f"other{number}"):
        connection.execute(f"CREATE TABLE {name} ({columns})".encode())
    return f"one{number}", f"other{number}"


def _sql(connection: Connection, statement: str, values: Any = None) -> None:
    connection.execute(statement.encode(), values)


def test_values_that_are_equal_or_hash_alike_are_told_apart(shared: Connection) -> None:
    _tell_apart(shared, VALUES)


def test_so_does_the_oldest_server_with_what_the_newest_lacks(oldest: Postgres) -> None:
    with psycopg.connect(oldest.database(), autocommit=True) as connection:
        connection.execute(f"{COLLATION};{SETUP}".encode())
        _tell_apart(connection, {**VALUES, **MORE})


def _tell_apart(connection: Connection, values_of: dict[str, list[str | None]]) -> None:
    names = [f"c{number}" for number in range(len(values_of))]
    columns = ", ".join(f"{name} {kind}" for name, kind in zip(names, values_of, strict=True))
    one, other = _tables(connection, f"id int PRIMARY KEY, {columns}")
    cases = [
        (name, kind, mine, its)
        for name, (kind, values) in zip(names, values_of.items(), strict=True)
        for mine, its in itertools.product(values, values)
    ]
    with connection.transaction(), connection.pipeline():
        for number, (name, _, *both) in enumerate(cases):
            for table, value in zip((one, other), both, strict=True):
                _sql(connection, f"INSERT INTO {table} (id, {name}) VALUES (%s, %s)", (number, value))
    # What is stored as the same, as 5 and 5.00 of numeric(14, 2) are, is the same; format() writes it as it is stored.
    shown = [[f"format('%s', {table}.{name}) COLLATE \"C\"" for table in "ot"] for name in names]
    written = " OR ".join(f"{mine} <> {its}" for mine, its in shown)
    written += "".join(f" OR (o.{name} IS NULL) <> (t.{name} IS NULL)" for name in names)
    statement = f"SELECT id::text FROM {one} o JOIN {other} t USING (id) WHERE {written} ORDER BY o.id"
    wanted = [Difference("different", row) for row in connection.execute(statement.encode()).fetchall()]
    assert len(wanted) > 2 * len(values_of)
    found = compare(connection, one, other)
    assert not found.equal and found.whole
    assert list(found.differences) == wanted


ROW = st.tuples(
    st.sampled_from([1, 2, 4294967296, 4294967297]),
    st.sampled_from(["5", "5.0", "-5", None]),
    st.sampled_from(["", "a", "A", None]),
)
ROWS = st.dictionaries(st.integers(-3, 12), ROW, max_size=12)


@pytest.fixture(scope="module")
def pair(shared_url: str) -> Iterator[Connection]:
    """A connection with two tables of its own."""
    with psycopg.connect(shared_url, autocommit=True) as opened:
        _sql(opened, "CREATE TEMP TABLE mine (id int PRIMARY KEY, big bigint, amount numeric, word text)")
        # The twin has its columns in another order, and could have two rows of one id.
        _sql(opened, "CREATE TEMP TABLE its (word text, amount numeric, id int NOT NULL, big bigint)")
        yield opened


@settings(max_examples=30)
@given(
    one=ROWS,
    changes=ROWS,
    gone=st.sets(st.integers(-3, 12)),
    slices=st.sampled_from([None, 1, 3]),
    room=st.integers(1, 9),
)
def test_every_difference_is_found_and_none_invented(
    pair: Connection, one: Any, changes: Any, gone: set[int], slices: int | None, room: int
) -> None:
    other = {key: row for key, row in {**one, **changes}.items() if key not in gone}
    wanted = [Difference("missing", (str(key),)) for key in one.keys() - other.keys()]
    wanted += [Difference("extra", (str(key),)) for key in other.keys() - one.keys()]
    wanted += [Difference("different", (str(key),)) for key in one.keys() & other.keys() if one[key] != other[key]]
    for table, rows in (("mine", one), ("its", other)):
        _sql(pair, f"DELETE FROM {table}")
        columns = [[key, *row] for key, row in rows.items()]
        _sql(
            pair,
            f"""INSERT INTO {table} (id, big, amount, word)
            SELECT * FROM unnest(%s::int[], %s::bigint[], %s::numeric[], %s::text[])""",
            [list(column) for column in zip(*columns, strict=True)] or [[], [], [], []],
        )
    found = compare(pair, "mine", "its", slice_rows=slices, memory_rows=room)
    assert Counter(found.differences) == Counter(wanted)
    assert found.rows == (len(one), len(other))
    assert (found.equal, found.whole, found.finished, found.snapshots) == (not wanted, True, True, 1)
    assert len(found.notes) == 1


def test_values_that_rows_have_exchanged_are_seen(shared: Connection) -> None:
    one, other = _tables(shared, "id int PRIMARY KEY, amount int NOT NULL")
    for table in (one, other):
        _sql(shared, f"INSERT INTO {table} SELECT i, i FROM generate_series(1, 300) i")
    _sql(shared, f"UPDATE {other} SET amount = 301 - amount WHERE id IN (100, 201)")
    assert [one.row for one in compare(shared, one, other).differences] == [("100",), ("201",)]


def test_a_second_row_of_a_key_is_extra_and_a_moved_row_different(shared: Connection) -> None:
    one, other = _tables(
        shared, "id int NOT NULL, organisation int NOT NULL, note text, PRIMARY KEY (organisation, id)"
    )
    _sql(shared, f"INSERT INTO {one} VALUES (1, 1, 'a'), (2, 1, 'b')")
    _sql(shared, f"INSERT INTO {other} VALUES (1, 1, 'a'), (1, 9, 'a'), (2, 9, 'b')")
    found = compare(shared, one, other, identified_by=["id"])
    assert found.differences == (Difference("extra", ("1",)), Difference("different", ("2",)))


def test_long_values_in_another_storage_are_the_same(shared: Connection) -> None:
    one, other = _tables(shared, "id int PRIMARY KEY, long text, document jsonb")
    _sql(shared, f"ALTER TABLE {other} ALTER long SET STORAGE EXTERNAL")
    _sql(shared, f"INSERT INTO {one} SELECT i, repeat(md5(i::text), 900), '{{}}' FROM generate_series(1, 20) i")
    _sql(shared, f"INSERT INTO {other} SELECT * FROM {one}")
    assert compare(shared, one, other).equal
    _sql(shared, f"UPDATE {other} SET long = left(long, -1) || 'x' WHERE id = 13")
    assert [one.row for one in compare(shared, one, other).differences] == [("13",)]


def test_a_row_whose_key_is_null_is_found(shared: Connection) -> None:
    one, other = _tables(shared, "id int, note text")
    _sql(shared, f"INSERT INTO {one} VALUES (NULL, 'a'), (1, 'b')")
    _sql(shared, f"INSERT INTO {other} VALUES (NULL, 'c'), (1, 'b')")
    found = compare(shared, one, other, identified_by=["id"], slice_rows=1)
    assert found.differences == (Difference("different", (None,)),)


def test_no_more_rows_are_told_than_asked_for(shared: Connection) -> None:
    one, other = _tables(shared, "id int PRIMARY KEY, note text")
    _sql(shared, f"INSERT INTO {one} SELECT i, i FROM generate_series(1, 500) i")
    found = compare(shared, one, other, most=7, memory_rows=20)
    assert (len(found.differences), found.whole, found.rows, found.equal) == (7, False, (500, 0), False)
    assert {one.kind for one in found.differences} == {"missing"}
    # With one side in buckets that are not read any more, its rows are still not taken for missing.
    _sql(shared, f"INSERT INTO {other} SELECT id, 'x' FROM {one}")
    found = compare(shared, one, other, most=7, memory_rows=20)
    assert ({one.kind for one in found.differences}, len(found.differences)) == ({"different"}, 7)


def test_what_is_written_meanwhile_does_not_count(shared: Connection, shared_url: str) -> None:
    one, other = _tables(shared, "id int PRIMARY KEY, note text")
    for table in (one, other):
        _sql(shared, f"INSERT INTO {table} SELECT i, i FROM generate_series(1, 100) i")

    def write(progress: Progress) -> None:
        with psycopg.connect(shared_url, autocommit=True) as writer:
            _sql(writer, f"DELETE FROM {other} WHERE id > 50")
            _sql(writer, f"INSERT INTO {one} SELECT 1000 + i, i FROM generate_series(1, 9) i ON CONFLICT DO NOTHING")

    found = compare(shared, one, other, slice_rows=10, watch=write)
    assert (found.equal, found.rows, found.progress.slices) == (True, (100, 100), 11)


def test_a_comparison_that_was_stopped_goes_on(shared: Connection) -> None:
    one, other = _tables(shared, "id int PRIMARY KEY, note text")
    for table in (one, other):
        _sql(shared, f"INSERT INTO {table} SELECT i, i FROM generate_series(1, 100) i")
    _sql(shared, f"UPDATE {other} SET note = 'x' WHERE id IN (5, 95)")

    def stop(progress: Progress) -> None:
        if progress.slices == 3:
            comparison.stop()

    comparison = Comparison(shared, one, other, slice_rows=10, watch=stop)
    first = comparison.run()
    assert (first.finished, first.rows, first.progress.upto) == (False, (30, 30), "30")
    assert [one.row for one in first.differences] == [("5",)]
    second = compare(shared, one, other, slice_rows=10, resume=first.progress)
    assert (second.finished, second.rows, second.snapshots) == (True, (100, 100), 2)
    assert [one.row for one in second.differences] == [("5",), ("95",)]
    with pytest.raises(CutoverError, match="cannot be resumed"):
        compare(shared, one, other, resume=first.progress)


def test_a_statement_under_way_is_stopped_too(shared: Connection, shared_url: str) -> None:
    import threading

    one, other = _tables(shared, "id int PRIMARY KEY, note text")
    with psycopg.connect(shared_url) as holder:
        _sql(holder, f"LOCK TABLE {other} IN ACCESS EXCLUSIVE MODE")
        comparison = Comparison(shared, one, other)
        results: list[Any] = []
        thread = threading.Thread(target=lambda: results.append(comparison.run()))
        thread.start()
        waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND pid = %s"
        while holder.execute(waiting, (shared.info.backend_pid,)).fetchone() == (0,):
            holder.execute("SELECT pg_stat_clear_snapshot()")
        comparison.stop()
        thread.join(30)
    assert [found.finished for found in results] == [False]
    assert shared.execute("SELECT 1").fetchone() == (1,)


def test_who_truncates_both_tables_in_order_waits_for_nobody_who_waits_for_it(connection: Connection) -> None:
    _sql(connection, "CREATE TABLE one (id int PRIMARY KEY)")
    _sql(connection, "CREATE TABLE other (id int PRIMARY KEY) PARTITION BY HASH (id)")
    _sql(connection, "CREATE TABLE other_p PARTITION OF other FOR VALUES WITH (MODULUS 1, REMAINDER 0)")
    pid = connection.info.backend_pid
    with psycopg.connect(connection.info.dsn) as writer, ThreadPoolExecutor(1) as pool:
        _sql(writer, "TRUNCATE one")
        found = pool.submit(compare, connection, "one", "other")
        waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND pid = %s"
        while writer.execute(waiting, (pid,)).fetchone() == (0,):
            writer.execute("SELECT pg_stat_clear_snapshot()")
        _sql(writer, "TRUNCATE other")
        writer.commit()
        assert found.result(60).equal


def test_what_row_security_hides_does_not_pass_as_equal(connection: Connection) -> None:
    connection.execute(
        """CREATE TABLE one (id int PRIMARY KEY); CREATE TABLE other (id int PRIMARY KEY);
        INSERT INTO one VALUES (1); ALTER TABLE one ENABLE ROW LEVEL SECURITY; CREATE ROLE narrow;
        GRANT SELECT ON one, other TO narrow; SET SESSION AUTHORIZATION narrow"""
    )
    with pytest.raises(psycopg.errors.InsufficientPrivilege, match="row-level security"):
        compare(connection, "one", "other")
    connection.execute("RESET SESSION AUTHORIZATION; DROP OWNED BY narrow; DROP ROLE narrow")


@pytest.mark.parametrize(
    ("columns", "how", "words"),
    [
        ("(id int PRIMARY KEY, amount bigint)", {}, r"differ in columns: amount \(integer against bigint\)"),
        ("(id int PRIMARY KEY, more int, amount int)", {}, r"more \(none against integer\)"),
        ("(id int, amount int)", {}, "primary key"),
        ("(id int, amount int)", {"identified_by": ["nothing"]}, "no column nothing"),
        ("(id int, amount int)", {"most": 0}, "too small"),
    ],
)
def test_what_cannot_be_compared_is_refused(shared: Connection, columns: str, how: Any, words: str) -> None:
    one, _ = _tables(shared, "id int, amount int")
    _sql(shared, f"CREATE TABLE {one}x {columns}")
    with pytest.raises(CutoverError, match=words):
        compare(shared, one, f"{one}x", **how)
    with pytest.raises(CutoverError, match="no table"):
        compare(shared, one, "nowhere", **{**how, "most": 1})
