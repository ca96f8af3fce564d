"""Quotes: live prices, asked for by one instance and told to all.

A source is anything with :class:`QuoteSource`'s one method. Whoever shows live prices says which symbols it needs; the
one instance that leads asks the source for all of them, and what it answers goes to all by events.
"""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from contextlib import asynccontextmanager
from decimal import Decimal
from itertools import takewhile
from typing import Annotated, Any, Final, Protocol

from pydantic import Field

from bedplate.component import Host, Spec
from bedplate.degradation import Degradation
from bedplate.settings import Section
from bedplate.state.events import Events
from bedplate.state.locks import LockLostError, Locks
from bedplate.state.store import StoreError
from tradesense.components.following import follow
from tradesense.components.signals.market import ALERTS, ASKED, METRICS, PANELS, QUOTED, QUOTES, RUNBOOK, WATCHED

__all__ = ["MadeUpQuotes", "Market", "MarketSettings", "NoQuotes", "QuoteSource", "Symbol"]

#: A symbol in its currency.
Symbol = tuple[str, str]

_QUOTES: Final = "quotes"
_WATCHING: Final = "watching"
_LEASE: Final = "quotes"
#: Seconds until who has lost the lease asks again whether it can be had.
_AGAIN: Final = 1.0


class QuoteSource(Protocol):
    """Where live prices come from."""

    async def quotes(self, watched: Mapping[Symbol, Decimal | None]) -> Mapping[Symbol, Decimal]:
        """Return the prices of symbols, as far as they are known.

        :param watched: the symbols, each with the latest quote of it; None before the first.
        """
        ...


class NoQuotes:
    """A source that knows none: portfolios are valued by closing prices and trades."""

    async def quotes(self, watched: Mapping[Symbol, Decimal | None]) -> Mapping[Symbol, Decimal]:
        """Return nothing."""
        return {}


class MadeUpQuotes:
    """Prices that wander, for demonstrations; each step is a few hundredths of a per cent.

    Each symbol starts at a price of its own, which the seed gives: what somebody entered says nothing about what others
    hold.

    :param seed: equal seeds wander alike.
    """

    def __init__(self, seed: int = 1) -> None:
        self._seed = seed
        self._dice = random.Random(seed)

    def start(self, symbol: Symbol) -> Decimal:
        """Return the price that a symbol wanders from, between 20 and 300."""
        return Decimal(random.Random(f"{self._seed} {symbol[0]} {symbol[1]}").randint(2_000, 30_000)) / 100

    async def quotes(self, watched: Mapping[Symbol, Decimal | None]) -> Mapping[Symbol, Decimal]:
        """Return every price a step further."""
        moved = {}
        for symbol, last in watched.items():
            price = self.start(symbol) if last is None else last
            step = Decimal(str(round(self._dice.gauss(1.0, 0.0008), 6)))
            moved[symbol] = max(Decimal("0.0001"), (price * step).quantize(Decimal("0.0001")))
        return moved


class MarketSettings(Section):
    """How often quotes are asked for."""

    every: Annotated[float, Field(gt=0, le=3600)] = 1.0
    """Seconds between two questions to the source of quotes."""

    forget: Annotated[float, Field(gt=0, le=3600)] = 15.0
    """Seconds after which a symbol that nobody says he watches is not asked for any more."""

    keep: Annotated[float, Field(gt=0, le=86_400)] = 3600.0
    """Seconds for which the latest quote of a symbol values what is held when no newer one comes."""


