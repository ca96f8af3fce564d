"""What can be wrong with a database."""

from __future__ import annotations

import re
import sqlite3

from bedplate.problems import BedplateError

__all__ = [
    "DatabaseUnavailableError",
    "MigrationError",
    "OutcomeUnknownError",
    "is_connection_fault",
    "is_exhausted",
    "is_undone",
    "said",
]

#: What SQLite says when the file cannot be used now, as opposed to a statement that is wrong.
_SQLITE = re.compile(r"unable to open|disk I/O|database is locked|disk is full|not a database|malformed|readonly")


class DatabaseUnavailableError(BedplateError):
    """The database cannot be reached, or not used, now; nothing of the transaction has been written."""


class OutcomeUnknownError(DatabaseUnavailableError):
    """The database went away while a transaction was committed: it has been written whole, or not at all."""


class MigrationError(BedplateError):
    """The tables of a component cannot be brought to what it needs."""


def is_connection_fault(error: BaseException) -> bool:
    """Say whether an error is about the connection, so that trying again later may help."""
    from sqlalchemy.exc import DBAPIError
    from sqlalchemy.exc import TimeoutError as PoolTimeoutError

    if isinstance(error, DBAPIError):
        if error.connection_invalidated:
            return True
        original = error.orig
        cause = original.__cause__ if original is not None else None
        if isinstance(original, sqlite3.Error) or isinstance(cause, sqlite3.Error):
            return _SQLITE.search(str(original)) is not None
        # A server that starts, stops or has no connection left says so with a state of these classes.
        state = str(getattr(original, "sqlstate", None) or "")
        return isinstance(cause, OSError) or state.startswith(("08", "57P", "53"))
    return isinstance(error, (OSError, TimeoutError, PoolTimeoutError)) or _is_asyncpg_fault(error)


def is_exhausted(error: BaseException) -> bool:
    """Say whether the caller waited in vain for one of this process's connections."""
    from sqlalchemy.exc import TimeoutError as PoolTimeoutError

    return isinstance(error, PoolTimeoutError)


def is_undone(error: BaseException) -> bool:
    """Say whether the database has undone a transaction because of another one: serialisation failure or deadlock."""
    return str(getattr(getattr(error, "orig", None), "sqlstate", None) or "") in ("40001", "40P01")


def _is_asyncpg_fault(error: BaseException) -> bool:
    # asyncpg's own errors while connecting, which SQLAlchemy lets through; it is not imported for those who lack it.
    return type(error).__module__.startswith("asyncpg")


def said(error: BaseException) -> str:
    """Return an error's own words in one line, without the statement and its values, which may be secret."""
    original = getattr(error, "orig", None) or error
    text = " ".join(str(original).split())
    if not text or text == "TimeoutError":
        text = "it did not answer in time" if isinstance(error, TimeoutError) else type(original).__name__
    # SQLAlchemy's adapters repeat the class before the message.
    return re.sub(r"^<class '[\w.]+'>: ", "", text)[:300]
