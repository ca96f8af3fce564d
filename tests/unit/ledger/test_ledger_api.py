"""Over HTTP: organisations, tokens, accounts, posting, lists and reports."""

from __future__ import annotations

from typing import Any

import pytest

from .conftest import Bookkeeper, Office, office_of

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_a_sale_and_a_purchase_are_in_every_report(office: Office) -> None:
    ada = await office.bookkeeper()
    await ada.earn("1200.50", counterparty="ACME", reference="INV-1")
    await ada.spend("200.25", day="2025-10-31")
    assert await ada.bank() == "1000.25"
    trial = await ada.get("/trial-balance")
    assert trial["balanced"] and trial["currencies"]["EUR"] == {
        "debit": "1200.50", "credit": "1200.50", "difference": "0.00",
    }  # fmt: skip
    both = {"revenue": "1200.50", "expenses": "200.25", "profit": "1000.25"}
    assert (await ada.get("/summary"))["currencies"]["EUR"] == both
    assert (await ada.get("/summary", params={"since": "2025-11-01", "until": "2025-11-30"}))["currencies"] == {
        "EUR": {"revenue": "1200.50", "expenses": "0.00", "profit": "1200.50"}
    }
    monthly = await ada.get("/reports/monthly/2025-10")
    assert monthly["currencies"]["EUR"]["profit"] == "-200.25"
    assert [(one["account"], one["balances"]) for one in monthly["closing"]] == [("1000", {"EUR": "-200.25"})]
    assert (await ada.get("/reports/monthly"))["month"] == "2025-11"
    yearly = await ada.get("/reports/yearly/2025")
    assert yearly["currencies"]["EUR"] == both
    assert [one["month"] for one in yearly["months"]] == ["2025-10", "2025-11"]
    # What is cached is dropped by the next posting.
    await ada.earn("0.75")
    assert await ada.bank() == "1001.00"
    assert (await ada.get("/reports/yearly/2025"))["currencies"]["EUR"]["revenue"] == "1201.25"


async def test_currencies_are_kept_apart_and_have_their_own_digits(office: Office) -> None:
    ada = await office.bookkeeper(currency="JPY")
    await ada.earn("1500")
    await ada.earn("12.345", currency="KWD")
    bank = next(one for one in (await ada.get("/balances"))["accounts"] if one["account"] == "1000")
    assert bank["balances"] == {"JPY": "1500", "KWD": "12.345"}
    answer = await ada.ask("POST", "/revenue", json={"day": "2025-11-03", "account": "4000", "amount": "1.5"})
    assert answer.status_code == 422 and "digits after the point that JPY has" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("given", "where", "what"),
    [
        ({"amount": "-5"}, "#/amount", "not positive"),
        ({"amount": "five"}, "#/amount", "is no amount"),
        ({"amount": "1e3"}, "#/amount", "is no amount"),
        ({"amount": "99999999999999"}, "#/amount", "is no amount"),
        ({"account": "5000"}, "#/account", "of kind expense"),
        ({"account": "8888"}, "#/account", "There is no account"),
        ({"against": "4100"}, "#/against", "assets or liabilities"),
        ({"day": "1969-12-31"}, "#/day", "out of range"),
    ],
)
async def test_what_cannot_be_posted_is_said_where_it_is(
    office: Office, given: dict[str, Any], where: str, what: str
) -> None:
    ada = await office.bookkeeper()
    answer = await ada.ask("POST", "/revenue", json={"day": "2025-11-03", "account": "4000", "amount": "1.00", **given})
    assert answer.status_code == 422 and answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["errors"][0]["pointer"] == where and what in answer.json()["detail"]
    assert await ada.bank() == "0.00"


