"""The other side of a lock: something that refuses who has lost it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bedplate.state.locks.errors import StaleFenceError, unavailable
from bedplate.state.locks.operations import FETCH, PUT
from bedplate.state.store import StoreError

if TYPE_CHECKING:
    from bedplate.state.locks.component import Locks

__all__ = ["Fence", "Fenced"]


class Fence:
    """The greatest fence that something in this process has seen; it refuses smaller ones.

    .. code-block:: python

        def write(self, value: str, fence: int) -> None:
            self.fence.accept(fence)
            self.value = value
    """

    __slots__ = ("seen", "what")

    def __init__(self, what: str) -> None:
        self.what = what
        self.seen = 0

    def accept(self, fence: int) -> None:
        """Return when no greater one was seen.

        :raises StaleFenceError: when one was.
        """
        if fence < self.seen:
            raise StaleFenceError(self.what, fence, self.seen)
        self.seen = fence


class Fenced:
    """Values in the store of some locks, each of which refuses who has lost its lock: ``Fenced(locks, "portfolio")``.

    In a database the same is a column: ``UPDATE … SET …, fence = :fence WHERE id = :id AND fence <= :fence``, and no
    row updated means that a later holder has written.

    :param name: of the kind of values.
    """

    def __init__(self, locks: Locks, name: str) -> None:
        self.name = name
        self._locks = locks

    async def put(self, key: str, value: bytes | str, fence: int) -> None:
        """Set a value under the fence of a lock.

        :raises StaleFenceError: when it was set under a greater one; nothing is changed then.
        :raises LockUnavailableError: when the store is away.
        """
        what = f"{self.name} {key}"
        try:
            last = await self._locks.store.run(PUT, (self._locks.key(f"fenced:{self.name}", key),), (fence, value))
        except StoreError as error:
            raise unavailable(what, error) from error
        if last:
            raise StaleFenceError(what, fence, int(last))

    async def get(self, key: str) -> tuple[bytes | None, int]:
        """Return a value and the fence that it was set under; ``(None, 0)`` when there is none.

        :raises LockUnavailableError: when the store is away.
        """
        try:
            value, fence = await self._locks.store.run(
                FETCH, (self._locks.key(f"fenced:{self.name}", key),), ("value", "fence")
            )
        except StoreError as error:
            raise unavailable(f"{self.name} {key}", error) from error
        return value, int(fence or 0)
