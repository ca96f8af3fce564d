"""One of all instances does something: leaders, elected by a lock."""

from __future__ import annotations

import math
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from bedplate.component import BoundGauge, Host
from bedplate.state.locks.errors import LockUnavailableError
from bedplate.state.locks.hold import Hold

if TYPE_CHECKING:
    from bedplate.state.locks.component import Locks
    from bedplate.state.locks.lock import Held

__all__ = ["Leader"]

#: Seconds after which who could not ask asks again.
_AGAIN = 1.0


class Leader:
    """A lease among all instances that share a store; implements :class:`bedplate.component.Lease`.

    Its holder leads for as long as it renews a lock; when it ends well, the next one follows at once, when it dies,
    after ``ttl``. While the store is away, nobody leads after 80 % of that time.

    .. code-block:: python

        host.spawn("digest", self.send, lease=locks.lease("digest"))

    :param name: what it is for. :param ttl: seconds for which it is taken and renewed.
    """

    def __init__(self, locks: Locks, name: str, *, ttl: float = 15.0) -> None:
        self.name = name
        self.ttl = ttl
        self._locks = locks
        self._held: Held | None = None
        self._led: BoundGauge | None = None

    @property
    def leading(self) -> bool:
        """Whether this process leads."""
        return self._held is not None and not self._held.is_lost

    @property
    def fence(self) -> int:
        """Of the present or last holding; 0 before the first. What is written to should refuse a smaller one."""
        return 0 if self._held is None else self._held.fence

    def check(self) -> None:
        """Return while this process leads.

        :raises LockLostError: when it does not any more.
        """
        if self._held is not None:
            self._held.check()

    @asynccontextmanager
    async def hold(self, host: Host) -> AsyncIterator[None]:
        """Wait until this process leads, lead while inside, let the next one lead after.

        The body is cancelled when the lease is lost, and LockLostError raised.

        :raises LockLostError: when it was lost.
        """
        candidates, leading, led, leaders = self._locks.lease_cells(self.name)
        self._led = led
        leading.inc(0.0)
        candidates.inc()
        try:
            held = await self._won(
                hold := Hold(self._locks, f"lease:{self.name}", self.ttl, math.inf, True, self), host
            )
            self._held = held
            leading.inc()
            led.set(1.0)
            leaders.inc()
            error: BaseException | None = None
            try:
                yield
            except BaseException as caught:
                error = caught
                raise
            finally:
                leading.dec()
                led.set(0.0)
                await hold.__aexit__(None if error is None else type(error), error, None)
        finally:
            candidates.dec()

    async def _won(self, hold: Hold, host: Host) -> Held:
        """Return once the lease is ours, however long the store is away."""
        while True:
            try:
                return await hold.__aenter__()
            except LockUnavailableError as error:
                self.seen(False)
                host.log.warning("lease_unavailable", lease=self.name, error=str(error))
            await host.clock.sleep(_AGAIN * random.uniform(0.5, 1.5))

    def seen(self, led: bool) -> None:
        """Note what a question of this process has shown: whether anybody leads."""
        if self._led is not None:
            self._led.set(1.0 if led else 0.0)
