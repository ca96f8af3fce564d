"""Which of the services in one process something belongs to.

:mod:`logging`, ``sys.excepthook`` and their like are one a process, but a process may run several services. What comes
through them belongs to the service that the present context was marked with, else to the one that started first.
"""

from __future__ import annotations

import threading
from contextvars import ContextVar
from typing import Generic, TypeVar

__all__ = ["Attached"]

T = TypeVar("T")


class Attached(Generic[T]):
    """The running components of one kind in this process, in the order in which they started."""

    def __init__(self, name: str) -> None:
        self._lock = threading.Lock()
        self._all: tuple[T, ...] = ()
        self._owner: ContextVar[T | None] = ContextVar(name, default=None)

    def attach(self, item: T) -> bool:
        """Add a component; return whether it is the first."""
        with self._lock:
            self._all += (item,)
            return len(self._all) == 1

    def detach(self, item: T) -> bool:
        """Take a component away; return whether it was the last."""
        with self._lock:
            self._all = tuple(other for other in self._all if other is not item)
            return not self._all

    def mark(self, item: T) -> None:
        """Mark the present context, and those that are copied from it, as the component's."""
        self._owner.set(item)

    def present(self) -> T | None:
        """Return the component that the present context belongs to."""
        everything = self._all
        if len(everything) > 1:
            owner = self._owner.get()
            for item in everything:
                if item is owner:
                    return item
        return everything[0] if everything else None
