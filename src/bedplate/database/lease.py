"""The right to be the only one among all instances who runs something, kept in a row of the database."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

from uuid_utils import uuid4

from bedplate.component import Host
from bedplate.database.errors import DatabaseUnavailableError
from bedplate.problems import BedplateError

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection

    from bedplate.database.component import Database

__all__ = ["LeaseLostError", "RowLease"]

#: The part of its time after which a lease that could not be renewed is given up, before the row says so.
_SAFE = 0.8
_RENEWALS = 4
_NOW = {
    "sqlite": "(julianday('now') - 2440587.5) * 86400.0",
    "postgresql": "CAST(extract(epoch FROM clock_timestamp()) AS double precision)",
}


class LeaseLostError(BedplateError):
    """The lease was lost while it was held; what it protected has been cancelled."""


class RowLease:
    """A lease among all instances that share a database; implements :class:`bedplate.component.Lease`.

    Time is the database's alone, so clocks of hosts do not matter; a holder gives up well before the row expires when
    it could not renew it, by its own monotonic clock, so two never hold it at once. A holder that dies is replaced
    once its time is over. What is done under a lease may still arrive somewhere late: :attr:`fence` grows with each
    holder, and whoever is written to can refuse a smaller one.

    :param name: what the lease is for, unique in a service. :param ttl: seconds for which it is taken and renewed.
    :param poll: seconds between two attempts of those who wait; a third of ``ttl`` by default.
    :param alone: while the database is away, whoever waits holds the lease for itself, and so may others: for work
        that is better done twice than not at all. Once the database is back, it must be won.
    """

    def __init__(
        self, database: Database, name: str, ttl: float = 15.0, *, poll: float | None = None, alone: bool = False
    ) -> None:
        self.name = name
        self.ttl = ttl
        self.poll = ttl / 3 if poll is None else poll
        self.alone = alone
        #: Of the present or last holding; 0 before the first.
        self.fence = 0
        self._database = database
        self._me = f"{socket.gethostname()}:{os.getpid()}:{uuid4().hex}"

    @asynccontextmanager
    async def hold(self, host: Host) -> AsyncIterator[None]:
        """Wait until the lease is ours, keep it while inside, give it back after.

        The body is cancelled when the lease is lost, and :class:`LeaseLostError` raised.

        :raises LeaseLostError: when it was lost.
        """
        row = f"{host.service}/{self.name}"
        began = await self._wait(row, host)
        body = asyncio.current_task()
        assert body is not None
        lost = False

        async def keep() -> None:
            nonlocal lost
            with suppress(Exception):  # whatever keeps it from being renewed, it is not ours any more
                await self._keep(row, host, began)
            lost = True
            body.cancel()

        keeper = asyncio.create_task(keep(), name=f"lease {self.name}")
        cancelling = body.cancelling()
        try:
            yield
        except asyncio.CancelledError:
            # Like asyncio.timeout: only a cancellation that is ours alone becomes the error.
            if lost and body.uncancel() <= cancelling:
                raise LeaseLostError(f"The lease {self.name} was lost.", "Its work goes on where it is held.") from None
            raise
        finally:
            keeper.cancel()
            try:
                await asyncio.wait([keeper])  # not `await keeper`: that would not tell its cancellation from ours
            finally:
                if not lost:
                    await self._give_back(row)

    async def _wait(self, row: str, host: Host) -> float:
        """Return, once the lease is ours, the monotonic time from which its life counts."""
        told = False
        while True:
            began = host.clock.monotonic()
            try:
                fence = await self._take(row)
            except DatabaseUnavailableError as error:
                fence = None
                if not told:
                    host.log.warning("lease_unavailable", lease=self.name, error=str(error))
                told = True
                if self.alone:
                    self.fence = 0
                    return began
            if fence is not None:
                self.fence = fence
                return began
            await host.clock.sleep(self.poll)

    async def _keep(self, row: str, host: Host, renewed: float) -> None:
        """Renew the lease; return when it is lost."""
        while self.fence == 0:
            # Held for ourselves alone: the database is back when it says whose it is.
            await host.clock.sleep(self.poll)
            renewed = host.clock.monotonic()
            with suppress(DatabaseUnavailableError):
                fence = await self._take(row)
                if fence is None:
                    return
                self.fence = fence
        while True:
            await host.clock.sleep(self.ttl / _RENEWALS)
            left = renewed + self.ttl * _SAFE - host.clock.monotonic()
            if left <= 0:
                return
            began = host.clock.monotonic()
            try:
                async with asyncio.timeout(left):
                    if not await self._renew(row):
                        return
            except (DatabaseUnavailableError, TimeoutError):
                continue
            renewed = began

    async def confirmed(self, connection: AsyncConnection, host: Host) -> bool:
        """Say whether the lease is ours, and keep it so until the transaction of ``connection`` ends.

        What is written in that transaction cannot come after a later holder's first write.
        """
        from sqlalchemy import text

        lock = "" if connection.dialect.name == "sqlite" else " FOR SHARE"
        query = text(
            f"SELECT fence FROM bedplate_leases WHERE name = :row AND holder = :me AND fence = :fence{lock}"  # noqa: S608
        )
        values = {"row": f"{host.service}/{self.name}", "me": self._me, "fence": self.fence}
        return (await connection.execute(query, values)).scalar() is not None

    async def _take(self, row: str) -> int | None:
        # A row that expired is taken by whoever updates it first; the condition is judged under the row's lock.
        create = (
            "INSERT INTO bedplate_leases (name, holder, fence, expires) VALUES (:row, '', 0, 0) ON CONFLICT DO NOTHING"
        )
        take = (
            "UPDATE bedplate_leases SET holder = :me, fence = fence + 1, expires = {now} + :ttl"
            " WHERE name = :row AND expires <= {now} RETURNING fence"
        )
        fence = await self._ask("SELECT fence FROM bedplate_leases WHERE name = :row AND expires > {now}", row)
        if fence is not None:
            return None  # the usual case of those who wait, without a write
        await self._ask(create, row)
        return await self._ask(take, row)

    async def _renew(self, row: str) -> bool:
        renew = (
            "UPDATE bedplate_leases SET expires = {now} + :ttl"
            " WHERE name = :row AND holder = :me AND fence = :fence RETURNING fence"
        )
        return await self._ask(renew, row) is not None

    async def _give_back(self, row: str) -> None:
        release = (
            "UPDATE bedplate_leases SET expires = 0, holder = ''"
            " WHERE name = :row AND holder = :me AND fence = :fence RETURNING fence"
        )
        giving = asyncio.ensure_future(self._ask(release, row))
        try:
            await asyncio.shield(giving)
        except asyncio.CancelledError:
            await asyncio.wait([giving])
            raise
        except DatabaseUnavailableError:
            pass  # it expires by itself

    async def _ask(self, statement: str, row: str) -> int | None:
        from sqlalchemy import text

        values = {"row": row, "me": self._me, "ttl": self.ttl, "fence": self.fence}
        clause = text(statement.format(now=_NOW[self._database.dialect]))
        used = {name: value for name, value in values.items() if f":{name}" in statement}
        reads = statement.startswith("SELECT")
        async with self._database.connect() if reads else self._database.begin() as connection:
            result = await connection.execute(clause, used)
            found = result.scalar() if result.returns_rows else None
            return None if found is None else int(found)
