"""A switch that is killed, with its worker or with PostgreSQL, is done or not done, and what clients wrote is there."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from bedplate.database.cutover.steps import tend, verify
from bedplate.database.cutover.switch import rollback, switch
from bedplate.database.cutover.work import Work
from tests.endurance import dice, size
from tests.moving import apart
from tests.postgres import Postgres, postgres
from tests.switching import PLAN, TABLES, brought, owners, rows, switching

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture(scope="module")
def crashing() -> Iterator[Postgres]:
    with postgres(18) as running:
        yield running


def _kinds(url: str) -> tuple[set[str], str]:
    """Return of what kind the plan's tables are, and the state that the cutover's journal has."""
    with psycopg.connect(url, autocommit=True) as connection:
        found = connection.execute(
            "SELECT relname, relkind::text FROM pg_class WHERE relname = ANY(%s)", (list(PLAN.tables),)
        ).fetchall()
        state = connection.execute("SELECT value ->> 'is' FROM progress WHERE part = 'state'").fetchone()
    assert len(found) == len(PLAN.tables) and state is not None
    return {kind for _, kind in found}, str(state[0])


@pytest.mark.timeout(size(240, 3_600))
@pytest.mark.parametrize("whom", ["worker", "server"])
def test_a_switch_that_is_killed_is_done_or_not_done(crashing: Postgres, whom: str) -> None:
    url, thrown = crashing.database(), dice()
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(TABLES)
    with switching(url) as work:
        brought(work)
    with owners(url, lenient=True) as writing:
        for number in range(size(2, 24)):
            turn = (switch, rollback)[number % 2]
            _killed(crashing, url, whom, turn.__name__, thrown.uniform(0, 0.03))
            kinds, state = _kinds(url)
            assert (kinds, state) in (({"p"}, "switched"), ({"r"}, "verified"))
            with switching(url) as work:
                turn(work)
                _followed(work)
            assert not any(one.failed for one in writing), [one.failed for one in writing]
    with switching(url) as work, psycopg.connect(url, autocommit=True) as connection:
        _followed(work)
        shadow = work_shadow(connection)
        for table in PLAN.tables:
            assert apart(connection, table, f"{table}{shadow}") == 0
            there, lost = rows(connection, table), 0
            for one in writing:
                lost += len(one.unknown)
                for key, wanted in one.model.items():
                    if key[0] == table and key not in one.unknown:
                        assert there.pop(key, None) == wanted, (one.name, key)
                for key in one.unknown:
                    there.pop(key, None)
            # Of a transaction whose end nobody was told a row may be there that nobody was told of either.
            assert len(there) <= 3 * size(2, 24) * len(writing), there
            if whom == "worker":
                assert not there and not lost


def work_shadow(connection: psycopg.Connection[Any]) -> str:
    row = connection.execute("SELECT to_regclass('orders_legacy') IS NOT NULL").fetchone()
    return "_legacy" if row == (True,) else "_partitioned"


def _killed(server: Postgres, url: str, whom: str, turn: str, seconds: float) -> None:
    """Begin a turn in a process of its own, and kill it or the server some moment after it asked for the lock."""
    command = [sys.executable, "-m", "tests.switching", url, turn]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stderr is not None
        assert process.stdout.readline() == b"locking\n", process.stderr.read().decode()
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            pass
        if whom == "server":
            server.kill()
        process.kill()
    if whom == "server":
        server.start()
    _gone(url)


def _gone(url: str) -> None:
    """Wait until the worker's session has ended, whatever it still did."""
    with psycopg.connect(url, autocommit=True) as connection:
        for _ in range(3000):
            row = connection.execute(
                "SELECT count(*) FROM pg_locks WHERE mode = 'AccessExclusiveLock' AND locktype = 'relation'"
            ).fetchone()
            if row == (0,):
                return
            time.sleep(0.02)
    raise AssertionError("somebody still holds a lock")


def _followed(work: Work) -> None:
    while tend(work).total > 50:
        pass
    assert verify(work).equal
