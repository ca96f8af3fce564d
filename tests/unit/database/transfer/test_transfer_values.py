"""Each value as it is, or told by its row: SQLite keeps anything in any column, PostgreSQL does not."""

from __future__ import annotations

import json
import sqlite3
import struct
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from bedplate.database.transfer import FaultsError, Transfer, TransferError, TransferRefusedError
from tests.endurance import size
from tests.transfers import file_of

Empty = Callable[[], str]
Asked = Callable[..., list[Any]]

#: Each example moves tables twice: to look for a smaller one takes minutes.
WITHOUT_SHRINKING = (Phase.explicit, Phase.reuse, Phase.generate)

#: Values that do not fit what their column declares, and what is said of them.
MISFITS = [
    ("INTEGER", "twelve", "text where an integer belongs"),
    ("INTEGER", 1.5, "a number with a fraction where an integer belongs"),
    ("SMALLINT", 40000, "40000 is not between -32768 and 32767"),
    ("BOOLEAN", 2, "2 where true (1) or false (0) belongs"),
    ("BOOLEAN", "true", "text where true (1) or false (0) belongs"),
    ("TEXT", b"raw", "bytes where text belongs"),
    ("TEXT", "nul\0", "a NUL character"),
    ("VARCHAR(3)", "four", "a text of 4 characters, where 3 have room"),
    ("DOUBLE", "fast", "text where a number belongs"),
    ("DECIMAL_TEXT(5,2)", "1.005", "more than 2 digits after the point"),
    ("DECIMAL_TEXT(5,2)", "1234.5", "more than 3 digits before the point"),
    ("NUMERIC(12,2)", 0.1 + 0.2, "more than 2 digits after the point"),
    ("DECIMAL_TEXT", "a lot", "text where a decimal belongs"),
    ("BLOB", "text", "text where bytes belongs"),
    ("DATE", "2026-02-30", "a date that there is not"),
    ("DATE", "27.11.2026", "text where a date"),
    ("TIME", "25:00:00", "a time of day that there is not"),
    ("DATETIME", "2026-11-27 17:00:00+01:00", "a time with a zone, where the target keeps none"),
    ("DATETIME", "2026-11-27", "text where a date with a time"),
    ("DATETIME", 1795798800, "an integer where a date with a time"),
    ("DATETIME", "2026-11-27 17:00:00.1234567", "more than 6 digits of a second"),
    ("JSON", "{'a': 1}", "text that is not JSON"),
    ("JSON", '{"a": NaN}', "text that is not JSON"),
    ("JSONB", '{"a": 1, "a": 2}', "a name twice"),
    ("JSONB", '"\\u0000"', "a NUL character"),
    ("JSONB", '"\\ud800"', "half of a surrogate pair"),
    ("UUID", "not one", "text where a UUID belongs"),
]


def test_what_does_not_fit_is_told_by_row_and_nothing_is_changed_to_fit(tmp_path: Path, empty: Empty) -> None:
    columns = ", ".join(f"c{place} {declared}" for place, (declared, _, _) in enumerate(MISFITS))
    source, connection = file_of(tmp_path, f"CREATE TABLE t (id INTEGER PRIMARY KEY, {columns})")
    for place, (_, value, _) in enumerate(MISFITS):
        connection.execute(f"INSERT INTO t (id, c{place}) VALUES (?, ?)", (place, value))
    connection.execute("INSERT INTO t (id, c5) VALUES (100, CAST(x'ff00' AS TEXT))")
    for act in (Transfer(source, empty(), most=50).plan, Transfer(source, empty(), most=50, chunk=5).run):
        with pytest.raises(FaultsError) as caught:
            act()
        found = {(fault.row, fault.column): fault.what for fault in caught.value.faults}
        for place, (declared, value, said) in enumerate(MISFITS):
            assert said in found.pop((f"id={place}", f"c{place}")), (declared, value)
        assert found == {("id=100", "c5"): "its text is not UTF-8"}
        assert not caught.value.more
        # Texts may be secret: where they are is told, not what they are.
        assert "twelve" not in str(caught.value)


