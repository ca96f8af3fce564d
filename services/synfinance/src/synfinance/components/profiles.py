"""What each card did lately, kept at hand: the past without which a single transaction looks like any other."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import polars as pl
from pydantic import Field

from bedplate.component import BoundCounter, BoundGauge, Host, Spec
from bedplate.declarations import Action
from synfinance.components.rolling import Rolling, RollingSettings, reset_action
from synfinance.components.signals.cards import (
    ALERTS,
    CACHE,
    CARDS,
    EVICTED,
    HIT_RATE,
    HITS,
    METRICS,
    MISSES,
    PANELS,
    ROWS,
    RUNBOOK,
)
from synfinance.fraud import Roles

__all__ = ["CardHistory", "CardHistorySettings", "Recall"]


class CardHistorySettings(RollingSettings):
    """How much past is kept at hand."""

    cards: Annotated[int, Field(ge=1, le=1_000_000)] = 360
    """Cards whose past is kept; the one not seen for longest makes room."""

    rows_per_card: Annotated[int, Field(ge=1, le=1_000)] = 30
    """Latest transactions kept of each card."""


@dataclass(frozen=True, slots=True)
class Recall:
    """What is known of the cards of a batch: one lookup a card."""

    rows: pl.DataFrame | None
    """The past of the batch's cards, and of its merchants as far as cards at hand have been there; None for none."""
    hits: int
    misses: int

    @property
    def hit_rate(self) -> float | None:
        """Share of cards that were known; None without any."""
        return self.hits / (self.hits + self.misses) if self.hits + self.misses else None


class CardHistory:
    """A bounded cache of the latest transactions of each card, in this process.

    A batch is looked up before it is scored and remembered afterwards. Least recently seen cards leave first.
    :meth:`recall` and :meth:`remember` may be called from any thread; they take milliseconds for thousands of rows.
    """

    def __init__(self, settings: CardHistorySettings | None = None) -> None:
        self.settings = settings or CardHistorySettings()
        self._lock = threading.Lock()
        self._cards: dict[str, None] = {}
        self._rows: pl.DataFrame | None = None
        self._evicted = 0

    @property
    def spec(self) -> Spec:
        """What it is."""
        return Spec(
            kind="card_history",
            summary="Keeps the latest transactions of each card at hand for the fraud detector.",
            settings=self.settings,
            metrics=METRICS,
            alerts=ALERTS,
            panels=PANELS,
            runbook=RUNBOOK,
        )

    @asynccontextmanager
    async def lifespan(self, host: Host) -> AsyncIterator[None]:
        """Begin empty."""
        self._hits: BoundCounter = host.bind(HITS, cache_type=CACHE)
        self._misses: BoundCounter = host.bind(MISSES, cache_type=CACHE)
        self._hit_rate: BoundGauge = host.bind(HIT_RATE, cache_type=CACHE)
        self._card_count, self._row_count = host.bind(CARDS), host.bind(ROWS)
        self._evictions: BoundCounter = host.bind(EVICTED, cache_type=CACHE)
        self.clear()
        self._rolling: Rolling[str] = Rolling(host, "cache", self.settings.window, self._show)
        yield
        self.clear()

    def recall(self, frame: pl.DataFrame, roles: Roles) -> Recall:
        """Look up the cards of a batch; a table in which nobody is followed has no lookups."""
        if roles.entity is None or roles.entity not in frame.columns:
            return Recall(None, 0, 0)
        cards = _keys(frame, roles.entity)
        with self._lock:
            rows, known = self._rows, [card for card in cards if card in self._cards]
        hits, misses = len(known), len(cards) - len(known)
        if rows is None or any(name not in rows.columns for name in roles.used):
            return Recall(None, hits, misses)
        wanted = pl.col(roles.entity).cast(pl.String).is_in(known)
        if roles.merchant is not None and roles.merchant in frame.columns:
            wanted |= pl.col(roles.merchant).cast(pl.String).is_in(_keys(frame, roles.merchant))
        return Recall(rows.filter(wanted).select(roles.used), hits, misses)

    def remember(self, frame: pl.DataFrame, roles: Roles) -> None:
        """Add a batch to the past of its cards; what exceeds the bounds is forgotten."""
        if roles.entity is None or any(name not in frame.columns for name in roles.used):
            return
        new = frame.select(roles.used).filter(pl.col(roles.entity).is_not_null())
        card = pl.col(roles.entity)
        with self._lock:
            if self._rows is not None and self._rows.columns == new.columns:
                new = pl.concat([self._rows, _like(new, self._rows.schema)])
            for key in _keys(frame, roles.entity, keep="last"):
                self._cards.pop(key, None)
                self._cards[key] = None
            surplus = len(self._cards) - self.settings.cards
            for key in list(self._cards)[: max(0, surplus)]:
                del self._cards[key]
            self._evicted += max(0, surplus)
            kept = new.filter(card.cast(pl.String).is_in(list(self._cards)))
            latest = kept.group_by(roles.entity, maintain_order=True).tail(self.settings.rows_per_card)
            self._rows = latest.select(roles.used)

    def count(self, recall: Recall) -> None:
        """Count the lookups of a batch; on the event loop, where metrics and windows live."""
        self._hits.inc(recall.hits)
        self._misses.inc(recall.misses)
        self._rolling.add("hits", recall.hits)
        self._rolling.add("misses", recall.misses)
        self._show()

    def clear(self) -> None:
        """Forget every card."""
        with self._lock:
            self._cards, self._rows = {}, None

    def summary(self) -> dict[str, Any]:
        """Return the cache's state and its hit rate in the window, JSON-able."""
        hits, lookups = self._lookups()
        return {
            "cards": len(self._cards),
            "rows": 0 if self._rows is None else self._rows.height,
            "lookups": int(lookups),
            "hit_rate": round(hits / lookups, 4) if lookups else None,
        }

    def actions(self) -> Sequence[Action]:
        """Return the button that forgets the window; the cards stay."""
        return (reset_action("Start the hit rate anew; the cards at hand stay.", lambda: self._rolling.reset()),)

    def _lookups(self) -> tuple[float, float]:
        hits = self._rolling.total("hits")
        return hits, hits + self._rolling.total("misses")

    def _show(self) -> None:
        self._hit_rate.ratio(*self._lookups())
        self._card_count.set(len(self._cards))
        self._row_count.set(0 if self._rows is None else self._rows.height)
        evicted, self._evicted = self._evicted, 0
        self._evictions.inc(evicted)


def _like(frame: pl.DataFrame, schema: pl.Schema) -> pl.DataFrame:
    """Return the rows in these types: another caller may write a column otherwise, and what does not fit is lost."""
    fitted = []
    for column in frame.iter_columns():
        wanted = schema[column.name]
        try:
            fitted.append(column.cast(wanted, strict=False))
        except pl.exceptions.PolarsError:
            fitted.append(pl.Series(column.name, [None] * len(column), wanted))
    return pl.DataFrame(fitted)


def _keys(frame: pl.DataFrame, column: str, keep: Literal["first", "last"] = "first") -> list[str]:
    """Return the distinct values of a column in the order of their first, or last, occurrence."""
    known = frame.select(pl.col(column).drop_nulls().cast(pl.String))
    keys: list[str] = known.unique(keep=keep, maintain_order=True).to_series().to_list()
    return keys