async def test_sent_again_it_is_posted_once(office: Office) -> None:
    ada = await office.bookkeeper()
    sale = {"day": "2025-11-03", "account": "4000", "amount": "10.00", "reference": "INV-1"}
    first = await ada.ask("POST", "/revenue", json=sale)
    again = await ada.ask("POST", "/revenue", json=sale)
    assert (first.status_code, again.status_code) == (201, 200)
    assert again.json() == {"id": first.json()["id"], "outcome": "known"}
    other = await ada.ask("POST", "/revenue", json={**sale, "amount": "11.00"})
    assert other.status_code == 409 and other.json()["id"] == first.json()["id"]
    key = {"Idempotency-Key": "a-key-of-one-request"}
    unnamed = {**sale, "reference": ""}
    answers = [await ada.ask("POST", "/revenue", json=unnamed, headers=key) for _ in range(2)]
    assert answers[0].json() == answers[1].json()
    assert answers[1].headers["idempotency-replayed"] == "true"
    assert await ada.bank() == "20.00"
    # Another organisation's references are its own.
    bob = await office.bookkeeper()
    assert (await bob.ask("POST", "/revenue", json={**sale, "amount": "11.00"})).status_code == 201


async def test_a_batch_is_answered_in_order_and_refused_as_a_whole(office: Office) -> None:
    ada = await office.bookkeeper()
    items = [
        {"kind": "revenue", "day": "2025-11-03", "account": "4000", "amount": "5.00", "reference": "a"},
        {"kind": "expense", "day": "2025-11-04", "account": "5000", "amount": "2.00", "reference": "b"},
    ]
    first = await ada.post("/batch", {"transactions": items})
    assert (first["added"], first["known"], len(first["ids"])) == (2, 0, 2)
    again = await ada.post("/batch", {"transactions": [*items[::-1], {**items[0], "reference": "c"}]})
    assert (again["added"], again["known"]) == (1, 2)
    assert again["ids"][:2] == first["ids"][::-1]
    bad = await ada.ask("POST", "/batch", json={"transactions": [items[0], {**items[1], "account": "4000"}]})
    assert bad.status_code == 422 and bad.json()["errors"][0]["pointer"] == "#/transactions/1/account"
    wrong = await ada.ask("POST", "/batch", json={"transactions": [{**items[0], "amount": 5}]})
    assert wrong.status_code == 422 and "#/transactions/0/amount" in wrong.text
    assert (await ada.ask("POST", "/batch", json={"transactions": [items[0]] * 1001})).status_code == 422
    assert await ada.bank() == "8.00"


async def test_the_journal_takes_any_entry_that_balances_and_takes_it_back(office: Office) -> None:
    ada = await office.bookkeeper()
    lines = [
        {"account": "1500", "debit": "800.00"},
        {"account": "5900", "debit": "200.00"},
        {"account": "2000", "credit": "1000.00"},
    ]
    made = await ada.post("/journal", {"day": "2025-11-03", "lines": lines, "memo": "A machine"})
    shown = await ada.get(f"/journal/{made['id']}")
    assert [(one["account"], one["debit"], one["credit"]) for one in shown["lines"]] == [
        ("1500", "800.00", None), ("5900", "200.00", None), ("2000", None, "1000.00"),
    ]  # fmt: skip
    back = await ada.post(f"/journal/{made['id']}/reverse", {"day": "2025-11-05"})
    assert (await ada.get(f"/journal/{made['id']}"))["reversed_by"] == back["id"]
    assert (await ada.get(f"/journal/{back['id']}"))["reverses"] == made["id"]
    again = await ada.ask("POST", f"/journal/{made['id']}/reverse")
    assert again.status_code == 409 and again.json()["id"] == back["id"]
    assert all(not any(float(v) for v in one["balances"].values()) for one in (await ada.get("/balances"))["accounts"])
    uneven = {"day": "2025-11-03", "lines": [lines[0], {"account": "2000", "credit": "799.99"}]}
    answer = await ada.ask("POST", "/journal", json=uneven)
    assert answer.status_code == 422 and "differ by 1 minor unit" in answer.json()["detail"]
    both = {"day": "2025-11-03", "lines": [{"account": "1000", "debit": "1", "credit": "1"}, lines[2]]}
    assert (await ada.ask("POST", "/journal", json=both)).status_code == 422
    assert (await ada.ask("GET", "/journal/4611686018427387904")).status_code == 404
    bob = await office.bookkeeper()
    assert (await bob.ask("GET", f"/journal/{made['id']}")).status_code == 404
    assert (await bob.ask("POST", f"/journal/{made['id']}/reverse")).status_code == 404


