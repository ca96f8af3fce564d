"""What the places of values tell those who compute them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

__all__ = ["Hears"]


class Hears(Protocol):
    """Who wants to know what became of keys."""

    def written(self, key: str) -> None:
        """A key was written or has ended."""
        ...

    def dropped(self, key: str) -> None:
        """A key was dropped by this process."""
        ...

    def dropped_matching(self, matches: Callable[[str], object]) -> None:
        """All keys of a pattern were dropped by this process."""
        ...

    def lease_changed(self, key: str) -> None:
        """Something happened to the lease of a key."""
        ...
