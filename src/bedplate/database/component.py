"""The component: one database, opened when it starts or when it is first used, and told apart from one that is away."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from bedplate.component import HasMigrations, Host, Spec
from bedplate.database.address import Address, address, file_address
from bedplate.database.errors import (
    DatabaseUnavailableError,
    MigrationError,
    OutcomeUnknownError,
    is_connection_fault,
    said,
)
from bedplate.database.metrics import (
    DURATION,
    ERRORS,
    POOL,
    POOL_LIMIT,
    STATEMENT_SECONDS,
    STATEMENTS,
    UP,
    alerts,
    panels,
)
from bedplate.database.repeating import Isolation, repeated
from bedplate.database.replicas.metrics import METRICS as REPLICA_METRICS
from bedplate.database.replicas.metrics import alerts as replica_alerts
from bedplate.database.replicas.metrics import panels as replica_panels
from bedplate.database.replicas.position import parsed, token
from bedplate.database.routes import routes_of
from bedplate.database.settings import DatabaseSettings
from bedplate.database.statements import Statements
from bedplate.declarations import Degradation, Migrations, Probe, Routes, Runbook
from bedplate.problems import BedplateError
from bedplate.settings.secret import Secret

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

    from bedplate.database.engine import Opened
    from bedplate.database.replicas.group import Replicas
    from bedplate.database.replicas.replica import Replica

__all__ = ["Database"]

T = TypeVar("T")

_RUNBOOK = Runbook(text=Path(__file__).with_name("runbook.md").read_text(encoding="utf-8"))
#: Seconds in which a failed attempt to open answers for the next ones, so that callers do not queue for a dead server.
_PATIENCE = 1.0
#: Seconds that closing gets once it is cancelled: less than the lifespan that waits for it has.
_MOMENT = 0.3
_OWN = Migrations(name="database", package="bedplate.database.revisions")


class Database:
    """A database that components share: ``Database("postgresql://user:password@host/ledger")``.

    .. code-block:: python

        async with database.begin() as connection:
            await connection.execute(insert(orders).values(id=1))

    The tables of all components that name it in their ``needs`` are brought up to date when it opens. While it is
    away, :meth:`begin` and :meth:`connect` refuse at once, and it is tried again with every probe and every use.

    :param url: ``postgresql://``, ``postgres://`` or ``sqlite:///path``; empty for an SQLite file of the service:
        ``.bedplate/<service>.sqlite3``, in tests one in the run's directory.
    :param replicas: URLs of PostgreSQL servers that follow it, for :meth:`read`; each address is one server.
    :param lazy: open it when it is first used, not at start; nobody that never uses it then needs it.
    :param critical: whether the service is unready while it is away.
    """

    def __init__(
        self,
        url: str | Secret = "",
        name: str = "default",
        *,
        replicas: Sequence[str | Secret] = (),
        settings: DatabaseSettings | None = None,
        lazy: bool = False,
        critical: bool = True,
    ) -> None:
        self.name = name
        self.settings = settings or DatabaseSettings()
        self._url = url if isinstance(url, Secret) else Secret(url)
        self._replica_urls = tuple(one if isinstance(one, Secret) else Secret(one) for one in replicas)
        self._replicas: Replicas | None = None
        self._statements: Statements
        self._lazy = lazy
        self._host: Host | None = None
        self._address: Address | None = None
        self._opened: Opened | None = None
        self._opening: asyncio.Task[AsyncEngine] | None = None
        self._failure: tuple[float, BedplateError] | None = None
        self._cells: dict[str, Any] = {}
        suffix = "" if name == "default" else f" {name}"
        own = (DURATION, STATEMENTS, STATEMENT_SECONDS, ERRORS, POOL, POOL_LIMIT, UP)
        metrics = (*own, *(REPLICA_METRICS if replicas else ()))
        self._spec = Spec(
            kind="database",
            name=name,
            summary=f"Keeps records in the database{suffix}.",
            settings=self.settings,
            scope="cluster",
            degradation=Degradation(
                policy="refuse", summary="While it is away its users are refused at once; nothing is half written."
            ),
            metrics=tuple(metric(database=name) for metric in metrics),
            probes=(
                Probe(name="ping", check=self.ping, summary="It answers a query.", critical=critical, timeout=5.0),
            ),
            alerts=(*alerts(name), *(replica_alerts(name) if replicas else ())),
            panels=(*panels(name), *(replica_panels(name) if replicas else ())),
            runbook=_RUNBOOK,
        )

    @property
    def spec(self) -> Spec:
        """The component's declaration."""
        return self._spec

    def migrations(self) -> Migrations:
        """Return the revisions of its own tables."""
        return _OWN

    @property
    def dialect(self) -> str:
        """``sqlite`` or ``postgresql``.

        :raises BedplateError: when the URL is none that is known.
        """
        if self._address is not None:
            return self._address.dialect
        return address(self._url.reveal()).dialect if self._url.reveal() else "sqlite"

    @property
    def shown(self) -> str:
        """Where it is, for people: without its password; empty while it does not run."""
        return self._address.shown if self._address is not None else ""

    @property
    def is_open(self) -> bool:
        """Whether it has been opened; it may be away nevertheless."""
        return self._opened is not None

    @asynccontextmanager
    async def lifespan(self, host: Host) -> AsyncIterator[None]:
        """Open the database, and close it.

        :raises MigrationError: when the tables of a component cannot be had. A database that is away does not keep
            the service from starting; it is opened when it comes.
        """
        self._host, self._failure = host, None
        self._address = self._located(host)
        try:
            self._bind(host)
            slow = self.settings.slow_statement
            self._statements = Statements(host, slow, lambda: None if self._opened is None else self._opened.engine)
            if slow:
                host.spawn("tell slow statements", self._statements.watch)
            self._replicas = self._followers(host)
            if not self._lazy:
                try:
                    await self.ready()
                except DatabaseUnavailableError as error:
                    host.log.warning("database_away", error=str(error))
            if self._replicas is not None:
                host.spawn("watch replicas", self._replicas.watch)
            yield
        finally:
            await self._close()

    async def ready(self) -> AsyncEngine:
        """Return the engine of SQLAlchemy, with everybody's tables; for what :meth:`begin` does not do.

        :raises DatabaseUnavailableError: when the database is away. :raises MigrationError: when tables are not right.
        """
        if self._opened is not None:
            return self._opened.engine
        host = self._host
        if host is None:
            raise DatabaseUnavailableError(
                f"The database {self.name} does not run.", "Use it inside the service, between its start and its stop."
            )
        if self._failure is not None and host.clock.monotonic() - self._failure[0] < _PATIENCE:
            raise self._failure[1]
        if self._opening is None or self._opening.done():
            self._opening = asyncio.create_task(self._open(host), name=f"open database {self.name}")
            self._opening.add_done_callback(lambda task: task.cancelled() or task.exception())
        try:
            return await asyncio.shield(self._opening)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if self._host is not None or (task is not None and task.cancelling()):
                raise
            raise DatabaseUnavailableError(f"The database {self.name} is being closed.") from None

    @asynccontextmanager
    async def begin(self, *, isolation: Isolation | None = None) -> AsyncIterator[AsyncConnection]:
        """Open a connection with a transaction that may write; it is committed at the end, undone by an exception.

        :param isolation: on a server, more than its READ COMMITTED; a file's transactions are all serializable.
        :raises OutcomeUnknownError: when a server went away during the commit: all has been written, or nothing.
        :raises DatabaseUnavailableError: when the database is away; nothing has been written then.
        """
        from bedplate.database.engine import WRITES

        engine = await self.ready()
        options: dict[str, Any] = {WRITES: True}
        if isolation is not None and self.dialect == "postgresql":
            options["isolation_level"] = isolation
        async with self._told_apart(), engine.connect() as connection:
            await connection.execution_options(**options)
            async with self._transaction(connection):
                yield connection

    async def run(
        self,
        fn: Callable[[AsyncConnection], Awaitable[T]],
        *,
        isolation: Isolation | None = None,
        attempts: int = 10,
        patience: float = 5.0,
    ) -> T:
        """Carry out ``fn`` in a transaction of :meth:`begin`, and anew when that came to nothing by no fault of its.

        That is when the database undid it because of another one (serialisation failure, deadlock), or went away before
        the commit began. What ``fn`` does beside the connection happens each time: leave that for afterwards.

        :param attempts: how often an undone transaction is tried. :param patience: seconds to wait for a database that
            is away, as during a restart.
        :raises OutcomeUnknownError: when a server went away during the commit, which is never tried again.
        :raises DatabaseUnavailableError: when it stays away.
        """
        return await repeated(lambda: self._once(fn, isolation), attempts, patience)

    async def _once(self, fn: Callable[[AsyncConnection], Awaitable[T]], isolation: Isolation | None) -> T:
        async with self.begin(isolation=isolation) as connection:
            return await fn(connection)

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[AsyncConnection]:
        """Open a connection to read, in one transaction that is undone at the end.

        :raises DatabaseUnavailableError: when the database is away.
        """
        engine = await self.ready()
        async with self._told_apart(), engine.connect() as connection:
            yield connection

    @asynccontextmanager
    async def read(self, *, stale_ok: bool = False) -> AsyncIterator[AsyncConnection]:
        """Open a connection to read, of a replica where there is a healthy one, else of the primary; it cannot write.

        What the present request or job has written through :meth:`begin` is seen, and what :meth:`must_see` was told;
        outside of any, what this process has written. What others write is seen a little later, at most
        ``replica_lag_limit`` seconds. A statement whose replica fails is asked of the primary by itself, unless it
        streams or runs in ``run_sync``.

        :param stale_ok: whether it may be that late for what was written here, too; then nobody waits.
        :raises DatabaseUnavailableError: when neither a replica nor the primary answers.
        """
        await self.ready()
        if self._replicas is None:
            async with self.connect() as connection:
                yield connection
        else:
            async with self._told_apart(), self._replicas.reader(stale_ok=stale_ok) as connection:
                yield connection

    @property
    def written(self) -> str:
        """How far this request or job must see, for a cookie or header of its session: see :meth:`must_see`.

        Empty when it has written nothing, or there are no replicas.
        """
        return token(self._replicas.written.position) if self._replicas is not None else ""

    def must_see(self, written: str) -> None:
        """Let the reads of this request or job see what another one has written, by its :attr:`written`.

        A text that is none costs its sender's reads the way to the primary, and nobody else's.
        """
        if self._replicas is not None:
            self._replicas.written.must_see(parsed(written))

    @property
    def replicas(self) -> Sequence[Replica]:
        """The replicas and how they are, while it runs."""
        return () if self._replicas is None else tuple(self._replicas.all)

    def routes(self) -> Sequence[Routes]:
        """Return what tells of the database and its replicas."""
        return routes_of(lambda: self._host)

    async def ping(self) -> str:
        """Ask the database whether it is there; return where it is.

        :raises DatabaseUnavailableError: when it is away.
        """
        if self._lazy and self._opened is None and self._opening is None:
            return "not in use"
        from sqlalchemy import text

        async with self.connect() as connection:
            await connection.execute(text("SELECT 1"))
        self._reached(None)
        return self.shown

    @asynccontextmanager
    async def _transaction(self, connection: AsyncConnection) -> AsyncIterator[None]:
        """Run a transaction; tell a commit of which nobody knows, and note how far replicas must be to show it."""
        transaction = connection.begin()
        await transaction.start()
        try:
            yield
        except BaseException as error:
            await transaction.__aexit__(type(error), error, error.__traceback__)
            raise
        replicas = self._replicas
        try:
            await transaction.commit()
        except BaseException as error:
            if replicas is not None:
                replicas.written.unknown()
            if isinstance(error, Exception) and self.dialect == "postgresql" and is_connection_fault(error):
                self._reached(self._away(error))
                what = f"The database {self.shown} went away during a commit: {said(error)}."
                raise OutcomeUnknownError(what, "Look whether it has been written before it is done again.") from error
            raise
        if replicas is not None:
            await replicas.committed(connection, pooled=self.settings.pooler == "transaction")

    @asynccontextmanager
    async def _told_apart(self) -> AsyncIterator[None]:
        """Turn errors of the connection into our own, and leave those of a statement, which are the caller's."""
        try:
            yield
        except BedplateError:
            raise
        except Exception as error:
            if not is_connection_fault(error):
                raise
            away = self._away(error)
            self._reached(away)
            raise away from error
        finally:
            self._count_pool()

    def _away(self, error: BaseException) -> DatabaseUnavailableError:
        what = f"The database {self.shown} cannot be reached: {said(error)}."
        return DatabaseUnavailableError(what, "It is tried again with every use; see the runbook of DatabaseDown.")

    async def _open(self, host: Host) -> AsyncEngine:
        from bedplate.database.opening import prepare

        assert self._address is not None
        try:
            changed = await prepare(self._address, self.settings, self._wanted(host))
        except BedplateError as error:
            self._failure = (host.clock.monotonic(), error)
            self._reached(error)
            raise
        from bedplate.database.engine import make_engine

        self._opened = make_engine(
            self._address, self.settings, timed=self._statements.timed, failed=self._failed, service=host.service
        )
        host.bind(POOL_LIMIT).set(float(self.settings.pool_size + self.settings.pool_overflow))
        self._reached(None)
        host.log.info("database_opened", database=self.shown, tables_changed=changed)
        return self._opened.engine

    async def _close(self) -> None:
        """Return when nothing is left: no task, no connection, no thread; or, when cancelled, at once."""
        self._host, opening = None, self._opening
        if opening is not None and not opening.done():
            opening.cancel()
            await asyncio.wait([opening])
        opened, self._opened, self._opening = self._opened, None, None
        replicas, self._replicas = self._replicas, None
        if opened is None:
            return

        async def close() -> None:
            if replicas is not None:
                await replicas.close()
            await opened.close()

        closing = asyncio.create_task(close(), name=f"close database {self.name}")
        try:
            await asyncio.shield(closing)
        except asyncio.CancelledError:
            # The time to stop is over. What is left has been told to end, and keeps no process from it.
            closing.cancel()
            await asyncio.wait([closing], timeout=_MOMENT)
            raise

    def _located(self, host: Host) -> Address:
        if url := self._url.reveal():
            return address(url)
        suffix = "" if self.name == "default" else f"-{self.name}"
        if host.environment == "test":
            return file_address(host.directory / f"database{suffix}.sqlite3")
        return file_address(Path(".bedplate") / f"{host.service}{suffix}.sqlite3")

    def _followers(self, host: Host) -> Replicas | None:
        if not self._replica_urls:
            return None
        from bedplate.database.replicas.group import Replicas

        addresses = [address(url.reveal()) for url in self._replica_urls]
        assert self._address is not None
        for one in (self._address, *addresses):
            if one.dialect != "postgresql":
                raise BedplateError(
                    f"The database {self.name} has replicas, and {one.shown} is no PostgreSQL server.",
                    "Leave DATABASE_REPLICA_URLS empty where the database is a file.",
                )
        return Replicas(
            addresses,
            self.settings,
            host,
            database=self.name,
            primary=lambda: None if self._opened is None else self._opened.engine,
            open=self._engine_of_replica,
        )

    def _engine_of_replica(self, address: Address) -> Opened:
        from bedplate.database.engine import make_engine

        assert self._host is not None
        settings = self.settings.model_copy(update={"pool_timeout": self.settings.replica_timeout / 2})
        return make_engine(
            address, settings, timed=self._statements.timed, failed=self._failed, service=self._host.service
        )

    def _wanted(self, host: Host) -> Sequence[Migrations]:
        """Return the revisions of everybody who has tables here."""
        wanted = [self.migrations()]
        for view in host.components:
            component = view.component
            if isinstance(component, HasMigrations) and any(need is self for need in view.spec.needs):
                wanted.append(component.migrations())
        names = [migrations.name for migrations in wanted]
        for name in names:
            if names.count(name) > 1:
                raise MigrationError(f"Two components have migrations named {name}.", "Rename those of one of them.")
        return wanted

    def _bind(self, host: Host) -> None:
        self._cells["pool"] = host.bind(POOL)
        for kind in ("connection", "statement"):
            self._cells[kind] = host.bind(ERRORS, kind=kind)

    def _failed(self, error: BaseException, disconnected: bool) -> None:
        self._cells["connection" if disconnected or is_connection_fault(error) else "statement"].inc()

    def _reached(self, error: BedplateError | None) -> None:
        host = self._host
        if host is not None:
            host.bind(UP).set(0.0 if error is not None else 1.0)
            host.degraded(str(error) if error is not None else None)

    def _count_pool(self) -> None:
        host, opened = self._host, self._opened
        if host is not None and opened is not None:
            in_use: Any = getattr(opened.engine.pool, "checkedout", lambda: 0)
            self._cells["pool"].set(float(in_use()))
