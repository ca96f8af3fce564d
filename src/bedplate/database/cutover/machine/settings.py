"""Settings of a cutover."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from bedplate.settings.markers import Seconds, Section

__all__ = ["CutoverSettings"]


class CutoverSettings(Section):
    """How a cutover is watched, and how often both sides are compared."""

    interval: Annotated[Seconds, Field(gt=0)] = 5.0
    """Seconds between two looks at its tables from outside."""

    verify_every: Annotated[Seconds, Field(gt=0)] = 300.0
    """Seconds after which both sides are compared again, once they are synced and until the switch; four times as long
    as the last comparison took, at least."""

    fresh: Annotated[Seconds, Field(gt=0)] = 900.0
    """Seconds for which a proof that both sides are equal holds, or six times as long as it took; it is not switched on
    an older one."""
