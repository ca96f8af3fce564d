"""A lock that is held, and what can be said of one."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bedplate.state.locks.errors import LockLostError

if TYPE_CHECKING:
    from bedplate.state.locks.component import Locks
    from bedplate.state.locks.leader import Leader

__all__ = ["SAFE", "Held", "LockInfo", "Place"]

#: The part of its time after which a lock that could not be renewed counts as lost, while the store still keeps it.
SAFE = 0.8


class Place:
    """Where a lock is in the store."""

    __slots__ = ("holder", "keys", "name", "renewed")

    def __init__(self, name: str, prefix: str) -> None:
        quoted = name.replace("%", "%25").replace("{", "%7B").replace("}", "%7D")
        key = f"{prefix}:{{{quoted}}}"
        self.name = name
        self.keys = (key, f"{key}:fence", f"{key}:queue", f"{key}:alive")
        self.renewed = self.keys[:2]
        #: Who of this process has it.
        self.holder: Held | None = None


class Held:
    """A lock that is ours, as long as it is not lost.

    :ivar name: of the lock. :ivar fence: greater than that of every holder before; give it to whatever is written to.
    :ivar ttl: seconds for which it is ours unless it is renewed, which happens by itself.
    """

    __slots__ = (
        "_locks",
        "_lost",
        "began",
        "body",
        "cancelled",
        "deadline",
        "fence",
        "given_up",
        "leader",
        "moment",
        "name",
        "owner",
        "place",
        "released",
        "renewing",
        "since",
        "token",
        "ttl",
        "under_way",
        "why",
    )

    def __init__(self, locks: Locks, place: Place, token: str, ttl: float) -> None:
        self._locks = locks
        self.place = place
        self.name = place.name
        self.token = token
        self.ttl = ttl
        self.fence = 0
        # Monotonic: when it was last asked for, since when it is held, until when it is surely ours.
        self.began = locks.now()
        #: Questions that have not been answered and may still reach the store; whether nobody wants it any more.
        self.under_way = 1
        self.given_up = False
        self.moment = 0
        self.released = self.renewing = self.cancelled = False
        #: Why it was lost; empty while it is ours.
        self.why = ""
        #: The task that has it, and the same if it is to be cancelled when the lock is lost.
        self.owner: asyncio.Task[Any] | None = None
        self.body: asyncio.Task[Any] | None = None
        self.leader: Leader | None = None
        self._lost: asyncio.Event | None = None

    def have(self, fence: int, began: float) -> None:
        """Have it, by a question that was asked at ``began``."""
        self.fence = fence
        self.since = self.began = began
        self.deadline = began + SAFE * self.ttl

    def answered(self, reply: Any) -> None:
        """Take an answer as it comes, whether or not somebody still waits for it."""
        self.under_way -= 1
        if self.given_up:
            self._locks.give_up(self)

    @property
    def is_lost(self) -> bool:
        """Whether it was lost, or cannot be known to be ours any more."""
        if not self.why and not self.released and self._locks.now() >= self.deadline:
            self._locks.lose(self, "expired")
        return bool(self.why)

    @property
    def lost(self) -> asyncio.Event:
        """Set when it is lost: ``await held.lost.wait()``."""
        if self._lost is None:
            self._lost = asyncio.Event()
            if self.why:
                self._lost.set()
        return self._lost

    @property
    def left(self) -> float:
        """Seconds for which it is surely ours without being renewed; 0 when it is lost."""
        return 0.0 if self.is_lost else max(0.0, self.deadline - self._locks.now())

    def check(self) -> None:
        """Return when it is still ours, by this process's monotonic clock.

        What follows may nevertheless be late, when the process is stopped in between; only a fence is proof.

        :raises LockLostError: when it is not.
        """
        if self.is_lost:
            raise LockLostError(self.name, self.why)

    async def extend(self, ttl: float) -> None:
        """Have it for ``ttl`` seconds from now, and renew it in that rhythm from then on.

        :raises LockLostError: when it is not ours any more. :raises LockUnavailableError: when the store is away; it
            goes on being renewed as before.
        """
        await self._locks.extend(self, ttl)

    async def release(self) -> bool:
        """Give it back to the next who waits; return whether it was ours until now. Doing it again is harmless."""
        return await self._locks.release(self)

    def due(self, now: float) -> None:
        """See :class:`~bedplate.state.locks.timers.Timed`."""
        self._locks.renew(self, now)

    def parsed(self, reply: Any) -> None:
        """Take the answer to a release as it comes: whoever is next in this process has the lock from now on."""
        if len(reply) > 1:
            self._locks.handed(reply, self.began)

    def tell(self, why: str) -> None:
        """Say that it is lost; its body is cancelled."""
        self.why = why
        if self._lost is not None:
            self._lost.set()
        if self.body is None:
            return
        if self.body is asyncio.current_task():
            # It has found out by itself and may leave with an error of its own.
            asyncio.get_running_loop().call_soon(self._cancel)
        else:
            self._cancel()

    def _cancel(self) -> None:
        if self.body is not None:
            self.cancelled = True
            self.body.cancel(f"the lock {self.name} was lost: {self.why}")


@dataclass(frozen=True, slots=True)
class LockInfo:
    """A lock as the store has it.

    :param holder: the instance that has it, ``host-process-random``; empty when it is free.
    :param left: seconds until it ends unless it is renewed.
    :param fence: of the present or last holder; 0 when none is remembered. :param waiting: how many wait for it.
    """

    name: str
    holder: str
    left: float
    fence: int
    waiting: int

    @property
    def held(self) -> bool:
        """Whether somebody has it."""
        return bool(self.holder)
