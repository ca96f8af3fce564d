"""What holds for every test: an environment without the developer's settings, and reproducible property tests."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

import hypothesis
import pytest

if TYPE_CHECKING:
    from tests.redis import Servers

# Examples are the same on every run, so that a failure is one for everybody; deadlines would time a noisy machine.
hypothesis.settings.register_profile(
    "project", deadline=None, derandomize=True, print_blob=True, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
# To look for new failures: HYPOTHESIS_PROFILE=explore .venv/bin/python -m pytest tests/unit/…
hypothesis.settings.register_profile("explore", deadline=None, max_examples=2_000)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "project"))

# Variables that services honour: a developer's Redis or Sentry must not meet the tests.
_SETTINGS = ("ALERTMANAGER_", "BEDPLATE_", "DATABASE_", "LOG_", "OTEL_", "PROMETHEUS_", "REDIS_", "SENTRY_")
_VARIABLES = ("AUTH_TOKEN", "ENVIRONMENT", "PORT", "VERBOSE")


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hide the machine's own settings; a test that needs one sets it."""
    for name in list(os.environ):
        if name.startswith(_SETTINGS) or name in _VARIABLES:
            monkeypatch.delenv(name)


@pytest.fixture(scope="session")
def redis_servers() -> Iterator[Servers]:
    """Share servers: ``redis_servers.server("redis7")`` is an empty one, ``.sentinels()``, ``.cluster()``."""
    from tests.redis import Servers

    servers = Servers()
    yield servers
    servers.close()
