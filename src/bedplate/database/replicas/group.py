"""All replicas of one database: which of them answers next, and how they are."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import TYPE_CHECKING

from bedplate.component import Host
from bedplate.database.address import Address
from bedplate.database.errors import DatabaseUnavailableError, is_connection_fault, said
from bedplate.database.replicas import asking
from bedplate.database.replicas.lag import Trail
from bedplate.database.replicas.meters import Meters
from bedplate.database.replicas.position import UNKNOWN, Written
from bedplate.database.replicas.replica import Replica
from bedplate.database.settings import DatabaseSettings

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

    from bedplate.database.engine import Opened
    from bedplate.database.replicas.connection import ReadConnection

__all__ = ["Replicas"]

#: Seconds between two looks while one is not as it should be.
_SOON = 5.0
#: Seconds of the first pause while a replica's replay is waited for; each is half as long again.
_PAUSE = 0.001


class Replicas:
    """The replicas of one database while it runs.

    :param primary: returns the primary's engine; it may be away nevertheless. None while it was never reached.
    :param open: makes an engine for a replica.
    """

    def __init__(
        self,
        addresses: Sequence[Address],
        settings: DatabaseSettings,
        host: Host,
        *,
        database: str,
        primary: Callable[[], AsyncEngine | None],
        open: Callable[[Replica], Opened],
    ) -> None:
        self.all = [Replica(f"replica{number}", address) for number, address in enumerate(addresses, 1)]
        self.written = Written()
        self._settings = settings
        self._host = host
        self._primary = primary
        self._open = open
        self._system: int | None = None
        self._trail = Trail()
        self._next = 0
        self._wake = asyncio.Event()
        self._meters = Meters(host, database, self.all, settings)

    async def watch(self) -> None:
        """Look at all of them, again and again; at once when a reader has met a fault."""
        while True:
            self._wake.clear()
            await self.look()
            calm = all(replica.usable for replica in self.all)
            pause = self._settings.replica_interval if calm else min(_SOON, self._settings.replica_interval)
            timer = asyncio.ensure_future(self._host.clock.sleep(pause))
            waking = asyncio.ensure_future(self._wake.wait())
            try:
                await asyncio.wait([timer, waking], return_when=asyncio.FIRST_COMPLETED)
            finally:
                timer.cancel()
                waking.cancel()

    async def look(self) -> None:
        """Look at all of them once."""
        engine = self._primary()
        if engine is None:
            return  # its tables are not known to be right yet, and nobody reads
        position: int | None = None
        try:
            async with asyncio.timeout(self._settings.connect_timeout):
                seen = await asking.look_at(engine)
        except Exception as error:
            # Replicas are read from while it is away; how far they are behind is then as it was last seen.
            self._host.log.debug("database_primary_not_seen", error=said(error))
        else:
            self._system, position = seen.system, seen.position
            self._trail.add(self._host.clock.monotonic(), position)
        await asyncio.gather(*(self._look_at(replica, position) for replica in self.all))
        self._meters.show()

    @asynccontextmanager
    async def reader(self, *, stale_ok: bool) -> AsyncIterator[AsyncConnection]:
        """Give a connection to read by: a healthy replica's that shows what must be seen, else the primary's.

        :raises DatabaseUnavailableError: when neither can be had, or a replica goes away in the midst of what cannot be
            asked anew.
        """
        wanted = 0 if stale_ok else self.written.position
        async with AsyncExitStack() as stack:
            replica, connection = await self._choose(stack, wanted)
            if replica is None or connection is None:
                self._meters.read("primary")
                yield await self._of_primary(stack, wanted)
                return
            self._meters.read(replica.name)
            try:
                yield connection
            except Exception as error:
                if connection.moved or not is_connection_fault(error):
                    raise
                self.fault(replica, error)
                raise DatabaseUnavailableError(
                    f"{replica.name} ({replica.address.shown}) went away while it was read from: {said(error)}.",
                    "Read again: another one answers.",
                ) from error

    def fault(self, replica: Replica, error: BaseException) -> None:
        """Take in that a reader has met a fault of a replica: it is not asked again until it has been looked at."""
        if replica.usable:
            self._host.log.warning("replica_ejected", replica=replica.name, reason=said(error))
        replica.unanswered(said(error), at_once=True)
        self._meters.show()
        self._wake.set()

    async def close(self) -> None:
        """Close all connections to them."""
        opened = [replica.opened for replica in self.all if replica.opened is not None]
        for replica in self.all:
            replica.opened = None
        await asyncio.gather(*(one.close() for one in opened))

    async def _choose(self, stack: AsyncExitStack, wanted: int) -> tuple[Replica | None, ReadConnection | None]:
        """Return the replica that answers, with a connection; two None for the primary."""
        if wanted >= UNKNOWN:
            self._meters.fell_back("behind")
            return None, None
        turn = self._next
        self._next += 1
        usable = [replica for replica in self.all if replica.usable]
        reason = "unhealthy"
        for offset in range(len(usable)):
            replica = usable[(turn + offset) % len(usable)]
            if not replica.usable:
                continue  # somebody else has met a fault of it meanwhile
            connection = self._connection(replica)
            stack.push_async_callback(connection.close)
            try:
                async with asyncio.timeout(self._settings.replica_timeout):
                    await connection.start()
                    if not wanted or await self._caught_up(connection, wanted):
                        return replica, connection
            except Exception as error:
                await connection.give_up()
                reason = self._unable(replica, error)
            else:
                await connection.close()
                reason = "behind"
                break  # the others are likely to be as far; the primary knows at once
        self._meters.fell_back(reason)
        return None, None

    def _unable(self, replica: Replica, error: Exception) -> str:
        """Return why a replica could not be read from; its fault keeps others from trying."""
        from sqlalchemy.exc import TimeoutError as PoolTimeoutError

        if isinstance(error, PoolTimeoutError):
            return "busy"
        if not is_connection_fault(error):
            raise error
        self.fault(replica, error if str(error) else TimeoutError("it did not answer in time"))
        return "fault"

    def _connection(self, replica: Replica) -> ReadConnection:
        from bedplate.database.replicas.connection import ReadConnection

        async def elsewhere(error: BaseException) -> AsyncConnection:
            if is_connection_fault(error):
                self.fault(replica, error)
            self._meters.fell_back("fault")
            engine = self._primary()
            assert engine is not None
            connection = engine.connect()
            await connection.start()
            return await connection.execution_options(postgresql_readonly=True)

        return ReadConnection(self._engine(replica), elsewhere)

    async def _of_primary(self, stack: AsyncExitStack, wanted: int) -> AsyncConnection:
        engine = self._primary()
        assert engine is not None
        connection = await stack.enter_async_context(engine.connect())
        await connection.execution_options(postgresql_readonly=True)
        if wanted:
            # Where a position was unknown, or was never the primary's, it is known now.
            doubts = self.written.doubts
            position = await asking.written(connection)
            if position < wanted and doubts == self.written.doubts:
                self.written.corrected(position)
            await connection.rollback()
        return connection

    async def committed(self, connection: AsyncConnection, *, pooled: bool) -> None:
        """Note how far the primary has been written; to be called after a commit, by the connection that made it.

        :param pooled: whether only a transaction keeps its server, as behind a pooler.
        """
        doubts = self.written.doubts
        try:
            if not pooled:
                # One way to the server and back instead of three.
                await connection.execution_options(isolation_level="AUTOCOMMIT")
            position = await asking.written(connection)
            if pooled:
                # Ended here: were it left to the connection's end, a server lost there would be told of what is
                # committed as if nothing had been written, and it would be done again.
                await connection.rollback()
        except BaseException as error:
            # It is committed, and the caller need not know of this: its reads go to the primary.
            self.written.unknown()
            if not isinstance(error, Exception):
                raise
            with suppress(Exception):
                await connection.invalidate()
            return
        self.written.written(position, doubts)
        self._trail.add(self._host.clock.monotonic(), position)

    async def _caught_up(self, connection: ReadConnection, wanted: int) -> bool:
        """Wait a little until a replica shows ``wanted``; asked by the connection that will read, whoever is behind it.

        In READ COMMITTED each statement sees all that was replayed when it begins, so the same transaction goes on.
        """
        await connection.execution_options(isolation_level="READ COMMITTED")
        began, pause = time.monotonic(), _PAUSE
        while True:
            position = await connection.replayed()
            waited = time.monotonic() - began
            if position >= wanted:
                self._meters.waited(waited)
                return True
            if waited >= self._settings.replica_wait:
                return False
            await asyncio.sleep(pause)
            pause *= 1.5

    async def _look_at(self, replica: Replica, position: int | None) -> None:
        usable, limit = replica.usable, self._settings.replica_lag_limit
        try:
            async with asyncio.timeout(self._settings.connect_timeout):
                look = await asking.look_at(self._engine(replica))
                if position is not None:
                    waited = 0.0
                    began = time.monotonic()
                    while look.replica and look.position < position and waited < self._settings.replica_wait:
                        await asyncio.sleep(_PAUSE + waited / 2)
                        look = await asking.look_at(self._engine(replica))
                        waited = time.monotonic() - began
                    replica.lag_bytes = max(0, position - look.position)
                    replica.lag = self._lag(replica, look.position, position, waited)
            replica.answered(look, self._system, limit)
        except Exception as error:
            if not is_connection_fault(error):
                self._host.log.exception("replica_look_failed", replica=replica.name)
            replica.unanswered(said(error) if str(error) else "it did not answer in time")
        replica.seen = self._host.clock.monotonic()
        if usable != replica.usable:
            log = self._host.log.info if replica.usable else self._host.log.warning
            log("replica_in_use" if replica.usable else "replica_ejected", replica=replica.name, reason=replica.reason)

    def _lag(self, replica: Replica, reached: int, position: int, waited: float) -> float:
        """Return the seconds that a replica is behind: what was waited for it, or the age of what it lacks."""
        if reached >= position:
            replica.lacks = None
            return waited
        if replica.lacks is None or reached >= replica.lacks[1]:
            replica.lacks = self._trail.first_beyond(reached)
        return waited if replica.lacks is None else max(waited, self._host.clock.monotonic() - replica.lacks[0])

    def _engine(self, replica: Replica) -> AsyncEngine:
        if replica.opened is None:
            replica.opened = self._open(replica)
        return replica.opened.engine
