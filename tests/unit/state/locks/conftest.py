"""Two instances of locks on one store, for all tests of locks."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from bedplate.state.locks import (
    Locks,
)
from bedplate.state.memory.component import Memory
from bedplate.testing import running
from tests.unit.state.locks.instances import Instances, Twin


@pytest.fixture
async def instances() -> AsyncIterator[Instances]:
    store = Memory()
    one, twin = Locks(store), Twin(store)
    async with running([one, twin]) as harness:
        yield Instances(store, one, twin.locks, harness)
