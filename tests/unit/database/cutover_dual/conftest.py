"""A database with a table that is to be moved by dual writes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from tests.moving import filled
from tests.postgres import Postgres


@pytest.fixture
def url(server: Postgres) -> str:
    """The URL of a database with 2,000 orders of 40 organisations."""
    return filled(server)


@pytest.fixture
def connection(url: str) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(url, autocommit=True) as opened:
        yield opened
