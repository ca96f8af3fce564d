"""A database with a table that is to be moved, small and in a server that all tests share."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from tests.moving import filled
from tests.postgres import Postgres, postgres


@pytest.fixture(scope="session")
def newest() -> Iterator[Postgres]:
    with postgres(18, "max_parallel_maintenance_workers=2") as running:
        yield running


@pytest.fixture(scope="session")
def eldest() -> Iterator[Postgres]:
    """The oldest server that cutovers are for."""
    with postgres(15) as running:
        yield running


@pytest.fixture
def url(newest: Postgres) -> str:
    """The URL of a database with 2,000 orders of 40 organisations."""
    return filled(newest)


@pytest.fixture
def connection(url: str) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(url, autocommit=True) as opened:
        yield opened
