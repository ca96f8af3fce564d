"""Commands as bytes: what an operation always says is packed once, the rest by hiredis or, where shorter, by hand."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast

from bedplate.state.store import Argument, Operation

__all__ = ["CACHING", "Pack", "encoded", "packer", "words"]

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

    def pack(keys: Sequence[str], args: Sequence[Argument]) -> bytes:
        shape = (len(keys), len(args))
        known = heads.get(shape)
        if known is None:
            count = sum(shape)
            known = heads[shape] = (b"*%d\r\n" % (count + 3) + call + encoded(len(keys)), len(b"*%d\r\n" % count))
        head, skip = known
        return head + pack_command(cast(Any, (*keys, *args)))[skip:] if keys or args else head

    return pack
