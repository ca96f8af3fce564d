"""Addresses of databases: the forms that people write, and what the drivers want."""

from __future__ import annotations

from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit, urlunsplit

from bedplate.problems import BedplateError
from bedplate.settings.secret import mask_text

__all__ = ["Address", "address", "file_address"]

#: What libpq calls it, and what asyncpg does.
_RENAMED = {"sslmode": "ssl", "connect_timeout": "timeout"}


@dataclass(frozen=True, slots=True)
class Address:
    """Where a database is.

    :ivar dialect: ``sqlite`` or ``postgresql``. :ivar url: SQLAlchemy's, with an asynchronous driver; it is secret.
    :ivar shown: for people, without the password. :ivar path: the file of an SQLite database, else None.
    """

    dialect: str
    url: str = field(repr=False)
    shown: str
    path: Path | None = None


def address(url: str) -> Address:
    """Read a database URL: ``postgres://``, ``postgresql://`` and ``sqlite:///``, with a driver in it or not.

    :raises BedplateError: when it is no such URL, or its driver is not installed; it never shows the password.
    """
    try:
        parts = urlsplit(url)
        scheme = parts.scheme.partition("+")[0]
        parts.port  # noqa: B018 - read to be checked
    except ValueError:
        raise BedplateError("DATABASE_URL cannot be taken apart.", "Percent-encode what is special in it.") from None
    if scheme == "sqlite":
        return _sqlite(url)
    if scheme in ("postgres", "postgresql"):
        if find_spec("asyncpg") is None:
            raise BedplateError(
                f"{mask_text(url)} is a PostgreSQL database, and its driver is not installed.",
                "Install the extra: pip install 'bedplate[postgresql]'.",
            )
        query = [(_RENAMED.get(name, name), value) for name, value in parse_qsl(parts.query)]
        mapped = urlunsplit(("postgresql+asyncpg", parts.netloc, parts.path or "/", urlencode(query), ""))
        return Address("postgresql", mapped, mask_text(url))
    raise BedplateError(
        f"{mask_text(url)} is no database that Bedplate knows.",
        "Write postgresql://user:password@host/name, or sqlite:///path.",
    )


def file_address(path: Path) -> Address:
    """Return the address of an SQLite file."""
    return Address("sqlite", f"sqlite+aiosqlite:///{path}", f"sqlite:///{path}", path)


def _sqlite(url: str) -> Address:
    name = unquote(url.partition(":///")[2].partition("?")[0]) if ":///" in url else ""
    if not name or name == ":memory:":
        raise BedplateError(
            f"{url} is an SQLite database in memory, which ends with each connection.",
            "Name a file: sqlite:///path/to/file.sqlite3.",
        )
    return file_address(Path(name))
