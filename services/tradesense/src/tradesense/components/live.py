"""Live portfolios: what is held and what it is worth, pushed over a WebSocket as prices and trades change.

A viewer who cannot follow is not sent everything later: he gets the newest state when he is ready for it, and is let go
when he is not ready for seconds.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from decimal import Decimal
from typing import Annotated, Any, Final, Literal

import orjson
from fastapi import WebSocket, WebSocketDisconnect
from pydantic import Field

from bedplate.component import Host, Spec
from bedplate.degradation import Degradation
from bedplate.problems import BedplateError
from bedplate.settings import Section
from bedplate.state.events import Events, EventsUnavailableError
from bedplate.state.store import StoreError
from tradesense.analytics import Analysis
from tradesense.components.analytics import Analytics, portfolio_document, today
from tradesense.components.following import follow
from tradesense.components.market import Market, Symbol
from tradesense.components.records import Records
from tradesense.components.signals.live import ALERTS, ENDED, METRICS, PANELS, RUNBOOK, SENT, UPDATE, VIEWERS
from tradesense.portfolio import Portfolio, quoted
from tradesense.records.users import User

__all__ = ["Live", "LiveSettings"]

Reason = Literal["left", "slow", "signed_out", "crowded", "stopping", "failed"]
#: What a WebSocket is closed with: 4401 is ours, the others RFC 6455's.
_CODES: Final[Mapping[Reason, int]] = {
    "left": 1000, "slow": 1013, "signed_out": 4401, "crowded": 1013, "stopping": 1001, "failed": 1011,
}  # fmt: skip
_CHANGED: Final = "changed"
#: Seconds in which who asks once does not say again what he watches.
_SAID: Final = 5.0


class LiveSettings(Section):
    """How many may watch, and how closely."""

    viewers: Annotated[int, Field(ge=1, le=100_000)] = 1_000
    """People who may watch at once, on one instance."""

    of_one_user: Annotated[int, Field(ge=1, le=100)] = 5
    """Of which so many may be the same."""

    every: Annotated[float, Field(ge=0, le=60)] = 0.25
    """Seconds between two messages to one viewer, at least."""

    patience: Annotated[float, Field(gt=0, le=60)] = 5.0
    """Seconds that a viewer may take to take a message."""

    look: Annotated[float, Field(gt=0, le=300)] = 5.0
    """Seconds between two looks whether a viewer is still signed in and his day has changed."""


class _Viewer:
    """One who watches."""

    def __init__(self, user: User, socket: WebSocket) -> None:
        self.user = user
        self.socket = socket
        self.news = asyncio.Event()
        self.reload = True
        self.since = 0.0
        self.analysis: Analysis | None = None
        self.held: frozenset[Symbol] = frozenset()
        self.task: asyncio.Task[Any] | None = None


class Live:
    """Pushes portfolios to those who watch."""

    def __init__(
        self,
        settings: LiveSettings | None = None,
        *,
        records: Records,
        analytics: Analytics,
        market: Market,
        events: Events,
    ) -> None:
        self.settings = settings or LiveSettings()
        self._records = records
        self._analytics = analytics
        self._market = market
        self._events = events
        self._viewers: set[_Viewer] = set()
        self._host: Host | None = None
        records.subscribe(self._tell)
        market.subscribe(self._quoted)

    @property
    def spec(self) -> Spec:
        """What it is."""
        return Spec(
            kind="live",
            summary="Pushes portfolios to those who watch, as prices and trades change.",
            needs=(self._records, self._analytics, self._market, self._events),
            settings=self.settings,
            degradation=Degradation(
                policy="serve", summary="While events do not arrive, viewers see what this instance itself changes."
            ),
            metrics=METRICS,
            alerts=ALERTS,
            panels=PANELS,
            runbook=RUNBOOK,
        )

    @asynccontextmanager
    async def lifespan(self, host: Host) -> AsyncIterator[None]:
        """Serve viewers while inside; at the end they are let go."""
        self._host = host
        self._count = host.bind(VIEWERS)
        self._count.set(0)
        self._update = host.bind(UPDATE)
        self._sent = {kind: host.bind(SENT, kind=kind) for kind in ("portfolio", "quotes")}
        self._ended = {reason: host.bind(ENDED, reason=reason) for reason in _CODES}
        host.spawn("hear", lambda: follow(self._events, _CHANGED, host, self._heard, self._missed))
        host.spawn("watch", lambda: self._keep_watching(host))
        try:
            yield
        finally:
            self._host = None
            tasks = [viewer.task for viewer in self._viewers if viewer.task is not None]
            for task in tasks:
                task.cancel()
            if tasks:
                await asyncio.wait(tasks, timeout=2.0)

    async def watch(self, socket: WebSocket, user: User, still: Callable[[], Awaitable[bool]]) -> None:
        """Serve one viewer, whose socket has been accepted, until either side has enough.

        :param still: says whether he is still signed in.
        """
        if self._host is None:
            await self._close(socket, "stopping")
            return
        if len(self._viewers) >= self.settings.viewers or (
            sum(viewer.user.id == user.id for viewer in self._viewers) >= self.settings.of_one_user
        ):
            await self._close(socket, "crowded")
            return
        viewer = _Viewer(user, socket)
        self._viewers.add(viewer)
        self._count.set(len(self._viewers))
        reason: Reason = "failed"
        try:
            reason = await self._both(viewer, still)
        finally:
            self._viewers.discard(viewer)
            self._count.set(len(self._viewers))
            await self._close(socket, reason)

    async def portfolio(self, user: User) -> str:
        """Return the portfolio as a viewer would see it at this moment, as JSON: valued by the same quotes.

        Whoever asks watches, too: where no quote is known yet, the next answer has one.

        :raises Busy: when enough analyses are waiting. :raises DatabaseUnavailableError: when the database is away.
        """
        day = today(user, self._records.now())
        if not self._market.quoting:
            return await self._analytics.portfolio(user, day)
        held = await self._analytics.holdings(user, day)
        with suppress(StoreError):
            await self._market.watch({(one.symbol, one.currency) for one in held.holdings}, unless_said_within=_SAID)
        return await self._analytics.quoted(held, self._market.prices, day)

    async def _both(self, viewer: _Viewer, still: Callable[[], Awaitable[bool]]) -> Reason:
        """Send and receive at once, until one of them ends."""
        viewer.task = sending = asyncio.create_task(self._send_news(viewer, still), name="live viewer")
        receiving = asyncio.create_task(self._receive(viewer), name="live viewer, receiving")
        try:
            await asyncio.wait((sending, receiving), return_when=asyncio.FIRST_COMPLETED)
        finally:
            sending.cancel()
            receiving.cancel()
            await asyncio.wait((sending, receiving))
        if sending.cancelled():
            return "left" if not receiving.cancelled() and receiving.exception() is None else "stopping"
        error = sending.exception()
        if error is None:
            return sending.result()
        if isinstance(error, BedplateError) and self._host is not None:
            self._host.log.warning("viewer_let_go", error=str(error))
            return "failed"
        raise error

    async def _receive(self, viewer: _Viewer) -> None:
        """Return when he leaves; whatever he says asks for the whole portfolio."""
        with suppress(WebSocketDisconnect, RuntimeError):
            while True:
                await viewer.socket.receive_text()
                viewer.reload = True
                viewer.news.set()

    async def _send_news(self, viewer: _Viewer, still: Callable[[], Awaitable[bool]]) -> Reason:
        while True:
            host = self._host
            if host is None:
                return "stopping"
            if not await still():
                return "signed_out"
            if viewer.analysis is not None and today(viewer.user, host.clock.time()) != viewer.analysis.until:
                viewer.reload = True
            if viewer.reload or viewer.news.is_set():
                try:
                    async with asyncio.timeout(self.settings.patience):
                        await self._say(viewer, host)
                except TimeoutError:
                    return "slow"
                except (WebSocketDisconnect, RuntimeError):
                    return "left"
                await asyncio.sleep(self.settings.every)
            with suppress(TimeoutError):
                async with asyncio.timeout(self.settings.look):
                    await viewer.news.wait()

    async def _say(self, viewer: _Viewer, host: Host) -> None:
        """Send the newest state: all of it when trades have changed, else what quotes changed."""
        since, viewer.since = viewer.since, 0.0
        whole = viewer.reload
        viewer.reload = False
        viewer.news.clear()
        day = today(viewer.user, host.clock.time())
        if whole or viewer.analysis is None:
            viewer.analysis = await self._analytics.analysis(viewer.user, day)
            held = viewer.analysis.portfolio.holdings
            viewer.held = frozenset((one.symbol, one.currency) for one in held)
            await self._ask_for([viewer])
        now = quoted(viewer.analysis.portfolio, self._market.prices, day)
        document = {"type": "portfolio", **portfolio_document(now)} if whole else _quotes_document(now)
        await viewer.socket.send_text(orjson.dumps(document).decode())
        self._sent["portfolio" if whole else "quotes"].inc()
        if since:
            self._update.observe(host.clock.monotonic() - since)

    async def _ask_for(self, viewers: list[_Viewer]) -> None:
        """Say what is watched, so that quotes of it come."""
        watched = frozenset[Symbol]().union(*(viewer.held for viewer in viewers))
        with suppress(StoreError):
            await self._market.watch(watched)

    async def _keep_watching(self, host: Host) -> None:
        while True:
            await self._ask_for(list(self._viewers))
            await host.clock.sleep(self._market.settings.forget / 3)

    async def _tell(self, user_id: str) -> None:
        """Tell all instances that records of a user have changed; this one in any case."""
        try:
            await self._events.publish(_CHANGED, user_id)
        except EventsUnavailableError:
            self._heard(user_id)

    def _heard(self, user_id: Any) -> None:
        for viewer in self._viewers:
            if viewer.user.id == user_id:
                viewer.reload = True
                self._wake(viewer)

    def _missed(self) -> None:
        """Show everybody everything anew: nobody knows what was not heard."""
        for viewer in self._viewers:
            viewer.reload = True
            self._wake(viewer)

    def _quoted(self, quotes: Mapping[Symbol, Decimal]) -> None:
        for viewer in self._viewers:
            if not viewer.held.isdisjoint(quotes):
                self._wake(viewer)

    def _wake(self, viewer: _Viewer) -> None:
        if self._host is not None and not viewer.since:
            viewer.since = self._host.clock.monotonic()
        viewer.news.set()

    async def _close(self, socket: WebSocket, reason: Reason) -> None:
        if self._host is not None:
            self._ended[reason].inc()
        if reason != "left":
            with suppress(Exception):
                await socket.close(_CODES[reason], reason)


def _quotes_document(now: Portfolio) -> dict[str, Any]:
    whole = portfolio_document(now)
    fields = "account symbol currency price priced_by value unrealised base_value base_unrealised".split()
    return {
        "type": "quotes",
        "complete": whole["complete"],
        "value": whole["value"],
        "unrealised": whole["unrealised"],
        "holdings": [{field: one[field] for field in fields} for one in whole["holdings"]],
    }
