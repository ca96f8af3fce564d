from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from bedplate.monitor.auth.throttle import Throttle, client_key


@given(st.integers(1, 30), st.lists(st.floats(0, 20), max_size=200))
def test_no_client_fails_more_often_than_allowed_in_any_minute(limit: int, gaps: list[float]) -> None:
    throttle, now, admitted = Throttle(limit), 0.0, []
    for gap in gaps:
        now += gap
        if throttle.wait("a", now) == 0:
            throttle.fail("a", now)
            admitted.append(now)
    # A burst of `limit`, then one every period/limit: no window of a minute sees twice as many.
    for start in admitted:
        assert sum(start <= at < start + 60 for at in admitted) <= 2 * limit


def test_the_wait_is_what_it_takes() -> None:
    throttle = Throttle(6)
    for _ in range(6):
        assert throttle.wait("a", 0.0) == 0
        throttle.fail("a", 0.0)
    wait = throttle.wait("a", 0.0)
    assert 0 < wait <= 10
    assert throttle.wait("a", wait) == 0
    assert throttle.wait("b", 0.0) == 0


def test_memory_is_bounded() -> None:
    throttle = Throttle(1, capacity=3)
    for number in range(10):
        throttle.fail(f"c{number}", 0.0)
    remembered = [number for number in range(10) if throttle.wait(f"c{number}", 0.0) > 0]
    assert remembered == [7, 8, 9]


def test_one_subscriber_of_ipv6_is_one_client() -> None:
    assert client_key("2001:db8::1") == client_key("2001:db8::ffff:1:2")
    assert client_key("2001:db8:0:1::1") != client_key("2001:db8::1")
    assert client_key("::ffff:192.0.2.1") == "192.0.2.1"
    assert client_key("testclient") == "testclient"
