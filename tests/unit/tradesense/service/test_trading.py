"""Trades, imports, journal, analyses: what a trader does all day."""

from __future__ import annotations

import base64
from decimal import Decimal
from typing import Any

import pytest

from tradesense.api.reports import EquityOut, PortfolioOut, ReportOut
from tradesense.samples import generic_csv, made_up

from .conftest import Desk, desk_of

pytestmark = pytest.mark.asyncio(loop_scope="module")

COMPUTED = "tradesense_analytics_duration_seconds_count"


async def test_a_trade_is_entered_found_mended_and_deleted(desk: Desk) -> None:
    ada = await desk.trader()
    made = await ada.trade("buy", "10", "185.50", fee="1.05", tags=["Breakout", "breakout"], note="first")
    assert made["cash"] == "-1856.05"
    assert made["tags"] == ["breakout"]
    assert await ada.get(f"/trades/{made['id']}") == made
    answer = await ada.ask("PATCH", f"/trades/{made['id']}", json={"tags": ["swing"], "price": "185"})
    assert answer.json()["price"] == "185" and answer.json()["tags"] == ["swing"]
    assert [one["id"] for one in (await ada.get("/trades", params={"tag": "swing"}))["items"]] == [made["id"]]
    assert (await ada.get("/trades", params={"tag": "win"}))["items"] == []
    assert (await ada.ask("DELETE", f"/trades/{made['id']}")).status_code == 204
    assert (await ada.ask("GET", f"/trades/{made['id']}")).status_code == 404
    assert (await ada.ask("DELETE", f"/trades/{made['id']}")).status_code == 404


async def test_what_is_wrong_with_a_trade_is_said_where_it_is(desk: Desk) -> None:
    ada = await desk.trader()
    answer = await ada.ask("POST", "/trades", json={"kind": "buy", "at": "2025-01-06T15:00:00Z", "price": "1"})
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["errors"][0]["pointer"] == "#/symbol"
    answer = await ada.ask("POST", "/trades", json={"kind": "buy", "symbol": "X", "at": "2025-01-06", "price": "NaN"})
    assert {error["pointer"] for error in answer.json()["errors"]} == {"#/at", "#/price"}


async def test_pages_go_by_key_and_lose_nothing_while_others_write(desk: Desk) -> None:
    ada = await desk.trader()
    for number in range(7):
        await ada.trade("buy", 1, number + 1, at=f"2025-01-0{number // 3 + 1}T15:00:00Z")
    seen: list[str] = []
    cursor = ""
    for _ in range(9):
        page = await ada.get("/trades", params={"limit": 2, "cursor": cursor})
        seen += [one["price"] for one in page["items"]]
        await ada.trade("buy", 1, 99, at="2025-02-01T15:00:00Z")
        if page["next"] is None:
            break
        cursor = page["next"]
    assert seen == ["7", "6", "5", "4", "3", "2", "1"]
    assert (await ada.ask("GET", "/trades", params={"cursor": "nonsense"})).status_code == 422


async def test_nobody_sees_what_is_anothers(desk: Desk) -> None:
    ada, bob = await desk.trader(), await desk.trader()
    made = await ada.trade("buy", 1, 5)
    note = await ada.post("/journal", {"text": "mine"})
    file = (await ada.upload(generic_csv(made_up(5)))).json()
    await ada.put("/prices", "date,symbol,close\n2025-01-06,ACME,6\n")
    for path in (f"/trades/{made['id']}", f"/journal/{note['id']}", f"/imports/{file['id']}"):
        assert (await bob.ask("GET", path)).status_code == 404
    for method, path in (("DELETE", f"/trades/{made['id']}"), ("DELETE", f"/journal/{note['id']}")):
        assert (await bob.ask(method, path)).status_code == 404
    assert (await bob.ask("PATCH", f"/trades/{made['id']}", json={"note": "x"})).status_code == 404
    assert (await bob.ask("POST", "/journal", json={"text": "x", "trade_id": made["id"]})).status_code == 422
    for path in ("/trades", "/journal", "/imports"):
        assert (await bob.get(path))["items"] == []
    assert await bob.get("/prices") == []
    assert (await bob.get("/analytics"))["trades"] == 0
    assert (await ada.get("/analytics"))["trades"] == 6


