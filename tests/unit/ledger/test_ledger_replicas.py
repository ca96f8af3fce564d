"""Reading from a real replica: one sees what one wrote, and nothing of another."""

from __future__ import annotations

from tests.postgres import Postgres, replica

from .conftest import office_of

SALE = {"day": "2025-11-03", "account": "4000", "amount": "1.00"}


async def test_on_a_replica_one_sees_what_one_wrote_and_nothing_of_another(server: Postgres) -> None:
    url = server.database()
    name = url.rpartition("@/")[2].partition("?")[0]
    with replica(server) as follower:
        async with office_of(database_url=url, database_replica_urls=(follower.url(name),)) as office:
            ada, bob = await office.bookkeeper(), await office.bookkeeper()
            await bob.earn("9.99")
            for number in range(1, 6):
                await ada.earn("1.00")
                assert len((await ada.get("/revenue"))["items"]) == number
            async with office.books.reading(ada.organization, stale_ok=True) as scope:
                told = await scope.sql("SELECT pg_is_in_recovery(), current_user = 'ledger_tenant'")
                assert tuple(told.one()) == (True, True)
                assert set((await scope.sql("SELECT organization_id FROM ledger_lines")).scalars()) == {
                    ada.organization
                }
            # Another instance sees it, too, by what the client sends back.
            follower.pause_replay()
            answer = await ada.ask("POST", "/revenue", json=SALE)
            seen = await ada.get("/revenue", headers={"ledger-written": answer.headers["ledger-written"]})
            follower.resume_replay()
            assert len(seen["items"]) == 6
