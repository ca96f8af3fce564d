"""What the store does at once with sessions, each as a script and in the process.

All sessions of one user are one hash, so that each of these touches one key: a field a session, and ``*`` for the time
up to which all of them were ended. A session's record is a line of whole numbers (version, and the Unix times in ms at
which it began, was last used, is idle and ends), a line of JSON about it, and its data as JSON.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, cast

from bedplate.state.store import Argument, Operation, Reply

if TYPE_CHECKING:
    from bedplate.state.memory.keyspace import Keyspace

__all__ = ["CREATE", "EPOCH", "LIST", "LOAD", "PROBE", "REVOKE", "REVOKE_ALL", "REVOKE_EVERYONE", "SAVE", "TOUCH"]

_HERE = Path(__file__).parent
_ALL = b"*"


def _bytes(value: Argument) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode()


def _head(raw: bytes) -> tuple[int, int, int, int, int]:
    version, created, seen, idle, ends = raw.split(b"\n", 1)[0].split(b" ")
    return int(version), int(created), int(seen), int(idle), int(ends)


def _put(space: Keyspace, key: str, field: Argument, raw: bytes, last: int) -> None:
    space.hset(key, field, raw)
    if space.pexpiretime(key) < last:
        space.pexpireat(key, last)


def _load(space: Keyspace, keys: Sequence[str], args: Sequence[Argument]) -> Reply:
    return [space.now_ms, space.hget(keys[0], args[0])]


def _list(space: Keyspace, keys: Sequence[str], args: Sequence[Argument]) -> Reply:
    return [space.now_ms, [part for pair in space.hgetall(keys[0]).items() for part in pair]]


def _create(space: Keyspace, keys: Sequence[str], args: Sequence[Argument]) -> Reply:
    key, now = keys[0], space.now_ms
    field, old, idle_ms, longest, most, epoch, about, data = args
    if old:
        space.hdel(key, old)
    created = max(now, max(int(epoch), int(space.hget(key, _ALL) or 0)) + 1)
    ends = created + int(longest)
    idle = min(now + int(idle_ms), ends)
    if space.hlen(key) >= int(most):
        _make_room(space, key, int(most))
    raw = b"1 %d %d %d %d\n%b\n%b" % (created, now, idle, ends, _bytes(about), _bytes(data))
    _put(space, key, field, raw, idle)
    return [now, raw]


def _make_room(space: Keyspace, key: str, most: int) -> None:
    left = []
    for field, raw in space.hgetall(key).items():
        if field == _ALL:
            continue
        _, _, seen, last, _ = _head(raw)
        if last < space.now_ms:
            space.hdel(key, field)
        else:
            left.append((seen, field))
    left.sort(key=lambda one: one[0])
    for _, field in left[: max(0, len(left) - most + 1)]:
        space.hdel(key, field)


def _save(space: Keyspace, keys: Sequence[str], args: Sequence[Argument]) -> Reply:
    key, now = keys[0], space.now_ms
    field, read, idle_ms, data = args
    raw = space.hget(key, field)
    if raw is None:
        return [now, None, 0]
    version, created, _, last, ends = _head(raw)
    if last < now:
        return [now, None, 0]
    if version != int(read):
        return [now, raw, 0]
    idle = min(now + int(idle_ms), ends)
    about = raw.split(b"\n", 2)[1]
    raw = b"%d %d %d %d %d\n%b\n%b" % (version + 1, created, now, idle, ends, about, _bytes(data))
    _put(space, key, field, raw, idle)
    return [now, None, 1]


def _touch(space: Keyspace, keys: Sequence[str], args: Sequence[Argument]) -> Reply:
    key, now = keys[0], space.now_ms
    field, idle_ms, name = args
    raw = space.hget(key, field)
    if raw is None:
        return [now, None]
    version, created, _, last, ends = _head(raw)
    if last < now:
        return [now, None]
    idle = min(now + int(idle_ms), ends)
    raw = b"%d %d %d %d %d\n%b" % (version, created, now, idle, ends, raw.split(b"\n", 1)[1])
    if name:
        space.hdel(key, field)
    _put(space, key, name or field, raw, idle)
    return [now, raw]


def _revoke(space: Keyspace, keys: Sequence[str], args: Sequence[Argument]) -> Reply:
    channel, tag, *fields = args
    found = 0
    for field in fields:
        found += space.hdel(keys[0], field)
        if channel:
            space.publish(channel, b"%b %b %d" % (_bytes(tag), _bytes(field), space.now_ms))
    return [space.now_ms, found]


def _revoke_all(space: Keyspace, keys: Sequence[str], args: Sequence[Argument]) -> Reply:
    key, now = keys[0], space.now_ms
    channel, tag, given, stays, remembered = args
    before, stays = int(given), _bytes(stays)
    done = int(space.hget(key, _ALL) or 0)
    void = before or max(now, done + 1)
    ended = []
    for field, raw in space.hgetall(key).items():
        if field in (_ALL, stays):
            continue
        created = _head(raw)[1]
        if before and created > void:
            continue
        space.hdel(key, field)
        void = max(void, created)
        ended.append(field)
        if stays and channel:
            space.publish(channel, b"%b %b %d" % (_bytes(tag), field, now))
    if not stays:
        void = max(void, done)
        _put(space, key, _ALL, b"%d" % void, now + int(remembered))
        if channel:
            space.publish(channel, b"%b * %d" % (_bytes(tag), void))
    return [void, ended]


def _revoke_everyone(space: Keyspace, keys: Sequence[str], args: Sequence[Argument]) -> Reply:
    channel, wanted = args[0], int(args[1])
    void = int(space.get(keys[0]) or 0)
    wanted = wanted or max(space.now_ms + 1000, void + 1)
    if wanted > void:
        void = wanted
        space.set(keys[0], b"%d" % void)
    if channel:
        space.publish(channel, b"* * %d" % void)
    return void


def _epoch(space: Keyspace, keys: Sequence[str], args: Sequence[Argument]) -> Reply:
    return cast(Reply, space.get(keys[0]))


#: One session and the time: ``[ms, record or nil]``.
LOAD = Operation.lua(_HERE / "load.lua", _load, reads=True)
#: The same of what may be anybody's invention: a server that tracks remembers also keys that do not exist.
PROBE = Operation(name="sessions_probe", script=LOAD.script, memory=_load, reads=True, tracked=False)
#: All sessions of a user and the time: ``[ms, [session, record, …]]``.
LIST = Operation.lua(_HERE / "list.lua", _list, reads=True)
#: A new session: ``[ms, record]``.
CREATE = Operation.lua(_HERE / "create.lua", _create)
#: New data of a session: ``[ms, nil, 1]``, ``[ms, record, 0]`` when somebody else has changed it, ``[ms, nil, 0]``
#: when it is gone.
SAVE = Operation.lua(_HERE / "save.lua", _save, holds=True)
#: A session is in use, and perhaps gets another name: ``[ms, record or nil]``.
TOUCH = Operation.lua(_HERE / "touch.lua", _touch)
#: The end of some sessions of a user: ``[ms, how many there were]``.
REVOKE = Operation.lua(_HERE / "revoke.lua", _revoke)
#: The end of all sessions of a user: ``[ms up to which they began, [session, …]]``.
REVOKE_ALL = Operation.lua(_HERE / "revoke_all.lua", _revoke_all)
#: The end of all sessions of everybody: the ms up to which they began.
REVOKE_EVERYONE = Operation.lua(_HERE / "revoke_everyone.lua", _revoke_everyone)
#: That time.
EPOCH = Operation(name="sessions_epoch", command=("GET",), memory=_epoch, reads=True)