async def test_a_file_is_imported_once_and_its_bad_lines_are_told(desk: Desk) -> None:
    ada = await desk.trader()
    text = generic_csv(made_up(40)) + "2025-01-06,buy,ACME,ten,5,0,USD,,\n"
    first = (await ada.upload(text, name="january.csv")).json()
    assert (first["added"], first["known"], first["faults"], first["broker"]) == (40, 0, 1, "generic")
    assert first["told"][0]["line"] == 42 and first["told"][0]["column"] == "Quantity" and first["told"][0]["mend"]
    again = (await ada.upload(text)).json()
    assert (again["added"], again["known"]) == (0, 40)
    assert [one["name"] for one in (await ada.get("/imports"))["items"]] == ["", "january.csv"]
    assert await ada.get(f"/imports/{first['id']}") == first
    assert len((await ada.get("/trades", params={"limit": 500}))["items"]) == 40


async def test_genuine_twins_stay_two(desk: Desk) -> None:
    ada = await desk.trader()
    row = "2025-01-06 15:30,buy,ACME,1,5\n"
    head = "Date,Side,Symbol,Quantity,Price\n"
    assert (await ada.upload(head + row * 2)).json()["added"] == 2
    assert (await ada.upload(head + row * 3)).json()["added"] == 1
    assert (await ada.upload(head + row * 3)).json()["added"] == 0


async def test_a_file_with_a_mapping_of_ones_own(desk: Desk) -> None:
    ada = await desk.trader()
    mapping = {
        "columns": {"at": "Wann", "kind": "Was", "symbol": "Wertpapier", "quantity": "Stück", "price": "Kurs"},
        "kinds": {"Kauf": "buy"}, "times": ["%d.%m.%Y"], "currency": "EUR", "point": ",",
    }  # fmt: skip
    text = "Wann;Was;Wertpapier;Stück;Kurs\n06.01.2025;Kauf;SAP;10;240,50\n"
    made = await ada.post("/imports", {"csv": text, "mapping": mapping})
    assert (made["added"], made["broker"]) == (1, "own")
    del mapping["columns"]["price"]  # type: ignore[attr-defined]
    answer = await ada.ask("POST", "/imports", json={"csv": text, "mapping": mapping})
    assert answer.status_code == 422 and "price" in answer.json()["detail"]


async def test_files_of_nobody_are_refused_with_the_columns_that_they_have(desk: Desk) -> None:
    ada = await desk.trader()
    answer = await ada.upload("Wann,Was\n1,2\n")
    assert answer.status_code == 422 and "Wann, Was" in answer.json()["detail"]
    assert (await ada.upload("x", broker="nobody")).status_code == 422
    assert (await ada.upload(b"  ")).status_code == 422
    assert (await ada.upload(b"PK\x03\x04rest")).status_code == 422
    assert {one["name"] for one in (await ada.get("/brokers"))["brokers"]} >= {"schwab", "ibkr-flex", "trading212"}


async def test_a_file_with_too_many_lines_is_refused_before_it_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: object, **__: object) -> None:
        raise AssertionError("it was read")

    async with desk_of(import_rows=10) as desk:
        ada = await desk.trader()
        answer = await ada.upload(generic_csv(made_up(11)))
        assert answer.status_code == 422 and "11 trades" in answer.json()["detail"]
        assert (await ada.upload(generic_csv(made_up(10)) + "\n" * 200)).json()["added"] == 10
        monkeypatch.setattr("tradesense.components.imports.read", never)
        answer = await ada.upload(generic_csv(made_up(200)))
        assert answer.status_code == 422
        assert "201 lines" in answer.json()["detail"] and "10 trades are taken at once" in answer.json()["detail"]


