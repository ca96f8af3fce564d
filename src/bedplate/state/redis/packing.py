"""Commands as bytes: what an operation always says is packed once, the rest by hiredis or, where shorter, by hand."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast

from bedplate.state.store import Argument, Operation

__all__ = ["CACHING", "Pack", "encoded", "packer", "words"]

#: Keys of one operation from which on they are remembered as bytes, and how many such sets of keys are.
_MANY, _KNOWN = 3, 4096
#: Makes the bytes of an operation from its keys and arguments.
Pack = Callable[[Sequence[str], Sequence[Argument]], bytes]


def words(*parts: Argument) -> bytes:
    """Return a command, as RESP has it.

    :raises TypeError: when a word is neither text nor a number.
    """
    from hiredis import pack_command

    return bytes(pack_command(tuple(map(_plain, parts))))


#: Written right before a read whose keys the server is to remember.
CACHING = b"*3\r\n$6\r\nCLIENT\r\n$7\r\nCACHING\r\n$3\r\nYES\r\n"


def encoded(word: Argument) -> bytes:
    """Return a word as RESP has it inside a command."""
    raw = word if isinstance(word, bytes) else str(_plain(word)).encode()
    return b"$%d\r\n%b\r\n" % (len(raw), raw)


def packer(operation: Operation) -> Pack:
    """Return what packs an operation: an ``EVALSHA`` for a script."""
    return _scripts(operation) if operation.script else _commands(operation)


def _plain(word: Any) -> Any:
    # A bool is an int to Python, and "True" to Redis.
    return int(word) if isinstance(word, bool) else word


def _commands(operation: Operation) -> Pack:
    from hiredis import pack_command

    head = operation.command
    single = b"*%d\r\n" % (len(head) + 1) + b"".join(map(encoded, head)) + b"$%d\r\n%b\r\n"

    def pack(keys: Sequence[str], args: Sequence[Argument]) -> bytes:
        if len(keys) == 1 and not args:
            key = keys[0].encode()
            return single % (len(key), key)
        return bytes(pack_command(cast(Any, (*head, *keys, *args))))

    return pack


def _scripts(operation: Operation) -> Pack:
    from hiredis import pack_command

    call = encoded("EVALSHA") + encoded(operation.sha)
    heads: dict[tuple[int, int], tuple[bytes, int]] = {}
    known_keys: dict[Sequence[str], bytes] = {}

    def pack(keys: Sequence[str], args: Sequence[Argument]) -> bytes:
        if len(keys) >= _MANY and keys.__class__ is tuple and len(args) == 1 and args[0].__class__ is str:
            # Whoever has so many keys asks for the same ones again: a lock that is taken and given back.
            front = known_keys.get(keys)
            if front is None:
                if len(known_keys) >= _KNOWN:
                    known_keys.clear()
                front = known_keys[keys] = b"".join(
                    (b"*%d\r\n" % (len(keys) + 4), call, encoded(len(keys)), *map(encoded, keys))
                )
            raw = args[0].encode()
            return b"%b$%d\r\n%b\r\n" % (front, len(raw), raw)
        shape = (len(keys), len(args))
        known = heads.get(shape)
        if known is None:
            count = sum(shape)
            known = heads[shape] = (b"*%d\r\n" % (count + 3) + call + encoded(len(keys)), len(b"*%d\r\n" % count))
        head, skip = known
        return head + pack_command(cast(Any, (*keys, *args)))[skip:] if keys or args else head

    return pack
