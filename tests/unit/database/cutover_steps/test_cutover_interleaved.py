"""Whatever writers at any level do between and during the worker's chunks and rounds, nothing is lost."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bedplate.database.cutover import Plan
from bedplate.database.cutover.steps import backfill, capture, index, prepare, replays, sync, tend, verify
from bedplate.database.cutover.work import Stopped, Work
from tests.endurance import size
from tests.moving import LEVELS, Steady, apart, moving, write
from tests.postgres import Postgres

PLAN = Plan(tables="orders", key="organization_id", partitions=2)
_ANEW = """DROP SCHEMA public CASCADE; CREATE SCHEMA public;
CREATE TABLE orders (id int PRIMARY KEY, organization_id int NOT NULL,
    note text, amount numeric NOT NULL DEFAULT 0, code text, CONSTRAINT orders_code UNIQUE (code) DEFERRABLE);
INSERT INTO orders SELECT i, i % 7 + 1, 'note', 1, 'code ' || i FROM generate_series(1, 150) i;
{index}; ANALYZE orders"""
#: By the primary key, by an index that is unique, and by one that brings a row twice when its note changes.
_INDEXES = (
    "",
    "CREATE INDEX ON orders (organization_id, id)",
    """UPDATE orders SET note = ''; ALTER TABLE orders ALTER note SET NOT NULL, ALTER note SET DEFAULT '';
    CREATE INDEX ON orders (organization_id, note)""",
)

_SWAP = """UPDATE orders o SET code = s.code FROM orders s
WHERE (o.id, s.id) IN (({0}, {1}), ({1}, {0}))"""

#: Of two writers: which, what it does, and by which dice.
_WRITES = st.tuples(
    st.integers(0, 1),
    st.sampled_from(["begin", "write", "write", "swap", "commit", "rollback"]),
    st.integers(0, 10_000),
)
_WORK = st.just((2, "work", 0))


class _Writer:
    def __init__(self, url: str) -> None:
        self.connection: psycopg.Connection[Any] = psycopg.connect(url, autocommit=True)
        # Two in one thread wait for each other for ever, and the worker for both.
        self.connection.execute("SET lock_timeout = '20ms'")

    def do(self, what: str, seed: int, *, alone: bool) -> None:
        dice = random.Random(seed)
        try:
            if what == "begin" and not self.open:
                self.connection.execute(f"BEGIN ISOLATION LEVEL {dice.choice(LEVELS)}".encode())
                self.connection.execute("SELECT count(*) FROM orders")
            elif what == "write":
                write(self.connection, dice, truncates=alone and not self.open and dice.random() < 0.1)
            elif what == "swap":
                one, other = dice.sample(range(1, 150), 2)
                self.connection.execute(_SWAP.format(one, other).encode())
            elif what in ("commit", "rollback") and self.open:
                self.connection.execute(what.encode())
        except psycopg.Error:
            self.connection.execute("ROLLBACK")

    @property
    def open(self) -> bool:
        return self.connection.info.transaction_status != psycopg.pq.TransactionStatus.IDLE


class _Worker:
    """Does a little at each call: a chunk, an index, a round of replay."""

    def __init__(self, work: Work, pace: Steady) -> None:
        self._work, self._pace = work, pace
        self._done = iter(self._steps())

    def do(self) -> None:
        next(self._done, None)

    def _steps(self) -> Iterator[None]:
        while True:
            self._pace.rests = 0
            try:
                backfill(self._work)
                break
            except Stopped:
                yield
        self._pace.rests = None
        index(self._work)
        yield
        (one,) = replays(self._work)
        while True:
            one.round(most=20)
            yield


@pytest.mark.timeout(size(120, 7200))
@settings(max_examples=size(4, 200), suppress_health_check=list(HealthCheck))
@given(
    st.lists(st.one_of(_WRITES, _WORK), min_size=10, max_size=60),
    st.sampled_from(_INDEXES),
)
def test_nothing_is_lost_whatever_comes_between(
    interleaved: str, steps: list[tuple[int, str, int]], index_of: str
) -> None:
    with psycopg.connect(interleaved, autocommit=True) as connection:
        connection.execute(_ANEW.format(index=index_of).encode())
        pace = Steady(1e-9)
        with moving(interleaved, PLAN, pace=pace) as work:
            prepare(work)
            capture(work)
            worker = _Worker(work, pace)
            writers = [_Writer(interleaved), _Writer(interleaved)]
            try:
                for who, what, seed in steps:
                    if who == 2:
                        worker.do()
                    else:
                        writers[who].do(what, seed, alone=not writers[1 - who].open)
            finally:
                for writer in writers:
                    writer.connection.close()
            pace.rests = None
            backfill(work)
            index(work)
            sync(work)
            while tend(work).total:
                pass
            verdict = verify(work)
        assert verdict.equal, verdict.detail
        assert apart(connection, "orders", "orders_partitioned") == 0


@pytest.fixture(scope="module")
def interleaved(newest: Postgres) -> str:
    return newest.database()