async def test_two_files_at_once_add_each_trade_once(desk: Desk) -> None:
    import asyncio

    ada = await desk.trader()
    head = "Date,Side,Symbol,Quantity,Price\n"
    text = head + "".join(f"2025-01-06 15:{minute:02d},buy,ACME,1,5\n" for minute in range(30))
    answers = await asyncio.gather(*(ada.upload(text) for _ in range(4)))
    assert sorted(answer.json()["added"] for answer in answers) == [0, 0, 0, 30]


async def test_analyses_follow_every_change(desk: Desk) -> None:
    ada = await desk.trader()
    await ada.trade("buy", 10, 10, at="2025-01-06T15:00:00Z")
    await ada.trade("sell", 10, 12, at="2025-01-07T15:00:00Z", tags=["swing"])
    report = await ada.get("/analytics")
    assert report["profit"]["total"] == report["profit"]["realised"] == "20"
    assert report["returns"]["twr"] > 0.19
    assert report["by_tag"][0]["tag"] == "swing"
    made = await ada.trade("buy", 1, 100, at="2025-01-08T15:00:00Z")
    await ada.post("/journal", {"text": "too early", "trade_id": made["id"], "tags": ["mistake"]})
    await ada.trade("sell", 1, 90, at="2025-01-09T15:00:00Z")
    report = await ada.get("/analytics")
    assert report["profit"]["total"] == "10"
    assert [one["tag"] for one in report["by_tag"]] == ["mistake", "swing"]
    equity = await ada.get("/analytics/equity")
    assert equity["days"][:2] == ["2025-01-06", "2025-01-07"]
    assert Decimal(equity["contributed"][-1]) + 10 == Decimal(str(equity["worth"][-1]))


async def test_an_analysis_is_computed_once_until_something_changes(desk: Desk) -> None:
    ada = await desk.trader()
    await ada.trade("buy", 10, 4)
    before = await desk.harness.value(COMPUTED, report="report")
    for _ in range(3):
        await ada.get("/analytics")
    assert await desk.harness.value(COMPUTED, report="report") == before + 1
    await ada.trade("buy", 1, 5)
    await ada.get("/analytics")
    assert await desk.harness.value(COMPUTED, report="report") == before + 2


async def test_whoever_has_imported_a_file_finds_the_report_made(desk: Desk) -> None:
    ada = await desk.trader()
    before = await desk.harness.value(COMPUTED, report="report")
    await ada.upload(generic_csv(made_up(50)))

    async def made() -> bool:
        await desk.harness.clock.advance(1)
        return await desk.harness.value(COMPUTED, report="report") == before + 1

    await desk.harness.eventually(made)
    assert (await ada.get("/analytics"))["trades"] == 50
    assert await desk.harness.value(COMPUTED, report="report") == before + 1


async def test_prices_and_rates_value_what_is_held(desk: Desk) -> None:
    ada = await desk.trader(base="EUR")
    await ada.trade("buy", 10, 100, currency="USD")
    held = await ada.get("/portfolio")
    (holding,) = held["holdings"]
    assert (holding["priced_by"], holding["value"], holding["unrealised"]) == ("trade", "1000", "0")
    assert (held["complete"], held["value"], holding["base_value"], holding["weight"]) == (False, None, None, None)
    assert len(held["notes"]) == 1 and "USD" in held["notes"][0]
    assert await ada.put("/rates", "date,currency,rate\n2025-01-01,USD,0.9\n", base="EUR") == {"kept": 1}
    assert await ada.put("/prices", "date,close\n2025-01-07,110\n", symbol="ACME", currency="USD") == {"kept": 1}
    held = await ada.get("/portfolio")
    assert (held["value"], held["unrealised"], held["complete"], held["notes"]) == ("990", "90", True, [])
    assert (held["holdings"][0]["price"], held["holdings"][0]["priced_by"]) == ("110", "close")
    assert (await ada.get("/prices"))[0]["days"] == 1
    assert await ada.get("/prices/acme") == [{"day": "2025-01-07", "close": "110", "currency": "USD"}]
    answer = await ada.ask("PUT", "/prices", content=b"a,b\n1,2\n", headers={"content-type": "text/csv"})
    assert answer.status_code == 422 and "a, b" in answer.json()["detail"]


