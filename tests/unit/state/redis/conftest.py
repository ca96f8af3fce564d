"""Servers for tests of the connection to Redis."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.redis import Server, Servers


@pytest.fixture(scope="session")
def servers() -> Iterator[Servers]:
    made = Servers()
    try:
        yield made
    finally:
        made.close()


@pytest.fixture(params=["redis7", "valkey9"])
def server(request: pytest.FixtureRequest, servers: Servers) -> Server:
    """A server that is empty; it is shared, and must be left well."""
    return servers.server(request.param)
