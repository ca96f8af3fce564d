"""Analyses of a user's trades: read, computed beside the event loop, and cached until something changes."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Annotated, Any, Final, Literal, NamedTuple
from zoneinfo import ZoneInfo

import orjson
from pydantic import Field

from bedplate.component import BoundHistogram, Host, Spec
from bedplate.settings import Section
from bedplate.state.cache import Cache
from bedplate.state.events import Event, Events, Stream
from bedplate.telemetry.traces import traced
from tradesense.analytics import Analysis, analyse
from tradesense.components.imports import Imported
from tradesense.components.pool import Pool
from tradesense.components.records import Records
from tradesense.components.signals.analytics import (
    ACTIVE,
    ALERTS,
    DURATION,
    LOADED,
    METRICS,
    PANELS,
    REFUSED,
    REPORTS,
    RUNBOOK,
    TRADES,
)
from tradesense.money import amount, minor, shown, total
from tradesense.portfolio import Holding, Portfolio, from_text, quoted, to_text
from tradesense.prices import Price, Prices
from tradesense.rates import Rate, Rates
from tradesense.records import journal, market, trades, users
from tradesense.records.users import User

__all__ = ["Analytics", "AnalyticsSettings", "portfolio_document", "today"]

Kind = Literal["report", "equity", "portfolio", "held"]
_DAY: Final = timedelta(days=1)
#: Holdings that are valued and written in less time than a thread would take.
_FEW: Final = 50
#: The length of their text.
_SHORT: Final = 16_384
_TICK: Final = timedelta(microseconds=1)


class AnalyticsSettings(Section):
    """How much is analysed at once."""

    threads: Annotated[int, Field(ge=1, le=64)] = 2
    """Threads that analyse; more than there are cores only slow each other down."""

    waiting: Annotated[int, Field(ge=0, le=10_000)] = 32
    """Analyses that may wait for a thread; beyond them requests are answered 503 at once."""


class Loaded(NamedTuple):
    """Everything that an analysis is of, as the database gives it."""

    trades: Sequence[Any]
    tags: Mapping[str, Sequence[str]]
    prices: Sequence[Any]
    rates: Sequence[Any]


class Analytics:
    """Says how well it goes; each answer is computed once until records of its user change.

    :param cache: where answers are kept, dropped by the tag ``user:<id>``.
    :param imported: what tells of imported files: whoever imports one looks at the report next, so it is made at once.
    """

    def __init__(
        self, settings: AnalyticsSettings | None = None, *, records: Records, cache: Cache, events: Events,
        imported: Stream[Imported],
    ) -> None:  # fmt: skip
        self.settings = settings or AnalyticsSettings()
        self._records = records
        self._cache = cache
        self._events = events
        self._pool = Pool("analytics", threads=self.settings.threads, waiting=self.settings.waiting)
        cached = {
            kind: cache.cached(key=f"{kind}:{{user.id}}:{{day}}", tags=("user:{user.id}",))
            for kind in ("report", "equity", "portfolio", "held")
        }
        #: JSON texts, for a user and a day in his zone.
        self.report = cached["report"](self._report)
        self.equity = cached["equity"](self._equity)
        self.portfolio = cached["portfolio"](self._portfolio)
        #: The portfolio as :func:`tradesense.portfolio.to_text` writes it.
        self.held = cached["held"](self._held)
        records.subscribe(self._changed)
        imported.group("warm", concurrency=1, tries=2)(self._warm)

    @property
    def spec(self) -> Spec:
        """What it is."""
        return Spec(
            kind="analytics",
            summary="Analyses trades: profit, outcomes, returns, risk, and what is held.",
            needs=(self._records, self._cache, self._events),
            settings=self.settings,
            metrics=METRICS,
            alerts=ALERTS,
            panels=PANELS,
            runbook=RUNBOOK,
        )

    @asynccontextmanager
    async def lifespan(self, host: Host) -> AsyncIterator[None]:
        """Have threads for analyses while inside."""
        self._durations: dict[str, BoundHistogram] = {kind: host.bind(DURATION, report=kind) for kind in REPORTS}
        self._loaded: BoundHistogram = host.bind(LOADED)
        self._trades: BoundHistogram = host.bind(TRADES)
        active, refused = host.bind(ACTIVE), host.bind(REFUSED)
        with self._pool.running(lambda count: active.set(count), lambda: refused.inc()):
            yield

    async def analysis(self, user: User, day: date) -> Analysis:
        """Analyse everything anew, for who keeps the result: a live portfolio.

        :raises Busy: when enough analyses are waiting. :raises DatabaseUnavailableError: when the database is away.
        """
        began = time.perf_counter()
        loaded = await self._load(user)
        made = await self._pool.run(_analysed, user, day, loaded)
        self._durations["live"].observe(time.perf_counter() - began)
        return made

    async def _warm(self, event: Event[Imported]) -> None:
        async with self._records.reading() as connection:
            user = await users.by_id(connection, event.payload.user_id)
        if user is not None:
            await self.report(user, today(user, self._records.now()))

    async def _report(self, user: User, day: date) -> str:
        return await self._text("report", user, day)

    async def _equity(self, user: User, day: date) -> str:
        return await self._text("equity", user, day)

    async def _portfolio(self, user: User, day: date) -> str:
        return await self._text("portfolio", user, day)

    async def _held(self, user: User, day: date) -> str:
        return await self._text("held", user, day)

    async def holdings(self, user: User, day: date) -> Portfolio:
        """Return what is held, for who values it by quotes; a large one is read in a thread.

        :raises Busy: when enough analyses are waiting. :raises DatabaseUnavailableError: when the database is away.
        """
        text = await self.held(user, day)
        return from_text(text) if len(text) <= _SHORT else await self._pool.run(from_text, text)

    async def quoted(self, held: Portfolio, quotes: Mapping[tuple[str, str], Decimal], day: date) -> str:
        """Return the text of a portfolio that is valued by quotes; a large one is written in a thread.

        :raises Busy: when enough analyses are waiting.
        """
        if len(held.holdings) <= _FEW:
            return _quoted(held, quotes, day)
        return await self._pool.run(_quoted, held, dict(quotes), day)

    async def _text(self, kind: Kind, user: User, day: date) -> str:
        began = time.perf_counter()
        loaded = await self._load(user)
        text = await self._pool.run(_written, kind, user, day, loaded)
        self._durations["portfolio" if kind == "held" else kind].observe(time.perf_counter() - began)
        return text

    async def _load(self, user: User) -> Loaded:
        began = time.perf_counter()
        rows: list[Sequence[Any]] = []
        async with self._records.reading() as connection:
            async for portion in trades.everything(connection, user.id):
                rows += portion
            tags = await journal.tags_by_trade(connection, user.id)
            prices = await market.prices(connection, user.id)
            rates = await market.rates(connection, user.id)
        self._loaded.observe(time.perf_counter() - began)
        self._trades.observe(len(rows))
        return Loaded(rows, tags, prices, rates)

    async def _changed(self, user_id: str) -> None:
        await self._cache.invalidate(tags=(f"user:{user_id}",))


def today(user: User, now: float) -> date:
    """Return the day that it is for a user."""
    return datetime.fromtimestamp(now, ZoneInfo(user.zone)).date()


def portfolio_document(held: Portfolio) -> dict[str, Any]:
    """Return a portfolio as JSON-able data: money as decimal strings."""

    def money(units: int | None) -> str | None:
        return None if units is None else shown(amount(units, held.base))

    whole = total(None if one.base_value is None else abs(one.base_value) for one in held.holdings)
    return {
        "base": held.base,
        "complete": held.complete,
        "cost": money(held.cost),
        "value": money(held.value),
        "unrealised": money(held.unrealised),
        "holdings": [_holding(one, held, whole) for one in held.holdings],
        "notes": [] if held.complete else [_unconverted(held)],
    }


def _unconverted(held: Portfolio) -> str:
    return (
        f"No exchange rate to {held.base} is known for {', '.join(sorted(held.unconverted))}. What would need one is "
        "null. Upload rates, or choose another base currency."
    )


def _holding(one: Holding, held: Portfolio, whole: int | None) -> dict[str, Any]:
    def money(units: int) -> str:
        return shown(amount(units, one.currency))

    def in_base(units: int | None) -> str | None:
        return None if units is None else shown(amount(units, held.base))

    return {
        "account": one.account,
        "symbol": one.symbol,
        "currency": one.currency,
        "quantity": shown(one.quantity),
        "average_price": shown(one.average_price),
        "cost": money(one.cost),
        "price": shown(one.price),
        "priced_by": one.priced_by,
        "priced_on": one.priced_on.isoformat(),
        "value": money(one.value),
        "unrealised": money(one.unrealised),
        "base_value": in_base(one.base_value),
        "base_unrealised": in_base(one.base_unrealised),
        "weight": None if whole is None or one.base_value is None else abs(one.base_value) / whole if whole else 0.0,
    }


# What follows is called in threads.


@traced("portfolio_calculation")
def _analysed(user: User, day: date, loaded: Loaded) -> Analysis:
    zone = ZoneInfo(user.zone)
    known = [trades.trade_of(row, loaded.tags.get(row[-1], ())) for row in loaded.trades]
    end = datetime(day.year, day.month, day.day, tzinfo=zone) + _DAY - _TICK
    return analyse(
        known,
        method=user.method,
        base=user.base,
        rates=Rates(
            Rate(date.fromordinal(on), currency, base, Decimal(rate)) for on, currency, base, rate in loaded.rates
        ),
        prices=Prices(
            Price(symbol, date.fromordinal(on), Decimal(close), currency)
            for symbol, on, close, currency in loaded.prices
        ),
        capital=minor(user.capital, user.base),
        zone=zone,
        until=end,
    )


def _written(kind: Kind, user: User, day: date, loaded: Loaded) -> str:
    made = _analysed(user, day, loaded)
    if kind == "report":
        document = made.document()
    elif kind == "equity":
        document = made.equity_document()
    elif kind == "held":
        return to_text(made.portfolio)
    else:
        document = portfolio_document(made.portfolio)
    return orjson.dumps(document).decode()


def _quoted(held: Portfolio, quotes: Mapping[tuple[str, str], Decimal], day: date) -> str:
    return orjson.dumps(portfolio_document(quoted(held, quotes, day))).decode()
