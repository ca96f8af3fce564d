"""All records moved to PostgreSQL and back, whole or not at all, killed anywhere, while others write."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bedplate.database.transfer import FaultsError, Transfer, TransferError, TransferRefusedError
from tests.endurance import size
from tests.transfers import KILLS, file_of, shop

Empty = Callable[[], str]
Asked = Callable[..., list[Any]]


def rows(connection: sqlite3.Connection, table: str) -> list[Any]:
    """Return all rows of a table, whatever its columns declare."""
    found = connection.execute(f"SELECT * FROM {table}").fetchall()
    return sorted(found, key=repr)


def test_all_is_moved_there_and_back(tmp_path: Path, empty: Empty, asked: Asked) -> None:
    source, connection = shop(tmp_path)
    server, back = empty(), f"sqlite:///{tmp_path}/back.sqlite3"
    there = Transfer(source, server, chunk=7).run()
    assert (there.state, there.equal, there.rows, there.mended) == ("finished", True, 120, 0)
    assert {one.table: one.rows for one in there.tables} == dict.fromkeys(
        ("lines", "notes", "orders", "users"), (30, 30)
    )
    again = Transfer(server, back, chunk=7).run()
    assert again.equal
    # The same rows have the same sums, wherever they are; all columns but the computed one come back.
    assert [one.checksums for one in again.tables] == [one.checksums for one in there.tables]
    with sqlite3.connect(tmp_path / "back.sqlite3") as moved:
        for table in ("lines", "notes"):
            assert rows(moved, table) == rows(connection, table)
        columns = "id, user_id, price, at, data, parts, raw, code, weight"
        whole = f"SELECT {columns} FROM orders ORDER BY id"
        assert moved.execute(whole).fetchall() == connection.execute(whole).fetchall()
        assert moved.execute("PRAGMA foreign_key_check").fetchall() == []
    moved.close()


def test_keys_indexes_and_numbers_are_there_afterwards(tmp_path: Path, empty: Empty, asked: Asked) -> None:
    source, connection = shop(tmp_path)
    connection.execute("UPDATE sqlite_sequence SET seq = 5000 WHERE name = 'users'")
    server = empty()
    Transfer(source, server).run()
    constraints = asked(
        server,
        "SELECT conrelid::regclass::text, pg_get_constraintdef(oid) FROM pg_constraint "
        "WHERE connamespace = current_schema()::regnamespace AND contype IN ('u', 'f') AND convalidated ORDER BY 1, 2",
    )
    assert constraints == [
        ("orders", "FOREIGN KEY (user_id) REFERENCES users(id) ON DELETE CASCADE"),
        ("users", "FOREIGN KEY (boss) REFERENCES users(id)"),
        ("users", "FOREIGN KEY (first_order) REFERENCES orders(id)"),
        ("users", "UNIQUE (email)"),
    ]
    assert asked(server, "SELECT to_regclass('ix_orders_user') IS NOT NULL") == [(True,)]
    # A number that AUTOINCREMENT has given to a row that is gone is given to nobody else.
    assert asked(server, "INSERT INTO users (email) VALUES ('new') RETURNING id, active") == [(5001, True)]
    back = f"sqlite:///{tmp_path}/back.sqlite3"
    asked(server, "DELETE FROM users WHERE id = 5001")
    assert Transfer(server, back).run().equal
    with sqlite3.connect(tmp_path / "back.sqlite3") as moved:
        moved.execute("INSERT INTO users (email) VALUES ('newer')")
        assert moved.execute("SELECT max(id) FROM users").fetchone() == (5002,)
    moved.close()


@pytest.mark.parametrize("way", ["run", "follow"])
def test_killed_at_each_point_it_ends_the_same(tmp_path: Path, empty: Empty, way: str) -> None:
    source, connection = shop(tmp_path)
    server = empty()
    done = subprocess.run(
        [sys.executable, "-m", "tests.transfers", source, server, way], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["killed"] == [point for point in KILLS[way] if "nowhere" not in point]
    assert (report["state"], report["equal"]) == ("finished", True)
    assert Transfer(source, server).verify().equal
    left = "SELECT name FROM sqlite_master WHERE name LIKE 'bedplate%'"
    assert connection.execute(left).fetchall() == []


def test_what_is_written_meanwhile_is_caught_up(tmp_path: Path, empty: Empty, asked: Asked) -> None:
    source, connection = shop(tmp_path)
    server = empty()
    seen: list[str] = []

    def write(progress: Any) -> None:
        """Write into the source at each step of the transfer, as a service does."""
        step = len(seen)
        seen.append(progress.phase)
        connection.execute("INSERT INTO users (email) VALUES (?)", (f"new{step}",))
        connection.execute("UPDATE lines SET text = ? WHERE place = ?", (f"step {step}", step % 5))
        connection.execute("UPDATE lines SET place = place + 100 WHERE order_id = ?", ((step % 30 + 1) * 10**13,))
        connection.execute("INSERT INTO notes VALUES ('more', ?)", (step,))
        if step % 3 == 0:
            connection.execute("UPDATE users SET boss = NULL, first_order = NULL WHERE id = ?", (30 - step // 3,))
            connection.execute("UPDATE users SET boss = NULL WHERE boss = ?", (30 - step // 3,))
            connection.execute("DELETE FROM users WHERE id = ?", (30 - step // 3,))
        # The row that had the address goes without a word of its own.
        connection.execute("INSERT OR REPLACE INTO users (id, email) VALUES (?, ?)", (900 + step, f"new{step - 1}"))

    followed = Transfer(source, server, chunk=7, watch=write).follow()
    assert (followed.state, followed.equal) == ("caught-up", True)
    assert {"copy", "changes", "index", "compare"} <= set(seen)
    connection.execute("DELETE FROM lines WHERE place > 2")
    report = Transfer(source, server).run()
    assert (report.state, report.equal, report.mended > 0) == ("finished", True, True)
    assert report.since > 0
    assert Transfer(source, server).verify().equal
    assert asked(server, "SELECT count(*) FROM lines WHERE place > 2") == [(0,)]


def test_a_server_is_followed_and_a_last_pass_reads_what_was_written(
    tmp_path: Path, empty: Empty, asked: Asked
) -> None:
    source, _ = shop(tmp_path)
    first, second = empty(), empty()
    Transfer(source, first).run()
    back = f"sqlite:///{tmp_path}/back.sqlite3"
    for target in size((back,), (second, back)):
        seen: list[str] = []

        def write(progress: Any, target: str = target, seen: list[str] = seen) -> None:
            step = len(seen) + (1000 if target == back else 0)
            seen.append(progress.phase)
            asked(
                first,
                f"INSERT INTO users (id, email) VALUES ({5000 + step}, 'new{step}'); "
                f"UPDATE lines SET place = place + 100, text = 'step {step}' WHERE place = {step % 5}; "
                f"DELETE FROM lines WHERE place = {100 + step % 7}",
            )

        assert Transfer(first, target, chunk=7, watch=write).follow().state == "caught-up"
        asked(first, "UPDATE users SET active = NOT active WHERE id < 4")
        asked(first, "UPDATE notes SET number = 7")
        report = Transfer(first, target).run()
        assert (report.state, report.equal, report.since >= 3) == ("finished", True, True)
        assert Transfer(first, target).verify().equal
    logs = "SELECT relname FROM pg_class WHERE relname LIKE '%_keys' AND relnamespace = current_schema()::regnamespace"
    assert asked(first, logs) == []


@pytest.mark.parametrize("kind", ["file", "server"])
def test_a_log_of_any_length_is_brought_over_in_batches(
    tmp_path: Path, empty: Empty, asked: Asked, monkeypatch: Any, kind: str
) -> None:
    monkeypatch.setattr("bedplate.database.transfer.transfer._BATCH", 2)
    monkeypatch.setattr("bedplate.database.transfer.transfer._MOST", 7)
    source, connection = shop(tmp_path)
    if kind == "server":
        file, source = source, empty()
        Transfer(file, source).run()

    def write(statement: str) -> None:
        if kind == "server":
            asked(source, statement)
        else:
            connection.execute(statement)

    def during(progress: Any) -> None:
        # Later than its first row is copied, so that batches are behind several times.
        if progress.phase == "index":
            write("UPDATE users SET email = email || '!' WHERE id < 30")

    target = empty() if kind == "file" else f"sqlite:///{tmp_path}/back.sqlite3"
    assert Transfer(source, target, watch=during).follow().equal
    # Each has the address that another one had, across all batches.
    write("UPDATE users SET email = 'tmp' || id")
    write("UPDATE users SET email = 'user' || (id % 30 + 1) || '@example.org'")
    write("DELETE FROM lines WHERE place = 1")
    report = Transfer(source, target).run()
    assert (report.state, report.equal, report.since >= 30) == ("finished", True, True)
    assert Transfer(source, target).verify().equal


def test_a_row_whose_key_is_written_otherwise_and_found_by_both_comes_once(
    tmp_path: Path, empty: Empty, asked: Asked, monkeypatch: Any
) -> None:
    monkeypatch.setattr("bedplate.database.transfer.transfer._BATCH", 1)
    source, connection = shop(tmp_path)
    connection.execute("CREATE TABLE codes (code TEXT COLLATE NOCASE PRIMARY KEY NOT NULL, number INTEGER)")
    connection.execute("INSERT INTO codes VALUES ('a', 1), ('b', 2), ('c', 3)")
    server = empty()
    assert Transfer(source, server).follow().equal
    connection.execute("UPDATE codes SET code = upper(code) WHERE code <> 'c'")
    assert Transfer(source, server).run().equal
    assert asked(server, "SELECT code, number FROM codes ORDER BY number") == [("A", 1), ("B", 2), ("c", 3)]


def test_whoever_waits_for_the_right_to_write_says_so_and_gets_it(
    tmp_path: Path, empty: Empty, monkeypatch: Any
) -> None:
    monkeypatch.setattr("bedplate.database.transfer.waiting._SOON", 0.0)
    source, connection = shop(tmp_path)
    server = empty()
    assert Transfer(source, server).follow().equal
    connection.execute("BEGIN IMMEDIATE")
    connection.execute("INSERT INTO notes VALUES ('last', 1)")
    phases: list[str] = []

    def watch(progress: Any) -> None:
        phases.append(progress.phase)
        if progress.phase == "wait":
            connection.execute("COMMIT")

    report = Transfer(source, server, watch=watch).run()
    assert (report.state, report.equal) == ("finished", True) and "wait" in phases


def test_an_emptied_table_is_followed(tmp_path: Path, empty: Empty, asked: Asked) -> None:
    source, _ = shop(tmp_path)
    first, second = empty(), empty()
    Transfer(source, first).run()
    Transfer(first, second).follow()
    asked(first, "TRUNCATE lines")
    asked(first, "INSERT INTO lines VALUES (1, 1, 'after')")
    report = Transfer(first, second).run()
    assert report.equal
    assert asked(second, "SELECT text FROM lines") == [("after",)]


def test_nobody_writes_into_the_source_while_it_is_moved(tmp_path: Path, empty: Empty, asked: Asked) -> None:
    source, connection = shop(tmp_path)
    connection.execute("PRAGMA busy_timeout = 0")
    refused: list[str] = []

    def write(progress: Any) -> None:
        if progress.phase == "copy":
            with pytest.raises(sqlite3.OperationalError, match="locked"):
                connection.execute("DELETE FROM notes")
            refused.append(progress.table)

    Transfer(source, empty(), watch=write).run()
    assert set(refused) == {"lines", "notes", "orders", "users"}


def test_a_source_that_is_written_to_is_not_moved_without_live(tmp_path: Path, empty: Empty, monkeypatch: Any) -> None:
    source, connection = shop(tmp_path)
    monkeypatch.setattr("bedplate.database.transfer.waiting.PATIENCE", 0.05)
    connection.execute("BEGIN IMMEDIATE")
    with pytest.raises(TransferError, match="--live"):
        Transfer(source, empty()).run()
    connection.execute("COMMIT")


def test_a_log_that_was_taken_away_costs_a_comparison_and_no_row(tmp_path: Path, empty: Empty) -> None:
    source, connection = shop(tmp_path)
    server = empty()
    Transfer(source, server).follow()
    Transfer(source, server).abandon()
    assert connection.execute("SELECT name FROM sqlite_master WHERE name LIKE 'bedplate%'").fetchall() == []
    connection.execute("UPDATE lines SET text = 'unseen' WHERE place = 1")
    report = Transfer(source, server).run()
    assert (report.state, report.equal, report.mended, report.since) == ("finished", True, 6, 0)
    assert Transfer(source, server).verify().equal


def test_a_failed_run_takes_its_log_away_and_leaves_the_source_as_it_was(tmp_path: Path, empty: Empty) -> None:
    source, connection = file_of(tmp_path, "CREATE TABLE t (id INTEGER PRIMARY KEY, n INT)")
    connection.execute("INSERT INTO t VALUES (1, 'one')")
    before = list(connection.iterdump())
    with pytest.raises(FaultsError):
        Transfer(source, empty()).follow()
    assert list(connection.iterdump()) == before


def test_a_file_without_wal_is_not_followed(tmp_path: Path, empty: Empty) -> None:
    source, connection = file_of(tmp_path, "CREATE TABLE t (id INTEGER PRIMARY KEY)")
    connection.execute("PRAGMA journal_mode = DELETE")
    with pytest.raises(TransferRefusedError, match="WAL"):
        Transfer(source, empty()).follow()


def test_what_is_finished_is_not_done_again(tmp_path: Path, empty: Empty) -> None:
    source, connection = shop(tmp_path)
    server = empty()
    first = Transfer(source, server).run()
    connection.execute("DELETE FROM notes")
    second = Transfer(source, server).run()
    assert second.tables == first.tables
    assert "finished before" in second.notes[0]
    assert not Transfer(source, server).verify().equal


def test_rows_that_differ_are_found_and_named_by_their_table(tmp_path: Path, empty: Empty, asked: Asked) -> None:
    source, _ = shop(tmp_path)
    server = empty()
    Transfer(source, server).run()
    asked(server, "UPDATE orders SET price = 2.00 WHERE price = 2.0020")
    asked(server, "DELETE FROM notes WHERE number = 1")
    report = Transfer(source, server).verify()
    assert {one.table for one in report.tables if not one.equal} == {"orders", "notes"}


@pytest.mark.parametrize("way", ["run", "follow"])
def test_what_is_unique_may_change_hands_between_two_runs(tmp_path: Path, empty: Empty, way: str) -> None:
    source, connection = file_of(tmp_path, "CREATE TABLE t (id INTEGER PRIMARY KEY, code TEXT UNIQUE)")
    connection.executemany("INSERT INTO t VALUES (?, ?)", [(number, f"c{number}") for number in range(1, 21)])
    server = empty()

    def die(progress: Any) -> None:
        if progress.phase == "copy" and progress.rows:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        getattr(Transfer(source, server, chunk=7, watch=die), way)()
    # Row 1 is copied with what row 20 has by now, and nobody has logged that.
    connection.execute("UPDATE t SET code = 'new' WHERE id = 1")
    connection.execute("UPDATE t SET code = 'c1' WHERE id = 20")
    assert getattr(Transfer(source, server, chunk=7), way)().equal
    assert Transfer(source, server).run().equal


def test_what_a_rule_refuses_is_told_without_its_values(tmp_path: Path, empty: Empty, asked: Asked) -> None:
    source, connection = file_of(tmp_path, "CREATE TABLE t (id INTEGER PRIMARY KEY, email TEXT UNIQUE)")
    connection.execute("INSERT INTO t VALUES (1, 'ada@example.org')")
    server = empty()

    def spoil(progress: Any) -> None:
        """Let the target have what its rule forbids."""
        if progress.phase == "index":
            asked(server, "INSERT INTO t SELECT 2, email FROM t")

    with pytest.raises(TransferError, match="could not create unique index") as refused:
        Transfer(source, server, watch=spoil).run()
    assert "ada" not in str(refused.value)


def test_two_runs_do_not_meet(tmp_path: Path, empty: Empty) -> None:
    source, _ = shop(tmp_path)
    server = empty()
    second: list[Any] = []

    def overtake(progress: Any) -> None:
        if progress.phase == "copy" and progress.rows and not second:
            second.append(None)
            second.append(Transfer(source, server, chunk=7).follow())

    with pytest.raises(TransferError, match="taken over"):
        Transfer(source, server, chunk=7, watch=overtake).follow()
    assert Transfer(source, server).run().equal


def test_who_is_overtaken_leaves_the_log_to_who_goes_on(tmp_path: Path, empty: Empty) -> None:
    source, connection = shop(tmp_path)
    server = empty()
    second: list[Any] = []

    def overtake(progress: Any) -> None:
        if progress.phase == "compare" and not second:
            second.append(None)
            second.append(Transfer(source, server, chunk=7).follow())
            connection.execute("UPDATE lines SET text = 'since' WHERE order_id = 10000000000000")

    # It has read the log, and is about to forget what was in it, when another has done so and more has been logged.
    with pytest.raises(TransferError, match="taken over"):
        Transfer(source, server, chunk=7, watch=overtake).follow()
    report = Transfer(source, server).run()
    assert (report.equal, report.mended, report.since) == (True, 0, 1)
    assert Transfer(source, server).verify().equal


def test_rows_that_go_without_a_word_are_missed_by_the_log_and_not_by_the_count(tmp_path: Path, empty: Empty) -> None:
    script = (
        "CREATE TABLE t (id INTEGER PRIMARY KEY, code TEXT, open INT); CREATE UNIQUE INDEX ix ON t (code) WHERE open"
    )
    source, connection = file_of(tmp_path, script)
    connection.execute("INSERT INTO t VALUES (1, 'a', 1), (2, 'b', 1)")
    server = empty()
    Transfer(source, server).follow()
    connection.execute("INSERT OR REPLACE INTO t VALUES (3, 'a', 1)")
    report = Transfer(source, server).run()
    assert (report.equal, report.tables[0].rows, report.mended) == (True, (2, 2), 1)
