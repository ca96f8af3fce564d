"""Signing up, in and out, and what somebody who has no business here can find out."""

from __future__ import annotations

import pytest

from tradesense.components.accounts import judge_password, normal_email

from .conftest import PASSWORD, Desk, desk_of

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_whoever_signs_up_is_signed_in_and_can_come_back(desk: Desk) -> None:
    ada = await desk.trader(name="Ada", base="eur")
    assert (ada.me["name"], ada.me["base"], ada.me["method"]) == ("Ada", "EUR", "fifo")
    assert await ada.get("/me") == ada.me
    await ada.post("/sign-out")
    assert (await ada.ask("GET", "/me")).status_code == 401
    again = desk.browser(ada.email.upper())
    assert (await again.sign_in()).json() == ada.me


async def test_a_session_from_before_signing_in_is_worth_nothing_after(desk: Desk) -> None:
    ada = await desk.trader()
    before = dict(ada.client.cookies)
    await ada.sign_in()
    assert dict(ada.client.cookies) != before
    thief = desk.browser()
    thief.client.cookies.update(before)
    assert (await thief.ask("GET", "/me")).status_code == 401


async def test_signing_out_everywhere_reaches_every_device(desk: Desk) -> None:
    phone = await desk.trader()
    laptop = desk.browser(phone.email, **{"user-agent": "Laptop"})
    await laptop.sign_in(label="laptop")
    listed = await laptop.get("/sessions")
    assert [(one["label"], one["agent"], one["current"]) for one in listed if one["label"]] == [
        ("laptop", "Laptop", True)
    ]
    assert len(listed) == 2
    assert await laptop.post("/sign-out-everywhere?but_here=true") == {"ended": 1}
    assert (await phone.ask("GET", "/me")).status_code == 401
    assert (await laptop.ask("GET", "/me")).status_code == 200
    assert await laptop.post("/sign-out-everywhere") == {"ended": 1}
    assert (await laptop.ask("GET", "/me")).status_code == 401


async def test_one_device_can_be_signed_out_by_its_owner_alone(desk: Desk) -> None:
    ada, eve = await desk.trader(), await desk.trader()
    tablet = desk.browser(ada.email)
    await tablet.sign_in(label="tablet")
    (id,) = [one["id"] for one in await ada.get("/sessions") if not one["current"]]
    assert (await eve.ask("DELETE", f"/sessions/{id}")).status_code == 404
    assert (await tablet.ask("GET", "/me")).status_code == 200
    assert (await ada.ask("DELETE", f"/sessions/{id}")).status_code == 204
    assert (await tablet.ask("GET", "/me")).status_code == 401


async def test_another_password_signs_out_all_other_devices(desk: Desk) -> None:
    ada = await desk.trader()
    other = desk.browser(ada.email)
    await other.sign_in()
    wrong = await ada.ask("POST", "/me/password", json={"old": "not that", "new": "some other words"})
    assert wrong.status_code == 401
    await ada.post("/me/password", {"old": PASSWORD, "new": "some other words"})
    assert (await ada.ask("GET", "/me")).status_code == 200
    assert (await other.ask("GET", "/me")).status_code == 401
    assert (await other.sign_in()).status_code == 401


@pytest.mark.parametrize(
    "path", ["/me", "/trades", "/imports", "/journal", "/analytics", "/portfolio", "/sessions", "/prices"]
)
async def test_nobody_gets_nothing(desk: Desk, path: str) -> None:
    answer = await desk.browser().ask("GET", path)
    assert answer.status_code == 401
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("password", ["short", "aaaaaaaaaaaa", "password123", "x" * 201])
async def test_a_password_that_is_guessed_easily_is_refused(desk: Desk, password: str) -> None:
    answer = await desk.browser().ask("POST", "/sign-up", json={"email": "weak@example.org", "password": password})
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["pointer"] == "#/password"
    assert password not in answer.text


