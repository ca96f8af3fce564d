"""Several operations in one go, whose replies are awaited together."""

from __future__ import annotations

import asyncio
from typing import Any

from bedplate.state.store import StoreError

__all__ = ["Many", "Part"]


class Many:
    """The replies of several operations: a future that has them all, errors in the places of replies."""

    __slots__ = ("future", "left", "replies")

    def __init__(self, count: int) -> None:
        self.future: asyncio.Future[list[Any]] = asyncio.get_running_loop().create_future()
        self.replies: list[Any] = [None] * count
        self.left = count
        if not count:
            self.future.set_result(self.replies)

    def put(self, place: int, reply: Any) -> None:
        """Take the reply of one; the last one wakes who waits."""
        self.replies[place] = reply
        self.left -= 1
        if not self.left and not self.future.done():
            self.future.set_result(self.replies)


class Part:
    """One place among several; stands where a future would."""

    __slots__ = ("_many", "_place")

    def __init__(self, many: Many, place: int) -> None:
        self._many: Many | None = many
        self._place = place

    def done(self) -> bool:
        """Whether nobody waits for it any more."""
        return self._many is None or self._many.future.done()

    def set_result(self, result: Any, /) -> None:
        """Take the reply."""
        many, self._many = self._many, None
        if many is not None:
            many.put(self._place, result)

    def set_exception(self, exception: Any, /) -> None:
        """Take the error in the reply's place, or fail all of it when it is none of the store's."""
        if isinstance(exception, StoreError):
            self.set_result(exception)
            return
        many, self._many = self._many, None
        if many is not None and not many.future.done():
            many.future.set_exception(exception)