async def test_a_sale_that_is_taken_back_is_listed_as_such(office: Office) -> None:
    ada = await office.bookkeeper()
    sale = await ada.earn("10.00", counterparty="ACME")
    back = await ada.post(f"/journal/{sale['id']}/reverse")
    listed = (await ada.get("/revenue"))["items"]
    assert [(one["id"], one["amount"], one["reverses"]) for one in listed] == [
        (back["id"], "-10.00", sale["id"]), (sale["id"], "10.00", None),
    ]  # fmt: skip
    assert await ada.bank() == "0.00"


async def test_pages_miss_nothing_and_show_nothing_twice_while_others_write(office: Office) -> None:
    ada = await office.bookkeeper()
    items = [
        {"kind": "revenue", "day": f"2025-11-{number % 5 + 1:02d}", "account": "4000", "amount": "1.00"}
        for number in range(23)
    ]
    ids = (await ada.post("/batch", {"transactions": items}))["ids"]
    for path in ("/revenue", "/journal", "/accounts/1000/lines"):
        seen: list[int] = []
        cursor: str | None = ""
        while cursor is not None:
            page = await ada.get(path, params={"limit": 4, "cursor": cursor})
            seen += [one.get("entry", one.get("id")) for one in page["items"]]
            cursor = page["next"]
            await ada.earn("9.00", day="2025-12-31")
        assert [one for one in seen if one in ids] == [one for one in dict.fromkeys(seen) if one in ids]
        assert set(ids) <= set(seen)
    assert {
        one["day"]
        for one in (await ada.get("/revenue", params={"since": "2025-11-02", "until": "2025-11-02"}))["items"]
    } == {"2025-11-02"}
    assert (await ada.get("/revenue", params={"account": "4100"}))["items"] == []
    for cursor in ("x", "AAAA", "MjAyNQ", "MjAyNS0xMS0wMSwtMQ"):
        assert (await ada.ask("GET", "/revenue", params={"cursor": cursor})).status_code == 422


async def test_an_account_with_several_lines_of_one_entry_is_paged_by_entries(office: Office) -> None:
    ada = await office.bookkeeper()
    one = [
        {"account": "1000", "debit": "1.00"},
        {"account": "1000", "debit": "2.00"},
        {"account": "2000", "credit": "3.00"},
    ]
    for _ in range(3):
        await ada.post("/journal", {"day": "2025-11-03", "lines": one})
    seen: list[tuple[int, str]] = []
    cursor: str | None = ""
    while cursor is not None:
        page = await ada.get("/accounts/1000/lines", params={"limit": 1, "cursor": cursor})
        seen += [(row["entry"], row["amount"]) for row in page["items"]]
        cursor = page["next"]
    assert len(seen) == len(set(seen)) == 6


async def test_accounts_are_opened_renamed_and_closed(office: Office) -> None:
    ada = await office.bookkeeper()
    assert len(await ada.get("/accounts")) == 14
    made = await ada.post("/accounts", {"code": "4200", "name": "Licences", "kind": "revenue"})
    assert made == {"code": "4200", "name": "Licences", "kind": "revenue", "closed": False}
    assert (await ada.ask("POST", "/accounts", json=made | {"closed": None})).status_code == 422
    again = await ada.ask("POST", "/accounts", json={"code": "4200", "name": "x", "kind": "asset"})
    assert again.status_code == 409
    await ada.earn("3.00", account="4200")
    closed = await ada.ask("PATCH", "/accounts/4200", json={"closed": True, "name": "Old licences"})
    assert closed.json()["closed"] is True
    answer = await ada.ask("POST", "/revenue", json={"day": "2025-11-03", "account": "4200", "amount": "1"})
    assert answer.status_code == 422 and "is closed" in answer.json()["detail"]
    assert (await ada.ask("PATCH", "/accounts/nope", json={"closed": True})).status_code == 404
    assert (await ada.ask("GET", "/accounts/nope/lines")).status_code == 404


