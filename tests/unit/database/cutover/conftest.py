"""A PostgreSQL for cutovers, and a connection to an empty database of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from tests.postgres import Postgres, postgres


@pytest.fixture(scope="session")
def shared_url(server: Postgres) -> str:
    """A database that tests share; each uses tables of its own."""
    return server.database()


@pytest.fixture(scope="session")
def oldest() -> Iterator[Postgres]:
    """The oldest server that cutovers are for."""
    with postgres(15) as running:
        yield running


@pytest.fixture
def connection(server: Postgres) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(server.database(), autocommit=True) as opened:
        yield opened


@pytest.fixture
def shared(shared_url: str) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(shared_url, autocommit=True) as opened:
        yield opened
