"""What the store does at once with idempotency keys, each as a script and in the process.

A key is a hash: the fingerprint of what it stands for, whose attempt it is and its number, until when that is under
way, and the record once it is done.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bedplate.state.store import Argument, Operation, Reply

if TYPE_CHECKING:
    from bedplate.state.memory.keyspace import Keyspace

__all__ = ["BEGIN", "DONE", "FINISH", "FORGET", "NEW", "OTHER", "RELEASE", "RENEW", "RUNNING"]

#: What BEGIN says first.
NEW, RUNNING, DONE, OTHER = range(4)

_HERE = Path(__file__).parent


def _text(value: Argument) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode()


def _begin(space: Keyspace, keys: Sequence[str], args: Sequence[Argument]) -> Reply:
    key, now = keys[0], space.now_ms
    mark, owner, lease, kept_for, takes_over = args
    known, attempt, until, record = space.hmget(key, "print", "attempt", "until", "record")
    if known is not None:
        if known != _text(mark):
            return [OTHER, 0, b""]
        if record is not None:
            return [DONE, int(attempt or 0), record]
        left = int(until or 0) - now
        if left >= 0 or (until != b"0" and not int(takes_over)):
            return [RUNNING, max(left, 0), b""]
    number = int(attempt or 0) + 1
    space.hset(key, "print", mark, "owner", owner, "attempt", number, "until", now + int(lease))
    space.pexpire(key, kept_for)
    return [NEW, number, until or b""]


def _is_running(space: Keyspace, key: str, owner: Argument) -> bool:
    known, record = space.hmget(key, "owner", "record")
    return known == _text(owner) and record is None


def _renew(space: Keyspace, keys: Sequence[str], args: Sequence[Argument]) -> Reply:
    if not _is_running(space, keys[0], args[0]):
        return 0
    space.hset(keys[0], "until", space.now_ms + int(args[1]))
    return 1


def _finish(space: Keyspace, keys: Sequence[str], args: Sequence[Argument]) -> Reply:
    mark, owner, attempt, record, kept_for = args
    known, done = space.hmget(keys[0], "owner", "record")
    if known is not None and known != _text(owner):
        return 0
    if done is not None:
        return 1
    space.hset(keys[0], "print", mark, "owner", owner, "attempt", attempt, "record", record)
    space.hdel(keys[0], "until")
    space.pexpire(keys[0], kept_for)
    return 1


def _release(space: Keyspace, keys: Sequence[str], args: Sequence[Argument]) -> Reply:
    if not _is_running(space, keys[0], args[0]):
        return 0
    space.hset(keys[0], "until", 0)
    return 1


def _forget(space: Keyspace, keys: Sequence[str], args: Sequence[Argument]) -> Reply:
    return space.delete(keys[0])


#: The beginning of an attempt: ``[NEW, number, until when the last one held]``, ``[RUNNING, ms, b""]``,
#: ``[DONE, number, record]`` or ``[OTHER, 0, b""]``.
BEGIN = Operation.lua(_HERE / "begin.lua", _begin)
#: A longer hold: 1, or 0 when another attempt has taken over.
RENEW = Operation.lua(_HERE / "renew.lua", _renew)
#: The record: 1, or 0 when another attempt has taken over.
FINISH = Operation.lua(_HERE / "finish.lua", _finish)
#: A failure: 1, or 0 when another attempt has taken over.
RELEASE = Operation.lua(_HERE / "release.lua", _release)
#: The end of a key: 1, or 0 when there was none.
FORGET = Operation(name="idempotency_forget", command=("DEL",), memory=_forget)
