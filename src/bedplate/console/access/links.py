"""One-time links: how the person at a development machine signs in."""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Callable

__all__ = ["Links"]


class Links:
    """Makes keys that are good once and for some time. At most ``limit`` are good at once, the latest ones."""

    def __init__(self, *, expires: float, monotonic: Callable[[], float], limit: int = 8) -> None:
        self._expires = expires
        self._monotonic = monotonic
        self._limit = limit
        self._good: list[tuple[str, float]] = []

    def make(self) -> str:
        """Return a new key."""
        key = secrets.token_urlsafe(24)
        self._good = [*self._good[1 - self._limit :], (key, self._monotonic() + self._expires)]
        return key

    def take(self, key: str) -> bool:
        """Tell whether a key is good, and make it good no longer."""
        now = self._monotonic()
        found = False
        kept: list[tuple[str, float]] = []
        for known, until in self._good:
            if hmac.compare_digest(known.encode(), key.encode("utf-8", "surrogateescape")):
                found = now < until
            elif now < until:
                kept.append((known, until))
        self._good = kept
        return found
