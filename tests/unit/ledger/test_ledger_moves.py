"""Ledger's two large tables move to partitions while it posts, and back; no organisation sees another's meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import date

import pytest
import pytest_asyncio

from bedplate.database.cutover import Cutover
from ledger.entries import Transaction, transaction_entry
from ledger.records import totals
from tests.postgres import Postgres

from .conftest import Office, office_of

pytestmark = pytest.mark.asyncio(loop_scope="module")

PLACE = "/monitoring/components/cutover/transactions/actions/"


@pytest.fixture(scope="module")
def name(server: Postgres) -> str:
    """The name of an empty database."""
    return server.database().rpartition("@/")[2].partition("?")[0]


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def office(server: Postgres, name: str) -> AsyncIterator[Office]:
    async with office_of(database_url=server.url(name), partitions=4) as made:
        yield made


async def press(office: Office, action: str) -> None:
    answer = await office.harness.client.post(f"{PLACE}{action}", json={})
    assert answer.status_code == 200, answer.text


async def ready(office: Office) -> None:
    """Return when it may be switched: both sides are proven to be equal, and what is written now is seen to follow."""
    component: Cutover = office.component(Cutover)

    async def is_ready() -> bool:
        await asyncio.sleep(0.1)  # whoever looks all the time takes it from those who work
        assert component.running is not None
        sight = await component.running.look()
        found = component.running.readiness
        return sight.record is not None and sight.record.state == "verified" and found is not None and found.ready

    await office.harness.eventually(is_ready, 60)


async def switch(office: Office) -> None:
    """Switch as somebody would who watches: what was ready a moment ago may not be, while others post."""

    async def pressed() -> bool:
        await ready(office)
        answer = await office.harness.client.post(f"{PLACE}switch", json={})
        assert answer.status_code in (200, 409), answer.text
        return bool(answer.status_code == 200)

    await office.harness.eventually(pressed, 60)


async def kinds_and_rows(office: Office, organization: int) -> tuple[set[str], int, set[int]]:
    """Return which kinds of tables there are, and whose rows an organisation sees by raw SQL, and how many."""
    async with office.books.reading(organization) as scope:
        kinds = await scope.sql("SELECT relkind::text FROM pg_class WHERE relname ~ '^(revenue|expense)_transactions$'")
        found = (await scope.sql("SELECT organization_id FROM revenue_transactions")).scalars().all()
        return set(kinds.scalars()), len(found), set(found)


async def test_they_move_while_it_posts_and_back(office: Office) -> None:
    ours, theirs = await office.organization(), await office.organization()
    posted = 0
    over = asyncio.Event()

    async def keep_posting() -> None:
        nonlocal posted
        while not over.is_set():
            for organization in (ours, theirs):
                sale = transaction_entry(
                    "revenue", date(2025, 11, 3), Transaction("4000", "1000", 100, "EUR"), reference=f"INV-{posted}"
                )
                (one,) = await office.books.post(organization, [sale])
                assert one.outcome == "added"
            posted += 1
            await asyncio.sleep(0.02)

    async def as_posted(kind: str) -> None:
        async def moved() -> bool:
            return (await kinds_and_rows(office, ours))[0] == {kind}

        await office.harness.eventually(moved, 60)
        before = posted
        _, count, whose = await kinds_and_rows(office, ours)
        assert whose == {ours} and before <= count <= posted + 1

    writing = asyncio.create_task(keep_posting())
    try:
        await press(office, "start")
        await switch(office)
        await as_posted("p")
        seen = posted

        async def went_on() -> bool:
            return posted > seen + 5

        await office.harness.eventually(went_on, 60)
        await press(office, "rollback")
        await as_posted("r")
    finally:
        over.set()
        await writing
    await as_posted("r")
    assert (await kinds_and_rows(office, theirs))[1] == posted
    async with office.books.database.connect() as connection:
        assert await totals.differences(connection, ours, theirs) == []
