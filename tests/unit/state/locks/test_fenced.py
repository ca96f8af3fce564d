"""What refuses who has lost its lock: never are two holders accepted."""

from __future__ import annotations

import random
import sqlite3
from contextlib import closing

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bedplate.state.locks import Fence, Fenced, Locks, LockUnavailableError, StaleFenceError
from bedplate.state.memory.component import Memory
from bedplate.testing import running
from tests.unit.state.far_store import FarStore


@given(st.lists(st.integers(1, 20)))
def test_a_fence_accepts_what_never_falls(fences: list[int]) -> None:
    fence = Fence("a file")
    accepted: list[int] = []
    for each in fences:
        try:
            fence.accept(each)
        except StaleFenceError as error:
            assert error.offered == each < error.seen == max(accepted)
        else:
            accepted.append(each)
    assert accepted == sorted(accepted)
    assert not fences or accepted[-1] == max(fences)


async def test_a_fenced_value_refuses_a_holder_that_was_paused() -> None:
    locks = Locks(Memory())
    values = Fenced(locks, "portfolio")
    async with running(locks) as harness:
        assert await values.get("7") == (None, 0)
        paused = await locks.acquire("portfolio:7", ttl=10)
        await values.put("7", "first", paused.fence)
        locks._forget(paused)  # it is stopped: it renews nothing and notices nothing
        await harness.clock.advance(11)
        async with locks.hold("portfolio:7") as held:
            await values.put("7", b"second", held.fence)
            await values.put("7", b"third", held.fence)
        with pytest.raises(StaleFenceError, match="portfolio 7"):
            await values.put("7", "late", paused.fence)
        assert await values.get("7") == (b"third", held.fence)
        assert await values.get("8") == (None, 0)


async def test_a_row_with_a_fence_refuses_a_holder_that_was_paused() -> None:
    locks = Locks(Memory())
    async with running(locks) as harness:
        with closing(sqlite3.connect(":memory:")) as database:
            database.execute("CREATE TABLE portfolio (id INTEGER PRIMARY KEY, value TEXT, fence INTEGER)")
            database.execute("INSERT INTO portfolio VALUES (7, '', 0)")

            def write(value: str, fence: int) -> bool:
                cursor = database.execute(
                    "UPDATE portfolio SET value = ?, fence = ? WHERE id = 7 AND fence <= ?", (value, fence, fence)
                )
                return cursor.rowcount == 1

            paused = await locks.acquire("portfolio:7", ttl=10)
            locks._forget(paused)
            await harness.clock.advance(11)
            async with locks.hold("portfolio:7") as held:
                assert write("second", held.fence)
            assert not write("late", paused.fence)
            assert database.execute("SELECT value FROM portfolio").fetchone() == ("second",)


async def test_fenced_values_are_refused_while_the_store_is_away() -> None:
    store = FarStore(random.Random(1))
    locks = Locks(store)
    async with running(locks):
        store.set_away(True)
        with pytest.raises(LockUnavailableError):
            await Fenced(locks, "portfolio").put("7", "x", 1)
        with pytest.raises(LockUnavailableError):
            await Fenced(locks, "portfolio").get("7")
