"""A database as whoever makes indexes needs it: a connection of its own, to the primary itself."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bedplate.database.errors import DatabaseUnavailableError, said
from bedplate.problems import BedplateError
from bedplate.settings.secret import mask_text

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine

__all__ = ["Place", "refuse_indirect"]

_NAME = "bedplate indexes"
#: A server notices within this that its client was killed, and ends what it does for it.
_NOTICE = "-c client_connection_check_interval=2s -c statement_timeout=0 -c idle_in_transaction_session_timeout=0"


class Place:
    """A database that indexes are made in: ``Place("postgresql://…")``, ``Place("sqlite:///file")``.

    :param url: of the primary, with a driver in it or not. :raises BedplateError: when its driver is missing.
    """

    def __init__(self, url: str) -> None:
        scheme, separator, rest = url.partition("://")
        self.dialect = {"sqlite": "sqlite", "postgres": "postgresql", "postgresql": "postgresql"}.get(
            scheme.partition("+")[0], ""
        )
        if not separator or not self.dialect:
            raise BedplateError(
                f"{mask_text(url)} is no database that Bedplate knows.",
                "Write postgresql://user:password@host/name, or sqlite:///path.",
            )
        self.shown = mask_text(url)
        self._url = f"postgresql://{rest}" if self.dialect == "postgresql" else ""
        self._file = Path(rest.removeprefix("/").partition("?")[0])
        self._engine = self._made()

    def _made(self) -> Engine:
        from sqlalchemy import create_engine, event
        from sqlalchemy.pool import NullPool

        if self.dialect == "postgresql":
            try:
                import psycopg
            except ImportError:
                what = "The driver that indexes are made through is not installed."
                raise BedplateError(what, "Install the extra: pip install 'bedplate[postgresql]'.") from None

            def connect() -> Any:
                # Nothing is prepared: looking may go through a pooler, to another session each time.
                return psycopg.connect(self._url, application_name=_NAME, prepare_threshold=None)

            return create_engine("postgresql+psycopg://", creator=connect, poolclass=NullPool)
        engine = create_engine(f"sqlite:///{self._file}", poolclass=NullPool)

        @event.listens_for(engine, "connect")
        def told(connection: Any, record: Any) -> None:
            from bedplate.database.engine import pragmas

            connection.isolation_level = None
            for pragma in pragmas(5.0):
                connection.execute(pragma)

        @event.listens_for(engine, "begin")
        def begun(connection: Any) -> None:
            writes = connection.get_execution_options().get("writes")
            connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

        return engine

    def close(self) -> None:
        """Forget what was opened."""
        self._engine.dispose()

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """Open a connection with a transaction that is undone at the end.

        :raises DatabaseUnavailableError: when the database cannot be reached.
        """
        if self.dialect == "sqlite" and not self._file.exists():
            raise DatabaseUnavailableError(f"There is no file {self._file}.", "Start the service once, which makes it.")
        with self._connected() as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """Open a connection with a transaction, which in a file is the one that may write."""
        with self.reading() as connection:
            connection.execution_options(writes=True)
            with connection.begin():
                yield connection

    @contextmanager
    def working(self) -> Iterator[Connection]:
        """Open a connection to a server on which each statement is carried out by itself, outside of transactions.

        :raises BedplateError: when it does not lead straight to a primary.
        """
        with self._connected() as connection:
            refuse_indirect(connection)
            connection.rollback()
            with connection.execution_options(isolation_level="AUTOCOMMIT"):
                for option in _NOTICE.split("-c ")[1:]:
                    name, _, value = option.strip().partition("=")
                    connection.exec_driver_sql(f"SET {name} = '{value}'")
                yield connection

    @contextmanager
    def _connected(self) -> Iterator[Connection]:
        try:
            connection = self._engine.connect()
        except Exception as error:
            raise DatabaseUnavailableError(
                f"The database {self.shown} cannot be reached: {said(error)}.",
                "Is it running, and are address and password right?",
            ) from None
        with connection:
            yield connection


def refuse_indirect(connection: Connection) -> None:
    """Refuse a connection that does not lead straight to a primary.

    :raises BedplateError: when a pooler stands between, or it is a replica.
    """
    driver: Any = connection.connection.driver_connection
    pid = connection.exec_driver_sql("SELECT pg_backend_pid()").scalar()
    # A pooler invents the number by which its client may cancel; a server tells that of its own process.
    if pid != driver.info.backend_pid:
        raise BedplateError(
            "A pooler stands between: a lock time-out and the lock that keeps others from the same work would stay"
            " with whoever gets its connection next.",
            "Give the primary's own address: --url postgresql://…",
        )
    if connection.exec_driver_sql("SELECT pg_is_in_recovery()").scalar():
        raise BedplateError("This is a replica, in which nothing can be made.", "Give the primary's address: --url.")
