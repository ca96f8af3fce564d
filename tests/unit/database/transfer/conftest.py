"""Databases for transfers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import psycopg
import pytest

from tests.postgres import Postgres
from tests.transfers import schema_of


@pytest.fixture(scope="session")
def moving_url(server: Postgres) -> str:
    """A database that tests share; each uses schemas of its own."""
    return server.database()


@pytest.fixture
def empty(moving_url: str) -> Callable[[], str]:
    """Makes URLs of empty databases."""

    def make() -> str:
        with psycopg.connect(moving_url, autocommit=True) as connection:
            return schema_of(moving_url, lambda statement: connection.execute(statement.encode()))

    return make


@pytest.fixture
def asked() -> Callable[..., list[Any]]:
    """Asks a server's database."""

    def ask(url: str, statement: str, *values: Any) -> list[Any]:
        with psycopg.connect(url, autocommit=True) as connection:
            cursor = connection.execute(statement.encode(), values or None)
            return cursor.fetchall() if cursor.description else []

    return ask