async def test_an_address_in_the_password_is_refused_and_addresses_are_compared_in_one_form() -> None:
    with pytest.raises(ValueError):
        judge_password("adalovelace-1", "adalovelace@example.org")
    judge_password("seven copper kettles", "eve@example.org")
    assert normal_email("  Ada@Example.ORG ") == "ada@example.org"
    for wrong in ("ada", "ada@", "@example.org", "a b@example.org", "a@-example.org", "a@b..org"):
        with pytest.raises(ValueError):
            normal_email(wrong)


async def test_who_has_an_account_is_not_told_by_signing_in(desk: Desk) -> None:
    ada = await desk.trader()
    wrong = await desk.browser(ada.email).ask("POST", "/sign-in", json={"email": ada.email, "password": "wrong"})
    nobody = await desk.browser().ask("POST", "/sign-in", json={"email": "nobody@example.org", "password": "wrong"})
    documents = []
    for answer in (wrong, nobody):
        assert answer.status_code == 401
        documents.append({name: value for name, value in answer.json().items() if name != "request_id"})
    assert documents[0] == documents[1]


async def test_the_same_work_is_done_whether_or_not_there_is_an_account() -> None:
    async with desk_of(sign_in_by_address="1000/minute", sign_in_by_account="1000/minute") as desk:
        ada = await desk.trader()
        hashes = "tradesense_password_hash_duration_seconds_count"
        browser = desk.browser()
        await browser.ask("POST", "/sign-in", json={"email": "first@example.org", "password": "wrong"})
        work = []
        for email in (ada.email, "nobody@example.org"):
            before = await desk.harness.value(hashes)
            for _ in range(3):
                await browser.ask("POST", "/sign-in", json={"email": email, "password": "wrong"})
            work.append(await desk.harness.value(hashes) - before)
        assert work == [3, 3]


async def test_an_account_is_tried_in_vain_only_so_often_and_a_success_costs_nothing() -> None:
    async with desk_of(sign_in_by_account="3/hour", sign_in_by_address="1000/minute") as desk:
        ada = await desk.trader()
        browser = desk.browser(ada.email)
        for _ in range(6):
            assert (await browser.sign_in()).status_code == 200
        attempts = [
            (await desk.browser().ask("POST", "/sign-in", json={"email": ada.email, "password": "wrong"})).status_code
            for _ in range(5)
        ]
        assert attempts == [401, 401, 401, 429, 429]
        limited = await browser.sign_in()
        assert limited.status_code == 429 and int(limited.headers["retry-after"]) > 0
        ghost = [
            (await desk.browser().ask("POST", "/sign-in", json={"email": "ghost@example.org", "password": "wrong"}))
            for _ in range(4)
        ]
        assert [answer.status_code for answer in ghost] == [401, 401, 401, 429]
        assert (await ada.ask("GET", "/me")).status_code == 200
        assert await desk.harness.value("tradesense_sign_ins_total", outcome="limited") == 4


async def test_a_network_address_tries_and_opens_only_so_often() -> None:
    async with desk_of(sign_in_by_address="2/minute", sign_up_by_address="2/hour") as desk:
        for _ in range(2):
            await desk.trader()
        refused = await desk.browser().ask("POST", "/sign-up", json={"email": "c@example.org", "password": PASSWORD})
        assert refused.status_code == 429
        codes = [
            (
                await desk.browser().ask("POST", "/sign-in", json={"email": f"{n}@example.org", "password": "x"})
            ).status_code
            for n in range(3)
        ]
        assert codes == [401, 401, 429]


async def test_an_address_has_one_account(desk: Desk) -> None:
    ada = await desk.trader()
    answer = await desk.browser().ask("POST", "/sign-up", json={"email": ada.email, "password": PASSWORD})
    assert answer.status_code == 409


@pytest.mark.parametrize("body", [None, b"", b"null", b"{}"])
async def test_who_closes_his_account_without_a_password_is_told_that_it_is_missing(
    desk: Desk, body: bytes | None
) -> None:
    ada = await desk.trader()
    headers = {"content-type": "application/json"} if body else {}
    answer = await ada.ask("DELETE", "/me", content=body, headers=headers)
    assert answer.status_code == 422
    (error,) = answer.json()["errors"]
    assert (error["in"], error["pointer"]) == ("body", "#/password")
    assert body == b"{}" or "password is missing" in answer.json()["detail"]
    described = (await desk.harness.client.get("/openapi.json")).json()["paths"]["/api/v1/me"]["delete"]["requestBody"]
    assert described["required"] is True and "Proof" in str(described["content"])


