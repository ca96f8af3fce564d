"""CSV files in and out: good rows are kept, bad ones told by line, and nothing is added twice."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from bedplate.database import DatabaseUnavailableError
from ledger.chart import CHART
from ledger.money import minor, shown
from ledger.reading import BadFile, read

from .conftest import Office

pytestmark = pytest.mark.asyncio(loop_scope="module")

ACCOUNTS = {account.code: account for account in CHART} | {"4900": CHART[8]._replace(closed=True)}
HEADER = "day,kind,account,amount,currency,counterparty,reference\n"
FILE = (
    HEADER
    + "2025-11-01,revenue,4000,1200.00,EUR,ACME,INV-1\n"
    + "2025-11-02,expense,5000,200.50,,,\n"
    + "2025-11-02,expense,5000,200.50,,,\n"
    + "\n"
    + "yesterday,expense,5000,1.00,,,\n"
    + '2025-11-03,revenue,4000,"1,000.00",USD,"Bolt, Ltd",INV-2\n'
)


async def test_a_file_is_imported_and_again_it_adds_nothing(office: Office) -> None:
    ada = await office.bookkeeper()
    first = (await ada.upload(FILE)).json()
    assert (first["added"], first["known"], first["faulty"]) == (4, 0, 1)
    assert first["told"][0] | {"what": "", "mend": ""} == {"line": 6, "column": "day", "what": "", "mend": ""}
    assert await ada.bank() == "799.00"
    again = (await ada.upload(FILE)).json()
    assert (again["added"], again["known"], again["faulty"]) == (0, 4, 1)
    # Mended, only the line that was bad is new; a third of two equal rows is a third transaction.
    mended = FILE.replace("yesterday", "2025-11-04") + "2025-11-02,expense,5000,200.50,,,\n"
    third = (await ada.upload(mended)).json()
    assert (third["added"], third["known"], third["faulty"]) == (2, 4, 0)
    clash = (await ada.upload(HEADER + "2025-11-01,revenue,4000,1.00,EUR,ACME,INV-1\n")).json()
    assert (clash["added"], clash["faulty"], clash["told"][0]["column"]) == (0, 1, "reference")
    listed = (await ada.get("/imports", params={"limit": 3}))["items"]
    assert [one["added"] for one in listed] == [0, 2, 0]


async def test_files_at_the_same_time_add_each_row_once(office: Office) -> None:
    ada = await office.bookkeeper()
    done = [answer.json() for answer in await asyncio.gather(*(ada.upload(FILE) for _ in range(4)))]
    assert sum(one["added"] for one in done) == 4
    assert await ada.bank() == "799.00"


async def test_what_is_exported_can_be_imported_elsewhere(office: Office) -> None:
    ada, bob = await office.bookkeeper(), await office.bookkeeper()
    await ada.upload(FILE)
    await ada.earn("5.00", memo="=HYPERLINK(1)")
    for path in ("revenue", "expenses"):
        answer = await ada.ask("GET", f"/exports/{path}.csv")
        assert answer.headers["content-type"].startswith("text/csv")
        assert "attachment" in answer.headers["content-disposition"]
        imported = (await bob.upload(answer.text)).json()
        assert imported["faulty"] == 0 and imported["added"] >= 2
    assert await bob.bank() == await ada.bank()
    rows = (await ada.ask("GET", "/exports/revenue.csv")).text.splitlines()
    assert len(rows) == 4 and "'=HYPERLINK" in rows[3]
    some = (await ada.ask("GET", "/exports/revenue.csv", params={"since": "2025-11-02"})).text.splitlines()
    assert len(some) == 3


async def test_a_large_export_comes_in_portions(office: Office) -> None:
    ada = await office.bookkeeper()
    rows = "".join(f"2025-{number % 12 + 1:02d}-05,revenue,4000,{number + 1}.00,,,\n" for number in range(700))
    assert (await ada.upload(HEADER + rows)).json()["added"] == 700
    lines = (await ada.ask("GET", "/exports/revenue.csv")).text.splitlines()
    assert len(lines) == 701 and len(set(lines)) == 701
    assert [line[:10] for line in lines[1:]] == sorted(line[:10] for line in lines[1:])


@pytest.mark.parametrize(
    ("body", "what"),
    [
        (b"date,what\n", "names no column day, kind, account, amount"),
        (b"day,kind,account,amount,colour\n", "not known: colour"),
        (b"day,kind,account,amount,day\n", "a column twice"),
        (b"\xff\xfe", "is no UTF-8"),
        (b'day,kind,account,amount\n1,2,3,"4\n', "is no CSV"),
        (b"   ", "empty"),
    ],
)
async def test_a_file_that_is_none_is_refused_in_words(office: Office, body: bytes, what: str) -> None:
    ada = await office.bookkeeper()
    answer = await ada.upload(body)
    assert answer.status_code == 422 and what in answer.json()["detail"]


@pytest.mark.parametrize(
    ("row", "column"),
    [
        ("2025-13-01,revenue,4000,1.00", "day"),
        ("2025-11-01,sale,4000,1.00", "kind"),
        ("2025-11-01,revenue,5000,1.00", "account"),
        ("2025-11-01,revenue,4900,1.00", "account"),
        ("2025-11-01,revenue,4000,-1.00", "amount"),
        ("2025-11-01,revenue,4000,1.005", "amount"),
        ("2025-11-01,revenue,4000,", "amount"),
        ("2025-11-01,revenue,4000,1.00,euros", "currency"),
        ("1950-01-01,revenue,4000,1.00", "day"),
        ("2025-11-01", "kind"),
    ],
)
async def test_a_bad_row_is_told_by_its_column(row: str, column: str) -> None:
    reading = read(HEADER + row + "\n2025-11-01,revenue,4000,1.00\n", ACCOUNTS, "EUR", 100)
    assert [(fault.line, fault.column) for fault in reading.faults] == [(2, column)]
    assert reading.lines == [3] and all(fault.what and fault.mend for fault in reading.faults)


async def test_a_file_with_too_many_rows_is_refused_before_it_is_read() -> None:
    with pytest.raises(BadFile, match="more than 2 rows"):
        read(HEADER + "x\n" * 9, ACCOUNTS, "EUR", 2)
    with pytest.raises(BadFile, match="more than 2 rows"):
        read(HEADER + "2025-11-01,revenue,4000,1.00\n" * 3, ACCOUNTS, "EUR", 2)
    semicolons = HEADER.replace(",", ";") + "2025-11-01;revenue;4000;1.00;;;\n"
    assert len(read("\ufeff" + semicolons, ACCOUNTS, "EUR", 2).entries) == 1


async def test_an_import_that_fails_on_our_side_posts_nothing_and_is_counted(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    ada = await office.bookkeeper()
    failed = await office.harness.value('ledger_imports_total{outcome="failed"}')

    async def away(*arguments: Any, **options: Any) -> None:
        raise DatabaseUnavailableError("The database is away.")

    with monkeypatch.context() as patched:
        patched.setattr(office.books.database, "run", away)
        answer = await ada.upload(FILE)
        assert answer.status_code == 503 and answer.headers["retry-after"]
    assert await office.harness.value('ledger_imports_total{outcome="failed"}') == failed + 1
    assert await ada.bank() == "0.00"


@pytest.mark.parametrize(
    ("text", "currency", "units"),
    [("12.34", "EUR", 1234), ("-0.05", "EUR", -5), ("1,234", "JPY", 1234), ("1.5", "KWD", 1500), ("+7", "USD", 700)],
)
async def test_money_comes_back_as_it_was_put_in(text: str, currency: str, units: int) -> None:
    assert minor(text, currency) == units
    assert minor(shown(units, currency), currency) == units