def test_a_mended_source_goes_on(tmp_path: Path, empty: Empty, asked: Asked) -> None:
    source, connection = file_of(tmp_path, "CREATE TABLE t (id INTEGER PRIMARY KEY, n INT)")
    connection.executemany("INSERT INTO t VALUES (?, ?)", [(n, n) for n in range(20)])
    connection.execute("UPDATE t SET n = 'twelve' WHERE id = 12")
    server = empty()
    with pytest.raises(FaultsError, match="t, row id=12, column n: text where an integer belongs"):
        Transfer(source, server, chunk=5).run()
    assert asked(server, "SELECT count(*), max(id) FROM t") == [(10, 9)]
    connection.execute("UPDATE t SET n = 12 WHERE id = 12")
    assert Transfer(source, server, chunk=5).run().equal


def test_other_types_can_be_chosen(tmp_path: Path, empty: Empty, asked: Asked) -> None:
    source, connection = file_of(tmp_path, "CREATE TABLE t (id INTEGER PRIMARY KEY, at DATETIME, code CHAR(32), odd)")
    connection.execute("INSERT INTO t VALUES (1, '2026-11-27 17:00:00.5+01:00', ?, 'x')", ("ab" * 16,))
    with pytest.raises(TransferRefusedError, match=r"t.odd has no type, which has no equal .* --type t.odd=TYPE"):
        Transfer(source, empty()).run()
    types = {"t.at": "timestamptz", "t.code": "uuid", "t.odd": "bytea"}
    with pytest.raises(FaultsError, match="text where bytes belongs"):
        Transfer(source, empty(), types=types).run()
    with pytest.raises(TransferRefusedError, match=r"no column t.no"):
        Transfer(source, empty(), types={**types, "t.no": "text"}).run()
    connection.execute("UPDATE t SET odd = x'00ff'")
    server, back = empty(), f"sqlite:///{tmp_path}/back.sqlite3"
    assert Transfer(source, server, types=types).run().equal
    assert asked(server, "SELECT at::text, code::text FROM t") == [
        ("2026-11-27 16:00:00.5+00", "abababab-abab-abab-abab-abababababab")
    ]
    assert Transfer(server, back).run().equal


def test_what_sqlite_cannot_keep_is_told_by_row(tmp_path: Path, empty: Empty, asked: Asked) -> None:
    server = empty()
    asked(
        server,
        "CREATE TABLE t (id int PRIMARY KEY, f float8, at timestamp, day date, z timestamptz, c time, n numeric)",
    )
    asked(server, "INSERT INTO t (id, f) VALUES (1, 'NaN'), (2, 'Infinity'), (3, '-0')")
    asked(
        server,
        "INSERT INTO t (id, at) VALUES (4, 'infinity'), (5, '0044-03-15 12:00 BC'), (6, '9999-12-31 23:59:59.999999')",
    )
    asked(server, "INSERT INTO t (id, day) VALUES (7, '20000-01-01'), (8, '0001-01-01')")
    asked(
        server,
        "INSERT INTO t (id, c, n) VALUES (9, '24:00', 1e-300), (10, '23:59:59.000001', 'NaN'), (11, NULL, -1e300)",
    )
    target = f"sqlite:///{tmp_path}/t.sqlite3"
    with pytest.raises(FaultsError) as caught:
        Transfer(server, target).run()
    assert [fault.row for fault in caught.value.faults] == [f"id={n}" for n in (1, 4, 5, 7, 9)]
    asked(server, "DELETE FROM t WHERE id IN (1, 4, 5, 7, 9)")
    assert Transfer(server, target).run().equal


def test_types_that_sqlite_has_no_form_for_are_refused(tmp_path: Path, empty: Empty, asked: Asked) -> None:
    server = empty()
    asked(server, "CREATE TYPE mood AS ENUM ('good', 'bad')")
    asked(server, "CREATE TABLE t (id int PRIMARY KEY, tags text[], span interval, mood mood)")
    target = tmp_path / "t.sqlite3"
    with pytest.raises(TransferRefusedError) as caught:
        Transfer(server, f"sqlite:///{target}").plan()
    assert [reason.split()[0] for reason in caught.value.reasons] == ["t.tags", "t.span"]
    assert not target.exists()


