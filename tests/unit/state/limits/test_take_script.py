"""The two forms of TAKE do the same: what Redis runs is compared with what runs in the process, at the same times."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from bedplate.state.limits import Limit
from bedplate.state.limits.operations import TAKE
from bedplate.state.limits.plan import Plan
from tests.redis import Servers

START = 1_790_000_000_000_000
SECOND = 1_000_000


class Space:
    """As much of a keyspace as is needed; nothing ends in it, so that both forms are asked in the same state."""

    def __init__(self) -> None:
        self.now = START
        self.kept: dict[str, bytes] = {}
        self.ends: dict[str, bytes] = {}

    def get(self, key: str) -> bytes | None:
        return self.kept.get(key)

    def set(self, key: str, value: str, *, px: int) -> None:
        self.kept[key] = value.encode()
        self.ends[key] = b"%d" % px


def at_given_times(script: str) -> str:
    """Return the script with the time as its last argument, and with what would end it written beside the key."""
    clock = "local clock = call('TIME')"
    end = "call('SET', KEYS[i], text, 'PX', format('%.0f', floor(kept / 1000) + 1))"
    assert script.count(clock) == script.count(end) == 1
    script = script.replace(clock, "local last = tonumber(ARGV[#ARGV]) local clock = {last // 1, 0}")
    script = script.replace("{last // 1, 0}", f"{{math.floor(last / {SECOND}), last % {SECOND}}}")
    return script.replace(
        end,
        "redis.call('SET', KEYS[i], text) redis.call('SET', KEYS[i] .. ':end', format('%.0f', floor(kept / 1000) + 1))",
    )


windows = st.sampled_from([0.5, 1, 7, 60, 3600, 86400 * 30])
buckets = st.builds(Limit, st.integers(1, 4 * 10**8), windows, burst=st.integers(0, 50), strategy=st.just("gcra"))
counted = st.builds(
    Limit,
    st.integers(1, 4 * 10**8),
    windows,
    name=st.just("x"),
    strategy=st.sampled_from(["fixed_window", "sliding_window"]),
)
small = st.builds(
    Limit, st.integers(1, 9), windows, strategy=st.sampled_from(["fixed_window", "sliding_window", "gcra"])
)
limits = st.lists(small | buckets | counted, min_size=1, max_size=3)
moves = st.integers(0, 5 * SECOND) | st.integers(-(10**10), 10**10) | st.just(0)
costs = st.integers(0, 6) | st.integers(-6, 10**9)
steps = st.lists(st.tuples(moves, st.sampled_from(["take", "charge", "look"]), costs), min_size=1, max_size=25)


@settings(max_examples=150)
@given(limits, steps)
def test_lua_and_python_agree(redis_servers: Servers, chosen: list[Limit], steps: list[tuple[int, str, int]]) -> None:
    plan = Plan(chosen, range(len(chosen)), "test:", "limit")
    keys = [f"{key}:{number}" for number, key in enumerate(plan.keys("a"))]
    names = [*keys, *(f"{key}:end" for key in keys)]
    space: Any = Space()
    script = at_given_times(TAKE.script)
    commands: list[tuple[Any, ...]] = [("DEL", *names)]
    expected: list[Any] = []
    for move, how, cost in steps:
        space.now = max(1, space.now + move)
        if how != "charge":
            # More can never pass, and is refused before anybody is asked.
            cost = abs(cost) % (min(limit.burst for limit in chosen) + 1)
        args = getattr(plan, how)(cost)
        reply = TAKE.memory(space, keys, args)
        expected += [reply, [*map(space.kept.get, keys), *map(space.ends.get, keys)]]
        commands += [("EVAL", script, len(keys), *keys, *args, space.now), ("MGET", *names)]
    found = calls(redis_servers, commands)[1:]
    for place, (_, how, _) in enumerate(steps):
        if how == "charge":
            # Nobody waits for a charge; of what goes far beyond a limit, Lua's numbers tell the wait inexactly.
            del expected[2 * place][3::3], found[2 * place][3::3]
            expected[2 * place][0] = found[2 * place][0] = None
    assert found == expected


def calls(servers: Servers, commands: list[tuple[Any, ...]]) -> list[Any]:
    """Ask one server of the session; it is not emptied between examples, which would take longer than they do."""
    made = servers._made.get("redis7") or servers.server("redis7")
    return list(made.calls(commands))
