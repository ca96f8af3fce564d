"""CSV files in and out: good rows are kept, bad ones told by line, and nothing is added twice."""

from __future__ import annotations

import asyncio
import gc
from contextlib import AsyncExitStack
from typing import Any

import pytest

from bedplate.database import DatabaseUnavailableError
from bedplate.state.locks import Locks
from ledger.chart import CHART
from ledger.components import Imports, filing
from ledger.entries import Entry
from ledger.money import minor, shown
from ledger.reading import BadFile, Reader, Reading
from ledger.records import imports
from ledger.records.posting import post
from ledger.scope import Scope

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


def read(text: str, most: int = 100) -> Reading:
    """Return what a whole file says."""
    return Reader(text, ACCOUNTS, "EUR", most).portion(1_000)


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


async def test_lines_may_end_as_old_spreadsheets_end_them(office: Office) -> None:
    ada = await office.bookkeeper()
    done = (await ada.upload(FILE.replace("\n", "\r"))).json()
    assert (done["added"], done["known"], done["faulty"]) == (4, 0, 1)
    assert (await ada.upload(FILE.replace("\n", "\r\n"))).json()["known"] == 4


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
    reading = read(HEADER + row + "\n2025-11-01,revenue,4000,1.00\n")
    assert [(fault.line, fault.column) for fault in reading.faults] == [(2, column)]
    assert reading.lines == [3] and all(fault.what and fault.mend for fault in reading.faults)


async def test_a_file_with_too_many_rows_is_refused_before_it_is_read() -> None:
    with pytest.raises(BadFile, match="more than 2 rows"):
        read(HEADER + "x\n" * 9, 2)
    with pytest.raises(BadFile, match="more than 2 rows"):
        read(HEADER + "2025-11-01,revenue,4000,1.00\n" * 3, 2)
    semicolons = HEADER.replace(",", ";") + "2025-11-01;revenue;4000;1.00;;;\n"
    assert len(read("\ufeff" + semicolons, 2).entries) == 1


async def test_revenue_that_was_taken_back_is_exported_and_imported_with_what_took_it_back(office: Office) -> None:
    ada, bob = await office.bookkeeper(), await office.bookkeeper()
    sold = await ada.earn("30.00", reference="INV-1", counterparty="ACME")
    other = await ada.earn("7.00")
    back = await ada.post(f"/journal/{sold['id']}/reverse", {"day": "2025-11-01", "memo": "=wrong"})
    again = await ada.post(f"/journal/{back['id']}/reverse", {"day": "2025-11-05"})
    await ada.post(f"/journal/{again['id']}/reverse", {"day": "2025-10-05"})
    await ada.post(f"/journal/{other['id']}/reverse")
    file = (await ada.ask("GET", "/exports/revenue.csv")).text
    assert len(file.splitlines()) == 7
    for keeper, added in ((ada, 0), (bob, 6), (bob, 0)):
        done = (await keeper.upload(file)).json()
        assert (done["added"], done["known"], done["told"]) == (added, 6 - added, [])
        assert await keeper.bank() == "0.00"
    # His own numbers tell what takes what back; and his file is known to her, whose it was.
    his = (await bob.ask("GET", "/exports/revenue.csv")).text
    assert (await ada.upload(his)).json()["known"] == 6
    rows = {row.split(",")[-2]: row.split(",")[-1] for row in his.splitlines()[1:]}
    assert all(other in rows for other in rows.values() if other) and len(set(rows.values()) - {""}) == 4
    shown = await bob.get(f"/journal/{next(other for other in rows.values() if other)}")
    assert shown["reversed_by"] is not None


async def test_what_takes_back_nothing_that_is_known_is_refused_in_words(office: Office) -> None:
    ada, bob = await office.bookkeeper(), await office.bookkeeper()
    sold = await ada.earn("30.00", reference="INV-1")
    await ada.post(f"/journal/{sold['id']}/reverse", {"day": "2025-11-20"})
    some = (await ada.ask("GET", "/exports/revenue.csv", params={"since": "2025-11-10"})).text
    # Hers it is, though the file has no more than the second half; to him it says nothing.
    assert (await ada.upload(some)).json()["known"] == 1
    (fault,) = (await bob.upload(some)).json()["told"]
    assert (fault["line"], fault["column"]) == (2, "reverses") and "neither in the file nor" in fault["what"]
    header = HEADER.replace("\n", ",id,reverses\n")
    file = header + (
        "2025-11-01,revenue,4000,5.00,EUR,ACME,A,1,\n"
        "2025-11-02,revenue,4000,-4.00,EUR,ACME,B,2,1\n"
        "2025-11-02,revenue,4000,0.00,EUR,ACME,C,3,1\n"
        "2025-11-02,revenue,4999,5.00,EUR,ACME,D,4,\n"
        "2025-11-02,revenue,4999,-5.00,EUR,ACME,E,5,4\n"
        "2025-11-03,revenue,4000,-5.00,EUR,ACME,F,6,one\n"
        "2025-11-03,revenue,4000,-5.00,EUR,ACME,G,7,1\n"
        "2025-11-04,revenue,4000,-5.00,EUR,ACME,H,8,1\n"
        "2025-11-04,revenue,4000,-5.00,EUR,ACME,I,9,10\n"
        "2025-11-04,revenue,4000,5.00,EUR,ACME,J,10,9\n"
    )
    done = (await bob.upload(file)).json()
    assert (done["added"], done["known"]) == (2, 0)
    told = [(fault["line"], fault["column"], fault["what"]) for fault in done["told"]]
    assert [line for line, _, _ in told] == [3, 4, 5, 6, 7, 9, 10, 11]
    for (_, column, what), said in zip(
        told,
        ["not its opposite", "not positive", "4999", "was not posted", "no number", "taken back already", "neither in",
         "neither in"], strict=True,
    ):  # fmt: skip
        assert said in what and column in ("reverses", "amount", "account")
    assert await bob.bank() == "0.00"


