"""Which store an address asks for."""

from __future__ import annotations

import pytest

from bedplate.settings import Secret
from bedplate.state import store
from bedplate.state.memory import Memory


@pytest.mark.parametrize("url", ["", None])
def test_without_an_address_it_is_the_process_which_production_refuses(url: str | None) -> None:
    found = store(url, "reports")
    assert isinstance(found, Memory)
    assert found.spec.key == ("memory", "reports")
    assert list(found.refusals("production", {}))


def test_memory_by_name_is_meant(url: str = "memory://") -> None:
    found = store(Secret(url), role="cache")
    assert isinstance(found, Memory)
    assert found.role == "cache"
    assert not list(found.refusals("production", {}))
