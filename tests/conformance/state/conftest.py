"""One suite for all backends: what is tested here holds for each of them."""

from __future__ import annotations

import pytest

from tests.redis import Servers
from tests.stores import KINDS, Backend


@pytest.fixture(params=KINDS)
def backend(request: pytest.FixtureRequest, redis_servers: Servers) -> Backend:
    """Return an empty backend; the test runs once for each."""
    return Backend(request.param, redis_servers)


@pytest.fixture(params=[kind for kind in KINDS if kind != "memory"])
def shared_backend(request: pytest.FixtureRequest, redis_servers: Servers) -> Backend:
    """Return an empty backend that outlives a process."""
    return Backend(request.param, redis_servers)
