"""Doing a transaction again when it came to nothing, and only then."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from typing import Literal, TypeVar

from bedplate.database.errors import DatabaseUnavailableError, OutcomeUnknownError, is_undone

__all__ = ["Isolation", "repeated"]

Isolation = Literal["READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE"]
T = TypeVar("T")

#: Seconds of the longest first pause; it doubles, up to the last, and is drawn at random below.
_FIRST, _LAST = 0.01, 0.5


async def repeated(once: Callable[[], Awaitable[T]], attempts: int, patience: float) -> T:
    """Carry out a transaction until it is committed.

    Pauses are real time, since a server is waited for, and drawn from all below a bound that doubles ("full jitter"),
    so that those who met do not meet again.
    """
    began, undone, pause = time.monotonic(), 0, _FIRST
    while True:
        try:
            return await once()
        except OutcomeUnknownError:
            raise
        except DatabaseUnavailableError:
            if time.monotonic() - began >= patience:
                raise
        except Exception as error:
            undone += 1
            if not is_undone(error) or undone >= attempts:
                raise
        await asyncio.sleep(random.uniform(0, pause))
        pause = min(_LAST, pause * 2)
