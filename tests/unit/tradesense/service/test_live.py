"""Watching a portfolio: what is pushed, and when a watch ends."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from decimal import Decimal

import pytest

from tradesense.api.reports import PortfolioOut
from tradesense.components import Live, MadeUpQuotes, Market

from .conftest import Desk, desk_of
from .watching import Watch, watching

Symbols = Mapping[tuple[str, str], Decimal]
Watched = Mapping[tuple[str, str], Decimal | None]


class Steps:
    """A source that raises every price by one with each question, from 100 on, and fails when it is told to."""

    def __init__(self) -> None:
        self.fails = False
        self.asked: list[Watched] = []

    async def quotes(self, watched: Watched) -> Symbols:
        self.asked.append(dict(watched))
        if self.fails:
            raise ConnectionError("the source is away")
        return {symbol: (price or 100) + 1 for symbol, price in watched.items()}


@pytest.fixture
def source() -> Steps:
    return Steps()


@pytest.fixture
async def desk(source: Steps) -> AsyncIterator[Desk]:
    async with desk_of(quotes=source) as made:
        live = next(one for one in made.harness.service.components if isinstance(one, Live))
        live.settings = live.settings.model_copy(update={"every": 0.0, "look": 0.05, "patience": 0.2})
        yield made


async def test_a_portfolio_follows_trades_and_quotes(desk: Desk, source: Steps) -> None:
    ada = await desk.trader()
    await ada.trade("buy", 10, 100)
    async with watching(desk, ada) as watch:
        first = await watch.news()
        assert (first["type"], first["value"], first["holdings"][0]["priced_by"]) == ("portfolio", "1000", "trade")
        await desk.harness.clock.advance(1)
        quoted = await watch.news()
        assert (quoted["type"], quoted["value"], quoted["unrealised"]) == ("quotes", "1010", "10")
        assert quoted["holdings"][0]["price"] == "101"
        await ada.trade("sell", 4, 101)
        whole = await watch.news()
        while whole["type"] != "portfolio":
            whole = await watch.news()
        assert whole["holdings"][0]["quantity"] == "6"
        assert await desk.harness.value("tradesense_live_viewers") == 1
    await desk.harness.eventually(lambda: _viewers(desk, 0))
    assert await desk.harness.value("tradesense_live_ended_total", reason="left") == 1


async def _viewers(desk: Desk, count: int) -> bool:
    return await desk.harness.value("tradesense_live_viewers") == count


async def test_what_is_asked_for_is_valued_as_what_is_pushed(desk: Desk) -> None:
    ada = await desk.trader()
    await ada.trade("buy", 10, 56)
    await ada.put("/prices", "date,symbol,close\n2025-05-30,ACME,60\n")
    first = await ada.get("/portfolio")
    PortfolioOut.model_validate(first)
    assert (first["value"], first["holdings"][0]["priced_by"]) == ("600", "close")
    async with watching(desk, ada) as watch:
        pushed = await watch.news()
        while pushed["holdings"][0]["priced_by"] != "quote":
            await desk.harness.clock.advance(1)
            pushed = await watch.news()
    await desk.harness.clock.advance(60)
    asked = await ada.get("/portfolio")
    PortfolioOut.model_validate(asked)
    assert asked["holdings"][0]["priced_by"] == "quote" and Decimal(asked["value"]) >= Decimal(pushed["value"])
    assert Decimal(asked["unrealised"]) == Decimal(asked["value"]) - 560
    async with watching(desk, ada) as watch:
        pushed = await watch.news()
        assert pushed == {"type": "portfolio", **await ada.get("/portfolio")}


async def test_a_large_portfolio_is_quoted_as_a_small_one_is(desk: Desk) -> None:
    ada = await desk.trader()
    lines = [f"2025-01-06,buy,S{number},1,50,0,USD" for number in range(300)]
    await ada.upload("\n".join(("Date,Side,Symbol,Quantity,Price,Fee,Currency", *lines)))
    assert (await ada.get("/portfolio"))["value"] == "15000"
    await desk.harness.clock.advance(2)
    held = await ada.get("/portfolio")
    assert {one["priced_by"] for one in held["holdings"]} == {"quote"} and Decimal(held["value"]) >= 300 * 101


async def test_a_quote_values_nothing_for_ever(desk: Desk, source: Steps) -> None:
    ada = await desk.trader()
    await ada.trade("buy", 10, 56)
    await ada.get("/portfolio")
    await desk.harness.clock.advance(2)
    assert (await ada.get("/portfolio"))["holdings"][0]["priced_by"] == "quote"
    source.fails = True
    await desk.harness.clock.advance(30)
    assert (await ada.get("/portfolio"))["holdings"][0]["priced_by"] == "quote"
    market = next(one for one in desk.harness.service.components if isinstance(one, Market))
    market.settings = market.settings.model_copy(update={"keep": 20.0})
    assert (await ada.get("/portfolio"))["holdings"][0]["priced_by"] == "trade"


async def test_what_somebody_entered_does_not_value_what_others_hold(desk: Desk, source: Steps) -> None:
    mallory, ada = await desk.trader(), await desk.trader()
    await mallory.trade("buy", 1, 1_000_000)
    await ada.trade("buy", 1, 56)
    async with watching(desk, mallory) as watch:
        await watch.news()
        await desk.harness.clock.advance(1)
        await watch.news()
    assert source.asked[0] == {("ACME", "USD"): None}
    assert Decimal((await ada.get("/portfolio"))["value"]) < 200


async def test_nobody_hears_of_anothers_trades(desk: Desk) -> None:
    ada, bob = await desk.trader(), await desk.trader()
    await ada.trade("buy", 10, 100)
    async with watching(desk, bob) as watch:
        assert (await watch.news())["holdings"] == []
        await ada.trade("buy", 1, 100)
        await desk.harness.clock.advance(2)
        assert watch.outbox.empty()


@pytest.mark.parametrize(("signed_in", "origin", "status"), [(False, "", 401), (True, "http://elsewhere.example", 403)])
async def test_who_may_not_watch_is_told_why(desk: Desk, signed_in: bool, origin: str, status: int) -> None:
    trader = await desk.trader() if signed_in else desk.browser()
    watch = Watch(desk, trader, {"origin": origin} if origin else None)
    message = await watch.next()
    assert (message["type"], message["status"]) == ("websocket.http.response.start", status)
    await watch.task


async def test_a_watch_ends_when_its_user_signs_out_everywhere(desk: Desk) -> None:
    ada = await desk.trader()
    async with watching(desk, ada) as watch:
        await watch.news()
        await ada.post("/sign-out-everywhere")
        message = await watch.next()
        assert (message["type"], message["code"], message["reason"]) == ("websocket.close", 4401, "signed_out")
        await watch.task


async def test_who_does_not_take_messages_is_let_go_and_who_is_late_gets_the_newest(desk: Desk) -> None:
    ada = await desk.trader()
    await ada.trade("buy", 1, 100)
    async with watching(desk, ada) as watch:
        await watch.news()
        watch.stuck.clear()
        await desk.harness.clock.advance(1)
        message = await watch.next()
        assert (message["type"], message["code"], message["reason"]) == ("websocket.close", 1013, "slow")
    assert await desk.harness.value("tradesense_live_ended_total", reason="slow") == 1


async def test_a_user_watches_only_so_often(desk: Desk) -> None:
    ada = await desk.trader()
    watches = [Watch(desk, ada) for _ in range(6)]
    messages = [await watch.next() for watch in watches]
    assert {message["type"] for message in messages} == {"websocket.accept"}
    ended = [watch for watch in watches if (await watch.next())["type"] == "websocket.close"]
    assert len(ended) == 1
    for watch in watches:
        if watch not in ended:
            await watch.leave()


async def test_a_source_that_fails_is_asked_again(desk: Desk, source: Steps) -> None:
    ada = await desk.trader()
    await ada.trade("buy", 1, 100)
    async with watching(desk, ada) as watch:
        await watch.news()
        source.fails = True
        await desk.harness.clock.advance(2)
        assert await desk.harness.value("tradesense_quote_requests_total", outcome="failed") >= 1
        source.fails = False
        await desk.harness.clock.advance(1)
        assert (await watch.news())["value"] == "101"


async def test_what_nobody_watches_any_more_is_not_asked_for(desk: Desk, source: Steps) -> None:
    ada = await desk.trader()
    await ada.trade("buy", 1, 100)
    async with watching(desk, ada) as watch:
        await watch.news()
        await desk.harness.clock.advance(1)
    await desk.harness.clock.advance(40)
    before = len(source.asked)
    await desk.harness.clock.advance(10)
    assert len(source.asked) == before
    assert await desk.harness.value("tradesense_quotes_watched") == 0


async def test_made_up_quotes_wander_alike_from_equal_seeds() -> None:
    known = {("ACME", "USD"): Decimal(100)}
    one, other = MadeUpQuotes(3), MadeUpQuotes(3)
    for _ in range(5):
        assert await one.quotes(known) == await other.quotes(known)
    assert 95 < (await one.quotes(known))["ACME", "USD"] < 105


async def test_made_up_quotes_start_from_a_price_of_each_symbols_own() -> None:
    symbols = {("ACME", "USD"): None, ("BOLT", "USD"): None}
    one, other = await MadeUpQuotes(3).quotes(symbols), await MadeUpQuotes(3).quotes(dict(reversed(symbols.items())))
    assert one["ACME", "USD"] != one["BOLT", "USD"]
    assert all(abs(one[symbol] / other[symbol] - 1) < Decimal("0.02") and 19 < one[symbol] < 310 for symbol in symbols)
