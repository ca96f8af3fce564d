"""Files that users import: what becomes of them and of their rows."""

from __future__ import annotations

from functools import partial
from typing import Final

from bedplate.declarations import Alert, Panel, Series
from bedplate.metric import Counter, Histogram
from tradesense.components.signals.boards import TRADING, WARNING, quantiles, runbook_of, share
from tradesense.importing import PRESETS

__all__ = ["ALERTS", "BROKERS", "DURATION", "FILES", "METRICS", "PANELS", "ROWS", "RUNBOOK"]

#: ``own`` are the mappings of users.
BROKERS: Final = (*PRESETS, "own", "unknown")

FILES = Counter(
    "tradesense_imports_total",
    "Files that were given to import, by broker and by what became of them.",
    {"broker": BROKERS, "outcome": ("whole", "partly", "unreadable", "failed")},
)
ROWS = Counter(
    "tradesense_import_rows_total",
    "Lines of imported files, by what became of them.",
    {"broker": BROKERS, "outcome": ("added", "known", "skipped", "faulty")},
)
DURATION = Histogram(
    "tradesense_import_duration_seconds", "Time that one file took, from its first byte to the commit.", unit="seconds"
)
METRICS: Final = (FILES, ROWS, DURATION)

RUNBOOK: Final = runbook_of(__file__)

_ALL: Final = str(FILES)
_ROWS: Final = f'{ROWS}{{outcome!="skipped"}}'
_ENOUGH: Final = f"sum(increase({FILES}[15m])) > 5"


def _files(outcome: str, values: str) -> Series:
    return Series(str(FILES(broker="schwab", outcome=outcome)), values)


def _rows(outcome: str, values: str) -> Series:
    return Series(str(ROWS(broker="schwab", outcome=outcome)), values)


ALERTS: Final = (
    Alert(
        name="ImportsFail",
        expr=f"{share(str(FILES(outcome='failed')), _ALL)} > 0.1 and {_ENOUGH}",
        summary="{{ $value | humanizePercentage }} of the imports fail on our side; users lose nothing.",
        severity="critical",
        for_="5m",
        group=WARNING,
        fires=(_files("failed", "0+2x40"), _files("whole", "0+4x40")),
        quiet=(_files("failed", "0+0x40"), _files("whole", "0+4x40")),
    ),
    Alert(
        name="ImportsUnreadable",
        expr=f"{share(str(FILES(outcome='unreadable')), _ALL)} > 0.5 and {_ENOUGH}",
        summary="{{ $value | humanizePercentage }} of the files are not recognised: a broker has changed its columns, "
        "or many try one that is not known.",
        for_="15m",
        group=WARNING,
        fires=(_files("unreadable", "0+4x60"), _files("whole", "0+1x60")),
        quiet=(_files("unreadable", "0+1x60"), _files("whole", "0+4x60")),
    ),
    Alert(
        name="ImportRowsFaulty",
        expr=f"sum by (broker) (rate({ROWS(outcome='faulty')}[15m])) / sum by (broker) (rate({_ROWS}[15m])) > 0.2 "
        f"and sum by (broker) (increase({_ROWS}[15m])) > 200",
        summary="{{ $value | humanizePercentage }} of the lines of {{ $labels.broker }} cannot be read: its export has "
        "changed.",
        for_="10m",
        group=WARNING,
        fires=(_rows("faulty", "0+30x60"), _rows("added", "0+60x60")),
        quiet=(_rows("faulty", "0+3x60"), _rows("added", "0+60x60")),
    ),
)

_panel = partial(Panel, dashboard=TRADING, row="What comes in?")

PANELS: Final = (
    _panel(
        title="Imports by outcome",
        expr=(("{{outcome}}", f"sum by (outcome) (increase({FILES}[5m]))"),),
        kind="bar",
        stacked=True,
        summary="How many files came in five minutes, and could they be read?",
    ),
    _panel(
        title="Imports by broker",
        expr=(("{{broker}}", f"sum by (broker) (increase({FILES}[1h]))"),),
        summary="Whose files are imported?",
        low=0,
    ),
    _panel(
        title="Imported lines",
        expr=(("{{outcome}}", f"sum by (outcome) (rate({ROWS}[5m]))"),),
        unit="ops",
        stacked=True,
        summary="How many lines were new, known from before, no trades, or wrong?",
    ),
    _panel(
        title="Duration of an import",
        expr=quantiles(DURATION, 0.5, 0.95),
        unit="s",
        low=0,
        summary="How long does somebody wait for a file?",
    ),
)
