"""Settings of the management API."""

from __future__ import annotations

from pydantic import Field

from bedplate.settings.markers import Section

__all__ = ["ManagementSettings"]


class ManagementSettings(Section):
    """How much the management API gives and takes at once."""

    action_timeout: float = Field(default=30.0, gt=0, le=600)
    """Seconds that an action may take before the caller is told that it takes longer."""

    body_limit: int = Field(default=65_536, ge=1024, le=16 * 2**20)
    """Bytes that the parameters of an action may have."""

    followers: int = Field(default=8, ge=0, le=1000)
    """Callers who may follow the log at the same time."""

    follow_seconds: float = Field(default=900.0, gt=0, le=86_400)
    """Seconds after which a caller who follows the log must ask again."""
