"""Servers and databases with two tables that are to be switched together."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest

from tests.postgres import Postgres, postgres
from tests.switching import TABLES


@pytest.fixture(scope="session")
def lasting() -> Iterator[Postgres]:
    """The oldest server that cutovers are for."""
    with postgres(15, "wal_level=logical") as running:
        yield running


@pytest.fixture(params=["newest", "oldest"])
def either(request: pytest.FixtureRequest, server: Postgres) -> Postgres:
    """The newest server, then the oldest."""
    return server if request.param == "newest" else request.getfixturevalue("lasting")


@pytest.fixture
def url(server: Postgres) -> str:
    made = server.database()
    with psycopg.connect(made, autocommit=True) as connection:
        connection.execute(TABLES)
    return made