async def test_tokens_open_one_organisation_and_only_what_their_role_may(office: Office) -> None:
    ada, bob = await office.bookkeeper(), await office.bookkeeper()
    await ada.earn("5.00")
    reader = await ada.post("/tokens", {"role": "read", "label": "accountant"})
    assert await ada.get("/organization", token=reader["token"]) == await ada.get("/organization")
    refused = await ada.ask(
        "POST", "/revenue", token=reader["token"], json={"day": "2025-11-03", "account": "4000", "amount": "1"}
    )
    assert refused.status_code == 403
    assert (await ada.ask("POST", "/tokens", token=reader["token"], json={})).status_code == 403
    listed = await ada.get("/tokens")
    assert {one["label"] for one in listed} == {"first", "accountant"}
    assert all(one["token"] is None and one["id"] in (ada.token + reader["token"]) for one in listed)
    assert (await bob.ask("DELETE", f"/tokens/{reader['id']}")).status_code == 404
    assert (await ada.ask("DELETE", f"/tokens/{reader['id']}")).status_code == 204
    assert (await ada.ask("DELETE", f"/tokens/{reader['id']}")).status_code == 404
    assert (await ada.ask("GET", "/balances", token=reader["token"])).status_code == 401
    assert await bob.bank() == "0.00"
    id, _, secret = ada.token.removeprefix("lgr_").partition("_")
    for token in ("", "x", "lgr_x_y", f"lgr_{id}_{secret[:-1]}x", f"lgr_{'0' * 16}_{secret}", f"lgr_{id}"):
        answer = await ada.client.get("/api/v1/balances", headers={"authorization": f"Bearer {token}"})
        assert answer.status_code == 401 and answer.headers["www-authenticate"].startswith("Bearer")
    async with office.books.database.connect() as connection:
        kept = (await connection.exec_driver_sql("SELECT * FROM ledger_tokens")).all()
    assert kept and secret not in str(kept) and reader["token"][22:] not in str(kept)


async def test_text_that_no_database_keeps_is_refused(office: Office) -> None:
    ada = await office.bookkeeper()
    for path, more in (("/revenue", {"memo": "a\0b"}), ("/revenue", {"reference": "\0"})):
        given = {"day": "2025-11-03", "account": "4000", "amount": "1", **more}
        assert (await ada.ask("POST", path, json=given)).status_code == 422
    assert (await ada.ask("GET", "/revenue?account=%00")).status_code == 422


async def test_the_rehearsal_tells_what_came_of_it(office: Office) -> None:
    async def told() -> bool:
        return '"at"' in (await office.client.get("/rehearsal")).text

    await office.harness.eventually(told)
    found = (await office.client.get("/rehearsal")).json()
    assert found["posted"] and found["readBack"] and found["balanced"] and found["fault"] is None


async def test_the_cache_tells_of_itself(office: Office) -> None:
    answer = await office.harness.client.get("/cache/stats")
    stats = answer.json()["redisStats"]
    assert (stats["type"], stats["available"]) == ("memory", True)
    assert stats["memoryEntries"] >= 1
    unified = (await office.harness.client.get("/monitoring/unified/metrics")).json()
    assert unified["books"]["trialBalanceDifference"] == 0


async def test_only_who_has_the_admin_token_opens_organisations() -> None:
    async with office_of(admin_token="a-secret-of-the-operators") as office:
        given = {"name": "Anybody"}
        assert (await office.client.post("/api/v1/organizations", json=given)).status_code == 401
        headers = {"authorization": "Bearer a-secret-of-the-operators"}
        made = await office.client.post("/api/v1/organizations", json=given, headers=headers)
        assert made.status_code == 201
        keeper = Bookkeeper(office.client, made.json()["token"], made.json()["id"])
        assert (await keeper.get("/organization"))["name"] == "Anybody"
        assert (
            await office.client.post(
                "/api/v1/organizations", json=given, headers={"authorization": f"Bearer {keeper.token}"}
            )
        ).status_code == 401
