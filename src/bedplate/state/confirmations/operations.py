"""What confirmations ask of a store, in both forms.

A confirmation is one string of JSON that ends by itself; its status comes first in it, so that a decision needs no more
than to compare and to replace the beginning. Beside it are two indexes, each a key of its own that may live on another
node of a Cluster: the set of a user's ids, and all that is to be told, by when (``id:user``).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bedplate.state.store import Argument, Operation, Reply

if TYPE_CHECKING:
    from bedplate.state.memory.keyspace import Keyspace

__all__ = ["CLAIM", "CREATE", "DECIDE", "DUE", "FORGET", "GET", "INDEX", "KEEP", "MEMBERS", "RUSH", "TOLD"]

_HERE = Path(__file__).parent
_PENDING = b'{"status":"pending",'


def _bytes(value: Argument) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode()


def _create(space: Keyspace, keys: Sequence[str], args: Sequence[Argument]) -> Reply:
    there = space.get(keys[0])
    if there is not None:
        return [0, there]
    ends = space.now + int(args[0]) * 1000
    head = b'{"status":"pending","created":%d.%06d,"expires":%d.%06d,'
    document = head % (*divmod(space.now, 1_000_000), *divmod(ends, 1_000_000)) + _bytes(args[1])
    space.set(keys[0], document, px=args[0])
    return [1, document, ends // 1000]


def _decide(space: Keyspace, keys: Sequence[str], args: Sequence[Argument]) -> Reply:
    document = space.get(keys[0])
    if document is None:
        return None
    if not document.startswith(_PENDING):
        return [0, document]
    head = b'{"status":"%b","decided_at":%d.%06d,%b,'
    decided = head % (_bytes(args[0]), *divmod(space.now, 1_000_000), _bytes(args[1])) + document[len(_PENDING) :]
    space.set(keys[0], decided, px=space.pttl(keys[0]) + int(args[2]))
    space.publish(args[3], decided)
    return [1, decided]


def _index(space: Keyspace, keys: Sequence[str], args: Sequence[Argument]) -> Reply:
    space.sadd(keys[0], args[0])
    if space.pttl(keys[0]) < int(args[1]):
        space.pexpire(keys[0], args[1])
    return 1


def _claim(space: Keyspace, keys: Sequence[str], args: Sequence[Argument]) -> Reply:
    now = space.now_ms
    due: Any = space.zrangebyscore(keys[0], "-inf", now, count=int(args[1]))
    for member in due:
        space.zadd(keys[0], {member: now + int(args[0])})
    first: Any = space.zrange(keys[0], 0, 0, withscores=True)
    return [max(0, int(first[0][1]) - now) if first else -1, space.zcard(keys[0]), *due]


def _due(space: Keyspace, keys: Sequence[str], args: Sequence[Argument]) -> Reply:
    return space.zadd(keys[0], {args[1]: args[0]})


def _keep(space: Keyspace, keys: Sequence[str], args: Sequence[Argument]) -> Reply:
    return space.pexpire(keys[0], args[0], gt=True)


def _rush(space: Keyspace, keys: Sequence[str], args: Sequence[Argument]) -> Reply:
    return space.zadd(keys[0], {args[2]: args[1]}, xx=True)


#: Writes a confirmation unless there is one.
CREATE = Operation.lua(_HERE / "create.lua", _create)
#: Decides it, once.
DECIDE = Operation.lua(_HERE / "decide.lua", _decide)
#: Reads it.
GET = Operation(
    name="confirmations_get", command=("GET",), memory=lambda space, keys, _: space.get(keys[0]), reads=True
)
#: Adds it to its user's.
INDEX = Operation.lua(_HERE / "index.lua", _index)
#: Removes ids from a user's.
FORGET = Operation(
    name="confirmations_forget", command=("SREM",), memory=lambda space, keys, args: space.srem(keys[0], *args)
)
#: Reads a user's ids.
MEMBERS = Operation(
    name="confirmations_members",
    command=("SMEMBERS",),
    memory=lambda space, keys, _: space.smembers(keys[0]),
    reads=True,
)
#: Notes that something is to be told, at ``args[0]`` in ms since 1970.
DUE = Operation(name="confirmations_due", command=("ZADD",), memory=_due)
#: Lets it be told at once, if it has not been told; arguments ``XX 0 member``.
RUSH = Operation(name="confirmations_rush", command=("ZADD",), memory=_rush)
#: Keeps a decision that could not be told yet; arguments: ms, ``GT``.
KEEP = Operation(name="confirmations_keep", command=("PEXPIRE",), memory=_keep)
#: Claims what is due.
CLAIM = Operation.lua(_HERE / "claim.lua", _claim)
#: Forgets what has been told.
TOLD = Operation(
    name="confirmations_told", command=("ZREM",), memory=lambda space, keys, args: space.zrem(keys[0], *args)
)
