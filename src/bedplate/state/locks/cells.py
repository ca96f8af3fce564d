"""The cells of locks, bound once."""

from __future__ import annotations

import asyncio

from bedplate.component import Host
from bedplate.state.locks.errors import LockTakenError
from bedplate.state.locks.metrics import (
    ACQUISITIONS,
    HELD,
    HOLDING,
    LONGEST,
    LOST,
    OWED,
    REASONS,
    WAIT,
    WAITING,
)
from bedplate.state.store import StoreError

__all__ = ["Cells"]


class Cells:
    """What is counted on every call."""

    def __init__(self, host: Host) -> None:
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

    def failed(self, error: BaseException) -> None:
        """Count an attempt that came to nothing."""
        if isinstance(error, LockTakenError):
            self.taken.inc()
        elif isinstance(error, StoreError):
            self.unavailable.inc()
        elif isinstance(error, asyncio.CancelledError):
            self.cancelled.inc()
