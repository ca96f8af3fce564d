"""Bringing tables to what their components need: Alembic revisions, applied by one process while the others wait.

All revisions of a component that are missing are applied in one transaction, under a lock that the database keeps: on
PostgreSQL an advisory lock of that transaction, which a pooler between may not separate from it, on SQLite the right
to write. Whoever waited finds nothing left to do. Each component has a version table of its own, so components come
and go without knowing of each other.

Whether anything is missing is read from the revisions' source, so that a start with nothing to do does not pay for
Alembic.
"""

from __future__ import annotations

import ast
import hashlib
import threading
from collections.abc import Sequence
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bedplate.database.errors import MigrationError, is_connection_fault, said
from bedplate.declarations import Migrations

if TYPE_CHECKING:
    from sqlalchemy import Connection, MetaData

__all__ = ["drift", "head", "missing", "upgrade", "version_table"]

#: Alembic's ``op`` belongs to the whole process, so one thread at a time may use it.
_OP_LOCK = threading.Lock()
#: CPython 3.11 fails at random when two threads take sources apart (gh-106905), as several services that start do.
_PARSE_LOCK = threading.Lock()
#: Where :mod:`bedplate.database.transfer` notes in its target how far it is.
_TRANSFER = "bedplate_transfer"


def version_table(migrations: Migrations) -> str:
    """Return the name of the table that says which revision a component's tables are at."""
    return f"bedplate_{migrations.name}_version".replace("-", "_")


@lru_cache(maxsize=256)
def _revisions(package: str) -> dict[str, str | None]:
    """Return the revisions of a package with the one before each, read from the source."""
    revisions: dict[str, str | None] = {}
    for file in sorted(folder(package).glob("*.py")):
        names: dict[str, Any] = {}
        with _PARSE_LOCK:
            parsed = ast.parse(file.read_text(encoding="utf-8"))
        for node in parsed.body:
            targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
            value = getattr(node, "value", None)
            for target in targets:
                if isinstance(target, ast.Name) and isinstance(value, ast.Constant):
                    names[target.id] = value.value
        if "revision" in names:
            revisions[str(names["revision"])] = names.get("down_revision")
    return revisions


def folder(package: str) -> Path:
    """Return where the revision modules of a package are.

    :raises MigrationError: when there is no such package.
    """
    try:
        spec = find_spec(package)
    except ImportError:
        spec = None
    places = list(spec.submodule_search_locations or ()) if spec is not None else []
    if not places:
        raise MigrationError(f"There is no package {package} with revisions.", "Name an importable package.")
    return Path(places[0])


def head(migrations: Migrations) -> str:
    """Return the revision that a component's tables must be at.

    :raises MigrationError: when its revisions do not form one line.
    """
    revisions = _revisions(migrations.package)
    heads = sorted(set(revisions) - set(revisions.values()))
    if len(heads) != 1:
        what = f"The revisions of {migrations.name} end in {', '.join(heads) or 'nothing'}, not in one."
        raise MigrationError(what, f"Give {migrations.package} one line of revisions.")
    return heads[0]


def missing(connection: Connection, wanted: Sequence[Migrations]) -> list[Migrations]:
    """Return the components whose tables are not at their head.

    :raises MigrationError: when tables are at a revision that is not known here, or a transfer into them is unfinished.
    """
    from sqlalchemy import inspect, text

    present = set(inspect(connection).get_table_names())
    if _TRANSFER in present and connection.execute(text("SELECT state FROM bedplate_transfer")).scalar() != "finished":
        raise MigrationError(
            "Records are being moved into this database, and not all are there yet.",
            "Run the same `bedplate db transfer` again, until it says that it is finished.",
        )
    behind = []
    for migrations in wanted:
        table = version_table(migrations)
        found = connection.execute(text(f"SELECT version_num FROM {table}")).scalar() if table in present else None  # noqa: S608 - a slug
        if found is not None and found not in _revisions(migrations.package):
            raise MigrationError(
                f"The tables of {migrations.name} are at revision {found}, which this version does not know.",
                "A newer version has changed them: run that one, or restore a backup from before.",
            )
        if found != head(migrations):
            behind.append(migrations)
    return behind


def upgrade(connection: Connection, wanted: Sequence[Migrations], timeout: float) -> list[str]:
    """Apply what is missing, in the present transaction, whose first statement this is; return whose tables that were.

    It blocks, so call it in a thread.

    :param timeout: seconds to wait for another process that does the same.
    :raises MigrationError: when a revision fails; then nothing has been changed.
    """
    from sqlalchemy import text

    if connection.dialect.name == "postgresql":
        # A lock of the transaction, not of the session: a pooler may give the session to somebody else.
        connection.execute(text(f"SET LOCAL lock_timeout = {int(timeout * 1000)}"))
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _lock_key()})
    behind = missing(connection, wanted)
    for migrations in behind:
        try:
            _apply(connection, migrations)
        except MigrationError:
            raise
        except Exception as error:
            if is_connection_fault(error):
                raise
            raise MigrationError(
                f"The tables of {migrations.name} cannot be brought to revision {head(migrations)}: {said(error)}",
                f"Look at the revisions in {migrations.package}; nothing has been changed.",
            ) from error
    return [migrations.name for migrations in behind]


def _apply(connection: Connection, migrations: Migrations) -> None:
    from alembic.operations import Operations
    from alembic.runtime.migration import MigrationContext
    from alembic.script import ScriptDirectory

    place = folder(migrations.package)
    script = ScriptDirectory(str(place), version_locations=[str(place)])
    context = MigrationContext.configure(
        connection,
        opts={
            "version_table": version_table(migrations),
            "script": script,
            "fn": lambda revision, _: script._upgrade_revs("head", revision),
        },
    )
    with _OP_LOCK, Operations.context(context):
        context.run_migrations()


def drift(connection: Connection, metadata: MetaData) -> list[str]:
    """Return in words how the tables in the database differ from those that are declared; empty when they do not.

    Only declared tables are looked at. Blocks, as :func:`upgrade` does.
    """
    from alembic.autogenerate import compare_metadata
    from alembic.runtime.migration import MigrationContext

    tables = set(metadata.tables)

    def ours(name: str | None, kind: str, parents: Any) -> bool:
        return kind != "table" or name in tables

    context = MigrationContext.configure(connection, opts={"compare_type": True, "include_name": ours})
    return [_in_words(difference) for difference in compare_metadata(context, metadata)]


def _in_words(difference: Any) -> str:
    first = difference[0] if isinstance(difference, tuple) else difference
    if isinstance(first, tuple):
        return "; ".join(_in_words(one) for one in difference)
    if isinstance(first, list):
        return "; ".join(_in_words(one) for one in first)
    return " ".join(str(part) for part in difference if part is not None)


def _lock_key() -> int:
    return int.from_bytes(hashlib.blake2b(b"bedplate migrations", digest_size=8).digest(), signed=True)
