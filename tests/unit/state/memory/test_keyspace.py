"""What no server can judge: how much a keyspace takes, what it removes by itself, what operations see of time."""

from __future__ import annotations

import re
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bedplate.state.memory import Keyspace
from bedplate.state.store import StoreReplyError
from bedplate.testing import ManualClock
from tests.conformance.state.command import Command
from tests.conformance.state.commands import commands


def _all_keys(space: Keyspace) -> list[str]:
    found: list[str] = []
    cursor: object = "0"
    while True:
        cursor, keys = space.scan(cursor)  # type: ignore[arg-type,misc]
        found += [key.decode() for key in keys]  # type: ignore[attr-defined]
        if cursor == b"0":
            return found


@given(commands())
def test_what_is_removed_gives_back_what_it_took(given: list[Command]) -> None:
    space = Keyspace()
    for command in given:
        space.begin()
        with suppress(StoreReplyError):
            command.act(space)
    assert (space.used > 0) is (len(space) > 0)
    space.delete(*_all_keys(space))
    assert (space.used, len(space)) == (0, 0)


@given(commands())
def test_what_grows_takes_more_and_no_value_is_free(given: list[Command]) -> None:
    """The estimate is no less than the text that is held."""
    space = Keyspace()
    for command in given:
        space.begin()
        with suppress(StoreReplyError):
            command.act(space)
    assert space.used >= sum(len(key) for key in _all_keys(space))


async def test_keys_whose_end_is_put_off_again_and_again_are_kept_and_cost_nothing_more() -> None:
    clock = ManualClock()
    space = Keyspace(clock)
    for _ in range(200):
        space.begin()
        space.set("session", "x", px=3_000)
        await clock.advance(1)
        while space.sweep():
            pass
        assert space.get("session") == b"x"
    assert sum(map(len, space._due.values())) == 1
    await clock.advance(10)
    space.sweep()
    assert (len(space), space.expired) == (0, 1)


async def test_keys_that_were_removed_before_their_end_are_forgotten() -> None:
    clock = ManualClock()
    space = Keyspace(clock)
    for number in range(10_000):
        space.set(f"k{number}", "x", px=86_400_000)
        space.delete(f"k{number}")
    space.sweep()
    assert not space._filed
    assert not space._due


async def test_an_end_that_is_brought_forward_is_kept() -> None:
    clock = ManualClock()
    space = Keyspace(clock)
    space.set("a", "x", px=100_000)
    space.pexpire("a", 1_000)
    await clock.advance(3)
    space.sweep()
    assert (len(space), space.expired) == (0, 1)


async def test_a_clock_that_is_set_back_keeps_keys_longer_as_redis_does() -> None:
    clock = ManualClock()
    space = Keyspace(clock)
    space.set("a", "x", px=1_000)
    clock.jump(-3600)
    await clock.advance(10)
    space.sweep()
    assert space.get("a") == b"x"
    clock.jump(3600)
    space.begin()
    assert space.get("a") is None


async def test_time_stands_still_within_an_operation() -> None:
    clock = ManualClock()
    space = Keyspace(clock)
    before = space.now
    await clock.advance(1.5)
    assert space.now == before
    space.begin()
    assert (space.now - before, space.now_ms) == (1_500_000, space.now // 1000)


def test_a_scan_in_parts_returns_each_key_once_whatever_comes_and_goes() -> None:
    space = Keyspace()
    for number in range(100):
        space.set(f"k{number}", "x")
    cursor, found = space.scan(count=30)
    space.set("new", "x")
    space.delete("k99")
    names = list(found)  # type: ignore[call-overload]
    while cursor != b"0":
        cursor, found = space.scan(cursor, count=30)  # type: ignore[arg-type]
        names += found  # type: ignore[operator]
    assert sorted(names) == sorted(f"k{number}".encode() for number in range(99))
    with pytest.raises(StoreReplyError, match="invalid cursor"):
        space.scan("17")


@given(st.text(alphabet="ab*?[]^-\\", max_size=8), st.text(alphabet="ab*?[]^-\\", max_size=5))
def test_no_pattern_breaks_a_scan(pattern: str, name: str) -> None:
    space = Keyspace()
    space.set(name, "x")
    _, found = space.scan(0, pattern)
    if re.fullmatch(r"[ab]*", pattern):
        assert (found == [name.encode()]) is (pattern == name)


async def test_an_operation_that_has_begun_to_write_is_not_cut_short_when_memory_ends() -> None:
    space = Keyspace(most=70_000)
    space.set("big", "x" * 70_000)
    space.begin()
    with pytest.raises(StoreReplyError) as caught:
        space.incrby("count")
    assert caught.value.code == "OOM"
    space.begin()
    space.zrem("nothing", "x")
    space.delete("big")
    assert space.incrby("count") == 1


def test_what_a_group_is_owed_takes_room_until_it_is_answered() -> None:
    space = Keyspace()
    space.xgroup_create("s", "g", mkstream=True)
    ids = [space.xadd("s", {"n": number}) for number in range(100)]
    before = space.used
    space.xreadgroup("g", "c", {"s": ">"})
    assert space.used > before + 100 * 64
    space.xack("s", "g", *[id for id in ids if id is not None])
    assert space.used == before
