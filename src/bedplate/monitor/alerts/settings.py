"""Settings of alerts."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from bedplate.settings.markers import Seconds, Section

__all__ = ["AlertSettings"]


class AlertSettings(Section):
    """How alerts are evaluated and remembered."""

    enabled: bool = True
    """Whether the process evaluates alerts at all."""

    time_scale: float = Field(default=1.0, gt=0, le=1)
    """A factor on `for`, on intervals and on every duration in expressions, for tests and demos: at 0.1, five minutes
    are thirty seconds."""

    sync_interval: Annotated[Seconds, Field(gt=0)] = 5.0
    """Seconds between two looks at what other instances and operators wrote; what changes here is written at once."""

    history: Annotated[Seconds, Field(gt=0)] = 30 * 86_400.0
    """Seconds for which transitions, ended silences and deliveries are kept."""

    gone_after: Annotated[Seconds, Field(gt=0)] = 300.0
    """Seconds after which the alerts of an instance that says nothing any more are resolved."""
