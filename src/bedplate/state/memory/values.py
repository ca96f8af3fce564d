"""What a key can hold, and how text, numbers and errors of Redis look in Python."""

from __future__ import annotations

import math
from collections import deque

from bedplate.state.store import Argument, StoreReplyError

__all__ = [
    "ELEMENT",
    "KEY",
    "Hash",
    "List",
    "Members",
    "encoded",
    "integer",
    "key_of",
    "number",
    "refused",
    "wrong_type",
]

_WORDS = {"inf": math.inf, "+inf": math.inf, "-inf": -math.inf, "infinity": math.inf, "-infinity": -math.inf}
_LEAST, _MOST = -(2**63), 2**63 - 1


class Hash(dict[bytes, bytes]):
    """The fields of a hash, in the order in which they came."""

    __slots__ = ("size",)

    def __init__(self) -> None:
        super().__init__()
        self.size = 0


class Members(dict[bytes, None]):
    """The members of a set, in the order in which they came."""

    __slots__ = ("size",)

    def __init__(self) -> None:
        super().__init__()
        self.size = 0


class List(deque[bytes]):
    """The elements of a list."""

    __slots__ = ("size",)

    def __init__(self) -> None:
        super().__init__()
        self.size = 0


def encoded(value: Argument) -> bytes:
    """Return an argument as Redis gets it."""
    if value.__class__ is bytes:
        return value
    if isinstance(value, str):
        return value.encode("utf-8", "surrogateescape")
    if isinstance(value, int):
        return b"%d" % value
    if isinstance(value, float):
        return repr(value).encode()
    return bytes(value)


def key_of(value: Argument) -> str:
    """Return a key as text; one that came as bytes, too."""
    return value if isinstance(value, str) else encoded(value).decode("utf-8", "surrogateescape")


def refused(what: str, code: str = "ERR") -> StoreReplyError:
    """Return the error of a command that cannot be right."""
    return StoreReplyError(code, f"{code} {what}")


def wrong_type() -> StoreReplyError:
    """Return the error of a command on a key of another type."""
    return refused("Operation against a key holding the wrong kind of value", "WRONGTYPE")


def integer(value: Argument) -> int:
    """Return a whole number of 64 bits, as strictly as Redis reads it.

    :raises StoreReplyError: when it is none.
    """
    if value.__class__ is int:
        found = value
    else:
        text = encoded(value)
        try:
            found = int(text)
        except ValueError:
            raise refused("value is not an integer or out of range") from None
        if b"%d" % found != text:
            raise refused("value is not an integer or out of range")
    if not _LEAST <= found <= _MOST:
        raise refused("value is not an integer or out of range")
    return found


def number(value: Argument, what: str = "value is not a valid float") -> float:
    """Return a floating-point number.

    :raises StoreReplyError: when it is none.
    """
    if isinstance(value, int | float):
        found = float(value)
    else:
        text = encoded(value).decode("ascii", "replace")
        word = _WORDS.get(text.lower())
        try:
            found = float(text) if word is None else word
        except ValueError:
            raise refused(what) from None
        if text != text.strip() or "_" in text:
            raise refused(what)
    if math.isnan(found):
        raise refused(what)
    return found


#: Bytes that an entry costs beside its text: the dictionary's slot and two objects.
ELEMENT = 96
#: Bytes that a key costs beside its text and its value.
KEY = 160
