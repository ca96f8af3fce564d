"""``async with locks.hold(…)``: a lock around a body."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import TYPE_CHECKING

from bedplate.state.locks.errors import LockHeldError, LockLostError

if TYPE_CHECKING:
    from bedplate.state.locks.component import Locks
    from bedplate.state.locks.leader import Leader
    from bedplate.state.locks.lock import Held

__all__ = ["Hold"]


class Hold:
    """Takes a lock, cancels the body when it is lost, and gives it back."""

    __slots__ = ("_cancel", "_cancelling", "_held", "_leader", "_locks", "_name", "_ttl", "_wait")

    def __init__(
        self,
        locks: Locks,
        name: str,
        ttl: float | None,
        wait: float | None,
        cancel: bool,
        leader: Leader | None = None,
    ) -> None:
        self._locks = locks
        self._name = name
        self._ttl = ttl
        self._wait = locks.default_wait if wait is None else wait
        self._cancel = cancel
        self._leader = leader
        self._held: Held | None = None
        self._cancelling = 0

    async def __aenter__(self) -> Held:
        """Take it; see :meth:`Locks.hold`."""
        body = asyncio.current_task()
        assert body is not None
        present = self._locks.holder(self._name)
        if present is not None and present.owner is body:
            raise LockHeldError(self._name)
        held = self._held = await self._locks.take(self._name, self._ttl, self._wait, self._leader)
        held.owner = body
        if self._cancel:
            self._cancelling = body.cancelling()
            held.body = body
        return held

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Give it back. Raises LockLostError instead of a cancellation that is ours alone."""
        held = self._held
        assert held is not None
        body, held.body = held.body, None
        if held.cancelled and body is not None:
            # Like asyncio.timeout: only a cancellation that is ours alone becomes the error.
            alone = body.uncancel() <= self._cancelling
            if kind is None or (alone and kind is asyncio.CancelledError):
                raise LockLostError(held.name, held.why) from None
            return
        ours = await self._locks.release(held)
        if not ours and self._cancel and kind is None:
            raise LockLostError(held.name, held.why or "expired")
