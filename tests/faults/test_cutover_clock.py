"""A cutover on a server whose clock is set back and forth by days: no old snapshot is overlooked, and nothing lost."""

from __future__ import annotations

import time
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
import pytest

from bedplate.database.cutover import Plan
from tests.crowd import Crowd, laid
from tests.endurance import dice, tell
from tests.postgres import postgres
from tests.steered import Desk, Worker

Connection = psycopg.Connection[Any]
TABLES = ("entries",)
ROWS = 5_000
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


@pytest.mark.timeout(900)
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
                    for wish, state in (("rollback", "verified"), ("switch", "switched")) * 4:
                        jump(DAY, 3_600, -DAY, -3_600, 0)
                        worker = Worker(url, "clock")
                        try:
                            desk.press(wish)
                            desk.wait(state, wish=wish)
                            crowd.more(5_000)
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
            time.sleep(0.02)
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
