"""Which cutover a command means: one of a service, or tables of a database that are named on the command line."""

from __future__ import annotations

import asyncio
import getpass
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from bedplate.problems import BedplateError

if TYPE_CHECKING:
    from psycopg import Connection

    from bedplate.database.cutover import CutoverSettings, Plan

__all__ = ["Target", "actor", "database_url", "find"]


@dataclass(frozen=True, slots=True)
class Target:
    """A cutover and where it is. :ivar plan: None where only its row says what it moves."""

    url: str = field(repr=False)
    name: str
    plan: Plan | None
    settings: CutoverSettings

    def make_tables(self) -> None:
        """Make the tables in which cutovers are kept, as the service does when it starts.

        :raises BedplateError: when they cannot be made.
        """
        from bedplate.database.address import address
        from bedplate.database.cutover.machine.component import MIGRATIONS
        from bedplate.database.opening import prepare
        from bedplate.database.settings import DatabaseSettings

        asyncio.run(prepare(address(self.url), DatabaseSettings(), [MIGRATIONS]))

    @contextmanager
    def connection(self) -> Iterator[Connection[Any]]:
        """Open a connection to the primary; what the server refuses comes as an error with words."""
        import psycopg

        from bedplate.database.cutover import CutoverError, connected

        with connected(self.url) as opened:
            try:
                yield opened
            except psycopg.Error as error:
                words = " ".join(str(error).split())[:300]
                raise CutoverError(
                    f"The database refuses: {words}.", "Look at the user's rights, or try again."
                ) from error


def database_url(given: str) -> str:
    """Return the address of the primary: the one given, else the environment's.

    :raises BedplateError: when there is none.
    """
    url = given or os.environ.get("DATABASE_PRIMARY_URL", "") or os.environ.get("DATABASE_URL", "")
    if not url:
        raise BedplateError("It is not said which database.", "Set DATABASE_URL, or give --url.")
    return url


def actor() -> str:
    """Return who uses the command line, for the time line."""
    return f"cli:{getpass.getuser()}"


def find(service: str, name: str, *, tables: Sequence[str], key: str, partitions: int, mode: str, url: str) -> Target:
    """Return the cutover that is meant.

    :param service: ``module:attribute``; empty, or the cutover's name alone, for the one of ``url``.
    :raises BedplateError: when there is none, or it is not said which.
    """
    from bedplate.database.cutover import CutoverSettings, Plan

    if service and ":" not in service and not name:
        service, name = "", service
    if service:
        if tables:
            raise BedplateError("A service says itself which tables move.", "Leave --tables out.")
        return _of_service(service, name, url)
    plan = Plan(tables=tuple(tables), key=key, partitions=partitions, mode=mode) if tables else None  # type: ignore[arg-type]
    return Target(database_url(url), name or "default", plan, CutoverSettings())


def _of_service(service: str, name: str, url: str) -> Target:
    from bedplate.database.cutover import Cutover
    from bedplate.service.loading import load
    from bedplate.service.runner import services_of

    built = services_of(load(service))
    found = [one for each in built for one in each.components if isinstance(one, Cutover)]
    chosen = [one for one in found if one.name == name] if name else found
    if len(chosen) != 1:
        names = ", ".join(one.name for one in found) or "none"
        what = f"{service} has no cutover {name}." if name else f"{service} has {len(found)} cutovers."
        raise BedplateError(what, f"Name one of: {names}.")
    one = chosen[0]
    if one.unneeded:
        raise BedplateError(one.unneeded)
    return Target(url or one.url.reveal(), one.name, one.plan, one.settings)
