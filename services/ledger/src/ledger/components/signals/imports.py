"""Files that organisations import: what becomes of them and of their rows."""

from __future__ import annotations

from functools import partial
from typing import Final

from bedplate.declarations import Alert, Panel, Series
from bedplate.metric import Counter, Histogram
from ledger.components.signals.boards import BOOKS, GROUP, quantiles, runbook_of, share

__all__ = ["ALERTS", "DURATION", "FILES", "METRICS", "PANELS", "ROWS", "RUNBOOK"]

FILES = Counter(
    "ledger_imports_total",
    "Files that were given to import, by what became of them.",
    {"outcome": ("whole", "partly", "unreadable", "failed", "refused")},
)
ROWS = Counter(
    "ledger_import_rows_total",
    "Rows of imported files, by what became of them.",
    {"outcome": ("added", "known", "faulty")},
)
DURATION = Histogram(
    "ledger_import_duration_seconds", "Time that one file took, from its first byte to the commit.", unit="seconds"
)
METRICS: Final = (FILES, ROWS, DURATION)

RUNBOOK: Final = runbook_of(__file__)

_FAULTY: Final = ROWS(outcome="faulty")


def _series(metric: Counter, outcome: str, values: str) -> Series:
    return Series(str(metric(outcome=outcome)), values)


ALERTS: Final = (
    Alert(
        name="ImportsFail",
        expr=f"{share(str(FILES(outcome='failed')), str(FILES))} > 0.1 and sum(increase({FILES}[15m])) > 5",
        summary="{{ $value | humanizePercentage }} of the imports fail on our side; nothing of those files is posted.",
        severity="critical",
        group=GROUP,
        fires=(_series(FILES, "failed", "0+2x40"), _series(FILES, "whole", "0+4x40")),
        quiet=(_series(FILES, "failed", "0x40"), _series(FILES, "whole", "0+4x40")),
    ),
    Alert(
        name="ImportRowsFaulty",
        expr=f"{share(str(_FAULTY), str(ROWS))} > 0.3 and sum(increase({ROWS}[15m])) > 500",
        summary="{{ $value | humanizePercentage }} of the rows in files cannot be posted.",
        for_="10m",
        group=GROUP,
        fires=(_series(ROWS, "faulty", "0+80x60"), _series(ROWS, "added", "0+100x60")),
        quiet=(_series(ROWS, "faulty", "0+5x60"), _series(ROWS, "added", "0+100x60")),
    ),
)

_panel = partial(Panel, dashboard=BOOKS, row="What comes in?")

PANELS: Final = (
    _panel(
        title="Imports by outcome",
        expr=(("{{outcome}}", f"sum by (outcome) (increase({FILES}[5m]))"),),
        kind="bar",
        stacked=True,
        summary="How many files came in five minutes, and could they be read?",
    ),
    _panel(
        title="Imported rows",
        expr=(("{{outcome}}", f"sum by (outcome) (rate({ROWS}[5m]))"),),
        unit="ops",
        stacked=True,
        summary="How many rows were new, known from before, or wrong?",
    ),
    Panel(
        title="Duration of an import",
        expr=quantiles(DURATION, 0.5, 0.95),
        unit="s",
        low=0,
        summary="How long does somebody wait for a file?",
        dashboard=BOOKS,
        row="How fast is it told?",
    ),
)