def test_between_servers_all_types_come_as_they_are(empty: Empty, asked: Asked) -> None:
    server, other = empty(), empty()
    asked(
        server,
        "CREATE TABLE t (id int PRIMARY KEY, tags text[], span interval, box box, f float8, n numeric(5,1), j json)",
    )
    asked(
        server,
        """INSERT INTO t VALUES (1, '{a,"b c",NULL}', '1 day 24:00', '(1,2),(3,4)', '-0', 1.5, '{"a":  1.50}')""",
    )
    assert Transfer(server, other).run().equal
    whole = "SELECT t::text FROM t"
    assert asked(server, whole) == asked(other, whole)


def text() -> st.SearchStrategy[str]:
    characters = st.characters(exclude_categories=["Cs"], exclude_characters="\0")
    return st.text(characters, max_size=8) | st.sampled_from(["\\N", "\\.", "\t\n\r\b\f\v\\", "€𝄞", "''\"", " "])


def moment(day: str, clock: str) -> str:
    return f"{day} {clock}"


days = st.dates().map(lambda day: f"{day:%Y-%m-%d}".rjust(10, "0"))
clocks = st.times().map(lambda time: f"{time:%H:%M:%S}.{time.microsecond:06}")
decimals = st.decimals(allow_nan=False, allow_infinity=False, places=5).map(lambda d: format(abs(d), "f"))
documents = st.recursive(
    st.none() | st.booleans() | st.integers() | text() | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text(), inner, max_size=3),
    max_leaves=5,
)
compact = documents.filter(lambda d: not isinstance(d, float)).map(lambda d: json.dumps(d, ensure_ascii=False))
COLUMNS: dict[str, st.SearchStrategy[Any]] = {
    "BIGINT": st.integers(-(2**63), 2**63 - 1),
    "INT4": st.integers(-(2**31), 2**31 - 1),
    "SMALLINT": st.integers(-(2**15), 2**15 - 1),
    "BOOLEAN": st.integers(0, 1),
    "TEXT": text(),
    "VARCHAR(20)": text(),
    "DOUBLE": st.floats(allow_nan=False).map(lambda number: number + 0.0),
    "FLOAT4": st.floats(width=32, allow_nan=False, allow_infinity=False)
    .map(lambda number: float(f"{number + 0.0:.9g}") if struct.unpack("f", struct.pack("f", number))[0] != 0 else 0.0)
    .filter(lambda number: float(repr(number)) == 0 or len(repr(number)) < 8),
    "DECIMAL_TEXT": decimals,
    "DECIMAL_TEXT(30,5)": st.integers(0, 10**30 - 1).map(lambda number: f"{number // 10**5}.{number % 10**5:05}"),
    "BLOB": st.binary(max_size=8),
    "DATE": days,
    "TIME": clocks,
    "DATETIME": st.builds(moment, days, clocks),
    "TIMESTAMPTZ": st.builds(moment, days, clocks).map(lambda text: f"{text}+00:00"),
    "JSON": compact,
    "UUID": st.uuids().map(str),
}
KEYS = ["BIGINT", "TEXT", "DATETIME", "UUID", "BLOB", "DECIMAL_TEXT(30,5)", "BOOLEAN"]


@st.composite
def tables(draw: st.DrawFn) -> tuple[str, list[list[Any]]]:
    """Return the definition of a table, and rows for it."""
    columns = draw(st.lists(st.sampled_from(sorted(COLUMNS)), min_size=1, max_size=6))
    keys = draw(st.integers(0, 2))
    kept = [draw(st.sampled_from(KEYS)) for _ in range(keys)]
    all_columns = [*columns, *kept]
    names = [f'"c {place}"' for place in range(len(all_columns))]
    parts = [f"{name} {type}" for name, type in zip(names, all_columns, strict=True)]
    values = [st.none() | COLUMNS[type] for type in columns] + [COLUMNS[type] for type in kept]
    if keys:
        parts.append(f"PRIMARY KEY ({', '.join(reversed(names[len(columns) :]))})")
    rows = draw(
        st.lists(st.tuples(*values), max_size=8, unique_by=(lambda row: row[len(columns) :]) if keys else None)  # type: ignore[arg-type]
    )
    return ", ".join(parts), [list(row) for row in rows]


