"""Extensions of PostgreSQL that indexes and keys want: created where that is permitted, else told in words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bedplate.database.errors import said
from bedplate.problems import BedplateError

if TYPE_CHECKING:
    from sqlalchemy import Connection

__all__ = ["EXTENSIONS", "ensure", "uuid_default"]

#: What each is for.
EXTENSIONS = {
    "btree_gin": "plain columns in a GIN index",
    "pg_trgm": "parts of texts",
    "uuid-ossp": "UUIDs made by the server",
}

_UUID = (
    "(lower(hex(randomblob(4)) || '-' || hex(randomblob(2)) || '-4' || substr(hex(randomblob(2)), 2) || '-'"
    " || substr('89ab', 1 + (abs(random()) % 4), 1) || substr(hex(randomblob(2)), 2) || '-' || hex(randomblob(6))))"
)


def ensure(connection: Connection, name: str) -> bool:
    """Create an extension where it is not there; return whether it had to be.

    :raises BedplateError: when the server does not have it, or its user may not create it.
    """
    if _there(connection, name):
        return False
    known = _one(connection, "SELECT 1 FROM pg_available_extensions WHERE name = :name", name)
    purpose = f" ({EXTENSIONS[name]})" if name in EXTENSIONS else ""
    if known is None:
        raise BedplateError(
            f"The server does not have the extension {name}{purpose}.",
            "Install the package of PostgreSQL's additional modules: Debian's postgresql-contrib.",
        )
    quoted = '"' + name.replace('"', '""') + '"'
    try:
        connection.exec_driver_sql(f"CREATE EXTENSION IF NOT EXISTS {quoted}")
    except Exception as error:
        if _there(connection, name):  # another made it meanwhile, which IF NOT EXISTS does not see
            return False
        raise BedplateError(
            f"The extension {name}{purpose} cannot be created: {said(error)}.",
            f"Let the database's owner or a superuser say once: CREATE EXTENSION {quoted};",
        ) from error
    return True


def uuid_default(connection: Connection) -> str:
    """Return the expression that makes a random UUID, for a column's default in a migration.

    ``uuid_generate_v4()`` where uuid-ossp is there or can be created; ``gen_random_uuid()``, which PostgreSQL has built
    in, where not; on SQLite an expression that makes the text.
    """
    if connection.dialect.name == "sqlite":
        return _UUID
    nested = connection.begin_nested()
    try:
        ensure(connection, "uuid-ossp")
    except BedplateError:
        nested.rollback()
        return "gen_random_uuid()"
    nested.commit()
    return "uuid_generate_v4()"


def _there(connection: Connection, name: str) -> bool:
    return _one(connection, "SELECT 1 FROM pg_extension WHERE extname = :name", name) is not None


def _one(connection: Connection, question: str, name: str) -> Any:
    from sqlalchemy import text

    return connection.execute(text(question), {"name": name}).scalar()
