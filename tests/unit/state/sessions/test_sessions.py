"""Sessions as the users of a service meet them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal

import pytest

from bedplate import BedplateError
from bedplate.state.sessions import Session
from tests.linked import snapshot


@dataclass
class Order:
    total: Decimal
    day: date


async def test_a_user_signs_in_is_known_and_signs_out(one) -> None:
    async with one.browser() as browser:
        assert (await browser.get("/me")).status_code == 401
        assert (await browser.post("/sign-in/ada")).status_code == 200
        answer = await browser.get("/me")
        assert answer.json()["user"] == "ada"
        assert answer.headers["vary"] == "Cookie"
        assert (await browser.post("/sign-out")).status_code == 200
        assert not browser.cookies
        assert (await browser.get("/me")).status_code == 401


async def test_the_cookie_is_safe_by_default(one) -> None:
    async with one.browser() as browser:
        answer = await browser.post("/sign-in/ada")
    name, _, rest = answer.headers["set-cookie"].partition("=")
    value, *attributes = rest.split("; ")
    assert name == "__Host-shop-session"
    assert set(attributes) == {"Path=/", "HttpOnly", "SameSite=Lax", "Secure"}
    assert re.fullmatch(r"[\w-]{22}\.[\w-]{43}", value)  # 43 letters are 256 bits
    assert answer.headers["cache-control"] == "no-store"


async def test_over_plain_http_there_is_a_cookie_in_development_that_is_not_secure(one) -> None:
    async with one.browser(base_url="http://localhost") as browser:
        answer = await browser.post("/sign-in/ada")
        assert answer.headers["set-cookie"].startswith("shop-session=")
        assert "Secure" not in answer.headers["set-cookie"]
        assert (await browser.get("/me")).status_code == 200


async def test_neither_the_cookie_nor_the_user_can_be_told_from_keys(one, world) -> None:
    async with one.browser() as browser:
        await browser.post("/sign-in/ada")
        token = browser.cookies["__Host-shop-session"]
    data, _ = await snapshot(world.store)
    dump = repr(data)
    tag, secret = token.split(".")
    assert tag in dump
    assert secret not in dump
    assert not any("ada" in key for key in data)


async def test_a_record_that_somebody_wrote_into_the_store_signs_nobody_in_without_the_secret(world) -> None:
    mine, theirs = (
        await world.instance(),
        await world.instance(secret="another one, which the thief made up"),
    )
    token, _ = await theirs.sessions.open("ada")
    assert await mine.sessions.find(token) is None
    assert await theirs.sessions.find(token) is not None


async def test_values_are_kept_between_requests_and_typed(one) -> None:
    async with one.browser() as browser:
        await browser.put("/values/cart", json={"items": [1, 2], "total": "12.50"})
        assert (await browser.get("/anybody")).json() == {
            "user": None,
            "values": {"cart": {"items": [1, 2], "total": "12.50"}},
        }
        await browser.delete("/values/cart")
        assert (await browser.get("/anybody")).json()["values"] == {}


async def test_types_come_back(one) -> None:
    token, session = await one.sessions.open("ada")
    session["order"] = Order(Decimal("0.10"), date(2026, 11, 27))
    session["at"] = datetime(2026, 11, 27, 13, tzinfo=UTC)
    await session.save()
    found = await one.sessions.find(token)
    assert found.get("order", type=Order) == Order(Decimal("0.10"), date(2026, 11, 27))
    assert found.get("at", type=datetime) == datetime(2026, 11, 27, 13, tzinfo=UTC)
    assert found.get("nothing", type=Order) is None
    assert found.get("nothing", 7) == 7


async def test_a_session_that_was_not_read_says_so(one) -> None:
    with pytest.raises(BedplateError, match="has not been read"):
        Session(one.sessions)["cart"]


async def test_what_is_too_large_is_refused(one) -> None:
    async with one.browser() as browser:
        assert (await browser.put("/values/cart", json="x" * 20_000)).status_code == 500
        assert (await browser.get("/anybody")).json()["values"] == {}


async def test_an_unread_session_asks_nothing_of_the_store_and_an_unchanged_one_writes_nothing(one) -> None:
    async with one.browser() as browser:
        await browser.post("/sign-in/ada")
        one.link.asked.clear()
        await browser.get("/public")
        assert one.link.asked == []
        await browser.get("/me")
        assert one.link.asked == ["sessions_probe", "sessions_load"]
        for _ in range(3):
            await browser.get("/me")
        assert one.link.asked == ["sessions_probe", "sessions_load"]  # held near
        await browser.put("/values/a", json=1)
        one.link.asked.clear()
        await browser.put("/values/a", json=1)
        assert "sessions_save" not in one.link.asked  # it is what it was


async def test_a_change_inside_a_value_is_saved(one) -> None:
    token, session = await one.sessions.open("ada")
    session["cart"] = {"items": []}
    await session.save()
    found = await one.sessions.find(token)
    found["cart"]["items"].append(7)
    await found.save()
    assert (await one.sessions.find(token))["cart"] == {"items": [7]}


async def test_signing_in_changes_the_cookie_so_that_a_planted_one_is_worth_nothing(one) -> None:
    async with one.browser() as thief, one.browser() as victim:
        await thief.put("/values/cart", json=[1])
        planted = thief.cookies["__Host-shop-session"]
        await victim.post("/sign-in/ada", headers={"cookie": f"__Host-shop-session={planted}"})
        assert (await victim.get("/me")).json() == {"user": "ada", "values": {"cart": [1]}, "known": False}
        assert (await thief.get("/anybody")).json() == {"user": None, "values": {}}


async def test_signing_in_again_ends_the_session_before(one) -> None:
    async with one.browser() as browser:
        await browser.post("/sign-in/ada")
        first = browser.cookies["__Host-shop-session"]
        await browser.post("/sign-in/ada")
        assert await one.sessions.find(first) is None
        assert len(await one.sessions.list("ada")) == 1


async def test_rotating_makes_the_old_cookie_void_and_keeps_everything_else(one) -> None:
    async with one.browser() as browser:
        await browser.post("/sign-in/ada")
        await browser.put("/values/a", json=1)
        old = browser.cookies["__Host-shop-session"]
        assert (await browser.post("/rotate")).status_code == 200
        assert browser.cookies["__Host-shop-session"] != old
        assert await one.sessions.find(old) is None
        assert (await browser.get("/me")).json()["values"] == {"a": 1}


async def test_garbage_in_the_cookie_is_nobody_and_asks_nothing(one) -> None:
    for garbage in ("", ".", "a.b", "x" * 66, "é" * 22 + "." + "a" * 43, "a" * 22 + "." + "*" * 43):
        async with one.browser(headers={"cookie": f"__Host-shop-session={garbage}".encode()}) as browser:
            one.link.asked.clear()
            assert (await browser.get("/anybody")).json()["user"] is None
            assert one.link.asked == []


async def test_an_unknown_cookie_is_taken_away(one) -> None:
    unknown = "a" * 22 + "." + "b" * 43
    async with one.browser(headers={"cookie": f"__Host-shop-session={unknown}"}) as browser:
        answer = await browser.get("/me")
        assert answer.status_code == 401
        assert "Max-Age=0" in answer.headers["set-cookie"]


async def test_a_session_ends_when_it_is_not_used_and_at_last_in_any_case(world) -> None:
    one = await world.instance(idle=10, longest=30)
    token, _ = await one.sessions.open("ada")
    await world.clock.advance(10.5)
    assert await one.sessions.find(token) is None

    async with one.browser() as browser:
        await browser.post("/sign-in/ada")
        for _ in range(4):
            await world.clock.advance(7)
            assert (await browser.get("/me")).status_code == 200
        await world.clock.advance(3)
        assert (await browser.get("/me")).status_code == 401


async def test_that_a_session_is_in_use_is_written_once_in_a_while(world) -> None:
    one = await world.instance(idle=50)
    async with one.browser() as browser:
        await browser.post("/sign-in/ada")
        one.link.asked.clear()
        for _ in range(12):
            await world.clock.advance(1)
            await browser.get("/me")
        assert one.link.asked.count("sessions_touch") == 2


async def test_a_user_has_so_many_sessions_and_the_one_used_longest_ago_makes_room(world) -> None:
    one = await world.instance(most=3)
    tokens = []
    for _ in range(5):
        token, _ = await one.sessions.open("ada")
        tokens.append(token)
        await world.clock.advance(1)
    good = [await one.sessions.find(token) is not None for token in tokens]
    assert good == [False, False, True, True, True]


async def test_the_sessions_of_a_user_are_listed_with_the_one_that_asks(one) -> None:
    async with one.browser(headers={"user-agent": "Firefox"}) as browser:
        await browser.post("/sign-in/ada")
        token, other = await one.sessions.open("ada", label="laptop")
        await one.sessions.open("bob")
        mine = await one.sessions.find(browser.cookies["__Host-shop-session"])
        found = await one.sessions.list("ada", current=mine)
    assert {(one.label, one.agent, one.current) for one in found} == {
        ("phone", "Firefox", True),
        ("laptop", "", False),
    }
    assert all(token not in repr(one) for one in found)
    assert other.id in {one.id for one in found}
    assert found[0].created == pytest.approx(1_700_000_000, abs=60)


async def test_a_session_is_ended_by_its_public_name_by_its_user_only(one) -> None:
    token, session = await one.sessions.open("ada")
    assert not await one.sessions.revoke(session.id, user="bob")
    assert not await one.sessions.revoke("nonsense")
    assert await one.sessions.find(token) is not None
    assert await one.sessions.revoke(session.id, user="ada")
    assert await one.sessions.find(token) is None
    assert not await one.sessions.revoke(session.id)


async def test_signing_out_everywhere_ends_all_sessions_and_a_new_one_is_good(one) -> None:
    tokens = [(await one.sessions.open("ada"))[0] for _ in range(4)]
    other, _ = await one.sessions.open("bob")
    assert await one.sessions.revoke_all("ada") == 4
    fresh, _ = await one.sessions.open("ada")  # within the same millisecond
    assert [await one.sessions.find(token) for token in tokens] == [None] * 4
    assert await one.sessions.find(other) is not None
    assert await one.sessions.find(fresh) is not None
    assert await one.sessions.revoke_all("ada") == 1
    assert await one.sessions.find(fresh) is None


async def test_signing_out_everywhere_else_leaves_this_one(one) -> None:
    async with one.browser() as browser:
        await browser.post("/sign-in/ada")
        token, _ = await one.sessions.open("ada")
        assert (await browser.post("/sign-out-everywhere?but_here=true")).json() == 1
        assert await one.sessions.find(token) is None
        assert (await browser.get("/me")).status_code == 200
        assert (await browser.post("/sign-out-everywhere")).json() == 1
        assert (await browser.get("/me")).status_code == 401


async def test_everybody_is_signed_out(one) -> None:
    token, _ = await one.sessions.open("ada")
    await one.sessions.revoke_everyone()
    fresh, _ = await one.sessions.open("ada")
    assert await one.sessions.find(token) is None
    assert await one.sessions.find(fresh) is not None
    assert len(await one.sessions.list("ada")) == 1


async def test_a_websocket_has_its_session(one) -> None:
    token, _ = await one.sessions.open("ada")
    sent: list[dict] = []

    async def receive() -> dict:
        return {"type": "websocket.connect"}

    async def send(message) -> None:
        sent.append(message)

    scope = {
        "type": "websocket",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        "scheme": "wss",
        "path": "/live",
        "raw_path": b"/live",
        "query_string": b"",
        "root_path": "",
        "headers": [(b"host", b"shop"), (b"cookie", f"__Host-shop-session={token}".encode())],
        "client": ("127.0.0.1", 1),
        "server": ("shop", 443),
        "subprotocols": [],
    }
    await one.harness.service(scope, receive, send)
    assert [message["type"] for message in sent] == ["websocket.accept", "websocket.send", "websocket.close"]
    assert sent[1]["text"] == "ada"
    assert (await one.sessions.find(token))["seen"] == 1