async def test_no_answer_names_a_path_that_is_elsewhere_where_the_service_is_mounted(desk: Desk) -> None:
    ada = await desk.trader()
    answer = await ada.ask("DELETE", "/sessions/none")
    assert answer.status_code == 404 and "session" in answer.json()["detail"]
    assert "/api/" not in answer.json()["detail"]


async def test_an_account_goes_with_everything_once_that_is_confirmed(desk: Desk) -> None:
    ada, bob = await desk.trader(), await desk.trader()
    await ada.trade("buy", 1, 5)
    await bob.trade("buy", 1, 5)
    assert (await ada.ask("DELETE", "/me", json={"password": "wrong"})).status_code == 401
    asked = await ada.ask("DELETE", "/me", json={"password": PASSWORD})
    assert asked.status_code == 202 and asked.json()["payload"]["trades"] == 1
    path = asked.headers["location"].removeprefix("/api/v1")
    assert (await bob.ask("POST", f"{path}/confirm")).status_code == 404
    assert (await ada.get("/me"))["email"] == ada.email
    await ada.post(f"{path}/confirm")

    async def gone() -> bool:
        await desk.harness.clock.advance(1)
        return (await ada.ask("GET", "/me")).status_code == 401

    await desk.harness.eventually(gone)
    assert (await ada.sign_in()).status_code == 401
    assert len((await bob.get("/trades"))["items"]) == 1


async def test_all_trades_go_once_that_is_confirmed_and_stay_when_it_is_not(desk: Desk) -> None:
    ada = await desk.trader()
    await ada.trade("buy", 1, 5)
    kept = await ada.ask("DELETE", "/trades")
    await ada.post(kept.headers["location"].removeprefix("/api/v1") + "/reject")
    asked = await ada.ask("DELETE", "/trades")
    assert [one["id"] for one in (await ada.get("/confirmations"))["items"]] == [asked.json()["id"]]
    assert len((await ada.get("/trades"))["items"]) == 1
    await ada.post(asked.headers["location"].removeprefix("/api/v1") + "/confirm")

    async def gone() -> bool:
        await desk.harness.clock.advance(1)
        return not (await ada.get("/trades"))["items"]

    await desk.harness.eventually(gone)
    assert (await ada.get("/analytics"))["trades"] == 0


async def test_an_import_is_undone_with_its_trades_alone(desk: Desk) -> None:
    ada = await desk.trader()
    await ada.trade("buy", 1, 5)
    file = (await ada.upload("Date,Side,Symbol,Quantity,Price\n2025-01-06,buy,BOLT,1,7\n")).json()
    assert (await ada.ask("DELETE", "/imports/nothing")).status_code == 404
    asked = await ada.ask("DELETE", f"/imports/{file['id']}")
    await ada.post(asked.headers["location"].removeprefix("/api/v1") + "/confirm")

    async def gone() -> bool:
        await desk.harness.clock.advance(1)
        return [one["symbol"] for one in (await ada.get("/trades"))["items"]] == ["ACME"]

    await desk.harness.eventually(gone)
    assert (await ada.get("/imports"))["items"] == []


async def test_a_trade_that_is_posted_twice_with_one_key_is_entered_once(desk: Desk) -> None:
    ada = await desk.trader()
    given = {"kind": "buy", "symbol": "ACME", "quantity": "1", "price": "5", "at": "2025-01-06T15:00:00Z"}
    headers = {"Idempotency-Key": "abc-1"}
    first = await ada.ask("POST", "/trades", json=given, headers=headers)
    again = await ada.ask("POST", "/trades", json=given, headers=headers)
    assert first.status_code == again.status_code == 201
    assert first.json() == again.json()
    assert again.headers["idempotency-replayed"] == "true"
    assert (await ada.ask("POST", "/trades", json={**given, "price": "6"}, headers=headers)).status_code == 422
    assert len((await ada.get("/trades"))["items"]) == 1
