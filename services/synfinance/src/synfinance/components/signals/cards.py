"""Whether the past of cards is at hand when it is needed."""

from __future__ import annotations

from functools import partial
from typing import Final

from bedplate.declarations import Alert, Panel, Series
from bedplate.metric import Counter, Gauge
from synfinance.components.signals.boards import PERFORMANCE, WARNING, runbook_of

__all__ = [
    "ALERTS",
    "CACHE",
    "CARDS",
    "EVICTED",
    "HITS",
    "HIT_RATE",
    "METRICS",
    "MISSES",
    "PANELS",
    "ROWS",
    "RUNBOOK",
]

CACHE: Final = "card_history"
_LABELS: Final = {"cache_type": (CACHE,)}

HITS = Counter("synfinance_cache_hits_total", "Cards of a batch whose past was at hand.", _LABELS)
MISSES = Counter("synfinance_cache_misses_total", "Cards of a batch whose past was not at hand.", _LABELS)
HIT_RATE = Gauge(
    "synfinance_cache_hit_rate_ratio",
    "Share of lookups in the last minutes that found what they looked for.",
    _LABELS,
    unit="ratio",
    merge="ratio",
)
CARDS = Gauge("synfinance_cache_cards", "Cards whose past is at hand.")
ROWS = Gauge("synfinance_cache_rows", "Transactions kept as the past of cards.")
EVICTED = Counter("synfinance_cache_evictions_total", "Cards that made room for others.", _LABELS)
METRICS: Final = (HITS, MISSES, HIT_RATE, CARDS, ROWS, EVICTED)

RUNBOOK: Final = runbook_of(__file__)

_HITS: Final = f"sum by (cache_type) (rate({HITS}[15m]))"
_LOOKUPS: Final = f"({_HITS} + sum by (cache_type) (rate({MISSES}[15m])))"
_SHARE: Final = f"{_HITS} / {_LOOKUPS}"

ALERTS: Final = (
    Alert(
        name="LowCacheHitRate",
        expr=f"{_SHARE} < 0.7 and {_LOOKUPS} > 1",
        summary="The past of only {{ $value | humanizePercentage }} of the cards is at hand; the others are scored "
        "as if they had none, so fraud is missed.",
        for_="10m",
        group=WARNING,
        fires=(Series(str(HITS(cache_type=CACHE)), "0+60x30"), Series(str(MISSES(cache_type=CACHE)), "0+60x30")),
        quiet=(Series(str(HITS(cache_type=CACHE)), "0+100x30"), Series(str(MISSES(cache_type=CACHE)), "0+20x30")),
    ),
)

_helps = partial(Panel, dashboard=PERFORMANCE, row="Does the cache help?")
PANELS: Final = (
    Panel(
        title="At hand",
        expr=f"max({HIT_RATE})",
        kind="stat",
        unit="percentunit",
        summary="What share of the lookups of the last minutes found what they looked for?",
        dashboard=PERFORMANCE,
        row="How much is done?",
    ),
    _helps(
        title="Hit rate",
        expr=(("{{cache_type}}", _SHARE),),
        unit="percentunit",
        low=0,
        high=1,
        summary="How often is the past of a card at hand? Cards without one look like any other.",
    ),
    _helps(
        title="Lookups",
        expr=(
            ("{{cache_type}} hits", f"sum by (cache_type) (rate({HITS}[5m]))"),
            ("{{cache_type}} misses", f"sum by (cache_type) (rate({MISSES}[5m]))"),
        ),
        unit="ops",
        low=0,
        stacked=True,
        summary="How many cards are looked for, and how many found?",
    ),
    _helps(
        title="Cards at hand, and their transactions",
        expr=(("cards", f"sum({CARDS})"), ("transactions", f"sum({ROWS})")),
        low=0,
        summary="Is it full?",
    ),
    _helps(
        title="Cards that made room",
        expr=(("{{cache_type}}", f"sum by (cache_type) (rate({EVICTED}[5m]))"),),
        unit="ops",
        low=0,
        summary="Is it too small? Cards that leave and come back are misses.",
    ),
)
