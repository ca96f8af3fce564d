"""Servers and databases with two tables that are to be switched together."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import psycopg
import pytest

from tests.postgres import Postgres, postgres
from tests.switching import TABLES, brought, switching

_NUMBERS = itertools.count()


@pytest.fixture(scope="session")
def lasting() -> Iterator[Postgres]:
    """The oldest server that cutovers are for."""
    with postgres(15, "wal_level=logical") as running:
        yield running


@pytest.fixture(params=["newest", "oldest"])
def either(request: pytest.FixtureRequest, server: Postgres) -> Postgres:
    """The newest server, then the oldest."""
    return server if request.param == "newest" else request.getfixturevalue("lasting")


@pytest.fixture(scope="session")
def pattern(server: Postgres) -> str:
    """The name of a database in which all is done that comes before a switch."""
    made = server.database()
    with psycopg.connect(made, autocommit=True) as connection:
        connection.execute(TABLES)
    with switching(made) as work:
        brought(work)
    return made.rpartition("@/")[2].partition("?")[0]


@pytest.fixture
def ready(server: Postgres, pattern: str) -> str:
    """The URL of a database in which all is done that comes before a switch."""
    name = f"switch_{next(_NUMBERS)}"
    server.sql(f"CREATE DATABASE {name} TEMPLATE {pattern}")
    return server.url(name)


@pytest.fixture
def url(server: Postgres) -> str:
    made = server.database()
    with psycopg.connect(made, autocommit=True) as connection:
        connection.execute(TABLES)
    return made
