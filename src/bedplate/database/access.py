"""A database while it runs: opened at its start or when it is first used, told apart from one that is away, closed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from bedplate.component import Host
from bedplate.database import pooler
from bedplate.database.address import Address
from bedplate.database.errors import (
    DatabaseUnavailableError,
    OutcomeUnknownError,
    is_connection_fault,
    is_exhausted,
    said,
)
from bedplate.database.indexes.declaration import Index
from bedplate.database.meters import Meters
from bedplate.database.settings import DatabaseSettings
from bedplate.database.statements import Statements
from bedplate.declarations import Migrations
from bedplate.problems import BedplateError

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

    from bedplate.database.engine import Opened
    from bedplate.database.replicas.group import Replicas

__all__ = ["Access"]

#: Seconds in which a failed attempt to open answers for the next ones, so that callers do not queue for a dead server.
_PATIENCE = 1.0
#: Seconds that closing gets once it is cancelled: less than the lifespan that waits for it has.
_MOMENT = 0.3


class Access:
    """How a running service comes to its database, and to the replicas of it.

    :param replicas: where they are. :param wanted: returns the revisions of everybody who has tables here.
    :param indexes: returns what is declared of indexes here.
    """

    def __init__(
        self,
        name: str,
        settings: DatabaseSettings,
        address: Address,
        host: Host,
        *,
        replicas: Sequence[Address],
        wanted: Callable[[], Sequence[Migrations]],
        indexes: Callable[[], Sequence[Index]] = tuple,
    ) -> None:
        self.name = name
        self.settings = settings
        self.address = address
        #: Why it cannot be reached, as far as anybody has found out.
        self.away: BedplateError | None = None
        self.opened: Opened | None = None
        self.opening: asyncio.Task[AsyncEngine] | None = None
        self.statements = Statements(host, settings.slow_statement, self._engine)
        self.meters = Meters(host)
        self._host = host
        self._wanted = wanted
        self._indexes = indexes
        self._closed = False
        self._failure: tuple[float, BedplateError] | None = None
        self.replicas = self._followers(replicas) if replicas else None

    async def ready(self) -> AsyncEngine:
        """Return the engine; open the database first if need be.

        :raises DatabaseUnavailableError: when it is away, or closed. :raises MigrationError: when tables are not right.
        """
        if self.opened is not None:
            return self.opened.engine
        self._refuse_when_closed()
        if self._failure is not None and self._host.clock.monotonic() - self._failure[0] < _PATIENCE:
            raise self._failure[1]
        if self.opening is None or self.opening.done():
            self.opening = asyncio.create_task(self._open(), name=f"open database {self.name}")
            self.opening.add_done_callback(lambda task: task.cancelled() or task.exception())
        try:
            return await asyncio.shield(self.opening)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if not self._closed or (task is not None and task.cancelling()):
                raise
            raise DatabaseUnavailableError(f"The database {self.name} is being closed.") from None

    @asynccontextmanager
    async def transaction(self, connection: AsyncConnection) -> AsyncIterator[None]:
        """Run a transaction; tell a commit of which nobody knows, and note how far replicas must be to show it.

        :raises OutcomeUnknownError: when the server went away during the commit.
        """
        transaction = connection.begin()
        await transaction.start()
        try:
            yield
        except BaseException as error:
            await transaction.__aexit__(type(error), error, error.__traceback__)
            raise
        replicas = self.replicas
        try:
            await transaction.commit()
        except BaseException as error:
            if replicas is not None:
                replicas.written.unknown()
            if isinstance(error, Exception) and self.address.dialect == "postgresql" and is_connection_fault(error):
                self.reached(self._away(error))
                what = f"The database {self.address.shown} went away during a commit: {said(error)}."
                raise OutcomeUnknownError(what, "Look whether it has been written before it is done again.") from error
            raise
        if replicas is not None:
            await replicas.committed(connection, pooled=self.settings.pooler == "transaction")

    @asynccontextmanager
    async def told_apart(self) -> AsyncIterator[None]:
        """Turn errors of the connection into our own, and leave those of a statement, which are the caller's.

        :raises DatabaseUnavailableError: when the database is away.
        """
        try:
            yield
        except BedplateError:
            raise
        except Exception as error:
            if not is_connection_fault(error) and not self._hint(error):
                raise
            if is_exhausted(error):
                raise self._exhausted() from error
            away = self._away(error)
            self.reached(away)
            raise away from error

    def reached(self, error: BedplateError | None) -> None:
        """Show whether the database is reached."""
        if not self._closed:
            self.away = error
            self.meters.reached(error)

    async def close(self) -> None:
        """Return when nothing is left: no task, no connection, no thread; or, when cancelled, at once."""
        self._closed, opening = True, self.opening
        if opening is not None and not opening.done():
            opening.cancel()
            await asyncio.wait([opening])
        opened, self.opened = self.opened, None
        if opened is None:
            return

        async def close() -> None:
            if self.replicas is not None:
                await self.replicas.close()
            await opened.close()

        closing = asyncio.create_task(close(), name=f"close database {self.name}")
        try:
            await asyncio.shield(closing)
        except asyncio.CancelledError:
            # The time to stop is over. What is left has been told to end, and keeps no process from it.
            closing.cancel()
            await asyncio.wait([closing], timeout=_MOMENT)
            raise

    def _refuse_when_closed(self) -> None:
        if self._closed:
            raise DatabaseUnavailableError(f"The database {self.name} is closed.")

    async def _open(self) -> AsyncEngine:
        from bedplate.database.opening import prepare

        try:
            prepared = await prepare(self.address, self.settings, self._wanted(), self._indexes())
        except BedplateError as error:
            self._failure = (self._host.clock.monotonic(), error)
            self.reached(error)
            raise
        self.opened = self._make(self.address, self.settings, "primary")
        self.meters.may_use(self.settings.pool_size + self.settings.pool_overflow)
        self.reached(None)
        self._host.log.info("database_opened", database=self.address.shown, tables_changed=prepared.changed)
        self._compare(prepared.between)
        return self.opened.engine

    def _compare(self, between: bool) -> None:
        """Compare what stands between us and a server with what was told of it."""
        told = self.settings.pooler == "transaction"
        if between and not told:
            self._host.log.warning("pooler_not_told_of", database=self.address.shown, mend=pooler.DECLARE)
        elif told and not between and self.address.dialect == "postgresql":
            mend = "If none does, leave BEDPLATE_DATABASE__POOLER at none: statements then need be prepared once only."
            self._host.log.info("pooler_not_found", database=self.address.shown, mend=mend)

    def _engine(self) -> AsyncEngine | None:
        return None if self.opened is None else self.opened.engine

    def _followers(self, addresses: Sequence[Address]) -> Replicas:
        from bedplate.database.replicas.group import Replicas

        settings = self.settings.model_copy(update={"pool_timeout": self.settings.replica_timeout / 2})
        return Replicas(
            addresses,
            self.settings,
            self._host,
            database=self.name,
            primary=self._engine,
            open=lambda replica: self._make(replica.address, settings, replica.name),
        )

    def _make(self, address: Address, settings: DatabaseSettings, server: str) -> Opened:
        from bedplate.database.engine import make_engine

        return make_engine(
            address,
            settings,
            statements=self.statements,
            failed=self.meters.failed,
            pool=self.meters.pool(server),
            service=self._host.service,
        )

    def _exhausted(self) -> DatabaseUnavailableError:
        settings = self.settings
        return DatabaseUnavailableError(
            f"All {settings.pool_size + settings.pool_overflow} connections to the database {self.address.shown} are in"
            f" use, and none came free within {settings.pool_timeout:g} s.",
            "See the runbook of DatabasePoolExhausted.",
        )

    def _away(self, error: BaseException) -> DatabaseUnavailableError:
        if hint := self._hint(error):
            return DatabaseUnavailableError(f"The database {self.address.shown} cannot be used: {said(error)}.", hint)
        what = f"The database {self.address.shown} cannot be reached: {said(error)}."
        return DatabaseUnavailableError(what, "It is tried again with every use; see the runbook of DatabaseDown.")

    def _hint(self, error: BaseException) -> str:
        """Return what to do when a pooler was not told of; it fails statements in ways that nobody would guess."""
        return pooler.hint(error) if self.settings.pooler == "none" else ""
