from __future__ import annotations

import threading
from collections.abc import Callable
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bedplate.state.limits import Limit
from bedplate.state.limits.buckets import MemoryBuckets

SECOND = 1_000_000_000


class LeakyBucket:
    """The textbook's meter, exact: it fills by the cost and leaks one unit an interval. The oracle."""

    def __init__(self, limit: Limit) -> None:
        self.limit = limit
        self.level = Fraction(0)
        self.at = 0

    def leaked(self, now: int) -> Fraction:
        return max(Fraction(0), self.level - Fraction(now - self.at, self.limit.interval))

    def fits(self, cost: int, now: int) -> bool:
        return self.leaked(now) + cost <= self.limit.burst

    def fill(self, cost: int, now: int) -> None:
        self.level, self.at = self.leaked(now) + cost, now


limits = st.builds(
    Limit,
    quota=st.integers(1, 50),
    window=st.sampled_from([0.1, 1, 7, 60]),
    burst=st.integers(0, 50),
)
steps = st.lists(st.tuples(st.integers(0, 20 * SECOND), st.integers(0, 5), st.sampled_from("abc")), max_size=60)


@given(st.lists(limits, min_size=1, max_size=3), steps)
def test_it_allows_what_leaky_buckets_allow(chosen: list[Limit], steps: list[tuple[int, int, str]]) -> None:
    buckets = MemoryBuckets(chosen, capacity=1000)
    oracle = {key: [LeakyBucket(limit) for limit in chosen] for key in "abc"}
    now = 5 * SECOND
    for wait, cost, key in steps:
        now += wait
        expected = all(bucket.fits(cost, now) for bucket in oracle[key])
        allowed, debts = buckets.take(key, cost, now)
        assert allowed == expected
        if allowed:
            for bucket in oracle[key]:
                bucket.fill(cost, now)
        assert list(debts) == [bucket.leaked(now) * bucket.limit.interval for bucket in oracle[key]]


def test_a_burst_is_exact_and_refills_evenly() -> None:
    buckets = MemoryBuckets([Limit(7, 60)], 1000)
    assert [buckets.take("a", 1, 0)[0] for _ in range(9)] == [True] * 7 + [False] * 2
    interval = Limit(7, 60).interval
    assert not buckets.take("a", 1, interval - 1)[0]
    assert buckets.take("a", 1, interval)[0]
    assert not buckets.take("a", 1, interval)[0]


def test_when_one_limit_refuses_none_is_used() -> None:
    buckets = MemoryBuckets([Limit(100, 60), Limit(1, 1, "second")], 1000)
    assert buckets.take("a", 1, 0)[0]
    before = buckets.take("a", 0, 0)[1]
    assert not buckets.take("a", 1, 0)[0]
    assert buckets.take("a", 0, 0)[1] == before


def test_idle_keys_are_dropped_and_nothing_is_forgotten() -> None:
    buckets = MemoryBuckets([Limit(10, 10)], 1000)
    for number in range(400):
        buckets.take(f"k{number}", 10, number)
    assert len(buckets) == 400
    # They still owe after half of the window …
    assert not buckets.take("k0", 6, 5 * SECOND)[0]
    # … and are gone two windows later, although nobody looked at them.
    for second in (10, 20):
        buckets.take("other", 1, second * SECOND)
    assert len(buckets) == 1
    assert buckets.forgotten == 0


def test_a_key_in_steady_use_keeps_its_debt_when_others_come_late() -> None:
    buckets = MemoryBuckets([Limit(10, 10)], 1000)
    buckets.take("a", 10, 0)
    for second in range(1, 31):
        buckets.take("a", 1, second * SECOND)
    buckets.take("b", 1, 30 * SECOND)
    assert not buckets.take("a", 1, 30 * SECOND)[0]


def test_memory_is_bounded_whatever_comes() -> None:
    buckets = MemoryBuckets([Limit(1, 3600)], 1000)
    for number in range(20_000):
        buckets.take(f"k{number}", 1, number)
        assert len(buckets) <= 1000
    assert buckets.forgotten >= 18_000
    assert not buckets.take("k19999", 1, 20_000)[0]


def test_a_key_in_use_outlives_a_flood() -> None:
    buckets = MemoryBuckets([Limit(2, 3600)], 1000)
    buckets.take("mine", 2, 0)
    for number in range(20_000):
        buckets.take(f"k{number}", 1, number)
        if number % 100 == 0:
            assert not buckets.take("mine", 1, number)[0]


def test_threads_do_not_get_more_than_there_is() -> None:
    buckets = MemoryBuckets([Limit(1000, 3600)], 1000)
    allowed: list[int] = []

    def use() -> None:
        allowed.append(sum(buckets.take("a", 1, 0)[0] for _ in range(1000)))

    threads = [threading.Thread(target=use) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(allowed) == 1000


@pytest.mark.parametrize("use", [MemoryBuckets.take, MemoryBuckets.charge])
def test_what_is_spent_without_the_lock_meanwhile_is_not_undone(use: Callable[..., object]) -> None:
    limit = Limit(1000, 3600)
    buckets = MemoryBuckets([limit], 1000)
    buckets.take("a", 1, 0)
    meanwhile = [lambda: buckets.spend("a", 0)] * 3

    class Cost(int):
        """While this is reckoned with, another thread comes in."""

        def __mul__(self, other: int) -> int:
            while meanwhile:
                meanwhile.pop()()
            return int(self) * other

    use(buckets, "a", Cost(2), 0)
    assert buckets.take("a", 0, 0)[1] == (6 * limit.interval,)


@pytest.mark.parametrize("generation", ["young", "old"])
def test_a_key_can_start_anew(generation: str) -> None:
    buckets = MemoryBuckets([Limit(1, 10)], 1000)
    buckets.take("a", 1, 9 * SECOND)
    if generation == "old":
        buckets.take("b", 1, 10 * SECOND)
    buckets.forget("a")
    assert buckets.take("a", 1, 10 * SECOND)[0]
