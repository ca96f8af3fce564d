"""Opening both ends of a transfer, each through a driver that waits: nothing else runs in the command's process."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, quote, urlencode, urlsplit, urlunsplit

from bedplate.database.address import address
from bedplate.database.transfer.errors import TransferError
from bedplate.database.transfer.postgresql_side import PostgresqlSide
from bedplate.database.transfer.side import Role
from bedplate.database.transfer.sqlite_side import SqliteSide

if TYPE_CHECKING:
    from psycopg import Connection

__all__ = ["connect", "opened"]

#: What asyncpg calls it, and what libpq does.
_RENAMED = {"ssl": "sslmode", "timeout": "connect_timeout"}


@contextmanager
def opened(url: str, role: Role) -> Iterator[SqliteSide | PostgresqlSide]:
    """Open a database while inside.

    :raises TransferError: when it cannot be had; without its password.
    """
    place = address(url)
    if place.path is not None:
        side: SqliteSide | PostgresqlSide = SqliteSide.open(place.path, role, place.shown)
    else:
        connection = connect(url)
        try:
            side = PostgresqlSide(connection, role, place.shown)
        except BaseException:
            connection.close()
            raise
    try:
        yield side
    finally:
        side.close()


def connect(url: str) -> Connection[Any]:
    """Connect to a server, each statement a transaction until one is begun.

    :raises TransferError: when it cannot be reached.
    """
    try:
        import psycopg
    except ImportError:
        what = "The driver that transfers work through is not installed."
        raise TransferError(what, "Install the extra: pip install 'bedplate[postgresql]'.") from None
    parts = urlsplit(url)
    query = urlencode([(_RENAMED.get(name, name), value) for name, value in parse_qsl(parts.query)], quote_via=quote)
    plain = urlunsplit(("postgresql", parts.netloc, parts.path or "/", query, ""))
    try:
        return psycopg.connect(plain, autocommit=True, application_name="bedplate db transfer", client_encoding="UTF8")
    except psycopg.Error as error:
        # The driver's words name host and user, never the password.
        words = " ".join(str(error).split())[:300]
        raise TransferError(
            f"{address(url).shown} cannot be reached: {words}.", "Is it running, and are user and password right?"
        ) from None