async def test_without_a_rate_nothing_is_said_rather_than_nothing_made(desk: Desk) -> None:
    ada = await desk.trader()
    for day in range(6, 16):
        await ada.trade("buy" if day % 2 else "sell", 1, 100 + day, at=f"2025-01-{day:02}T15:00:00Z")
    assert (await ada.ask("PATCH", "/me", json={"base": "EUR"})).status_code == 200
    report = await ada.get("/analytics")
    ReportOut.model_validate(report)
    assert report["complete"] is False and report["outcomes"]["trades"] == 5
    told = {name: value for name, value in report["outcomes"].items() if name not in ("trades", "days_held")}
    assert set(told.values()) == {None}
    assert {report["profit"][name] for name in ("total", "realised", "fees")} == {None, "0"}  # none is no fee
    assert set(report["returns"].values()) == {None, "implied"}
    assert {report["risk"][name] for name in ("sharpe", "volatility", "max_drawdown")} == {None}
    (note,) = (note for note in report["notes"] if "rate" in note)
    assert note.startswith("No exchange rate to EUR is known for USD from 2025-01-06 to 2025-01-15.")
    series = await ada.get("/analytics/equity")
    EquityOut.model_validate(series)
    assert series["complete"] is False and set(series["worth"]) == {None}


@pytest.mark.parametrize("base", ["XXX", "XTS", "XAU", "DEM", "ABC", "EURO"])
async def test_totals_are_in_a_currency_that_is_in_use(desk: Desk, base: str) -> None:
    ada = await desk.trader()
    answer = await ada.ask("PATCH", "/me", json={"base": base})
    assert answer.status_code == 422 and answer.json()["errors"][0]["pointer"] == "#/base"
    assert (await ada.get("/me"))["base"] == "USD"
    new = {"email": "new@example.org", "password": "four words in a row", "base": base}
    assert (await desk.browser().ask("POST", "/sign-up", json=new)).status_code == 422


TRADE = {"kind": "buy", "at": "2025-01-06T15:00:00Z", "symbol": "ACME", "price": "1"}
MAPPED = {"csv": "at,symbol\n", "mapping": {"columns": {"at": "At"}}}
FORGED = base64.urlsafe_b64encode(b"1,a\0").decode(), base64.urlsafe_b64encode(b"9" * 30 + b",a").decode()


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/journal", {"text": "a\0b"}), ("POST", "/journal", {"text": "a", "trade_id": "\0"}),
        ("PATCH", "/journal/x", {"text": "a\0b"}), ("POST", "/trades", {**TRADE, "symbol": "A\0"}),
        ("POST", "/trades", {**TRADE, "note": "\0"}), ("POST", "/trades", {**TRADE, "account": "\0"}),
        ("POST", "/trades", {**TRADE, "broker_id": "\0"}), ("PATCH", "/trades/x", {"note": "\0"}),
        ("PATCH", "/me", {"name": "\0"}), ("POST", "/imports", {**MAPPED, "csv": "a\0"}),
        ("POST", "/imports", {**MAPPED, "mapping": {"columns": {"at": ["a\0"]}}}),
        ("POST", "/imports?name=%00", MAPPED), ("POST", "/imports?account=a%00", MAPPED),
        ("GET", "/trades?symbol=%00", None), ("GET", "/trades?tag=a%00", None), ("GET", "/journal?tag=%00", None),
        ("GET", "/journal?trade_id=%00", None), ("GET", "/trades/%00", None), ("DELETE", "/trades/a%00b", None),
        ("GET", "/imports/%00", None), ("DELETE", "/imports/%00", None), ("GET", "/journal/%00", None),
        ("GET", "/prices/%00", None), ("PUT", "/prices?symbol=%00", "date,close\n2025-01-06,1\n"),
        ("PUT", "/prices", "date,symbol,close\n2025-01-06,A\0,1\n"), ("PUT", "/rates", "date,USD\0\n2025-01-06,1\n"),
        ("GET", f"/trades?cursor={FORGED[0]}", None), ("GET", f"/journal?cursor={FORGED[1]}", None),
    ],
)  # fmt: skip
async def test_what_no_database_keeps_is_refused_in_words(desk: Desk, method: str, path: str, body: Any) -> None:
    ada = await desk.trader()
    sent: dict[str, Any] = {"content": body.encode()} if isinstance(body, str) else {"json": body} if body else {}
    answer = await ada.ask(method, path, **sent)
    assert answer.status_code == 422, answer.text
    assert any(words in answer.text for words in ("U+0000", "The cursor is none", "The file is no CSV text"))
    assert "\0" not in answer.text and "\\u0000" not in answer.text


