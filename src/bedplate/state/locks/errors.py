"""What can go wrong with a lock. Raised in a request, it answers it: 409 for a taken lock, 503 else."""

from __future__ import annotations

from bedplate.problems import BedplateError
from bedplate.state.answering import Answering
from bedplate.state.store import StoreError, StoreUnavailableError

__all__ = [
    "LockError",
    "LockHeldError",
    "LockLostError",
    "LockTakenError",
    "LockUnavailableError",
    "StaleFenceError",
    "unavailable",
]


class LockError(BedplateError):
    """Something about a lock."""


class LockTakenError(LockError, Answering):
    """Somebody else held the lock for as long as was waited."""

    status = 409
    answer = "Somebody else is at work on this. Try again in a moment."

    def __init__(self, name: str, waited: float) -> None:
        super().__init__(f"The lock {name} is held by somebody else.", f"It was waited for {waited:g} s.")
        self.name = name


class LockLostError(LockError, Answering):
    """The lock was lost while it was held; what it protected has been cancelled, and may be half done."""

    answer = "The work was interrupted. Try again."

    def __init__(self, name: str, why: str) -> None:
        super().__init__(f"The lock {name} was lost: {why}.", "What it protected was cancelled; do it again.")
        self.name = name


class LockUnavailableError(StoreUnavailableError, LockError, Answering):
    """The store is away, so nobody can know who holds the lock; nothing was begun."""

    answer = "This cannot be done safely at the moment. Try again."

    def __init__(self, name: str, why: str, *, sent: bool = False) -> None:
        super().__init__(f"The lock {name} cannot be taken: {why}", sent=sent)
        self.name = name


def unavailable(name: str, error: StoreError) -> LockUnavailableError:
    """Return what an error of the store means to who asked for a lock; without room it cannot be taken, either."""
    return LockUnavailableError(name, str(error), sent=isinstance(error, StoreUnavailableError) and error.sent)


class LockHeldError(LockError):
    """The same task asks for a lock that it holds already; it would wait for itself."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f"This task holds the lock {name} already, and locks are not reentrant.",
            "Take it once, outside, and pass on what it gave.",
        )


class StaleFenceError(LockError):
    """A later holder of the lock has written already.

    :ivar offered: the fence of who was refused. :ivar seen: the greater one that was seen before.
    """

    def __init__(self, what: str, offered: int, seen: int) -> None:
        super().__init__(
            f"{what} was written under the fence {seen}, which is later than {offered}.",
            "The lock was lost meanwhile; do the work again under a lock that is held.",
        )
        self.offered = offered
        self.seen = seen
