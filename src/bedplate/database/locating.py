"""Which server or file a database is, and whose tables it holds."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bedplate.component import HasMigrations, Host
from bedplate.database.address import Address, address, file_address
from bedplate.database.errors import MigrationError
from bedplate.database.settings import DatabaseSettings
from bedplate.declarations import Migrations
from bedplate.problems import BedplateError
from bedplate.settings.secret import Secret

__all__ = ["file_of", "located", "located_replicas", "planned", "wanted"]


def located(url: Secret, name: str, host: Host) -> Address:
    """Return where a database is; without a URL a file of the service, in tests one of the run's directory.

    :raises BedplateError: when the URL is none that is known.
    """
    if told := url.reveal():
        return address(told)
    suffix = "" if name == "default" else f"-{name}"
    if host.environment == "test":
        return file_address(host.directory / f"database{suffix}.sqlite3")
    return file_of(host.service, name)


def file_of(service: str, name: str) -> Address:
    """Return where a service keeps a database for which there is no URL."""
    suffix = "" if name == "default" else f"-{name}"
    return file_address(Path(".bedplate") / f"{service}{suffix}.sqlite3")


def located_replicas(urls: Sequence[Secret], name: str, primary: Address) -> list[Address]:
    """Return where the replicas of a primary are.

    :raises BedplateError: when one of them, or the primary, is no PostgreSQL server.
    """
    addresses = [address(url.reveal()) for url in urls]
    for one in (primary, *addresses) if addresses else ():
        if one.dialect != "postgresql":
            raise BedplateError(
                f"The database {name} has replicas, and {one.shown} is no PostgreSQL server.",
                "Leave DATABASE_REPLICA_URLS empty where the database is a file.",
            )
    return addresses


def wanted(database: Any, own: Migrations, host: Host) -> Sequence[Migrations]:
    """Return the revisions of everybody who has tables in a database: its own, and those of who needs it.

    :raises MigrationError: when two of them have one name.
    """
    found = [own]
    for view in host.components:
        component = view.component
        if isinstance(component, HasMigrations) and any(need is database for need in view.spec.needs):
            found.append(component.migrations())
    names = [migrations.name for migrations in found]
    for name in names:
        if names.count(name) > 1:
            raise MigrationError(f"Two components have migrations named {name}.", "Rename those of one of them.")
    return found


def planned(database: Any, settings: DatabaseSettings, host: Host) -> DatabaseSettings:
    """Return settings that say how prepared statements are planned, where nobody has said so."""
    moved = any(
        view.spec.kind == "cutover" and any(need is database for need in view.spec.needs) for view in host.components
    )
    return settings.model_copy(update={"plans": "custom"}) if moved else settings
