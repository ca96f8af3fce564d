"""How locks are taken."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

__all__ = ["LocksSettings"]


class LocksSettings(BaseModel):
    """How locks are taken unless a caller says otherwise, for people."""

    model_config = ConfigDict(frozen=True)

    ttl: float
    """Seconds after which the lock of a holder that died is free."""

    wait: float
    """Seconds to wait for a lock."""