class Market:
    """Asks for quotes of what is watched, in the one instance that leads, and tells all.

    :param source: where they come from. :param locks: elect who asks.
    """

    def __init__(
        self, source: QuoteSource, settings: MarketSettings | None = None, *, events: Events, locks: Locks
    ) -> None:
        self.settings = settings or MarketSettings()
        self._source = source
        self._events = events
        self._locks = locks
        self._host: Host | None = None
        #: Of all instances, the oldest first: when somebody last said that he watches it, and when it was last quoted.
        self._watched: dict[Symbol, float] = {}
        self._quoted_at: dict[Symbol, float] = {}
        self._quoted: dict[Symbol, Decimal] = {}
        self._told: list[Callable[[Mapping[Symbol, Decimal]], None]] = []

    @property
    def spec(self) -> Spec:
        """What it is."""
        return Spec(
            kind="market",
            summary="Asks for live prices of what somebody watches.",
            needs=(self._events, self._locks),
            settings=self.settings,
            scope="cluster",
            degradation=Degradation(
                policy="serve", summary="Without quotes, portfolios are valued by closing prices and trades."
            ),
            metrics=METRICS,
            alerts=ALERTS,
            panels=PANELS,
            runbook=RUNBOOK,
        )

    @property
    def quoting(self) -> bool:
        """Whether there is a source at all."""
        return not isinstance(self._source, NoQuotes)

    @property
    def prices(self) -> Mapping[Symbol, Decimal]:
        """The latest quotes; who uses them values by them whatever he shows, pushed or asked for."""
        if self._host is not None:
            for symbol in _older(self._quoted_at, self._host.clock.monotonic() - self.settings.keep):
                del self._quoted_at[symbol], self._quoted[symbol]
        return self._quoted

    def subscribe(self, told: Callable[[Mapping[Symbol, Decimal]], None]) -> None:
        """Have ``told`` called with quotes that are new; before anything runs."""
        self._told.append(told)

    @asynccontextmanager
    async def lifespan(self, host: Host) -> AsyncIterator[None]:
        """Hear quotes while inside, and ask for them where this instance leads."""
        self._host = host
        self._quotes = host.bind(QUOTES)
        self._asked = {outcome: host.bind(ASKED, outcome=outcome) for outcome in ("answered", "failed")}
        host.bind(WATCHED).set(0)
        host.bind(QUOTED).set(host.clock.time())
        if self.quoting:
            host.spawn("hear-quotes", lambda: follow(self._events, _QUOTES, host, self._heard))
            host.spawn("hear-watching", lambda: follow(self._events, _WATCHING, host, self._hear_of_watching))
            host.spawn("ask", lambda: self._keep_leading(host))
        try:
            yield
        finally:
            self._host = None
            self._watched.clear()
            self._quoted_at.clear()
            self._quoted.clear()

    async def watch(self, symbols: Collection[Symbol], *, unless_said_within: float = 0.0) -> None:
        """Say that somebody watches symbols; say it again every few seconds.

        :param unless_said_within: what was said in the last so many seconds, by anybody, is not said again.
        :raises StoreUnavailableError: when the others cannot be told; here it is known nevertheless.
        """
        if not self.quoting or self._host is None:
            return
        since = self._host.clock.monotonic() - unless_said_within
        rows = [[*one] for one in symbols if not unless_said_within or self._watched.get(one, -1.0) < since]
        if rows:
            self._hear_of_watching(rows)
            await self._events.publish(_WATCHING, rows)

    async def ask(self, host: Host) -> None:
        """Ask the source for what is watched, and tell all.

        :raises StoreUnavailableError: when the others cannot be told.
        """
        now = host.clock.monotonic()
        for symbol in _older(self._watched, now - self.settings.forget):
            del self._watched[symbol]
        host.bind(WATCHED).set(len(self._watched))
        if not self._watched:
            return
        try:
            latest = self.prices
            found = await self._source.quotes({one: latest.get(one) for one in self._watched})
        except Exception as error:
            # Whatever the source's client raises: the next question may be answered.
            self._asked["failed"].inc()
            host.log.warning("quotes_failed", error=f"{type(error).__name__}: {error}"[:300])
            return
        self._asked["answered"].inc()
        if found:
            rows = [[symbol, currency, str(price)] for (symbol, currency), price in found.items()]
            await self._events.publish(_QUOTES, rows)

    async def _keep_leading(self, host: Host) -> None:
        """Ask wherever this instance leads. To lose the lease is no crash: it is what an outage of the store does."""
        lease = self._locks.lease(_LEASE)
        while True:
            try:
                async with lease.hold(host):
                    host.degraded(None)
                    await self._keep_asking(host)
            except LockLostError as error:
                host.log.info("quotes_lease_lost", reason=str(error))
                host.degraded("It leads no more and asks for no quotes: the lease was lost. It tries again by itself.")
                await self._stand_back(host)
                host.degraded(None)

    async def _stand_back(self, host: Host) -> None:
        """Return when it is known again who leads."""
        while True:
            await host.clock.sleep(_AGAIN * random.uniform(0.5, 1.5))
            try:
                await self._locks.info(f"lease:{_LEASE}")
            except StoreError:
                continue
            return

    async def _keep_asking(self, host: Host) -> None:
        while True:
            try:
                await self.ask(host)
            except StoreError as error:
                host.log.warning("quotes_not_told", error=str(error))
            await host.clock.sleep(self.settings.every)

    def _hear_of_watching(self, rows: Any) -> None:
        host = self._host
        if host is not None:
            now = host.clock.monotonic()
            for symbol, currency in rows:
                self._watched.pop((symbol, currency), None)
                self._watched[symbol, currency] = now
            for one in _older(self._watched, now - self.settings.forget):
                del self._watched[one]

    def _heard(self, rows: Any) -> None:
        host = self._host
        if host is None:
            return
        found = {(symbol, currency): Decimal(price) for symbol, currency, price in rows}
        now = host.clock.monotonic()
        for symbol in found:
            self._quoted_at.pop(symbol, None)
            self._quoted_at[symbol] = now
        self._quoted.update(found)
        self._quotes.inc(len(found))
        host.bind(QUOTED).set(host.clock.time())
        for told in self._told:
            told(found)


def _older(when: Mapping[Symbol, float], limit: float) -> list[Symbol]:
    """Return what was last seen before a moment; the oldest come first, so that no other is looked at."""
    return [symbol for symbol, _ in takewhile(lambda one: one[1] < limit, when.items())]
