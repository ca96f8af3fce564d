"""Made-up organisations by the million: seeded, plausible, of nobody."""

from __future__ import annotations

from ledger.generating.plan import Plan
from ledger.generating.run import generate

__all__ = ["Plan", "generate"]
