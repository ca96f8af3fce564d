"""What goes wrong only beside others, at the edges of what may be asked for, or after an answer was lost."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from sqlalchemy import select

from bedplate.database import DatabaseUnavailableError, OutcomeUnknownError
from ledger.numbers import Numbers, span
from ledger.scope import WrongOrganization
from ledger.tables import ACCOUNTS

from .conftest import Office

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_numbers_suffice_for_who_waits_for_a_block_while_another_takes_of_the_last(office: Office) -> None:
    numbers = Numbers(office.books.database)
    await numbers.take(500)
    # 500 are left, so one block of 1,000 is enough for 1,500: unless somebody takes one meanwhile.
    many, one = await asyncio.gather(numbers.take(1_500), numbers.take(1))
    assert len({*many, *one}) == 1_501


async def test_organisations_that_are_opened_at_once_have_numbers_of_their_own(office: Office) -> None:
    async def opened(count: int, times: int) -> list[int]:
        async with office.books.database.begin() as connection:
            return [number for _ in range(times) for number in await span(connection, "organizations", count)]

    found = await asyncio.gather(opened(1, 40), opened(1, 40), opened(1, 40), opened(7, 20))
    assert len({number for some in found for number in some}) == sum(map(len, found))


@pytest.mark.parametrize("query", ["until=9999-12-31", "since=9999-12-15&until=9999-12-20", "until=0001-01-01"])
async def test_the_first_and_the_last_day_that_there_are_can_be_asked_for(office: Office, query: str) -> None:
    keeper = await office.bookkeeper()
    assert (await keeper.get(f"/summary?{query}"))["accounts"] == []


async def test_a_report_tells_of_what_was_posted_although_the_answer_was_lost(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    keeper = await office.bookkeeper()
    assert await keeper.bank() == "0.00"
    run = office.books.database.run

    async def lost(work: Any, **options: Any) -> Any:
        await run(work, **options)
        raise OutcomeUnknownError("The database went away during the commit.", "Look whether it is there.")

    sale = {"day": "2025-11-03", "account": "4000", "amount": "5.00", "reference": "INV-1"}
    with monkeypatch.context() as patch:
        patch.setattr(office.books.database, "run", lost)
        assert (await keeper.ask("POST", "/revenue", json=sale)).status_code == 503
    assert await keeper.bank() == "5.00"


@pytest.mark.parametrize("path", ["/revenue", "/batch", "/journal"])
async def test_with_a_key_alone_it_is_posted_once_although_the_answer_was_lost(
    office: Office, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    keeper = await office.bookkeeper()
    run = office.books.database.run

    async def lost(work: Any, **options: Any) -> Any:
        await run(work, **options)
        raise OutcomeUnknownError("The database went away during the commit.", "Look whether it is there.")

    sale = {"day": "2025-11-03", "account": "4000", "amount": "5.00"}
    lines = [{"account": "1000", "debit": "10.00"}, {"account": "4000", "credit": "10.00"}]
    bodies: dict[str, Any] = {
        "/revenue": sale | {"amount": "10.00"},
        "/batch": {"transactions": [sale | {"kind": "revenue"}] * 2},
        "/journal": {"day": "2025-11-03", "lines": lines},
    }
    options: dict[str, Any] = {"json": bodies[path], "headers": {"idempotency-key": "5a8c1c3e-ac2f-4d56-8f3b"}}
    with monkeypatch.context() as patch:
        patch.setattr(office.books.database, "run", lost)
        assert (await keeper.ask("POST", path, **options)).status_code == 503
    assert (await keeper.ask("POST", path, **options)).status_code == 200
    assert await keeper.bank() == "10.00"
    # Another token's key is another one, and without a key there is nothing that tells two sales apart.
    other = (await keeper.post("/tokens", {"role": "write"}))["token"]
    assert (await keeper.ask("POST", path, token=other, **options)).is_success
    assert await keeper.bank() == "20.00"


async def test_a_report_tells_of_what_was_posted_by_who_died_before_saying_so(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    keeper = await office.bookkeeper()
    assert await keeper.bank() == "0.00"

    async def died(organization: int) -> None:
        """Drop nothing."""

    sale = {"day": "2025-11-03", "account": "4000", "amount": "5.00", "reference": "INV-1"}
    with monkeypatch.context() as patch:
        patch.setattr(office.books, "changed", died)
        await keeper.post("/revenue", sale)
    assert (await keeper.post("/revenue", sale))["outcome"] == "known"
    assert await keeper.bank() == "5.00"


async def test_an_account_can_be_posted_to_although_the_answer_to_its_opening_was_lost(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    keeper = await office.bookkeeper()
    assert len(await keeper.get("/accounts")) == 14
    begin = office.books.database.begin

    @asynccontextmanager
    async def lost(**options: Any) -> AsyncIterator[Any]:
        async with begin(**options) as connection:
            yield connection
        raise OutcomeUnknownError("The database went away during the commit.", "Look whether it is there.")

    account = {"code": "4200", "name": "Fees", "kind": "revenue"}
    with monkeypatch.context() as patch:
        patch.setattr(office.books.database, "begin", lost)
        assert (await keeper.ask("POST", "/accounts", json=account)).status_code == 503
    assert (await keeper.ask("POST", "/accounts", json=account)).status_code == 409
    await keeper.post("/revenue", {"day": "2025-11-03", "account": "4200", "amount": "5.00"})


async def test_the_journal_lists_what_is_taken_back_as_such(office: Office) -> None:
    keeper = await office.bookkeeper()
    sale = await keeper.earn("5.00")
    back = await keeper.post(f"/journal/{sale['id']}/reverse")
    listed = {one["id"]: one["reversed_by"] for one in (await keeper.get("/journal"))["items"]}
    assert listed == {sale["id"]: back["id"], back["id"]: None}


async def test_what_is_exported_adds_nothing_when_it_is_imported_again(office: Office) -> None:
    keeper = await office.bookkeeper()
    texts = ("-1", "+49 30 1234", "=A1", "@home", "'=A1", "''-1", "'tis", " surrounded ", "plain")
    for text in texts:
        await keeper.earn("5.00", counterparty=text, memo=text, reference=text)
        await keeper.earn("7.00", counterparty=text, memo=text)
    exported = (await keeper.ask("GET", "/exports/revenue.csv")).text
    done = (await keeper.upload(exported)).json()
    assert (done["added"], done["known"], done["faulty"]) == (0, 2 * len(texts), 0), done["told"]
    assert await keeper.bank() == "108.00"


async def test_who_reads_an_export_slowly_holds_no_connection_meanwhile(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    held: list[Any] = []
    opened = office.books.reading

    @asynccontextmanager
    async def reading(organization: int, **options: Any) -> AsyncIterator[Any]:
        async with opened(organization, **options) as scope:
            held.append(scope)
            yield scope
        held.remove(scope)

    monkeypatch.setattr(office.books, "reading", reading)
    keeper = await office.bookkeeper()
    rows = "".join(f"2025-11-{number % 28 + 1:02d},revenue,4000,1.00\n" for number in range(600))
    assert (await keeper.upload(f"day,kind,account,amount\n{rows}")).json()["added"] == 600
    begun, go_on, body = asyncio.Event(), asyncio.Event(), bytearray()

    async def receive() -> dict[str, Any]:
        await asyncio.Event().wait()
        return {}

    async def send(message: Any) -> None:
        body.extend(message.get("body", b""))
        if body.count(b"\n") > 1 and not begun.is_set():
            begun.set()
            await go_on.wait()

    scope = {
        "type": "http", "asgi": {"version": "3.0", "spec_version": "2.4"}, "http_version": "1.1", "method": "GET",
        "scheme": "http", "path": "/api/v1/exports/revenue.csv", "raw_path": b"/api/v1/exports/revenue.csv",
        "query_string": b"", "root_path": "", "client": ("127.0.0.1", 1), "server": ("localhost", 80),
        "headers": [(b"host", b"localhost"), (b"authorization", f"Bearer {keeper.token}".encode())], "state": {},
    }  # fmt: skip
    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        group.create_task(office.harness.service(scope, receive, send))  # type: ignore[arg-type]
        await begun.wait()
        holding = len(held)
        go_on.set()
    assert holding == 0
    lines = body.decode().splitlines()
    assert len(lines) == 601 and len(set(lines)) == 601


async def test_an_exported_row_that_was_changed_is_not_taken_for_the_one_that_it_was(office: Office) -> None:
    keeper = await office.bookkeeper()
    await keeper.earn("5.00")
    exported = (await keeper.ask("GET", "/exports/revenue.csv")).text
    done = (await keeper.upload(exported.replace("5.00", "6.00"))).json()
    assert (done["added"], done["known"], done["faulty"]) == (0, 0, 1)
    assert await keeper.bank() == "5.00"


@pytest.mark.parametrize("declared", [True, False])
async def test_nobody_has_the_service_take_in_more_than_a_request_can_need(office: Office, declared: bool) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(64):
            yield b" " * 65_536

    content: Any = b" " * 64 * 65_536 if declared else chunks()
    headers = {"content-type": "application/json"}
    answer = await office.client.post("/api/v1/revenue", content=content, headers=headers)
    assert answer.status_code == 413
    assert answer.headers["content-type"] == "application/problem+json"


async def test_a_batch_may_be_large(office: Office) -> None:
    keeper = await office.bookkeeper()
    sale = {"kind": "revenue", "day": "2025-11-03", "account": "4000", "amount": "1.00", "memo": "x" * 500}
    assert (await keeper.post("/batch", {"transactions": [sale] * 1_000}))["added"] == 1_000


async def test_nobody_gets_the_name_under_which_the_service_rehearses(office: Office) -> None:
    for name in ("Smoke test", " Smoke test "):
        answer = await office.client.post("/api/v1/organizations", json={"name": name})
        assert answer.status_code == 422


async def test_the_same_table_under_another_name_or_within_a_query_is_refused(office: Office) -> None:
    another = ACCOUNTS.alias()
    codes = select(ACCOUNTS.c.code)
    async with office.books.writing(await office.organization()) as scope:
        for statement in (
            select(another.c.code),
            codes.where(ACCOUNTS.c.code.in_(codes)),
            select(codes.subquery().c.code),
            ACCOUNTS.update().where(ACCOUNTS.c.code.in_(codes)).values(closed=True),
            ACCOUNTS.delete().where(ACCOUNTS.c.code.in_(codes)),
        ):
            with pytest.raises(WrongOrganization):
                await scope.execute(statement)


async def test_a_revoked_token_gets_no_answer_of_before_either(office: Office) -> None:
    keeper = await office.bookkeeper()
    made = await keeper.post("/tokens", {"role": "write"})
    options: dict[str, Any] = {
        "json": {"day": "2025-11-03", "account": "4000", "amount": "5.00"},
        "headers": {"idempotency-key": "5a8c1c3e-ac2f-4d56-8f3b"},
        "token": made["token"],
    }
    first = await keeper.ask("POST", "/revenue", **options)
    again = await keeper.ask("POST", "/revenue", **options)
    assert (first.status_code, again.headers["idempotency-replayed"]) == (201, "true")
    assert (await keeper.ask("DELETE", f"/tokens/{made['id']}")).is_success
    answer = await keeper.ask("POST", "/revenue", **options)
    assert answer.status_code == 401 and answer.headers["www-authenticate"] and "id" not in answer.json()
    assert await keeper.bank() == "5.00"


async def test_whoever_has_no_token_hears_that_before_anything_of_a_key(office: Office) -> None:
    keeper = await office.bookkeeper()
    reader = (await keeper.post("/tokens", {"role": "read"}))["token"]
    for key in ("short", '"unclosed', "8e03978e-40d5-43dd-bc93-6894a57f9324"):
        headers = {"idempotency-key": key}
        assert (await office.client.post("/api/v1/revenue", headers=headers, json={})).status_code == 401
        answer = await keeper.ask("POST", "/revenue", token=reader, headers=headers, json={})
        assert answer.status_code == 403


async def test_while_the_books_are_away_a_request_with_a_key_is_told_so(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    keeper = await office.bookkeeper()
    other = (await keeper.post("/tokens", {"role": "write"}))["token"]

    def away() -> Any:
        raise DatabaseUnavailableError("The database is away.")

    headers = {"idempotency-key": "8e03978e-40d5-43dd-bc93-6894a57f9324"}
    with monkeypatch.context() as patch:
        patch.setattr(office.books.database, "connect", away)
        answer = await keeper.ask("POST", "/revenue", token=other, headers=headers, json={})
        assert answer.status_code == 503 and answer.headers["retry-after"]
        assert answer.headers["content-type"] == "application/problem+json"
