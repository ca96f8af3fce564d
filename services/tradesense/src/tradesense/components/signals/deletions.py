"""What users had deleted."""

from __future__ import annotations

from typing import Final

from bedplate.declarations import Panel
from bedplate.metric import Counter
from tradesense.components.signals.boards import ACCOUNTS

__all__ = ["DELETED", "METRICS", "PANELS"]

DELETED = Counter(
    "tradesense_deletions_total",
    "Deletions that users confirmed and that were carried out, by what went.",
    {"what": ("account", "trades", "import")},
)
METRICS: Final = (DELETED,)

PANELS: Final = (
    Panel(
        title="Deletions",
        expr=(("{{what}}", f"sum by (what) (increase({DELETED}[1h]))"),),
        low=0,
        summary="How much is deleted for good in an hour? Much at once may be a mistake of ours that people run from.",
        dashboard=ACCOUNTS,
        row="Who comes?",
    ),
)
