"""What a cache does in its store, each at once: as a Lua file for Redis, and here in the process."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bedplate.state.cache.entries import HEAD
from bedplate.state.store import Argument, Operation, Reply

if TYPE_CHECKING:
    from bedplate.state.memory.keyspace import Keyspace

__all__ = [
    "ADVANCE",
    "CLAIM",
    "DROP",
    "FILL",
    "FORGET",
    "GET",
    "LEASE",
    "LOG",
    "NUMBER",
    "OPEN_LOG",
    "OPEN_TAG",
    "PUT",
    "RELEASE",
    "RENEW",
    "VERSION",
]

_HERE = Path(__file__).parent


def _get(space: Keyspace, keys: Sequence[str], args: Sequence[Argument]) -> Reply:
    value = space.get(keys[0])
    return None if value is None else [value, space.pttl(keys[0])]


def _get_plain(space: Keyspace, keys: Sequence[str], args: Sequence[Argument]) -> Reply:
    return space.get(keys[0])


def _hgetall_plain(space: Keyspace, keys: Sequence[str], args: Sequence[Argument]) -> Reply:
    return space.hgetall(keys[0])


def _claim(space: Keyspace, keys: Sequence[str], args: Sequence[Argument]) -> Reply:
    value = space.get(keys[0])
    if value is not None and value[:HEAD] != _bytes(args[2]):
        return [0, value, space.pttl(keys[0])]
    if space.set(keys[1], args[0], nx=True, px=args[1]) is not None:
        return [1]
    return [2, space.pttl(keys[1])]


def _fill(space: Keyspace, keys: Sequence[str], args: Sequence[Argument]) -> Reply:
    if space.get(keys[1]) != _bytes(args[0]):
        return 0
    space.set(keys[0], args[1], px=args[2])
    space.delete(keys[1])
    return 1


def _put(space: Keyspace, keys: Sequence[str], args: Sequence[Argument]) -> Reply:
    space.set(keys[0], args[0], px=args[1])
    space.delete(keys[1])
    return 1


def _forget(space: Keyspace, keys: Sequence[str], args: Sequence[Argument]) -> Reply:
    space.delete(keys[1])
    return space.delete(keys[0])


def _release(space: Keyspace, keys: Sequence[str], args: Sequence[Argument]) -> Reply:
    return space.delete(keys[0]) if space.get(keys[0]) == _bytes(args[0]) else 0


def _renew(space: Keyspace, keys: Sequence[str], args: Sequence[Argument]) -> Reply:
    return space.pexpire(keys[0], args[1]) if space.get(keys[0]) == _bytes(args[0]) else 0


def _open_tag(space: Keyspace, keys: Sequence[str], args: Sequence[Argument]) -> Reply:
    if space.set(keys[0], space.now, nx=True, px=args[0]) is None:
        space.pexpire(keys[0], args[0])
    return 1


def _advance(space: Keyspace, keys: Sequence[str], args: Sequence[Argument]) -> Reply:
    version = space.get(keys[0])
    if version is None:
        return 0
    number = max(int(version) + 1, space.now)
    space.set(keys[0], number, px=args[0])
    return number


def _number(space: Keyspace, keys: Sequence[str], args: Sequence[Argument]) -> Reply:
    return space.hget(keys[0], "number")


def _open_log(space: Keyspace, keys: Sequence[str], args: Sequence[Argument]) -> Reply:
    if space.hsetnx(keys[0], "floor", space.now):
        space.hset(keys[0], "number", space.now)
    space.pexpire(keys[0], args[0])
    return 1


def _drop(space: Keyspace, keys: Sequence[str], args: Sequence[Argument]) -> Reply:
    key, pattern = keys[0], _bytes(args[1])
    before = space.hget(key, "number")
    number = max(int(before or 0) + 1, space.now)
    if not pattern or before is None:
        space.delete(key)
        space.hset(key, "floor", number, "number", number)
    else:
        space.hset(key, "number", number, b"p:" + pattern, number)
        if space.hlen(key) > int(args[2]) + 2:
            dropped = {name: int(value) for name, value in space.hgetall(key).items() if name.startswith(b"p:")}
            oldest = min(dropped, key=dropped.__getitem__)
            space.hdel(key, oldest)
            space.hset(key, "floor", dropped[oldest])
    space.pexpire(key, args[0])
    return number


def _bytes(value: Argument) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode()


GET = Operation.lua(_HERE / "get.lua", _get, reads=True)
CLAIM = Operation.lua(_HERE / "claim.lua", _claim)
FILL = Operation.lua(_HERE / "fill.lua", _fill)
PUT = Operation.lua(_HERE / "put.lua", _put)
FORGET = Operation.lua(_HERE / "forget.lua", _forget)
RELEASE = Operation.lua(_HERE / "release.lua", _release)
RENEW = Operation.lua(_HERE / "renew.lua", _renew)
# What a store tells of changes to is what it was asked to read, and by operations that only read.
VERSION = Operation(
    name="cache_version", command=("GET",), memory=lambda space, keys, args: space.get(keys[0]), reads=True
)
OPEN_TAG = Operation.lua(_HERE / "open_tag.lua", _open_tag)
LEASE = Operation(name="cache_lease", command=("GET",), memory=_get_plain, reads=True)
ADVANCE = Operation.lua(_HERE / "advance.lua", _advance)
LOG = Operation(
    name="cache_log", command=("HGETALL",), memory=lambda space, keys, args: space.hgetall(keys[0]), reads=True
)
NUMBER = Operation(name="cache_number", command=("HGET",), memory=_number, reads=True)
OPEN_LOG = Operation.lua(_HERE / "open_log.lua", _open_log)
DROP = Operation.lua(_HERE / "drop.lua", _drop)
