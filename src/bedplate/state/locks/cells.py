"""The cells of locks, bound once."""

from __future__ import annotations

import asyncio

from bedplate.component import Host
from bedplate.state.locks.errors import LockTakenError
from bedplate.state.locks.metrics import (
    ACQUISITIONS,
    AVAILABLE,
    HELD,
    HOLDING,
    LONGEST,
    LOST,
    OWED,
    REASONS,
    WAIT,
    WAITING,
)
from bedplate.state.store import Store, StoreError

__all__ = ["Cells"]


_ALONE = "Each process has locks of its own, so several may work on the same, and lead. Set REDIS_URL."


class Cells:
    """What is counted on every call."""

    def __init__(self, host: Host, store: Store) -> None:
        self._host = host
        self._alone = None if store.shared or host.alone else _ALONE
        self.acquired = host.bind(ACQUISITIONS, outcome="acquired")
        self.taken = host.bind(ACQUISITIONS, outcome="taken")
        self.unavailable = host.bind(ACQUISITIONS, outcome="unavailable")
        self.cancelled = host.bind(ACQUISITIONS, outcome="cancelled")
        self.waited = host.bind(WAIT)
        self.holding = host.bind(HOLDING)
        self.lost = {reason: host.bind(LOST, reason=reason) for reason in REASONS}
        self.held = host.bind(HELD)
        self.waiting = host.bind(WAITING)
        self.owed = host.bind(OWED)
        self.longest = host.bind(LONGEST)
        self._available = host.bind(AVAILABLE)

    def failed(self, error: BaseException) -> None:
        """Count an attempt that came to nothing."""
        if isinstance(error, LockTakenError):
            self.taken.inc()
        elif isinstance(error, StoreError):
            self.unavailable.inc()
        elif isinstance(error, asyncio.CancelledError):
            self.cancelled.inc()

    def reached(self, available: bool) -> None:
        """Say whether the store is there."""
        self._available.set(1.0 if available else 0.0)
        self._host.degraded(
            self._alone if available else "The store is away: locks are refused, and cannot be renewed."
        )
