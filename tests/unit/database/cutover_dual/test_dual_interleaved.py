"""Whatever two writers at any level do between the worker's chunks, and within them, both tables become the same."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from bedplate.database.cutover import Plan
from bedplate.database.cutover.dualwrite import DualWrites
from bedplate.database.cutover.steps import backfill, capture, index, pairs, prepare, sync, verify
from bedplate.database.cutover.work import Stopped, Work
from tests.endurance import WHOLE, size
from tests.moving import LEVELS, Steady, TableJournal, apart, moving
from tests.postgres import Postgres

PLAN = Plan(tables="orders", key="organization_id", partitions=2, mode="dual-write")
_ANEW = """DROP SCHEMA public CASCADE; CREATE SCHEMA public;
CREATE TABLE orders (id int PRIMARY KEY, organization_id int NOT NULL,
    note text, number int GENERATED {identity}, code int UNIQUE DEFERRABLE);
INSERT INTO orders (id, organization_id, note, code) SELECT i * 5, i % 4, 'note', i FROM generate_series(1, 40) i;
ANALYZE orders"""
#: A failure is shown as it is: making it smaller would take longer than a test may.
_PHASES = (Phase.explicit, Phase.generate)
_IDENTITIES = ("ALWAYS AS IDENTITY", "BY DEFAULT AS IDENTITY")

#: What a writer does to one or two rows of a few: so that it meets the other, and what it did before.
_WRITES = (
    "DELETE FROM orders WHERE id = {id}",
    "DELETE FROM orders WHERE id IN ({id}, {other})",
    "INSERT INTO orders (id, organization_id, note) VALUES ({id}, {org}, 'new')",
    "INSERT INTO orders (id, organization_id) VALUES ({id}, {org}), ({other}, {org}) ON CONFLICT DO NOTHING",
    "INSERT INTO orders (id, organization_id) VALUES ({id}, {org}) ON CONFLICT (id) DO UPDATE SET note = 'again'",
    """INSERT INTO orders (id, organization_id, note) SELECT i, {org}, 'bulk' FROM generate_series({id}, {id} + 20) i
    ON CONFLICT DO NOTHING""",
    "UPDATE orders SET note = note || 'x' WHERE id = {id}",
    "UPDATE orders SET organization_id = {org} WHERE id = {id}",
    "UPDATE orders SET organization_id = (organization_id + 1) % 4 WHERE id % 3 = {org} % 3",
    "UPDATE orders SET id = {other} WHERE id = {id}",
    "UPDATE orders o SET code = s.code FROM orders s WHERE (o.id, s.id) IN (({id}, {other}), ({other}, {id}))",
    """WITH gone AS (DELETE FROM orders WHERE id IN ({id}, {other}) RETURNING id)
    INSERT INTO orders (id, organization_id, note) SELECT id, {org}, 'moved' FROM gone LIMIT 1""",
)
_ACTS = st.tuples(
    st.integers(0, 1), st.sampled_from(["begin", "write", "write", "write", "commit", "rollback"]), st.integers(0, 9999)
)
#: What the worker does, and how many of the next acts fall within it.
_WORK = st.tuples(st.just(2), st.just("work"), st.integers(0, 5))


class _Writer:
    def __init__(self, url: str) -> None:
        self.connection: psycopg.Connection[Any] = psycopg.connect(url, autocommit=True)
        # Two in one thread wait for each other for ever, and the worker for both.
        self.connection.execute("SET lock_timeout = '10ms'")

    @property
    def open(self) -> bool:
        return self.connection.info.transaction_status != psycopg.pq.TransactionStatus.IDLE

    def do(self, what: str, seed: int) -> None:
        luck = random.Random(seed)
        try:
            if what == "begin" and not self.open:
                self.connection.execute(f"BEGIN ISOLATION LEVEL {luck.choice(LEVELS)}".encode())
                self.connection.execute("SELECT count(*) FROM orders")
            elif what == "write":
                one, other = luck.sample(range(5, 105, 5), 2)
                text = luck.choice(_WRITES).format(id=one, other=other, org=luck.randrange(4))
                self.connection.execute(text.encode())
            elif what in ("commit", "rollback") and self.open:
                self.connection.execute(what.encode())
        except psycopg.Error:
            self.connection.execute("ROLLBACK")


class _Within(TableJournal):
    """A journal that lets things happen when a chunk is written and not yet committed."""

    acts: Iterator[object] = iter(())

    def save(self, part: str, progress: Any) -> None:
        if part.startswith("backfill"):
            # Chunks of a few rows, so that there are several.
            progress = dict(progress, size=8)
            list(self.acts)
        super().save(part, progress)


def _chunk(work: Work) -> None:
    """Copy a chunk; or try to make the triggers strict, once all are copied."""
    work.pace.rests = 0  # type: ignore[attr-defined]
    try:
        backfill(work)
    except Stopped:
        pass
    finally:
        work.pace.rests = None  # type: ignore[attr-defined]


@pytest.mark.timeout(size(120, 7200))
@settings(max_examples=size(6, 200), phases=_PHASES, suppress_health_check=list(HealthCheck))
@given(st.lists(st.one_of(_ACTS, _ACTS, _WORK), min_size=10, max_size=80), st.sampled_from(_IDENTITIES))
def test_both_are_the_same_whatever_comes_between(
    interleaved: str, steps: list[tuple[int, str, int]], identity: str
) -> None:
    with psycopg.connect(interleaved, autocommit=True) as connection, moving(interleaved, PLAN) as work:
        connection.execute(_ANEW.format(identity=identity).encode())
        journal = _Within(work.connection)
        work = replace(work, journal=journal, pace=Steady(1e-9))
        prepare(work)
        capture(work)
        writers = [_Writer(interleaved), _Writer(interleaved)]
        todo = iter(steps)

        def acts(most: int) -> Iterator[object]:
            for who, what, seed in todo:
                if who != 2:
                    writers[who].do(what, seed)
                yield who
                most -= 1
                if most <= 0:
                    return

        try:
            for who, what, seed in todo:
                copied = journal.load("backfill:orders")["done"]
                if who != 2:
                    writers[who].do(what, seed)
                elif not copied or not any(writer.open for writer in writers):
                    journal.acts = acts(seed) if seed and not copied else iter(())
                    _chunk(work)
        finally:
            for writer in writers:
                writer.connection.close()
        journal.acts = iter(())
        backfill(work)
        (pair,) = pairs(work.connection, PLAN)
        assert DualWrites(work.connection, pair).phase == "strict"
        assert apart(connection, "orders", "orders_partitioned") == 0
        if WHOLE:
            index(work)
            sync(work)
            assert verify(work).equal


@pytest.fixture(scope="module")
def interleaved(server: Postgres) -> str:
    return server.database()