async def test_what_takes_back_a_row_that_could_not_be_posted_is_told_that_it_is_in_the_file(office: Office) -> None:
    ada = await office.bookkeeper()
    file = HEADER.replace("\n", ",id,reverses\n") + (
        "2025-11-01,revenue,4000,5.00,EUR,ACME,A,1,\n"
        "2025-11-02,revenue,4000,-4.00,EUR,ACME,B,2,1\n"
        "2025-11-03,revenue,4000,4.00,EUR,ACME,C,3,2\n"
        "2025-11-02,revenue,4999,-5.00,EUR,ACME,D,4,1\n"
        "2025-11-03,revenue,4000,5.00,EUR,ACME,E,5,4\n"
        "2025-11-04,revenue,4000,-5.00,EUR,ACME,F,6,5\n"
    )
    done = (await ada.upload(file)).json()
    assert (done["added"], [fault["line"] for fault in done["told"]]) == (1, [3, 4, 5, 6, 7])
    assert ["was not posted" in fault["what"] for fault in done["told"]] == [False, True, False, True, True]


async def test_of_a_long_file_only_portions_are_objects_at_once(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    ada = await office.bookkeeper()
    alive: list[int] = []

    async def counted(scope: Scope, *given: Any) -> Any:
        alive.append(sum(isinstance(one, Entry) for one in gc.get_objects()))
        return await post(scope, *given)

    rows = "".join(f"2025-11-05,revenue,4000,{number + 1}.00,,,\n" for number in range(1_500))
    with monkeypatch.context() as patch:
        patch.setattr(filing, "post", counted)
        assert (await ada.upload(HEADER + rows)).json()["added"] == 1_500
    # What is posted, what is read meanwhile, and what the last one has left.
    assert len(alive) >= 7 and max(alive) <= 3 * 200


async def test_files_beyond_those_that_may_wait_are_refused_before_they_are_read(office: Office) -> None:
    ada, bob = await office.bookkeeper(), await office.bookkeeper()
    importing, refused = office.component(Imports), 'ledger_imports_total{outcome="refused"}'
    before = await office.harness.value(refused)
    async with AsyncExitStack() as stack:
        for _ in range(importing.settings.each):
            await stack.enter_async_context(importing.place(ada.organization))
        answer = await ada.upload(FILE)
        assert answer.status_code == 429 and answer.headers["retry-after"] and "your files" in answer.json()["detail"]
        assert (await bob.upload(FILE)).status_code == 201
        for number in range(importing.settings.at_once + importing.settings.waiting - importing.settings.each):
            await stack.enter_async_context(importing.place(-number))
        answer = await bob.upload(FILE)
        assert answer.status_code == 503 and answer.headers["retry-after"]
    assert await office.harness.value(refused) == before + 2
    assert (await ada.upload(FILE)).status_code == 201


async def test_a_file_that_waits_too_long_for_another_one_is_refused_and_is_no_fault_of_ours(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    ada = await office.bookkeeper()
    counts = [f'ledger_imports_total{{outcome="{outcome}"}}' for outcome in ("refused", "failed")]
    before = [await office.harness.value(one) for one in counts]
    with monkeypatch.context() as patched:
        # The clock is driven, and nobody drives it here.
        patched.setattr("ledger.components.imports._PATIENCE", 0.0)
        async with office.component(Locks).hold(f"import:{ada.organization}"):
            # A task of its own, as each request has: locks tell tasks apart.
            assert (await asyncio.create_task(ada.upload(FILE))).status_code == 409
    assert [await office.harness.value(one) for one in counts] == [before[0] + 1, before[1]]
    assert (await ada.upload(FILE)).status_code == 201


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


async def test_nothing_of_a_file_is_posted_unless_its_import_is_told_of_as_well(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    ada = await office.bookkeeper()

    async def broken(*arguments: Any) -> None:
        raise RuntimeError

    with monkeypatch.context() as patched:
        patched.setattr(imports, "add", broken)
        assert (await ada.upload(FILE)).status_code == 500
    assert await ada.bank() == "0.00"
    assert (await ada.upload(FILE)).json()["added"] == 4


@pytest.mark.parametrize(
    ("text", "currency", "units"),
    [("12.34", "EUR", 1234), ("-0.05", "EUR", -5), ("1,234", "JPY", 1234), ("1.5", "KWD", 1500), ("+7", "USD", 700)],
)
async def test_money_comes_back_as_it_was_put_in(text: str, currency: str, units: int) -> None:
    assert minor(text, currency) == units
    assert minor(shown(units, currency), currency) == units