@pytest.mark.timeout(size(120, 1_200))
@settings(max_examples=size(6, 300), phases=WITHOUT_SHRINKING)
@given(st.lists(tables(), min_size=1, max_size=2))
def test_any_rows_come_back_as_they_were(moving: tuple[Path, Empty], made: Any) -> None:
    folder, empty = moving
    for file in folder.glob("*"):
        file.unlink()
    source, connection = file_of(folder)
    for place, (definition, rows) in enumerate(made):
        connection.execute(f'CREATE TABLE "t {place}" ({definition})')
        for row in rows:
            connection.execute(f'INSERT INTO "t {place}" VALUES ({", ".join("?" * len(row))})', row)
    server, back = empty(), f"sqlite:///{folder}/back.sqlite3"
    assert Transfer(source, server, chunk=3).run().equal
    assert Transfer(server, back, chunk=3).run().equal
    with sqlite3.connect(folder / "back.sqlite3") as moved:
        for place in range(len(made)):
            whole = f'SELECT * FROM "t {place}"'
            assert sorted(map(repr, moved.execute(whole))) == sorted(map(repr, connection.execute(whole)))
    moved.close()
    connection.close()


def exactly(written: str) -> Any:
    return json.loads(written, parse_float=Decimal, parse_int=Decimal)


@settings(max_examples=size(2, 50), phases=WITHOUT_SHRINKING)
@given(st.lists(documents, min_size=20, max_size=40))
def test_documents_are_the_same_though_jsonb_writes_them_its_own_way(moving: tuple[Path, Empty], made: Any) -> None:
    folder, empty = moving
    for file in folder.glob("*"):
        file.unlink()
    source, connection = file_of(folder, "CREATE TABLE t (id INTEGER PRIMARY KEY, binary JSONB, plain JSON)")
    for document in made:
        written = json.dumps(document, indent=1)
        connection.execute("INSERT INTO t (binary, plain) VALUES (?, ?)", (written, written))
    server, back = empty(), f"sqlite:///{folder}/back.sqlite3"
    assert Transfer(source, server).run().equal
    assert Transfer(server, back).run().equal
    with sqlite3.connect(folder / "back.sqlite3") as moved:
        # Not what was written: SQLite has made numbers of bare numbers.
        whole = "SELECT binary, plain FROM t ORDER BY id"
        for found, first in zip(moved.execute(whole), connection.execute(whole), strict=True):
            assert [exactly(str(one)) for one in found] == [exactly(str(one)) for one in first]
    moved.close()
    connection.close()


@pytest.fixture(scope="module")
def moving(moving_url: str, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Empty]:
    """A folder, and what makes empty databases, for all examples."""
    import psycopg

    from tests.transfers import schema_of

    def empty() -> str:
        with psycopg.connect(moving_url, autocommit=True) as connection:
            return schema_of(moving_url, lambda statement: connection.execute(statement.encode()))

    return tmp_path_factory.mktemp("moving"), empty


def test_refused_rows_are_named_without_their_values(tmp_path: Path, empty: Empty, asked: Asked) -> None:
    source, connection = file_of(tmp_path, "CREATE TABLE t (code TEXT PRIMARY KEY COLLATE NOCASE, u UUID UNIQUE)")
    uuid = "00000000-0000-4000-8000-00000000000a"
    connection.execute("INSERT INTO t VALUES ('a', ?), ('b', ?)", (uuid, uuid.upper()))
    with pytest.raises(TransferError, match=r"refuses ALTER TABLE .* UNIQUE"):
        Transfer(source, empty()).run()
