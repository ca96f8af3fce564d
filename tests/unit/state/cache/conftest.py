"""One instance, for tests that need no more."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.unit.state.cache.instances import Node, nodes


@pytest.fixture
async def node() -> AsyncIterator[Node]:
    async with nodes() as (one,):
        yield one
