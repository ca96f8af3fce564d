"""Companies whose books are kept in Ledger: a few that work live, among a few hundred that are made up."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from uuid_utils import uuid4

from bedplate.component import Host, Spec
from bedplate.database import DatabaseUnavailableError
from demo.client import Client
from demo.crowd import Crowd
from demo.screen import Screen
from ledger.components import Books
from ledger.generating import Plan, generate
from ledger.records import organizations

__all__ = ["FEW", "MANY", "Companies", "MadeUpOrganizations"]

NAMES: Final = ("Hopper Bakery", "Lovelace Looms", "Hamilton Rockets")
#: Seconds between two things that one company does.
PAUSE: Final = 2.0
#: How many are made up, and with how many transactions: embedded, and on servers, where a move of them can be watched.
FEW: Final = (300, 3_000)
MANY: Final = (1_000, 60_000)
_CSV: Final = {"content-type": "text/csv"}
_EARNED: Final = ("4000", "4000", "4100", "4900")
_SPENT: Final = ("5000", "5000", "5100", "5200", "5300", "5900")


class MadeUpOrganizations:
    """Fills Ledger's books once it runs, a little at a time, so that its start is none the slower for it.

    :param size: how many organisations, and how many transactions all of them have.
    """

    def __init__(self, size: tuple[int, int] = FEW) -> None:
        self._organizations, self._transactions = size

    @property
    def spec(self) -> Spec:
        """What it is."""
        return Spec(kind="made_up_organizations", summary="Fills the books with organisations that are made up.")

    @asynccontextmanager
    async def lifespan(self, host: Host) -> AsyncIterator[None]:
        """Fill them in the background."""
        host.spawn("fill books", lambda: self._fill(host))
        yield

    async def _fill(self, host: Host) -> None:
        (books,) = [view.component for view in host.components if isinstance(view.component, Books)]
        until = datetime.fromtimestamp(host.clock.time(), UTC).date()
        plan = Plan(self._organizations, self._transactions, until=until)
        portion = self._transactions // 30
        while True:
            try:
                await books.database.ready()
                async with books.database.connect() as connection:
                    there = await organizations.count(connection)
                if there < self._organizations:
                    now = int(host.clock.time() * 1e6)
                    async for _ in generate(plan, books.database.begin, now, portion=portion):
                        await host.clock.sleep(0.05)
                host.log.info("books_filled", organizations=max(there, self._organizations))
                return
            except DatabaseUnavailableError:
                await host.clock.sleep(2.0)


class Companies(Crowd["Company"]):
    """All of them."""

    def __init__(self, base: str, screen: Screen) -> None:
        super().__init__([Company(base, name, seed) for seed, name in enumerate(NAMES, 1)])
        self._screen = screen

    async def opening(self) -> None:
        """Play their part of the opening scene."""
        await asyncio.gather(*(one.arrive() for one in self.members))
        first = self.members[0]
        done, again = await first.upload(first.file), await first.upload(first.file)
        self._screen.step(
            "a file of transactions",
            f"{done['added']} posted in double entry, {done['faulty']} bad line told; again, it added {again['added']}",
        )
        trial = await first.client.json("GET", "/trial-balance")
        (currency, sums), *_ = trial["currencies"].items()
        self._screen.step(
            "trial balance",
            f"debits {sums['debit']} {currency}, credits {sums['credit']} {currency}, difference {sums['difference']}",
        )


class Company:
    """One of them, with a client and dice of its own."""

    def __init__(self, base: str, name: str, seed: int) -> None:
        self.client = Client(base, "/ledger/api/v1")
        self._name = name
        self._dice = random.Random(seed)
        self._posted: list[int] = []
        self._today = datetime.now(UTC).date()
        rows = [self._row(number) for number in range(120)]
        self.file = "\n".join(("day,kind,account,amount,counterparty,reference", *rows, "soon,revenue,4000,1.00,,", ""))

    def _row(self, number: int) -> str:
        day = self._today - timedelta(days=self._dice.randrange(400))
        earned = self._dice.random() < 0.6
        account = self._dice.choice(_EARNED if earned else _SPENT)
        kind = "revenue" if earned else "expense"
        return f"{day},{kind},{account},{self._amount()},Customer {number % 17},{kind[:3].upper()}-{number:04d}"

    def _amount(self) -> str:
        return f"{min(9_999.0, self._dice.lognormvariate(4.5, 1.0)):.2f}"

    async def arrive(self) -> None:
        """Open books."""
        made = await self.client.json("POST", "/organizations", json={"name": self._name})
        self.client.http.headers["authorization"] = f"Bearer {made['token']}"

    async def upload(self, file: str) -> Any:
        """Import a file; return what came of it."""
        return await self.client.json("POST", "/imports", content=file, headers=_CSV)

    async def go_on(self) -> None:
        """Do one thing after the other."""
        kinds = list(self._mix)
        weights = [self._mix[kind] for kind in kinds]
        while True:
            await self._dice.choices(kinds, weights)[0](self)
            await asyncio.sleep(self._dice.expovariate(1 / PAUSE))

    def _transaction(self, *, earned: bool) -> dict[str, str]:
        account = self._dice.choice(_EARNED if earned else _SPENT)
        return {
            "day": self._today.isoformat(), "account": account, "amount": self._amount(), "reference": uuid4().hex,
            "counterparty": f"Customer {self._dice.randrange(17)}",
        }  # fmt: skip

    async def _post(self) -> None:
        earned = self._dice.random() < 0.6
        path, given = "/revenue" if earned else "/expenses", self._transaction(earned=earned)
        answer = await self.client.ask("POST", path, json=given)
        if answer.is_success:
            self._posted = [*self._posted[-50:], answer.json()["id"]]
        if self._dice.random() < 0.15:
            # Whoever lost the answer asks again, and it is posted once.
            await self.client.ask("POST", path, json=given)

    async def _post_many(self) -> None:
        kinds = [self._dice.choice(("revenue", "expense")) for _ in range(self._dice.choice((5, 20, 60)))]
        given = [{"kind": kind, **self._transaction(earned=kind == "revenue")} for kind in kinds]
        await self.client.ask("POST", "/batch", json={"transactions": given})

    async def _look(self) -> None:
        month = self._today - timedelta(days=self._dice.randrange(200))
        path = self._dice.choice(
            ("/balances", "/balances", "/summary", "/trial-balance", "/revenue?limit=50", "/expenses?limit=50",
             "/journal?limit=20", "/accounts/1000/lines", f"/reports/monthly/{month:%Y-%m}",
             f"/reports/yearly/{month:%Y}", "/exports/revenue.csv")
        )  # fmt: skip
        await self.client.ask("GET", path)

    async def _take_back(self) -> None:
        if self._posted:
            await self.client.ask("POST", f"/journal/{self._posted.pop()}/reverse")

    async def _import(self) -> None:
        rows = [self._row(self._dice.randrange(10_000, 99_999)) for _ in range(20)]
        header = self.file.split("\n", 1)[0]
        await self.client.ask("POST", "/imports", content="\n".join((header, *rows, "")), headers=_CSV)

    async def _pay_wages(self) -> None:
        lines = [{"account": "5100", "debit": "100.00"}, {"account": "2000", "credit": "30.00"},
                 {"account": "1000", "credit": "70.00"}]  # fmt: skip
        given = {"day": self._today.isoformat(), "lines": lines, "memo": "Wages"}
        await self.client.ask("POST", "/journal", json=given, headers={"Idempotency-Key": uuid4().hex})

    async def _wrong(self) -> None:
        wrong: tuple[tuple[str, str, dict[str, Any]], ...] = (
            ("POST", "/revenue", {"json": {"day": "2025-02-30", "account": "4000", "amount": "1.00"}}),
            ("POST", "/expenses", {"json": {"day": "2025-02-03", "account": "4000", "amount": "1.00"}}),
            ("POST", "/imports", {"content": "Wann,Was\n", "headers": _CSV}),
            ("GET", "/balances", {"headers": {"authorization": "Bearer lgr_0123456789abcdef_forgotten"}}),
        )
        method, path, options = self._dice.choice(wrong)
        await self.client.ask(method, path, **options)

    _mix: Final[dict[Callable[[Company], Awaitable[None]], float]] = {
        _look: 45, _post: 30, _post_many: 8, _take_back: 3, _import: 3, _pay_wages: 4, _wrong: 3,
    }  # fmt: skip
