"""A small SynFinance that runs in a test: a world of few people, no training."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from bedplate.testing import Harness, running
from bedplate.testing.harness import TOKEN
from synfinance.service import build
from synfinance.settings import SynFinanceSettings

SMALL: dict[str, Any] = {
    "generation": {"customers": 40, "history_rows": 1_500, "seed": 3},
    "detection": {"training": False},
    "cards": {"cards": 60},
}


def small_settings(**values: Any) -> SynFinanceSettings:
    """Return settings for a test; sections given here replace the small ones."""
    given: dict[str, Any] = {
        "environment": "test",
        "auth": {"tokens": f"test:admin:{TOKEN}"},
        "logs": {"stream": "off"},
        **SMALL,
        **values,
    }
    return SynFinanceSettings(**given)


@pytest.fixture
def settings() -> Callable[..., SynFinanceSettings]:
    """Make settings for a test."""
    return small_settings


@pytest.fixture
async def harness() -> AsyncIterator[Harness]:
    """Run the small service."""
    async with running(build(small_settings())) as running_service:
        yield running_service
