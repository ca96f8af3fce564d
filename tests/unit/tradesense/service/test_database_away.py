"""What TradeSense answers while its database is away."""

from __future__ import annotations

from tests.postgres import postgres

from .conftest import desk_of


async def test_what_is_cached_is_answered_and_the_rest_is_refused_with_nothing_half_done() -> None:
    with postgres() as server:
        async with desk_of(database_url=server.database()) as desk:
            ada = await desk.trader()
            await ada.trade("buy", 10, 5)
            cached = await ada.get("/analytics")
            server.stop()
            assert await ada.get("/analytics") == cached
            for method, path, json in (
                ("GET", "/trades", None),
                ("POST", "/trades", {"kind": "buy", "symbol": "X", "price": "1", "at": "2025-01-06T15:00:00Z"}),
                ("POST", "/sign-in", {"email": ada.email, "password": "wrong"}),
            ):
                answer = await ada.ask(method, path, json=json)
                assert answer.status_code == 503, (path, answer.text)
                assert answer.headers["content-type"] == "application/problem+json"
                assert int(answer.headers["retry-after"]) > 0
            refused = await ada.upload("Date,Side,Symbol,Quantity,Price\n2025-01-06,buy,X,1,5\n")
            assert refused.status_code == 503
            server.start()

            async def back() -> bool:
                await desk.harness.clock.advance(1)
                return (await ada.ask("GET", "/trades")).status_code == 200

            await desk.harness.eventually(back, timeout=15)
            assert len((await ada.get("/trades"))["items"]) == 1
