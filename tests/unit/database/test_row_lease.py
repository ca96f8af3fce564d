"""A lease in a row: one holder at a time, replaced when it dies, cancelled when it is lost."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from bedplate.component import Host, Lease, Spec
from bedplate.database import Database, LeaseLostError, RowLease
from bedplate.testing import running


class Keeper:
    """A component that only gives its host out."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.host: Any = None

    @property
    def spec(self) -> Spec:
        return Spec(kind="keeper", summary="Holds leases.", needs=(self.database,))

    @asynccontextmanager
    async def lifespan(self, host: Host) -> AsyncIterator[None]:
        self.host = host
        yield


async def expire(database: Database) -> None:
    async with database.begin() as connection:
        await connection.execute(text("UPDATE bedplate_leases SET expires = 0"))


async def expires(database: Database) -> float:
    async with database.connect() as connection:
        return float((await connection.execute(text("SELECT expires FROM bedplate_leases"))).scalar_one())


async def test_it_is_a_lease(url: str) -> None:
    lease: Lease = RowLease(Database(url), "report")
    assert lease.name == "report"


async def test_one_holds_it_and_the_next_follows_with_a_greater_fence(url: str) -> None:
    database = Database(url)
    keeper = Keeper(database)
    one, two = RowLease(database, "report"), RowLease(database, "report")
    async with running(keeper) as harness:
        async with one.hold(keeper.host):
            waiting = asyncio.create_task(_held(two, keeper.host))
            fence = one.fence
            for _ in range(3):
                await harness.clock.advance(two.poll)
                await asyncio.sleep(0.01)
            assert not waiting.done()
        await harness.eventually(lambda: _moved(harness.clock, waiting))
        assert await waiting == fence + 1


async def test_leases_of_other_names_are_others(url: str) -> None:
    database = Database(url)
    keeper = Keeper(database)
    async with running(keeper):
        async with RowLease(database, "report").hold(keeper.host), RowLease(database, "digest").hold(keeper.host):
            pass


async def test_a_holder_that_died_is_replaced(url: str) -> None:
    database = Database(url)
    keeper = Keeper(database)
    async with running(keeper):
        dead = RowLease(database, "report")
        holding = dead.hold(keeper.host)
        await holding.__aenter__()
        await expire(database)  # nobody renewed it for the time that it has
        heir = RowLease(database, "report")
        async with heir.hold(keeper.host):
            assert heir.fence == dead.fence + 1
            # Whoever comes back from the dead gives back nothing that is not its own.
            await holding.__aexit__(None, None, None)
            assert await expires(database) > 0


async def test_it_is_renewed_while_it_is_held(url: str) -> None:
    database = Database(url)
    keeper = Keeper(database)
    async with running(keeper) as harness:
        lease = RowLease(database, "report", ttl=60)
        async with lease.hold(keeper.host):
            first = await expires(database)
            await harness.clock.advance(15)

            async def renewed() -> bool:
                return await expires(database) > first

            await harness.eventually(renewed)


async def test_the_body_is_cancelled_when_somebody_else_has_it(url: str) -> None:
    database = Database(url)
    keeper = Keeper(database)
    async with running(keeper) as harness:
        lease = RowLease(database, "report")
        working = asyncio.create_task(_forever(lease, keeper.host))
        await harness.eventually(lambda: lease.fence > 0)
        async with database.begin() as connection:
            await connection.execute(text("UPDATE bedplate_leases SET holder = 'another', fence = fence + 1"))
        await harness.eventually(lambda: _moved(harness.clock, working))
        with pytest.raises(LeaseLostError):
            await working
        assert await expires(database) > 0, "it is the other's to give back"


async def test_a_cancellation_from_outside_stays_one_and_gives_the_lease_back(url: str) -> None:
    database = Database(url)
    keeper = Keeper(database)
    async with running(keeper) as harness:
        lease = RowLease(database, "report")
        working = asyncio.create_task(_forever(lease, keeper.host))
        await harness.eventually(lambda: lease.fence > 0)
        working.cancel()
        with pytest.raises(asyncio.CancelledError):
            await working
        assert await expires(database) == 0


