"""A cutover on a server whose clock is set back and forth by days, and whose sequences are of all kinds."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
import pytest

from bedplate.database.cutover import Plan
from bedplate.database.cutover.steps import tend
from bedplate.database.cutover.switch import finalize, rollback, switch
from tests.crowd import Crowd, laid
from tests.endurance import dice, size, tell
from tests.postgres import Postgres, postgres
from tests.steered import Desk, Worker
from tests.switching import brought, switching

Connection = psycopg.Connection[Any]
TABLES = ("entries",)
ROWS = size(500, 20_000)
DAY = 86_400


class Clock:
    """The server's clock, seconds beside the machine's own, which it reads from a file."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        found = sorted(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"))
        assert found, "Run tools/servers.sh faketime"
        self._file = folder / "clock"
        self.set(0)
        # Who runs servers may be somebody else.
        for place in (folder, *folder.parents[:2]):
            place.chmod(0o755)
        monkeypatch.setenv("LD_PRELOAD", str(found[0]))
        monkeypatch.setenv("FAKETIME_TIMESTAMP_FILE", str(self._file))
        monkeypatch.setenv("FAKETIME_NO_CACHE", "1")
        # Timers of the server are no clock that anybody sets.
        monkeypatch.setenv("FAKETIME_DONT_FAKE_MONOTONIC", "1")

    def set(self, beside: int) -> None:
        new = self._file.with_suffix(".new")
        new.write_text(f"{beside:+d}", encoding="ascii")
        new.rename(self._file)


@pytest.mark.timeout(size(600, 900))
def test_a_clock_that_is_set_hides_no_old_snapshot_and_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    luck, clock = dice(), Clock(tmp_path, monkeypatch)
    with postgres(18) as server:
        monkeypatch.delenv("LD_PRELOAD")
        url = server.database()
        laid(url, TABLES, ROWS)
        with psycopg.connect(url) as reader:
            reader.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
            plan = Plan(tables=TABLES, key="organization_id", partitions=3)
            with Crowd(url, TABLES, seed=luck.randrange(10**6), rows=ROWS, pause=0.01) as crowd:

                def jump(*by: int) -> None:
                    # In the middle of a wait for a lock the server itself would wait for as long.
                    with crowd.still():
                        clock.set(luck.choice(by))

                with closing(Desk(url, "clock", plan)) as desk:
                    with crowd.still():
                        # A report that has not yet come to this table.
                        before = _count(reader, "SELECT count(*), (SELECT count(*) FROM pg_class) FROM marks")
                        with psycopg.connect(url) as other:
                            rows = _count(other, "SELECT count(*) FROM entries")
                    assert before == 3
                    jump(-DAY, -3_600)
                    _switched_beside(desk, reader, rows)
                    for wish, state in (("rollback", "verified"), ("switch", "switched"))[: size(1, 2)]:
                        jump(DAY, 3_600, -DAY, -3_600, 0)
                        worker = Worker(url, "clock")
                        try:
                            desk.press(wish)
                            desk.wait(state, wish=wish)
                            crowd.more(size(50, 5_000))
                        finally:
                            worker.kill()
                        desk.left()
                account = crowd.account()
    tell(
        "a clock that is set by days in a cutover",
        writes=account.writes,
        missing=account.missing,
        extra=account.extra,
        different=account.different,
    )
    assert account.lost == 0, account.wrong[:10]


def _switched_beside(desk: Desk, reader: Connection, rows: int) -> None:
    """Switch beside a report with an old snapshot: that is refused until the report, which sees all, has ended."""
    worker = Worker(desk.url, desk.name)
    try:
        desk.start()
        desk.wait("verified")
        desk.press("switch")
        while (record := desk.record).state != "switched" and record.trouble != "told":
            pass
        assert _count(reader, "SELECT count(*) FROM entries") == rows
        assert record.state == "verified" and "old snapshot" in record.error, record.error
        reader.rollback()
        desk.press("switch")
        desk.wait("switched", wish="switch")
    finally:
        worker.kill()
    desk.left()


def _count(connection: Connection, statement: str) -> int:
    row = connection.execute(statement.encode()).fetchone()
    assert row is not None
    return int(row[0])


_SEQUENCES = """
CREATE SEQUENCE alone INCREMENT BY -7 START -1;
CREATE TABLE orders (
  id bigint GENERATED ALWAYS AS IDENTITY (CACHE 20) PRIMARY KEY, organization_id int NOT NULL,
  small smallserial, backwards bigint NOT NULL DEFAULT nextval('alone'),
  around int GENERATED BY DEFAULT AS IDENTITY (MINVALUE 1 MAXVALUE 5 CYCLE), note text);
INSERT INTO orders (organization_id) SELECT i % 7 FROM generate_series(1, 200) i;
SELECT setval('orders_small_seq', {small})"""
_INSERT = "INSERT INTO orders (organization_id) VALUES (%s) RETURNING id, small, backwards, around"


def test_numbers_of_sequences_of_all_kinds_go_on_over_switches_and_crashes(numbering: Postgres) -> None:
    """Up, down, around and to their end: none is given twice, whoever keeps some and whoever is killed."""
    url, turns = numbering.database(), (switch, rollback, switch, finalize)
    # A crash costs up to 32 numbers of each.
    left = 200
    plan = Plan(tables="orders", key="organization_id", partitions=3)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(_SEQUENCES.format(small=32_767 - left).encode())
    with switching(url, plan) as work:
        brought(work)
    given: list[tuple[int, ...]] = []
    for number, turn in enumerate(turns):
        with psycopg.connect(url, autocommit=True) as connection:
            # Its session keeps numbers that it has not given out.
            given += connection.execute(_INSERT, (number,)).fetchall()
            with switching(url, plan) as work:
                while tend(work).total:
                    pass
                turn(work)  # type: ignore[operator]
            given += connection.execute(_INSERT, (number,)).fetchall()
        numbering.kill()
        numbering.start()
    ids, small, backwards, around = zip(*given, strict=True)
    for numbers in (ids, small, backwards):
        assert len(set(numbers)) == len(numbers), given
    assert list(backwards) == sorted(backwards, reverse=True)
    assert set(around) <= {1, 2, 3, 4, 5}
    with psycopg.connect(url, autocommit=True) as connection:
        # The end of a small one is told as it was before, and it is still the table's own.
        with pytest.raises(psycopg.errors.SequenceGeneratorLimitExceeded):
            for number in range(left):
                connection.execute(_INSERT, (number,))
        with pytest.raises(psycopg.errors.GeneratedAlways):
            connection.execute("INSERT INTO orders (id, organization_id, small) VALUES (7, 1, 1)")
        for column, sequence in (("id", "orders_id_seq"), ("small", "orders_small_seq")):
            row = connection.execute("SELECT pg_get_serial_sequence('orders', %s)", (column,)).fetchone()
            assert row == (f"public.{sequence}",)
        connection.execute("INSERT INTO orders (id, organization_id, small) OVERRIDING SYSTEM VALUE VALUES (-7, 1, 1)")


@pytest.fixture(scope="module")
def numbering() -> Iterator[Postgres]:
    with postgres(18) as running:
        yield running
