"""The right to be the only one on this host who runs something."""

from __future__ import annotations

import fcntl
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from bedplate.component import Host

__all__ = ["HostLease"]


class HostLease:
    """A lease among the processes of one service on one host, kept by a file lock.

    The kernel gives it back when its holder dies, however it dies, so it cannot be lost while it is held. Among
    several hosts it is no protection.

    :param name: what the lease is for; two leases of one name in one service are the same lease.
    :param poll: seconds between two attempts of those who wait.
    """

    def __init__(self, name: str, *, poll: float = 0.5) -> None:
        self.name = name
        self.poll = poll

    @asynccontextmanager
    async def hold(self, host: Host) -> AsyncIterator[None]:
        """Wait for the lease, keep it while inside, give it back after."""
        descriptor = os.open(host.directory / f"{self.name}.lease", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            while True:
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    await host.clock.sleep(self.poll)
            yield
        finally:
            os.close(descriptor)
