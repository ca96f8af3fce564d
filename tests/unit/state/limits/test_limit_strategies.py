"""What each strategy promises, for arrivals and jumps of the clock at random."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bedplate.problems import DeclarationError
from bedplate.state.limits import Limit, Strategy
from bedplate.state.limits.operations import TAKE
from bedplate.state.limits.plan import SLICES, Plan, pace
from bedplate.state.memory.keyspace import Keyspace

SECOND = 1_000_000
STRATEGIES: list[Strategy] = ["gcra", "token_bucket", "sliding_window", "fixed_window"]


class Driven:
    """The clock of a server in µs: ``real`` is the time that passes, ``now`` what the clock shows."""

    def __init__(self) -> None:
        self.real = self.now = 1_790_000_000 * SECOND

    def pass_(self, microseconds: int) -> None:
        self.real += microseconds
        self.now += microseconds

    def jump(self, microseconds: int) -> None:
        self.now += microseconds


class Counting:
    """Some limits, asked as a store is."""

    def __init__(self, *limits: Limit) -> None:
        self.clock = Driven()
        self.plan = Plan(limits, range(len(limits)), "test:", "limit")
        self.space = Keyspace()
        self.space._time = lambda: self.clock.now

    def take(self, cost: int = 1, key: str = "a") -> tuple[bool, int, int, int]:
        """Return whether it passed, and of the first limit units left, µs until whole, and the longest wait."""
        return self._ask(self.plan.take(cost), key)

    def look(self, cost: int = 1, key: str = "a") -> tuple[bool, int, int, int]:
        return self._ask(self.plan.look(cost), key)

    def charge(self, cost: int, key: str = "a") -> None:
        self._ask(self.plan.charge(cost), key)

    def _ask(self, args: tuple[str], key: str) -> tuple[bool, int, int, int]:
        self.space.begin()
        reply = TAKE.memory(self.space, self.plan.keys(key), args)
        return bool(reply[0]), reply[1], reply[2], max(reply[3::3])


@pytest.fixture(params=STRATEGIES)
def strategy(request: pytest.FixtureRequest) -> Strategy:
    found: Strategy = request.param
    return found


windows = st.sampled_from([0.5, 1, 10, 3600])


def most(limit: Limit, length: Fraction) -> Fraction:
    """Return how much a strategy lets through in any time of some length, in windows."""
    if limit.windowed:
        per_window = 1 if limit.strategy == "sliding_window" else 2
        return Fraction(limit.quota * per_window * (1 + int(length)))
    return limit.burst + length * limit.quota


@given(
    st.data(),
    st.integers(1, 12),
    windows,
    st.lists(st.tuples(st.integers(0, 1200), st.integers(1, 3)), min_size=1, max_size=60),
)
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_no_window_ever_has_more_than_is_promised(
    strategy: Strategy, data: st.DataObject, quota: int, window: float, arrivals: list[tuple[int, int]]
) -> None:
    limit = Limit(quota, window, strategy=strategy)
    counting = Counting(limit)
    width = int(window * SECOND)
    passed: list[tuple[int, int, int]] = []
    jumps = 0
    for wait, cost in arrivals:
        counting.clock.pass_(wait * width // 1000)
        if data.draw(st.integers(0, 9)) == 0:
            counting.clock.jump(data.draw(st.integers(-3 * width, 3 * width)))
            jumps += 1
        if cost <= quota and counting.take(cost)[0]:
            passed.append((counting.clock.real, cost, jumps))
    for first, (begun, _, jumped) in enumerate(passed):
        total = 0
        for at, cost, jumps in passed[first:]:
            total += cost
            length = Fraction(at - begun, width)
            # Each jump of the server's clock lets at most one quota more through.
            assert total <= most(limit, length) + (jumps - jumped) * limit.quota
            if limit.strategy == "sliding_window" and length < 1:
                assert total <= quota * (1 + jumps - jumped)


@given(st.data(), st.integers(1, 12), windows, st.lists(st.integers(0, 1500), max_size=30))
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_who_waits_as_long_as_told_always_passes(
    strategy: Strategy, data: st.DataObject, quota: int, window: float, waits: list[int]
) -> None:
    counting = Counting(Limit(quota, window, strategy=strategy))
    width = int(window * SECOND)
    for wait in waits:
        counting.clock.pass_(wait * width // 1000)
        cost = data.draw(st.integers(1, quota))
        counting.take(cost)
        if data.draw(st.integers(0, 4)) == 0:
            counting.clock.jump(data.draw(st.integers(-(10**12), 10**12)))
    cost = data.draw(st.integers(1, quota))
    allowed, _, _, wait = counting.take(cost)
    if not allowed:
        # Never longer than a window and its slice, or a refill, whatever the clock has done.
        assert wait <= width + -(-width // SLICES) + 1
        counting.clock.pass_(wait - 1)
        assert not counting.take(cost)[0]
        counting.clock.pass_(1)
        assert counting.take(cost)[0]


@given(st.integers(1, 9), st.lists(st.tuples(st.integers(0, 400), st.integers(1, 4)), max_size=60))
def test_a_sliding_window_forgets_a_use_within_a_slice_of_its_window(
    quota: int, arrivals: list[tuple[int, int]]
) -> None:
    """A log of all uses is the oracle: what it would let through with a window of 13/12, this does, too."""
    counting = Counting(Limit(quota, 12, strategy="sliding_window"))
    log: list[tuple[int, int]] = []
    for wait, cost in arrivals:
        counting.clock.pass_(wait * 10_000)
        if cost > quota:
            continue
        now = counting.clock.now
        within = [sum(units for at, units in log if at > now - length * SECOND) for length in (12, 13)]
        allowed = counting.take(cost)[0]
        if within[1] + cost <= quota:
            assert allowed
        if within[0] + cost > quota:
            assert not allowed
        if allowed:
            log.append((now, cost))


@given(st.integers(1, 50), st.integers(0, 50), windows, st.lists(st.tuples(st.integers(0, 10**7), st.integers(0, 5))))
def test_a_bucket_is_the_textbooks_one(quota: int, burst: int, window: float, arrivals: list[tuple[int, int]]) -> None:
    limit = Limit(quota, window, burst=burst)
    counting = Counting(limit)
    tokens, rate = Fraction(limit.burst), Fraction(quota) / Fraction(int(window * SECOND))
    for wait, cost in arrivals:
        counting.clock.pass_(wait)
        tokens = min(Fraction(limit.burst), tokens + wait * rate)
        allowed, left, _, _ = counting.take(cost)
        assert allowed == (cost <= tokens)
        if allowed:
            tokens -= cost
        assert left == int(tokens)


def test_two_names_of_one_algorithm_decide_alike() -> None:
    one, other = (Counting(Limit(7, 60, strategy=name)) for name in ("gcra", "token_bucket"))
    for number in range(40):
        for counting in (one, other):
            counting.clock.pass_(number * 700_000)
        assert one.take() == other.take()


def test_all_limits_or_none(strategy: Strategy) -> None:
    counting = Counting(Limit(2, 1, "second", strategy=strategy), Limit(3, 86400, "day", strategy=strategy))
    assert [counting.take()[0] for _ in range(3)] == [True, True, False]
    counting.clock.pass_(3 * SECOND)
    # The refused one was not counted against the day.
    assert [counting.take()[0] for _ in range(2)] == [True, False]
    assert counting.look()[3] > 3600 * SECOND


def test_limits_of_different_strategies_are_taken_together() -> None:
    counting = Counting(
        Limit(2, 1, "second", strategy="fixed_window"),
        Limit(3, 60, "minute", strategy="sliding_window"),
        Limit(4, 3600),
    )
    allowed = []
    for _ in range(6):
        allowed.append(counting.take()[0])
        counting.clock.pass_(600_000)
    assert sum(allowed) == 3


def test_looking_takes_nothing_and_costs_tell(strategy: Strategy) -> None:
    counting = Counting(Limit(10, 60, strategy=strategy))
    assert counting.look(10)[:2] == (True, 10)
    counting.take(5)
    assert counting.look(5)[:2] == (True, 5)
    assert counting.look(6)[:2] == (False, 5)
    assert counting.take(6)[:2] == (False, 5)
    assert counting.take(0)[:2] == (True, 5)


def test_charges_go_below_nothing_and_are_forgiven_beyond_twice(strategy: Strategy) -> None:
    counting = Counting(Limit(10, 60, strategy=strategy))
    counting.charge(1_000_000)
    allowed, left, _, wait = counting.take()
    assert (allowed, left) == (False, 0)
    assert wait <= (120 if strategy in ("gcra", "token_bucket") else 65) * SECOND
    counting.clock.pass_(wait)
    assert counting.take()[0]


def test_what_is_given_back_can_be_taken_again_but_no_more(strategy: Strategy) -> None:
    counting = Counting(Limit(10, 60, strategy=strategy))
    counting.take(10)
    counting.charge(-4)
    assert counting.look(4)[:2] == (True, 4)
    counting.charge(-1_000)
    assert counting.look(10)[:2] == (True, 10)
    assert counting.take(10)[0]
    assert not counting.take()[0]


def test_nothing_is_kept_for_ever(strategy: Strategy) -> None:
    counting = Counting(Limit(3, 60, strategy=strategy))
    for key in "abc":
        counting.take(3, key)
        counting.take(1, key)
        counting.charge(9, key)
    assert all(key in counting.space._expires for key in counting.space._data)
    counting.clock.pass_(200 * SECOND)
    while counting.space.sweep():
        pass
    assert len(counting.space) == 0


@pytest.mark.parametrize("refuses", [True, False])
def test_a_clock_that_goes_back_for_a_year_keeps_nobody_out(strategy: Strategy, refuses: bool) -> None:
    counting = Counting(Limit(3, 60, strategy=strategy))
    counting.take(3)
    counting.clock.jump(-365 * 86400 * SECOND)
    if refuses:
        assert not counting.take()[0]
    counting.clock.pass_(66 * SECOND)
    if not refuses:
        counting.take()
        counting.clock.pass_(66 * SECOND)
    assert counting.take()[0]


@pytest.mark.parametrize("quota", [10**6, 10**9])
def test_large_quotas_are_counted_to_the_unit(strategy: Strategy, quota: int) -> None:
    counting = Counting(Limit(quota, 2, strategy=strategy))
    assert counting.take()[:2] == (True, quota - 1)
    assert counting.take(quota - 2)[:2] == (True, 1)
    assert counting.take(2)[:2] == (False, 1)
    assert counting.take()[:2] == (True, 0)
    assert not counting.take()[0]


@given(st.integers(1, 10**9), st.sampled_from([1, 60, 86400, 86400 * 365]))
def test_refilling_is_never_faster_and_hardly_slower(quota: int, window: int) -> None:
    limit = Limit(quota, window)
    try:
        ticks, paid, full = pace(limit)
    except DeclarationError:
        return
    rate, exact = Fraction(paid, ticks), Fraction(quota, window * SECOND)
    assert exact * Fraction(99, 100) <= rate <= exact
    assert full == limit.burst * ticks <= 2**51


@pytest.mark.parametrize("strategy", ["gcra", "fixed_window", "sliding_window"])
def test_what_cannot_be_counted_exactly_is_refused(strategy: Strategy) -> None:
    with pytest.raises(DeclarationError):
        Counting(Limit(10**17, 10**9, strategy=strategy))


def test_fixed_windows_end_at_multiples_of_their_length() -> None:
    counting = Counting(Limit(10, 60, strategy="fixed_window"))
    counting.clock.pass_(60 * SECOND - counting.clock.now % (60 * SECOND) + 59 * SECOND)
    assert counting.take(10) == (True, 0, SECOND, 0)
    assert counting.take() == (False, 0, SECOND, SECOND)
    counting.clock.pass_(SECOND)
    assert counting.take(10)[0]


@pytest.mark.parametrize("length", [199, 200, 201, 5000])
def test_keys_of_any_length_and_content_are_told_apart(length: int) -> None:
    plan = Plan([Limit(1, 1)], [0], "test:", "limit")
    names = ["x" * length, "x" * (length - 1) + "y", "{", "}", "", "ü\udc80", "a b\n", "{a}"]
    keys = [plan.keys(name)[0] for name in names]
    assert len(set(keys)) == len(names)
    assert max(map(len, keys)) < 300
    slots = {key[key.index("{") + 1 : key.index("}", key.index("{"))] for key in keys}
    assert "" not in slots
