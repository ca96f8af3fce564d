"""What rate limits ask of a store, each done at once or not at all."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bedplate.state.limits.meters import METERS
from bedplate.state.store import Argument, Operation

if TYPE_CHECKING:
    from bedplate.state.memory.keyspace import Keyspace

__all__ = ["BEAT", "CHARGES", "LEAVE", "LOOKS", "MEMBERS", "RESET", "TAKE", "TAKES"]

#: What :data:`TAKE` is to do: take or refuse, charge whatever is left, or only look.
TAKES, CHARGES, LOOKS = 0, 1, 2

_HERE = Path(__file__).parent


def _take(space: Keyspace, keys: Sequence[str], args: Sequence[Argument]) -> list[int]:
    how, cost, *numbers = map(int, str(args[0]).split())
    meters = []
    for place, key in enumerate(keys):
        kind, *three = numbers[4 * place : 4 * place + 4]
        meters.append(METERS[kind](space.get(key), space.now, cost, *three))
    allowed = not any(meter.wait for meter in meters)
    adds = cost != 0 and (how == CHARGES or (how == TAKES and allowed))
    reply = [int(allowed)]
    for key, meter in zip(keys, meters, strict=True):
        if adds:
            meter.add(cost)
        if adds or meter.moved:
            text, kept = meter.text()
            space.set(key, text, px=kept // 1000 + 1)
        reply += meter.left, meter.whole, meter.wait
    return reply


def _beat(space: Keyspace, keys: Sequence[str], args: Sequence[Argument]) -> list[int]:
    (key,), now, lasts = keys, space.now, int(args[1])
    new = space.zadd(key, {args[0]: now})
    space.zremrangebyscore(key, "-inf", f"({now - lasts}")
    space.zremrangebyscore(key, f"({now + lasts}", "+inf")
    space.pexpire(key, lasts // 1000 + 1)
    return [new, space.zcard(key)]


#: Takes units of several limits, all or none; see ``take.lua``.
TAKE = Operation.lua(_HERE / "take.lua", _take)
#: Says that an instance is there, returns whether it is new and how many there are; see ``beat.lua``.
BEAT = Operation.lua(_HERE / "beat.lua", _beat)
#: Says that an instance is there no more.
LEAVE = Operation(name="limits_leave", command=("ZREM",), memory=lambda space, keys, args: space.zrem(keys[0], *args))
#: Returns how many instances there are.
MEMBERS = Operation(
    name="limits_members", command=("ZCARD",), memory=lambda space, keys, args: space.zcard(keys[0]), reads=True
)
#: Lets keys start anew.
RESET = Operation(name="limits_reset", command=("DEL",), memory=lambda space, keys, args: space.delete(*keys))
