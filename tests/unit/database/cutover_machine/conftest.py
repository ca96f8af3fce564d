"""A database with the tables in which cutovers are kept."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from bedplate.database.address import address
from bedplate.database.cutover.machine.component import MIGRATIONS
from bedplate.database.opening import prepare
from bedplate.database.settings import DatabaseSettings
from tests.postgres import Postgres

_NUMBERS = itertools.count()


@pytest.fixture(scope="session")
def machine_url(server: Postgres) -> str:
    """A database with the tables of cutovers; each test's cutover has a name of its own."""
    url = server.database()
    asyncio.run(prepare(address(url), DatabaseSettings(), [MIGRATIONS]))
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE TABLE orders (organization_id int, id int, PRIMARY KEY (id))")
    return url


@pytest.fixture
def name(machine_url: str) -> Iterator[str]:
    """The name of a cutover, which leaves its tables to the next test."""
    called = f"cutover-{next(_NUMBERS)}"
    yield called
    with psycopg.connect(machine_url, autocommit=True) as connection:
        connection.execute(
            "UPDATE bedplate_cutovers SET state = 'finalized', wanted = '' WHERE starts_with(name, %s)", (called,)
        )


@pytest.fixture
def machine_connection(machine_url: str) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(machine_url, autocommit=True) as opened:
        yield opened
