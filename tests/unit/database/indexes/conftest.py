"""Servers with what Debian's have and the wheel's lack, and places to make indexes in."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from bedplate.database.indexes.place import Place
from tests.postgres import Postgres, postgres


@pytest.fixture(scope="session")
def debian() -> Iterator[Postgres]:
    """PostgreSQL 15, which has uuid-ossp."""
    with postgres(15) as running:
        yield running


@pytest.fixture
def place(server: Postgres) -> Iterator[Place]:
    """An empty database of PostgreSQL 18."""
    opened = Place(server.database())
    yield opened
    opened.close()