async def test_files_have_no_such_character_anywhere(desk: Desk) -> None:
    ada = await desk.trader()
    file = generic_csv(made_up(200))
    for body in (f"{file}2025-01-06,buy,A\0,1,1,0,USD,,\n".encode(), f"{file}\0".encode("utf-16")):
        answer = await ada.upload(body)
        assert answer.status_code == 422 and "Line 202 holds the character U+0000" in answer.json()["detail"]
    assert (await ada.get("/trades"))["items"] == []


async def test_whoever_changes_the_method_gets_other_numbers(desk: Desk) -> None:
    ada = await desk.trader()
    for day, (kind, price) in enumerate([("buy", 10), ("buy", 12), ("sell", 15)]):
        await ada.trade(kind, 10, price, at=f"2025-01-0{day + 6}T15:00:00Z")
    assert (await ada.get("/analytics"))["profit"]["realised"] == "50"
    answer = await ada.ask("PATCH", "/me", json={"method": "lifo", "zone": "America/New_York", "capital": "1000"})
    assert answer.json()["method"] == "lifo"
    report = await ada.get("/analytics")
    assert (report["profit"]["realised"], report["returns"]["funding"]) == ("30", "stated")
    assert (await ada.ask("PATCH", "/me", json={"zone": "Mars"})).status_code == 422


async def test_analyses_are_what_the_apis_description_says(desk: Desk) -> None:
    ada = await desk.trader()
    await ada.upload(generic_csv(made_up(60)))
    for path, model in (("/analytics", ReportOut), ("/analytics/equity", EquityOut), ("/portfolio", PortfolioOut)):
        model.model_validate(await ada.get(path))
    described = (await desk.harness.client.get("/openapi.json")).json()
    assert {"ReportOut", "EquityOut", "PortfolioOut", "TradeOut", "ImportOut"} <= set(
        described["components"]["schemas"]
    )


async def test_the_journal_is_written_and_mended(desk: Desk) -> None:
    ada = await desk.trader()
    note = await ada.post("/journal", {"text": "calm day", "tags": ["Mood"]})
    answer = await ada.ask("PATCH", f"/journal/{note['id']}", json={"text": "wild day"})
    assert (answer.json()["text"], answer.json()["tags"]) == ("wild day", ["mood"])
    assert [one["text"] for one in (await ada.get("/journal", params={"tag": "mood"}))["items"]] == ["wild day"]
    assert (await ada.ask("DELETE", f"/journal/{note['id']}")).status_code == 204
    assert (await ada.get("/journal"))["items"] == []


async def test_it_says_what_is_here_and_monitoring_is_beside_it(desk: Desk) -> None:
    client = desk.harness.client
    assert (await client.get("/")).json()["service"] == "tradesense"
    assert (await client.get("/health")).json()["status"] == "healthy"
    checks = [check for one in desk.harness.service.components if one.spec.kind == "trade_records"
              for check in one.spec.checks]  # fmt: skip
    assert len(checks) == 6
    for check in checks:
        answer = await desk.browser().client.get(check.path)
        assert answer.status_code == check.expect, check.name
        assert all(text in answer.text for text in check.contains), check.name
    for path in ("health", "health/detailed", "metrics", "traces", "errors", "dashboard"):
        assert (await client.get(f"/api/v1/monitoring/{path}")).status_code == 200, path
