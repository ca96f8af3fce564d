"""Rows that hold megabytes are copied a few at a time: a chunk of 500 of them would be half a gigabyte."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import psycopg
import pytest

from bedplate.database.cutover import Plan
from bedplate.database.cutover.plan import Mode
from bedplate.database.cutover.steps import backfill, capture, index, pairs, prepare, sync, verify
from bedplate.database.cutover.steps.chunks import heavy
from tests.moving import Steady, Watch, apart, moving

Connection = psycopg.Connection[Any]
#: At this pace a chunk is about a megabyte.
PACE = 0.005
ROWS, SIZE, MOST = 40, 200_000, 1_250_000


class _Chunks(Watch):
    """Remembers how many rows each chunk had."""

    def __init__(self) -> None:
        super().__init__()
        self.sizes: list[int] = []

    def rows(self, table: str, step: str, count: int) -> None:
        super().rows(table, step, count)
        if step == "backfill":
            self.sizes.append(count)


@pytest.fixture
def scans(connection: Connection) -> Connection:
    """A table of scans: forty of 200,000 bytes, and after each of them three without."""
    connection.execute(
        f"""CREATE TABLE scans (id int PRIMARY KEY, organization_id int NOT NULL, page text);
        ALTER TABLE scans ALTER page SET STORAGE EXTERNAL;
        INSERT INTO scans SELECT i, i % 3, CASE WHEN i % 4 = 0 THEN repeat('s', {SIZE}) END
            FROM generate_series(1, {4 * ROWS}) i;
        CREATE INDEX scans_organization ON scans (organization_id, id);
        ANALYZE scans"""
    )
    return connection


@pytest.mark.parametrize("mode", ["capture", "dual-write"])
def test_a_chunk_is_no_more_than_so_many_bytes(url: str, scans: Connection, mode: Mode) -> None:
    with moving(url, Plan(tables="scans", key="organization_id", partitions=2, mode=mode), pace=Steady(PACE)) as opened:
        chunks = _Chunks()
        work = replace(opened, meter=chunks)
        for step in (prepare, capture, backfill, index, sync):
            step(work)
        assert sum(chunks.sizes) == 4 * ROWS
        # The last row of a chunk is the one that makes it full.
        assert max(chunks.sizes) <= 4 * (MOST // SIZE)
        assert len(chunks.sizes) >= ROWS * SIZE // MOST
        assert verify(work).equal
        assert apart(scans, "scans", "scans_partitioned") == 0
        # So are rows that are replayed, after the switch as well.
        (pair,) = pairs(scans, work.plan)
        turned = replace(pair, live=pair.shadow, shadow=pair.live)
        assert heavy(scans, pair) == heavy(scans, turned) == ("page",)


def test_rows_of_one_organisation_do_not_come_together_when_they_are_too_many_bytes(
    url: str, connection: Connection
) -> None:
    connection.execute(
        """CREATE TABLE scans (id int PRIMARY KEY, organization_id int NOT NULL, page text);
        ALTER TABLE scans ALTER page SET STORAGE EXTERNAL;
        INSERT INTO scans SELECT i, 1, repeat('s', 2000000) FROM generate_series(1, 10) i;
        CREATE INDEX scans_organization ON scans (organization_id);
        ANALYZE scans"""
    )
    with moving(url, Plan(tables="scans", key="organization_id", partitions=2)) as work:
        for step in (prepare, capture):
            step(work)
        assert work.journal.load("backfill:scans")["order"] == ["id"]
