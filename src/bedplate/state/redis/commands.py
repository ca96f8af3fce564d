"""Commands given by word: which of them would harm those who share the connection, and which key they touch."""

from __future__ import annotations

from collections.abc import Sequence

from bedplate.problems import BedplateError
from bedplate.state.redis.packing import words
from bedplate.state.store import Argument, Operation

__all__ = ["EXECUTE", "PING", "PUBLISH", "check", "keys_of", "pack_words"]

#: They wait at the server, and everybody behind them.
_BLOCKING = frozenset("BLPOP BRPOP BRPOPLPUSH BLMOVE BLMPOP BZPOPMIN BZPOPMAX BZMPOP WAIT WAITAOF".split())
#: They change what the connection is, or are answered by more than a reply.
_OF_THE_CONNECTION = frozenset(
    "SUBSCRIBE UNSUBSCRIBE PSUBSCRIBE PUNSUBSCRIBE SSUBSCRIBE SUNSUBSCRIBE MONITOR HELLO AUTH RESET QUIT SELECT "
    "MULTI EXEC DISCARD WATCH UNWATCH ASKING READONLY READWRITE SYNC PSYNC".split()
)
_CLIENT = frozenset(("REPLY", "TRACKING", "CACHING", "SETNAME", "NO-TOUCH"))


#: Any command by its words; they are its arguments.
EXECUTE = Operation(name="execute", command=("PING",), memory=lambda space, keys, args: None)
PING = Operation(name="ping", command=("PING",), memory=lambda space, keys, args: b"PONG", reads=True)
PUBLISH = Operation(name="publish", command=("PUBLISH",), memory=lambda space, keys, args: 0)


def pack_words(keys: Sequence[str], args: Sequence[Argument]) -> bytes:
    """Return the bytes of :data:`EXECUTE`."""
    return words(*args)


def check(parts: Sequence[Argument]) -> None:
    """See that a command may go over a connection that is shared.

    :raises BedplateError: when it may not.
    """
    upper = [str(part).upper() for part in parts[:2]]
    if not upper:
        raise BedplateError("A command without words.", "Name it: execute('TTL', key).")
    command = upper[0]
    if command in _BLOCKING or (command in ("XREAD", "XREADGROUP") and _blocks(parts)):
        raise BedplateError(
            f"{command} would keep everybody waiting who shares the connection.", "Use redis.blocking() for it."
        )
    if command in _OF_THE_CONNECTION or (command == "CLIENT" and len(upper) > 1 and upper[1] in _CLIENT):
        raise BedplateError(
            f"{' '.join(upper[:2])} changes the connection, which is shared.",
            "Use listen() and track() for what changes, a script for what must happen at once.",
        )


def keys_of(parts: Sequence[Argument]) -> Sequence[str]:
    """Return the key that most commands have as their second word, to find its server."""
    return (str(parts[1]),) if len(parts) > 1 and not isinstance(parts[1], bytes) else ()


def _blocks(parts: Sequence[Argument]) -> bool:
    for part in parts[1:]:
        word = str(part).upper()
        if word == "STREAMS":
            return False
        if word == "BLOCK":
            return True
    return False
