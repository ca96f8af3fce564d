"""A small SynFinance that runs in a test: a world of few people, no training."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from bedplate.testing import Harness, running
from bedplate.testing.harness import TOKEN
from synfinance.service import build
from synfinance.settings import SynFinanceSettings

SMALL: dict[str, Any] = {"customers": 40, "history_rows": 1_500, "seed": 3, "training": False, "cached_cards": 60}


def small_settings(**values: Any) -> SynFinanceSettings:
    """Return settings for a test; what is given here goes before the small ones."""
    given: dict[str, Any] = {
        "environment": "test",
        "auth": {"tokens": f"test:admin:{TOKEN}"},
        "logs": {"stream": "off"},
        "alerts": {"enabled": False},
        **SMALL,
        **values,
    }
    return SynFinanceSettings(**given)


@pytest.fixture
async def harness() -> AsyncIterator[Harness]:
    """Run the small service."""
    async with running(build(small_settings())) as running_service:
        yield running_service