async def test_a_holder_gives_up_before_its_row_expires_when_the_database_is_away(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from bedplate.database import DatabaseUnavailableError

    database = Database(url)
    keeper = Keeper(database)
    async with running(keeper) as harness:
        lease = RowLease(database, "report", ttl=15)
        working = asyncio.create_task(_forever(lease, keeper.host))
        await harness.eventually(lambda: lease.fence > 0)

        def away() -> Any:
            raise DatabaseUnavailableError("It is away.")

        with monkeypatch.context() as patch:
            patch.setattr(database, "begin", away)
            for _ in range(4):
                assert not working.done()
                await harness.clock.advance(3.75)
            await harness.eventually(working.done)
        with pytest.raises(LeaseLostError):
            await working


async def test_work_better_done_twice_than_not_goes_on_alone_and_is_won_again(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from bedplate.database import DatabaseUnavailableError

    database = Database(url)
    keeper = Keeper(database)
    async with running(keeper) as harness:

        def away() -> Any:
            raise DatabaseUnavailableError("It is away.")

        one, two = RowLease(database, "tell", alone=True), RowLease(database, "tell", alone=True)
        with monkeypatch.context() as patch:
            patch.setattr(database, "begin", away)
            patch.setattr(database, "connect", away)
            working = [asyncio.create_task(_forever(lease, keeper.host)) for lease in (one, two)]
            await harness.clock.advance(60)
            assert not any(task.done() for task in working), "each does it alone"
        await harness.eventually(lambda: _moved(harness.clock, *working))
        assert sum(task.done() for task in working) == 1, "one has won it, the other lets go"
        for task in working:
            task.cancel()
        await asyncio.gather(*working, return_exceptions=True)


async def test_a_transaction_can_be_tied_to_it(url: str) -> None:
    database = Database(url)
    keeper = Keeper(database)
    async with running(keeper):
        lease = RowLease(database, "report")
        async with lease.hold(keeper.host), database.begin() as connection:
            assert await lease.confirmed(connection, keeper.host)
        async with database.begin() as connection:
            assert not await lease.confirmed(connection, keeper.host)


async def test_processes_never_hold_it_at_once(url: str, tmp_path: Path) -> None:
    database = Database(url)
    async with running(database), database.begin() as connection:
        await connection.execute(text("CREATE TABLE inside (n integer)"))
        await connection.execute(text("INSERT INTO inside VALUES (0)"))
    program = f"""
import asyncio
from contextlib import asynccontextmanager
from sqlalchemy import text
from bedplate.clock import SystemClock
from bedplate.database import Database, RowLease
from bedplate.service import Service
from bedplate.testing import settings
from bedplate.component import Spec

class Worker:
    def __init__(self, database): self.database = database
    @property
    def spec(self): return Spec(kind="worker", summary="Works.", needs=(self.database,))
    @asynccontextmanager
    async def lifespan(self, host):
        self.host = host
        yield

async def main():
    database = Database({url!r})
    worker = Worker(database)
    async with Service("test", None, [worker], settings=settings()).running(role="worker"):
        for _ in range(5):
            async with RowLease(database, "one", ttl=30, poll=0.005).hold(worker.host):
                async with database.begin() as c:
                    await c.execute(text("UPDATE inside SET n = n + 1"))
                async with database.connect() as c:
                    assert (await c.execute(text("SELECT n FROM inside"))).scalar_one() == 1
                async with database.begin() as c:
                    await c.execute(text("UPDATE inside SET n = n - 1"))
asyncio.run(main())
"""
    processes = [
        subprocess.Popen([sys.executable, "-c", program], cwd=tmp_path, stderr=subprocess.PIPE) for _ in range(3)
    ]
    for process in processes:
        _, said = await asyncio.to_thread(process.communicate)
        assert process.returncode == 0, said.decode()[-3000:]


async def _held(lease: RowLease, host: Host) -> int:
    async with lease.hold(host):
        return lease.fence


async def _forever(lease: RowLease, host: Host) -> None:
    async with lease.hold(host):
        await asyncio.Event().wait()


async def _moved(clock: Any, *tasks: asyncio.Task[Any]) -> bool:
    """Move the clock by a little and say whether one of the tasks has ended."""
    await clock.advance(1)
    return any(task.done() for task in tasks)
