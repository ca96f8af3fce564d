"""How idempotency is kept, for people."""

from __future__ import annotations

from pydantic import Field

from bedplate.settings.markers import Section

__all__ = ["IdempotencySettings"]


class IdempotencySettings(Section):
    """What is executed once, and for how long that is known."""

    paths: tuple[str, ...]
    """Prefixes of the paths that are looked at."""

    required: tuple[str, ...]
    """Prefixes of the paths that need a key."""

    methods: tuple[str, ...]
    """Methods that are looked at."""

    ttl: float = Field(gt=0)
    """Seconds for which an answer is kept."""

    lease: float = Field(gt=0)
    """Seconds after which a process that has died is given up."""

    largest: int = Field(ge=0)
    """Bytes of an answer that are kept."""

    largest_request: int = Field(ge=0)
    """Bytes that a request may have."""
