"""Traders: each signs up, imports what the broker says, and then trades, looks and watches as people do."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Final

import orjson
from uuid_utils import uuid4
from websockets.asyncio.client import connect
from websockets.exceptions import WebSocketException

from demo.client import Client
from demo.crowd import Crowd
from demo.screen import Screen
from tradesense.money import shown
from tradesense.samples import SYMBOLS, closing_prices, generic_csv, made_up

__all__ = ["Traders"]

NAMES: Final = ("ada", "grace", "mary")
#: Seconds between two things that one trader does.
PAUSE: Final = 2.0
TRADES: Final = 400
_PASSWORD: Final = "four words in a row"  # noqa: S105 - of people who are made up
_CSV: Final = {"content-type": "text/csv"}


class Traders(Crowd["Trader"]):
    """All of them."""

    def __init__(self, base: str, screen: Screen) -> None:
        super().__init__([Trader(base, name, seed) for seed, name in enumerate(NAMES, 1)])
        self._screen = screen

    async def opening(self) -> None:
        """Play their part of the opening scene."""
        first = self.members[0]
        await first.arrive()
        await asyncio.gather(*(one.arrive() for one in self.members[1:]))
        again = (await first.upload(first.file)).json()
        done = first.imported
        self._screen.step(
            "a broker's file",
            f"{done['added']} trades imported, {done['faults']} bad line told with how to mend it; "
            f"again, it added {again['added']}",
        )
        said = await first.client.json("GET", "/analytics")
        outcomes, returns = said["outcomes"], said["returns"]
        self._screen.step(
            "analysis",
            f"profit {said['profit']['total']} {said['base']}, win rate {outcomes['win_rate']:.0%}, profit factor "
            f"{outcomes['profit_factor']:.2f}, Sharpe {said['risk']['sharpe']:.2f}, time-weighted {returns['twr']:.1%}",
        )
        portfolio = await first.watch(messages=2)
        self._screen.step(
            "live portfolio", f"{len(portfolio['holdings'])} positions, worth {portfolio['value']}, pushed"
        )


class Trader:
    """One of them, with a browser and dice of his own."""

    def __init__(self, base: str, name: str, seed: int) -> None:
        self.client = Client(base, "/tradesense/api/v1")
        self._address = f"{base.replace('http', 'ws', 1)}/tradesense/api/v1/live"
        self._email = f"{name}@traders.example"
        self._dice = random.Random(seed)
        today = datetime.now(UTC).date()
        trades = made_up(TRADES, seed=seed, start=today - timedelta(days=today.weekday() + 490))
        self._trades, self.file = trades, generic_csv(trades) + "yesterday,buy,ACME,ten,5,0,USD,,\n"
        self._price = {one.symbol: one.price for one in trades}
        self.imported: dict[str, Any] = {}

    async def arrive(self) -> None:
        """Sign up, or in, and import the past."""
        credentials = {"email": self._email, "password": _PASSWORD}
        if (await self.client.ask("POST", "/sign-up", json=credentials)).status_code == 409:
            await self._sign_in()
        self.imported = (await self.upload(self.file)).raise_for_status().json()
        lines = [f"{one.day},{one.symbol},{shown(one.close)}" for one in closing_prices(self._trades)]
        prices = "\n".join(("date,symbol,close", *lines))
        await self.client.ask("PUT", "/prices", content=prices, headers=_CSV)

    async def upload(self, file: str) -> Any:
        """Import a file; return the answer."""
        return await self.client.ask("POST", "/imports", content=file, headers=_CSV)

    async def watch(self, messages: int) -> dict[str, Any]:
        """Watch the live portfolio for so many messages; return the first, which has all of it."""
        cookie = "; ".join(f"{name}={value}" for name, value in self.client.http.cookies.items())
        async with connect(self._address, proxy=None, additional_headers={"cookie": cookie}) as socket:
            first: dict[str, Any] = orjson.loads(await socket.recv())
            for _ in range(messages - 1):
                await socket.recv()
        return first

    async def go_on(self) -> None:
        """Do one thing after the other."""
        kinds = list(self._mix)
        weights = [self._mix[kind] for kind in kinds]
        while True:
            await self._dice.choices(kinds, weights)[0](self)
            await asyncio.sleep(self._dice.expovariate(1 / PAUSE))

    async def _trade(self) -> None:
        symbol = self._dice.choice(SYMBOLS)
        moved = self._price.get(symbol, Decimal(100)) * Decimal(str(round(self._dice.gauss(1.0, 0.01), 4)))
        price = self._price[symbol] = max(Decimal(1), moved.quantize(Decimal("0.01")))
        trade = {
            "kind": self._dice.choice(("buy", "sell")), "symbol": symbol, "quantity": str(self._dice.randint(1, 40)),
            "price": shown(price), "fee": "0.35", "at": datetime.now(UTC).isoformat(), "tags": ["live"],
        }  # fmt: skip
        key = {"Idempotency-Key": uuid4().hex}
        answer = await self.client.ask("POST", "/trades", json=trade, headers=key)
        if answer.is_success and self._dice.random() < 0.2:
            # Whoever lost the answer asks again, and trades once.
            await self.client.ask("POST", "/trades", json=trade, headers=key)
        if answer.is_success and self._dice.random() < 0.3:
            note = {"text": "It felt right.", "trade_id": answer.json()["id"], "tags": ["hunch"]}
            await self.client.ask("POST", "/journal", json=note)

    async def _look(self) -> None:
        path = self._dice.choice(
            ("/analytics", "/analytics", "/portfolio", "/analytics/equity", "/trades?limit=50", "/me")
        )
        await self.client.ask("GET", path)

    async def _watch(self) -> None:
        # Sockets are closed for good when the service goes away, which is how the demo ends.
        with contextlib.suppress(OSError, WebSocketException):
            await self.watch(messages=self._dice.randint(5, 20))

    async def _import(self) -> None:
        await self.upload(self.file)

    async def _wrong(self) -> None:
        wrong: tuple[Callable[[], Awaitable[Any]], ...] = (
            lambda: self.upload("Wann,Was\nheute,nichts\n"),
            lambda: self.client.ask("POST", "/sign-in", json={"email": self._email, "password": "forgotten"}),
            lambda: self.client.ask("POST", "/trades", json={"kind": "buy", "at": "2025-01-06T15:00:00Z"}),
        )
        await self._dice.choice(wrong)()

    async def _sign_in(self) -> None:
        await self.client.ask("POST", "/sign-in", json={"email": self._email, "password": _PASSWORD})

    async def _start_anew(self) -> None:
        """Sign out everywhere and come back."""
        await self.client.ask("POST", "/sign-out-everywhere")
        await self._sign_in()

    async def _undo(self) -> None:
        """Import a few trades and have them deleted, which is asked for, and confirmed or not."""
        moved = generic_csv(made_up(5, seed=self._dice.randrange(1_000, 9_999)))
        answer = await self.upload(moved)
        if answer.is_success:
            asked = await self.client.ask("DELETE", f"/imports/{answer.json()['id']}")
            if asked.is_success:
                decision = self._dice.choice(("confirm", "confirm", "reject"))
                await self.client.ask("POST", f"/confirmations/{asked.json()['id']}/{decision}")

    _mix: Final[dict[Callable[[Trader], Awaitable[None]], float]] = {
        _look: 45, _trade: 25, _watch: 8, _import: 4, _wrong: 4, _start_anew: 3, _undo: 3,
    }  # fmt: skip
