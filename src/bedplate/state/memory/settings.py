"""Settings of the store in the process."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from bedplate.settings.markers import Seconds, Section

__all__ = ["MemorySettings"]


class MemorySettings(Section):
    """How much the store in the process may take; ``[memory]`` in the configuration."""

    most: int = Field(default=64 * 1024 * 1024, ge=64 * 1024)
    """Bytes that all keys may take, approximately; a cache forgets the least recently used, state refuses to grow."""

    sweep: Annotated[Seconds, Field(gt=0)] = 1.0
    """Seconds between two looks for keys that have ended and that nobody asked for."""
