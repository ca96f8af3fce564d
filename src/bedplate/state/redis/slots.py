"""What stands in a connection's queue: commands without a reply, and who waits for it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any, Final, Protocol

from bedplate.state.store import Operation, Reply

__all__ = [
    "CONFIRMATIONS",
    "CONTROL",
    "DEADLINE",
    "FAR",
    "FUTURE",
    "KEYS",
    "METER",
    "NOBODY",
    "OPERATION",
    "PACKED",
    "PARSED",
    "STARTED",
    "SUBSCRIPTIONS",
    "TRIES",
    "ErrorReply",
    "Meter",
    "Ping",
    "Slot",
    "Waiter",
    "skip",
]


class Waiter(Protocol):
    """Who waits for a reply: a future, or a part of several."""

    def done(self) -> bool: ...
    def set_result(self, result: Any, /) -> None: ...
    def set_exception(self, exception: Any, /) -> None: ...


class Meter(Protocol):
    """What counts the answers of one operation."""

    def answered(self, count: int, seconds: float) -> None:
        """Count replies that came together, the longest waiting after ``seconds``."""
        ...


#: A command that has no reply yet; a tuple, since one is made for every call. ``parsed`` is called with the reply,
#: ``packed`` are its bytes, ``tries`` how it was already sent (see :mod:`.node`).
Slot = tuple[Waiter, "Callable[[Reply], None] | None", Meter, float, float, Operation, Sequence[str], bytes, int]
FUTURE: Final = 0
PARSED: Final = 1
METER: Final = 2
STARTED: Final = 3
DEADLINE: Final = 4
OPERATION: Final = 5
KEYS: Final = 6
PACKED: Final = 7
TRIES: Final = 8

#: A deadline that never comes.
FAR = float("inf")


class ErrorReply(str):
    """An error as the server words it: ``WRONGTYPE Operation against …``."""

    __slots__ = ()

    @property
    def code(self) -> str:
        """Its first word."""
        return self.partition(" ")[0]


SUBSCRIPTIONS = {
    word: Operation(name="a subscription", command=(word,), memory=lambda space, keys, args: None)
    for word in ("SUBSCRIBE", "UNSUBSCRIBE", "PSUBSCRIBE", "PUNSUBSCRIBE", "SSUBSCRIBE", "SUNSUBSCRIBE")
}
#: Pushes that answer a command.
CONFIRMATIONS = {word.lower().encode(): operation for word, operation in SUBSCRIPTIONS.items()}


class Ping:
    """Waits for the answer to a PING."""

    __slots__ = ("_sent", "_token", "_told", "_wrong")

    def __init__(self, token: bytes, told: Callable[[float], None], wrong: Callable[[], None]) -> None:
        self._token, self._told, self._wrong = token, told, wrong
        self._sent = time.monotonic()

    def done(self) -> bool:
        return False

    def set_result(self, result: Any, /) -> None:
        if result == self._token:
            self._told(time.monotonic() - self._sent)
        else:
            self._wrong()

    def set_exception(self, exception: Any, /) -> None:
        self._told(FAR)


class Nobody:
    """Waits for nothing: the reply of a command that only goes before another."""

    __slots__ = ()

    def done(self) -> bool:
        return True

    def set_result(self, result: Any, /) -> None: ...

    def set_exception(self, exception: Any, /) -> None: ...

    def answered(self, count: int, seconds: float) -> None: ...


NOBODY = Nobody()
#: What a connection says for itself: greetings, PINGs, subscriptions.
CONTROL = Operation(name="a connection", command=("PING",), memory=lambda space, keys, args: b"PONG")


def skip(packed: bytes, now: float) -> Slot:
    """Return the slot of a command whose reply says nothing."""
    return (NOBODY, None, NOBODY, now, FAR, CONTROL, (), packed, 0)
