"""What events ask of a store, in both forms.

A topic's history and a stream are Redis streams. An entry has the fields ``d``, its payload, and in a stream ``k``, the
key that its sender gave it; a dead one has three more, of which group it was, what its id was, and why it died.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bedplate.state.store import Argument, Operation, Reply, StoreReplyError

if TYPE_CHECKING:
    from bedplate.state.memory.keyspace import Keyspace

__all__ = ["ACK", "ADD", "BURY", "CLAIM", "DROP", "HOLD", "LAST", "OPEN", "PUBLISH", "REVIVE", "SINCE", "TAKE", "TIDY"]

_HERE = Path(__file__).parent


def _text(value: Argument) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def _publish(space: Keyspace, keys: Sequence[str], args: Sequence[Argument]) -> Reply:
    payload = args[0] if isinstance(args[0], bytes) else _text(args[0]).encode()
    id = space.xadd(keys[0], {"d": payload}, maxlen=int(args[1]))
    assert id is not None
    space.pexpire(keys[0], int(args[2]))
    return [id, space.publish(_text(args[3]), id + b" " + payload)]


def _since(space: Keyspace, keys: Sequence[str], args: Sequence[Argument]) -> Reply:
    after = _text(args[0])
    entries = space.xrange(keys[0], "(" + after, "+", int(args[1]))
    if after == "0-0":
        return [int(bool(entries) and space.xlen(keys[0]) >= int(args[2])), entries]
    if space.xrange(keys[0], after, after):
        return [0, entries]
    return [1 if entries else 2, entries]


def _last(space: Keyspace, keys: Sequence[str], args: Sequence[Argument]) -> Reply:
    last = space.xrevrange(keys[0], "+", "-", 1)
    return last[0][0] if last else b"0-0"


def _add(space: Keyspace, keys: Sequence[str], args: Sequence[Argument]) -> Reply:
    there = space.get(keys[1])
    if there is not None:
        return there
    if space.xlen(keys[0]) >= int(args[2]):
        return None
    id = space.xadd(keys[0], {"d": args[0], "k": args[1]})
    assert id is not None
    space.set(keys[1], id, px=int(args[3]))
    space.publish(_text(args[4]), b"")
    return id


def _open(space: Keyspace, keys: Sequence[str], args: Sequence[Argument]) -> Reply:
    try:
        space.xgroup_create(keys[0], args[0], args[1], mkstream=True)
    except StoreReplyError as error:
        if error.code != "BUSYGROUP":
            raise
        return 0
    return 1


def _take(space: Keyspace, keys: Sequence[str], args: Sequence[Argument]) -> Reply:
    found = space.xreadgroup(args[0], args[1], {keys[0]: ">"}, count=int(args[2]))
    return found[keys[0].encode()] if found else []


def _claim(space: Keyspace, keys: Sequence[str], args: Sequence[Argument]) -> Reply:
    group, consumer, silent, most = args
    at: Any = b"0-0"
    taken: list[Any] = []
    while len(taken) < int(most):
        found: Any = space.xautoclaim(keys[0], group, consumer, int(silent), at, count=int(most) - len(taken))
        taken += [[id, fields, space.xpending_range(keys[0], group, id, id, 1)[0][3]] for id, fields in found[1]]
        at = found[0]
        if at == b"0-0":
            break
    return taken


def _hold(space: Keyspace, keys: Sequence[str], args: Sequence[Argument]) -> Reply:
    held = []
    for id in args[2:]:
        owed = space.xpending_range(keys[0], args[0], id, id, 1)
        if owed and owed[0][1] == _text(args[1]).encode():
            space.xclaim(keys[0], args[0], args[1], 0, id, justid=True)
            held.append(_text(id).encode())
    return held


def _bury(space: Keyspace, keys: Sequence[str], args: Sequence[Argument]) -> Reply:
    group, id, payload, key, why, most = args
    if not space.xack(keys[0], group, id):
        return 0
    fields: dict[Argument, Argument] = {"d": payload, "k": key, "group": group, "id": id, "why": why}
    space.xadd(keys[1], fields, maxlen=int(most))
    return 1


def _revive(space: Keyspace, keys: Sequence[str], args: Sequence[Argument]) -> Reply:
    dead: Any = space.xrange(keys[1], "-", "+", int(args[0]))
    for id, fields in dead:
        space.xadd(keys[0], {fields[0]: fields[1], fields[2]: fields[3]})
        space.xdel(keys[1], id)
    if dead:
        space.publish(_text(args[1]), b"")
    return len(dead)


def _tidy(space: Keyspace, keys: Sequence[str], args: Sequence[Argument]) -> Reply:
    reply: list[Any] = []
    now = space.now_ms
    least = b"%d-0" % max(now - int(args[0]), 0)
    groups: Any = space.xinfo_groups(keys[0]) if space.exists(keys[0]) else []
    for group in groups:
        name, last = group[b"name"], group[b"last-delivered-id"]
        fresh: Any = space.xrange(keys[0], b"(" + last, "+", int(args[1]))
        owed: Any = space.xpending(keys[0], name)
        oldest = owed[1] or (fresh[0][0] if fresh else None)
        safe = owed[1] or last
        least = min(least, safe, key=_order)
        reply.append([name, owed[0] + len(fresh), -1 if oldest is None else max(now - _ms(oldest), 0)])
    if groups:
        space.xtrim(keys[0], minid=least)
    return [space.xlen(keys[0]), space.xlen(keys[1]), reply]


def _ms(id: bytes) -> int:
    return int(id.partition(b"-")[0])


def _order(id: bytes) -> tuple[int, int]:
    ms, _, number = id.partition(b"-")
    return int(ms), int(number)


#: Publishes, with a history.
PUBLISH = Operation.lua(_HERE / "publish.lua", _publish)
#: Reads a history from an id on.
SINCE = Operation.lua(_HERE / "since.lua", _since, reads=True)
#: Reads the last id of a history.
LAST = Operation.lua(_HERE / "last.lua", _last, reads=True)
#: Adds to a stream, once.
ADD = Operation.lua(_HERE / "add.lua", _add)
#: Makes a group.
OPEN = Operation.lua(_HERE / "open.lua", _open)
#: Takes what is new.
TAKE = Operation.lua(_HERE / "take.lua", _take)
#: Takes what others have left.
CLAIM = Operation.lua(_HERE / "claim.lua", _claim)
#: Says that it is being worked on.
HOLD = Operation.lua(_HERE / "hold.lua", _hold)
#: Answers for what is done.
ACK = Operation(
    name="events_ack", command=("XACK",), memory=lambda space, keys, args: space.xack(keys[0], args[0], *args[1:])
)
#: Gives up on one.
BURY = Operation.lua(_HERE / "bury.lua", _bury)
#: Tries the dead again.
REVIVE = Operation.lua(_HERE / "revive.lua", _revive)
#: Forgets the dead.
DROP = Operation(name="events_drop", command=("DEL",), memory=lambda space, keys, args: space.delete(*keys))
#: Removes what is done and counts what is not.
TIDY = Operation.lua(_HERE / "tidy.lua", _tidy)
