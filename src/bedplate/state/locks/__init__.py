"""Locks that all instances share: fenced, renewed, fair, and leaders elected by them."""

from bedplate.state.locks.component import Locks, LocksSettings
from bedplate.state.locks.errors import (
    LockError,
    LockHeldError,
    LockLostError,
    LockTakenError,
    LockUnavailableError,
    StaleFenceError,
)
from bedplate.state.locks.fenced import Fence, Fenced
from bedplate.state.locks.hold import Hold
from bedplate.state.locks.leader import Leader
from bedplate.state.locks.lock import Held, LockInfo

__all__ = [
    "Fence",
    "Fenced",
    "Held",
    "Hold",
    "Leader",
    "LockError",
    "LockHeldError",
    "LockInfo",
    "LockLostError",
    "LockTakenError",
    "LockUnavailableError",
    "Locks",
    "LocksSettings",
    "StaleFenceError",
]
