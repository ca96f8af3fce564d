"""What locks ask of a store, in both forms.

Keys of one lock: who holds it, its last fence, the queue of waiters by turn, and until when each of them counts as
alive. A token is ``instance/number/ttl in ms``.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bedplate.state.store import Argument, Operation, Reply

if TYPE_CHECKING:
    from bedplate.state.memory.keyspace import Keyspace

__all__ = ["ACQUIRE", "EXTEND", "FETCH", "FORCE", "LOOK", "PUT", "RELEASE", "RENEW", "TRY"]

_WEEK = 604_800_000
# As in queue.lua, in ms.
_ALIVE = 3000
_CLAIM = 1000


def _bytes(value: Argument) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode()


def _last_fence(space: Keyspace, keys: Sequence[str]) -> int:
    return int((space.get(keys[1]) or b"0").split(b"/")[0])


def _next_fence(space: Keyspace, keys: Sequence[str]) -> int:
    fence = max(_last_fence(space, keys) + 1, space.now)
    space.set(keys[1], fence, px=_WEEK)
    return fence


def _tell(space: Keyspace, keys: Sequence[str], instance: bytes, message: bytes) -> None:
    space.publish(keys[0].split(":{")[0].encode() + b":to:" + instance, message)


def _hand_over(space: Keyspace, keys: Sequence[str], *, me: bytes, mine: bytes) -> tuple[bytes, int] | None:
    while True:
        first: Any = space.zpopmin(keys[2])
        if not first:
            return None
        token: bytes = first[0]
        alive = int(space.hget(keys[3], token) or 0)
        space.hdel(keys[3], token)
        if alive * 1000 < space.now:
            continue
        instance, _, ttl = token.rsplit(b"/", 2)
        fence = _next_fence(space, keys)
        if token == me or instance == mine:
            space.set(keys[0], token, px=int(ttl))
        else:
            space.set(keys[0], token, px=min(int(ttl), _CLAIM))
            _tell(space, keys, instance, token)
        return token, fence


def _acquire(waits: bool, space: Keyspace, keys: Sequence[str], args: Sequence[Argument]) -> Reply:
    token = _bytes(args[0])
    ttl = int(token.rsplit(b"/", 1)[1])
    holder = space.get(keys[0])
    if holder == token:
        space.pexpire(keys[0], ttl)
        return [1, _last_fence(space, keys) or _next_fence(space, keys)]
    if holder is None:
        given = None
        if space.exists(keys[2]):
            given = _hand_over(space, keys, me=token, mine=b"")
        if given is None:
            given = token, _next_fence(space, keys)
            space.set(keys[0], token, px=ttl)
        if given[0] == token:
            space.zrem(keys[2], token)
            return [1, given[1]]
    if waits:
        last: Any = space.zrange(keys[2], 0, 0, withscores=True, rev=True)
        turn = max(int(last[0][1]) + 1 if last else 1, space.now)
        space.zadd(keys[2], {token: turn}, nx=True)
        space.hset(keys[3], token, space.now_ms + _ALIVE)
        space.pexpire(keys[2], 10 * _ALIVE)
        space.pexpire(keys[3], 10 * _ALIVE)
    left = space.pttl(keys[0])
    most = int((space.get(keys[0]) or b"/%d" % left).rsplit(b"/", 1)[1])
    most = max(most, int((space.get(keys[1]) or b"").partition(b"/")[2] or 0))
    if left > most:
        space.pexpire(keys[0], most)
    return [0, min(left, most)]


def _release(space: Keyspace, keys: Sequence[str], args: Sequence[Argument]) -> Reply:
    token = _bytes(args[0])
    if space.get(keys[0]) != token:
        space.zrem(keys[2], token)
        space.hdel(keys[3], token)
        return [0]
    given = None
    if space.exists(keys[2]):
        given = _hand_over(space, keys, me=b"", mine=token.rsplit(b"/", 2)[0])
    if given is not None:
        return [1, *given]
    space.delete(keys[0])
    return [1]


def _force(space: Keyspace, keys: Sequence[str], args: Sequence[Argument]) -> Reply:
    holder = space.get(keys[0])
    if holder is None:
        return None
    space.delete(keys[0])
    _hand_over(space, keys, me=b"", mine=b"")
    _tell(space, keys, holder.rsplit(b"/", 2)[0], b"!" + holder)
    return holder


def _renew(space: Keyspace, keys: Sequence[str], args: Sequence[Argument]) -> Reply:
    if space.get(keys[0]) != _bytes(args[0]):
        return 0
    space.pexpire(keys[1], _WEEK)
    return space.pexpire(keys[0], args[1])


def _extend(space: Keyspace, keys: Sequence[str], args: Sequence[Argument]) -> Reply:
    if space.get(keys[0]) != _bytes(args[0]):
        return 0
    space.set(keys[1], b"%d/%b" % (_last_fence(space, keys), _bytes(args[1])), px=_WEEK)
    return space.pexpire(keys[0], args[1])


def _look(space: Keyspace, keys: Sequence[str], args: Sequence[Argument]) -> Reply:
    return [space.get(keys[0]), space.pttl(keys[0]), _last_fence(space, keys), space.zcard(keys[2])]


def _put(space: Keyspace, keys: Sequence[str], args: Sequence[Argument]) -> Reply:
    last = int(space.hget(keys[0], "fence") or 0)
    if last > int(args[0]):
        return last
    space.hset(keys[0], "fence", args[0], "value", args[1])
    return 0


def _fetch(space: Keyspace, keys: Sequence[str], args: Sequence[Argument]) -> Reply:
    return space.hmget(keys[0], *args)


def _text(name: str) -> str:
    return Path(__file__).with_name(f"{name}.lua").read_text(encoding="utf-8")


_QUEUE = _text("queue")

#: Takes a lock, or the next turn.
ACQUIRE = Operation(
    name="locks_acquire", script=f"local WAITS = true\n{_QUEUE}{_text('acquire')}", memory=partial(_acquire, True)
)
#: Takes a lock that is free.
TRY = Operation(
    name="locks_try", script=f"local WAITS = false\n{_QUEUE}{_text('acquire')}", memory=partial(_acquire, False)
)
#: Gives back a lock or a turn, and hands the lock to the next waiter.
RELEASE = Operation(name="locks_release", script=_QUEUE + _text("release"), memory=_release)
#: Takes a lock from whoever has it.
FORCE = Operation(name="locks_force", script=_QUEUE + _text("force"), memory=_force)
#: Prolongs a lock.
RENEW = Operation.lua(Path(__file__).with_name("renew.lua"), _renew)
#: Gives a lock another time.
EXTEND = Operation.lua(Path(__file__).with_name("extend.lua"), _extend)
#: Says who holds a lock.
LOOK = Operation(name="locks_look", script=_QUEUE + _text("look"), memory=_look, reads=True)
#: Sets a fenced value.
PUT = Operation.lua(Path(__file__).with_name("put.lua"), _put)
#: Reads one.
FETCH = Operation(name="locks_fetch", command=("HMGET",), memory=_fetch, reads=True)
