"""Asking before doing, over HTTP."""

from __future__ import annotations

from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI, Request
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.responses import Response

from bedplate.service import Process, Service
from bedplate.state.confirmations import Confirmations, accepted, confirmation_routes
from bedplate.state.memory.component import Memory
from bedplate.testing import Harness, running, settings


class Transfer(BaseModel):
    to: str
    amount: Decimal


async def who(request: Request) -> str:
    user = request.headers.get("x-user")
    if not user:
        raise HTTPException(401)
    return user


@pytest.fixture
async def harness() -> AsyncIterator[Harness]:
    transfers = Confirmations(Memory(), Transfer)
    app = FastAPI()

    @app.post("/transfers")
    async def transfer(wanted: Transfer, request: Request) -> Response:
        return accepted(transfers, await transfers.create(await who(request), wanted))

    app.routes.extend(confirmation_routes(transfers, who))
    async with running(Service("bank", app, [transfers], settings=settings())) as harness:
        yield harness


async def ask(harness: Harness, user: str = "ann") -> str:
    answer = await harness.client.post("/transfers", json={"to": "b", "amount": "9.90"}, headers={"x-user": user})
    assert answer.status_code == 202, answer.text
    assert answer.json()["status"] == "pending" and answer.headers["cache-control"] == "no-store"
    return str(answer.headers["location"])


async def post(harness: Harness, path: str, user: str = "ann", body: Any = None) -> httpx2.Response:
    return await harness.client.post(path, json=body, headers={"x-user": user})


async def test_it_is_asked_before_it_is_done_and_decided_once(harness: Harness) -> None:
    place = await ask(harness)
    mine = (await harness.client.get("/confirmations", headers={"x-user": "ann"})).json()
    assert mine["count"] == 1 and mine["items"][0]["payload"] == {"to": "b", "amount": "9.90"}

    first, again = await post(harness, f"{place}/confirm"), await post(harness, f"{place}/confirm")
    assert first.status_code == again.status_code == 200 and first.json() == again.json()
    assert first.json()["status"] == "confirmed" and first.json()["decidedBy"] == "ann"

    otherwise = await post(harness, f"{place}/reject")
    assert otherwise.status_code == 409 and otherwise.headers["content-type"] == "application/problem+json"
    assert otherwise.json()["decision"] == "confirmed" and otherwise.json()["decidedAt"] == first.json()["decidedAt"]
    assert (await harness.client.get("/confirmations", headers={"x-user": "ann"})).json()["count"] == 0
    assert (await harness.client.get(place, headers={"x-user": "ann"})).json() == first.json()


async def test_nobody_sees_or_decides_what_others_were_asked(harness: Harness) -> None:
    place = await ask(harness)
    for way in ("confirm", "reject", "correct"):
        assert (await post(harness, f"{place}/{way}", "eve", {"to": "eve", "amount": 1})).status_code == 404
    assert (await harness.client.get(place, headers={"x-user": "eve"})).status_code == 404
    assert (await harness.client.get(place)).status_code == 401
    assert (await post(harness, "/confirmations/unknown/confirm")).status_code == 404
    assert (await harness.client.get(place, headers={"x-user": "ann"})).json()["status"] == "pending"


async def test_what_is_right_instead_is_judged_like_what_was_asked(harness: Harness) -> None:
    place = await ask(harness)
    wrong = await post(harness, f"{place}/correct", body={"to": "c", "amount": "a lot"})
    assert wrong.status_code == 422 and wrong.json()["errors"][0]["pointer"] == "#/amount"
    assert "a lot" not in wrong.text
    large = await post(harness, f"{place}/correct", body={"to": "c" * 100_000, "amount": 1})
    assert large.status_code == 413
    right = await post(harness, f"{place}/correct", body={"to": "c", "amount": "1.00"})
    assert right.json()["correction"] == {"to": "c", "amount": "1.00"}


async def test_where_it_is_decided_is_said_as_the_client_sees_it_when_the_service_is_mounted() -> None:
    transfers = Confirmations(Memory(), Transfer)
    app = FastAPI()

    @app.post("/transfers")
    async def transfer(wanted: Transfer, request: Request) -> Response:
        return accepted(transfers, await transfers.create(await who(request), wanted))

    app.routes.extend(confirmation_routes(transfers, who))
    other = Service("other", None, [], settings=settings())
    process = Process([Service("bank", app, [transfers], settings=settings()), other])
    transport = httpx2.ASGITransport(app=process)
    async with process.services[0].running(), httpx2.AsyncClient(transport=transport, base_url="http://x") as client:
        answer = await client.post("/bank/transfers", json={"to": "b", "amount": "1"}, headers={"x-user": "ann"})
        assert answer.status_code == 202, answer.text
        assert answer.headers["location"].startswith("/bank/confirmations/")
        found = await client.get(answer.headers["location"], headers={"x-user": "ann"})
        assert found.status_code == 200
