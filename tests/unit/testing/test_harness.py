"""The harness and its clock."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from bedplate.component import Host, Spec
from bedplate.metric import Counter, Histogram
from bedplate.testing import ManualClock, running

HITS = Counter("app_hits_total", "Hits.", {"cache": 50, "result": 50})
WAIT = Histogram("app_wait_seconds", "Wait.", {"cache": 5}, unit="seconds", buckets=(1.0,))

#: Values that a search for substrings, or a split at lines, takes for something else.
ODD = ('a"b', "a\\", "a\nb", "x,result=hit", 'a",result="hit', "line\u2028sep", "{}", "a b 3")


class Shop:
    @property
    def spec(self) -> Spec:
        return Spec(kind="shop", summary="Sells.", metrics=(HITS, WAIT))

    @asynccontextmanager
    async def lifespan(self, host: Host) -> AsyncIterator[None]:
        for number, cache in enumerate(("a", "aa", "ab", *ODD), 1):
            host.bind(HITS, cache=cache, result="hit").inc(number)
            host.bind(HITS, cache=cache, result="miss").inc(100 * number)
        host.bind(WAIT, cache="a").observe(0.5)
        host.bind(WAIT, cache="aa").observe(0.5)
        yield


async def test_a_value_is_that_of_the_labels_asked_for_and_of_no_others() -> None:
    async with running(Shop()) as harness:
        assert await harness.value(HITS, cache="a") == 101
        assert await harness.value(HITS(cache="a"), result="hit") == 1
        assert await harness.value(HITS, result="hit") == sum(range(1, 4 + len(ODD)))
        assert await harness.value('app_hits_total{cache="aa"}', result="miss") == 200
        assert await harness.value("app_hits_total", cache="ab", result="hit") == 3
        assert await harness.value(HITS, cache="b") == 0
        assert await harness.value("app_hits") == 0
        for number, cache in enumerate(ODD, 4):
            assert await harness.value(HITS, cache=cache, result="hit") == number, cache
        assert await harness.value(WAIT.count) == 2
        assert await harness.value(WAIT(cache="a").count) == 1
        assert await harness.value(WAIT(cache="a").bucket, le="1.0") == 1


async def test_eventually_gives_up_and_says_so() -> None:
    async with running(Shop()) as harness:
        with pytest.raises(AssertionError, match="stayed false"):
            await harness.eventually(lambda: False, timeout=0.05)


async def test_sleepers_wake_in_the_order_of_their_times_and_see_them() -> None:
    clock = ManualClock()
    began, woke = clock.monotonic(), []

    async def sleeper(name: str, *naps: float) -> None:
        for nap in naps:
            await clock.sleep(nap)
            woke.append((name, clock.monotonic() - began, clock.time() - 1_700_000_000.0))

    tasks = [
        asyncio.create_task(sleeper("late", 5)),
        asyncio.create_task(sleeper("often", 1, 1, 1)),
        asyncio.create_task(sleeper("first", 3)),
        asyncio.create_task(sleeper("same", 3)),
    ]
    await clock.advance(4)
    assert woke == [("often", 1, 1), ("often", 2, 2), ("first", 3, 3), ("same", 3, 3), ("often", 3, 3)]
    assert clock.monotonic() - began == 4
    await clock.advance(1)
    assert woke[-1] == ("late", 5, 5)
    await asyncio.gather(*tasks)


async def test_one_that_is_cancelled_in_its_sleep_disturbs_nobody() -> None:
    clock = ManualClock()
    woke: list[int] = []

    async def sleeper(number: int) -> None:
        await clock.sleep(1)
        woke.append(number)

    tasks = [asyncio.create_task(sleeper(number)) for number in range(3)]
    await clock.advance(0.5)
    tasks[1].cancel()
    await clock.advance(0.5)
    assert woke == [0, 2]
    assert tasks[1].cancelled()


async def test_the_wall_clock_may_jump_and_the_monotonic_one_never_goes_back() -> None:
    clock = ManualClock(start=1000.0)
    before = clock.monotonic()
    clock.jump(-600)
    assert (clock.time(), clock.monotonic()) == (400, before)
    await clock.advance(10)
    assert (clock.time(), clock.monotonic()) == (410, before + 10)
    with pytest.raises(ValueError, match="cannot go back"):
        await clock.advance(-1)
    await asyncio.gather(clock.advance(5), clock.advance(1))
    assert clock.monotonic() >= before + 15
