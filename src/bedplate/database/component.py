"""The component: one database, its declaration and its verbs; how it is opened and closed is in ``access``."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from bedplate.component import Host, Spec
from bedplate.database.access import Access
from bedplate.database.address import address
from bedplate.database.errors import DatabaseUnavailableError
from bedplate.database.indexes.metrics import INDEXES
from bedplate.database.indexes.metrics import alerts as index_alerts
from bedplate.database.indexes.metrics import checks as index_checks
from bedplate.database.indexes.metrics import panels as index_panels
from bedplate.database.indexes.watch import declared_in, watch
from bedplate.database.locating import file_of, located, located_replicas, planned, wanted
from bedplate.database.metrics import (
    DURATION,
    ERRORS,
    POOL,
    POOL_LIMIT,
    POOL_USE,
    POOL_WAIT,
    STATEMENT_SECONDS,
    STATEMENTS,
    UP,
    alerts,
    panels,
)
from bedplate.database.overview import overview_of, sections_of
from bedplate.database.repeating import Isolation, repeated
from bedplate.database.replicas.checks import checks as replica_checks
from bedplate.database.replicas.metrics import METRICS as REPLICA_METRICS
from bedplate.database.replicas.metrics import alerts as replica_alerts
from bedplate.database.replicas.metrics import panels as replica_panels
from bedplate.database.replicas.position import parsed, token
from bedplate.database.routes import routes_of
from bedplate.database.settings import DatabaseSettings
from bedplate.declarations import Migrations, Probe, Routes, Runbook, Section
from bedplate.degradation import Degradation
from bedplate.settings.secret import Secret

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

    from bedplate.database.replicas.group import Replicas
    from bedplate.database.replicas.replica import Replica

__all__ = ["Database"]

T = TypeVar("T")

_RUNBOOK = Runbook(text=Path(__file__).with_name("runbook.md").read_text(encoding="utf-8"))
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
        self._lazy = lazy
        self._host: Host | None = None
        self._access: Access | None = None
        suffix = "" if name == "default" else f" {name}"
        own = (DURATION, STATEMENTS, STATEMENT_SECONDS, ERRORS, POOL, POOL_LIMIT, POOL_WAIT, POOL_USE, UP, INDEXES)
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
            alerts=(*alerts(name), *index_alerts(name), *(replica_alerts(name) if replicas else ())),
            panels=(*panels(name), *index_panels(name), *(replica_panels(name) if replicas else ())),
            checks=(*index_checks(name), *(replica_checks(name) if replicas else ())),
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
        if self._access is not None:
            return self._access.address.dialect
        return address(self._url.reveal()).dialect if self._url.reveal() else "sqlite"

    def address_for(self, service: str) -> Secret:
        """Return its URL, as a service of some name uses it outside of tests; for who works on it from outside."""
        return self._url if self._url.reveal() else Secret(file_of(service, self.name).shown)

    @property
    def shown(self) -> str:
        """Where it is, for people: without its password; empty while it does not run."""
        return self._access.address.shown if self._access is not None else ""

    @property
    def server(self) -> Secret:
        """The address of the server itself, for who needs a session with it; empty for a file, or behind a pooler.

        :raises BedplateError: when the URL is none that is known.
        """
        direct = self.settings.pooler == "none" and self.dialect == "postgresql"
        return self._url if direct else Secret("")

    @property
    def is_open(self) -> bool:
        """Whether it has been opened; it may be away nevertheless."""
        return self._access is not None and self._access.opened is not None

    @asynccontextmanager
    async def lifespan(self, host: Host) -> AsyncIterator[None]:
        """Open the database, and close it.

        :raises MigrationError: when the tables of a component cannot be had. A database that is away does not keep
            the service from starting; it is opened when it comes.
        """
        where = located(self._url, self.name, host)
        access = Access(
            self.name,
            planned(self, self.settings, host),
            where,
            host,
            replicas=located_replicas(self._replica_urls, self.name, where),
            wanted=lambda: wanted(self, _OWN, host),
            indexes=lambda: declared_in(self, host),
        )
        self._host, self._access = host, access
        try:
            if self.settings.slow_statement:
                host.spawn("tell slow statements", access.statements.watch)
            if not self._lazy:
                try:
                    await access.ready()
                except DatabaseUnavailableError as error:
                    host.log.warning("database_away", error=str(error))
            if access.replicas is not None:
                host.spawn("watch replicas", access.replicas.watch)
            if host.alone or host.role == "ops":
                host.spawn("watch indexes", lambda: watch(self, host))
            yield
        finally:
            self._host = None
            try:
                await access.close()
            finally:
                self._access = None

    async def ready(self) -> AsyncEngine:
        """Return the engine of SQLAlchemy, with everybody's tables; for what :meth:`begin` does not do.

        :raises DatabaseUnavailableError: when the database is away. :raises MigrationError: when tables are not right.
        """
        return await self._running().ready()

    @asynccontextmanager
    async def begin(self, *, isolation: Isolation | None = None) -> AsyncIterator[AsyncConnection]:
        """Open a connection with a transaction that may write; it is committed at the end, undone by an exception.

        :param isolation: on a server, more than its READ COMMITTED; a file's transactions are all serializable.
        :raises OutcomeUnknownError: when a server went away during the commit: all has been written, or nothing.
        :raises DatabaseUnavailableError: when the database is away; nothing has been written then.
        """
        from bedplate.database.engine import WRITES

        access = self._running()
        engine = await access.ready()
        options: dict[str, Any] = {WRITES: True} if access.address.dialect == "sqlite" else {}
        if isolation is not None and not options:
            options["isolation_level"] = isolation
        async with access.told_apart(), engine.connect() as connection:
            if options:
                await connection.execution_options(**options)
            async with access.transaction(connection):
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
        access = self._running()
        engine = await access.ready()
        async with access.told_apart(), engine.connect() as connection:
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
        access = self._running()
        await access.ready()
        if access.replicas is None:
            async with self.connect() as connection:
                yield connection
        else:
            async with access.told_apart(), access.replicas.reader(stale_ok=stale_ok) as connection:
                yield connection

    @property
    def written(self) -> str:
        """How far this request or job must see, for a cookie or header of its session: see :meth:`must_see`.

        Empty when it has written nothing, or there are no replicas.
        """
        replicas = self._following()
        return token(replicas.written.position) if replicas is not None else ""

    def must_see(self, written: str) -> None:
        """Let the reads of this request or job see what another one has written, by its :attr:`written`.

        A text that is none costs its sender's reads the way to the primary, and nobody else's.
        """
        replicas = self._following()
        if replicas is not None:
            replicas.written.must_see(parsed(written))

    @property
    def replicas(self) -> Sequence[Replica]:
        """The replicas and how they are, while it runs."""
        replicas = self._following()
        return () if replicas is None else tuple(replicas.all)

    def routes(self) -> Sequence[Routes]:
        """Return what tells of the database and its replicas."""
        return routes_of(lambda: self._host)

    def overview(self) -> Mapping[str, Any]:
        """Return how the database and its replicas are, as this process knows, for the page that shows everything."""
        return overview_of(self, None if self._access is None else self._access.away)

    def sections(self) -> Sequence[Section]:
        """Return what its page in the console shows besides: how the replicas are."""
        return sections_of(self)

    async def ping(self) -> str:
        """Ask the database whether it is there; return where it is.

        :raises DatabaseUnavailableError: when it is away.
        """
        access = self._running()
        if self._lazy and access.opened is None and access.opening is None:
            return "not in use"
        from sqlalchemy import text

        async with self.connect() as connection:
            await connection.execute(text("SELECT 1"))
        access.reached(None)
        return access.address.shown

    def _running(self) -> Access:
        if self._access is None or self._host is None:
            raise DatabaseUnavailableError(
                f"The database {self.name} does not run.", "Use it inside the service, between its start and its stop."
            )
        return self._access

    def _following(self) -> Replicas | None:
        return None if self._access is None else self._access.replicas
