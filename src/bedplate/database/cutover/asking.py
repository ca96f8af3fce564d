"""Asking PostgreSQL through the worker's own connection: statements made of quoted names, rows as they come."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from bedplate.problems import BedplateError

if TYPE_CHECKING:
    from psycopg import Connection

__all__ = ["CutoverError", "ask", "changed", "connected", "direct", "literal", "locally", "quoted", "transaction"]


class CutoverError(BedplateError):
    """What was asked of a cutover cannot be done, and nothing has been touched."""


#: So that a server whose host is gone is noticed within a minute; what the address says itself comes first.
_PATIENCE: dict[str, Any] = {
    "connect_timeout": 10,
    "keepalives_idle": 20,
    "keepalives_interval": 5,
    "keepalives_count": 4,
    "tcp_user_timeout": 60_000,
}


def quoted(*names: str) -> str:
    """Return a name, or a name in a schema, as SQL takes it whatever is in it."""
    return ".".join('"' + name.replace('"', '""') + '"' for name in names)


def literal(text: str) -> str:
    """Return a text as a constant of SQL that means the same under every setting."""
    escaped = text.replace("\\", "\\\\").replace("'", "''")
    return f"E'{escaped}'"


def ask(connection: Connection[Any], statement: str, values: Sequence[Any] = ()) -> list[Any]:
    """Carry out a statement and return its rows; ``%s`` stands for values only if there are any."""
    # Bytes, as the driver's types forbid statements that are put together; names in them went through `quoted`.
    cursor = connection.execute(statement.encode(), values or None)
    return cursor.fetchall() if cursor.description is not None else []


def changed(connection: Connection[Any], statement: str, values: Sequence[Any] = ()) -> int:
    """Carry out a statement and return how many rows it wrote."""
    return connection.execute(statement.encode(), values or None).rowcount


def locally(connection: Connection[Any], **settings: str) -> None:
    """Set settings until the open transaction ends, all in one trip."""
    calls = ", ".join(f"set_config({literal(name)}, {literal(value)}, true)" for name, value in settings.items())
    ask(connection, f"SELECT {calls}")


@contextmanager
def connected(url: str) -> Iterator[Connection[Any]]:
    """Open a connection to the primary while inside, as the worker of a cutover does.

    :param url: ``postgresql://…``, with a driver in its scheme or not.
    :raises CutoverError: when it is no PostgreSQL, the driver is missing, or it cannot be reached.
    """
    try:
        import psycopg
    except ImportError:
        what = "The driver that cutovers work through is not installed."
        raise CutoverError(what, "Install the extra: pip install 'bedplate[postgresql]'.") from None
    scheme, separator, rest = url.partition("://")
    if scheme.partition("+")[0] not in ("postgres", "postgresql") or not separator:
        raise CutoverError("Cutovers are for PostgreSQL, and DATABASE_URL is none.", "Set it to postgresql://…")
    try:
        said = psycopg.conninfo.conninfo_to_dict(f"postgresql://{rest}")
        connection = psycopg.connect(**(_PATIENCE | said | {"application_name": "bedplate cutover"}), autocommit=True)
    except psycopg.Error as error:
        # The driver's words name host and user, never the password.
        words = " ".join(str(error).split())[:300]
        raise CutoverError(
            f"The database cannot be reached: {words}.", "Is it running, and is the address the primary's?"
        ) from None
    with connection:
        yield connection


def direct(connection: Connection[Any]) -> None:
    """See that a connection is a session of the server itself: only such a one keeps a lock that says who works.

    :raises CutoverError: when a pooler stands between, which gives out process ids of its own.
    """
    if ask(connection, "SELECT pg_backend_pid()")[0][0] != connection.info.backend_pid:
        what = "A pooler stands between the worker and the primary, and would share its session with others."
        raise CutoverError(what, "Set DATABASE_PRIMARY_URL, or give --url: the address of the primary itself.")


@contextmanager
def transaction(connection: Connection[Any], characteristics: str = "") -> Iterator[None]:
    """Run a transaction while inside, which sees only the system's names unless a schema is written.

    Definitions then come back with every name in full, and no search path can turn one into another. It is at READ
    COMMITTED unless it is said otherwise, whatever a role has by default: what a lock was waited for is to be seen.

    :param characteristics: as ``ISOLATION LEVEL REPEATABLE READ READ ONLY``; inside another transaction its hold.
    """
    from psycopg.pq import TransactionStatus

    outermost = connection.info.transaction_status == TransactionStatus.IDLE
    with connection.transaction():
        names = "SET LOCAL search_path = pg_catalog"
        if outermost:
            level = "" if "ISOLATION" in characteristics else "ISOLATION LEVEL READ COMMITTED "
            names = f"SET TRANSACTION {level}{characteristics}; {names}"
        ask(connection, names)
        yield
