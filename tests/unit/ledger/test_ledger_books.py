"""The books: whatever is posted, reversed and imported, they balance, and totals are the sums of their lines."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import delete, insert, select, update
from sqlalchemy.exc import DBAPIError

from ledger.chart import Account
from ledger.components import NoSuchEntry, Taken
from ledger.entries import BadEntry, Entry, Line, Transaction, transaction_entry
from ledger.records import totals
from ledger.records.posting import UnknownAccount
from ledger.tables import ENTRIES, LINES, MONTHS

from .conftest import Office

pytestmark = pytest.mark.asyncio(loop_scope="module")

DAY = date(2025, 11, 3)
CODES = ("1000", "1100", "2000", "4000", "5000")
DAYS = st.integers(0, 120).map(lambda more: date(2025, 8, 15) + timedelta(days=more))
AMOUNTS = st.integers(1, 10**12)
REFERENCES = st.sampled_from(["", "", "a", "b", "c"])


def sale(amount: int = 100, reference: str = "", day: date = DAY, currency: str = "EUR") -> Entry:
    return transaction_entry("revenue", day, Transaction("4000", "1000", amount, currency), reference=reference)


def entry(lines: list[tuple[str, int, str]], reference: str = "", day: date = DAY) -> Entry:
    return Entry("journal", day, tuple(Line(*line) for line in lines), reference)


@st.composite
def balanced(draw: st.DrawFn) -> Entry:
    """Draw an entry of several lines in two currencies."""
    lines: list[tuple[str, int, str]] = []
    for currency in draw(st.sampled_from([("EUR",), ("JPY",), ("EUR", "JPY")])):
        amounts = draw(st.lists(st.integers(-(10**9), 10**9).filter(bool), min_size=1, max_size=4))
        rest = -sum(amounts)
        lines += [(draw(st.sampled_from(CODES)), amount, currency) for amount in (*amounts, *([rest] if rest else ()))]
    if len(lines) < 2:
        lines += [("1000", 5, "EUR"), ("2000", -5, "EUR")]
    return entry(lines, draw(REFERENCES), draw(DAYS))


@st.composite
def traded(draw: st.DrawFn) -> Entry:
    kind: Any = draw(st.sampled_from(["revenue", "expense"]))
    done = Transaction(
        "4000" if kind == "revenue" else "5000", "1000", draw(AMOUNTS), draw(st.sampled_from(["EUR", "JPY"]))
    )
    return transaction_entry(kind, draw(DAYS), done, reference=draw(REFERENCES))


BATCHES = st.lists(st.one_of(balanced(), traded()), min_size=1, max_size=6)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("post"), BATCHES),
        st.tuples(st.just("import"), BATCHES),
        st.tuples(st.just("reverse"), st.integers(0, 30)),
    ),
    min_size=1,
    max_size=8,
)


@given(steps=STEPS, since=DAYS, until=DAYS)
@settings(max_examples=8)
async def test_whatever_is_posted_reversed_and_imported_balances(
    office: Office, steps: list[tuple[str, Any]], since: date, until: date
) -> None:
    organization = await office.organization()
    posted: dict[int, Entry] = {}
    references: dict[str, Entry] = {}
    reversed_ids: set[int] = set()
    for what, given_ in steps:
        if what == "reverse":
            if posted:
                id = sorted(posted)[given_ % len(posted)]
                if id in reversed_ids:
                    with pytest.raises(Taken):
                        await office.books.reverse(organization, id, None, "")
                else:
                    back = await office.books.reverse(organization, id, None, "")
                    reversed_ids.add(id)
                    posted[back.id] = posted[id].reversed(id, posted[id].day, "")
            continue
        fresh: dict[str, Entry] = {}
        clash = False
        for one in given_:
            known = references.get(one.reference) or fresh.get(one.reference)
            if one.reference and known is None:
                fresh[one.reference] = one
            clash |= bool(one.reference) and known is not None and known != one
        if clash and what == "post":
            with pytest.raises(Taken):
                await office.books.post(organization, given_, "batch")
            continue
        for one, done in zip(
            given_,
            await office.books.post(organization, given_, "import" if what == "import" else "batch"),
            strict=True,
        ):
            if done.outcome == "added":
                assert not one.reference or one.reference not in references
                posted[done.id] = one
                if one.reference:
                    references[one.reference] = one
            else:
                assert done.outcome == ("known" if references[one.reference] == one else "taken")
    async with office.books.database.connect() as connection:
        assert await totals.differences(connection, organization, organization) == []
    async with office.books.reading(organization) as scope:
        assert _sums(await totals.between(scope, None, None)) == _model(posted, date.min, date.max)
        assert _sums(await totals.between(scope, since, until)) == _model(posted, since, until)
        assert _sums(await totals.between(scope, None, until)) == _model(posted, date.min, until)
        accounts = [Account(code, "", "asset") for code in CODES[:2]]
        some = {key: sums for key, sums in _model(posted, since, date.max).items() if key[0] in CODES[:2]}
        assert _sums(await totals.between(scope, since, None, accounts)) == some


def _sums(found: dict[tuple[str, str], totals.Total]) -> dict[tuple[str, str], tuple[int, int]]:
    return {key: (total.debit, total.credit) for key, total in found.items()}


def _model(posted: dict[int, Entry], since: date, until: date) -> dict[tuple[str, str], tuple[int, int]]:
    sums: dict[tuple[str, str], list[int]] = defaultdict(lambda: [0, 0])
    for one in posted.values():
        if since <= one.day <= until:
            for line in one.lines:
                sums[line.account, line.currency][line.amount < 0] += abs(line.amount)
    return {key: (debit, credit) for key, (debit, credit) in sums.items()}


async def test_what_is_posted_at_the_same_time_with_one_reference_is_posted_once(office: Office) -> None:
    organization = await office.organization()
    outcomes = await asyncio.gather(*(office.books.post(organization, [sale(700, "once")]) for _ in range(12)))
    assert sorted(one.outcome for (one,) in outcomes) == ["added", *["known"] * 11]
    assert len({one.id for (one,) in outcomes}) == 1
    async with office.books.reading(organization) as scope:
        assert (await totals.between(scope, None, None))["4000", "EUR"].credit == 700
    many = [sale(1, f"m{number}") for number in range(40)]
    both = await asyncio.gather(*(office.books.post(organization, part, "batch") for part in (many, many[::-1])))
    assert sum(one.outcome == "added" for part in both for one in part) == 40
    async with office.books.reading(organization) as scope:
        assert (await totals.between(scope, None, None))["4000", "EUR"].credit == 740


async def test_a_batch_is_posted_as_a_whole_or_not_at_all(office: Office) -> None:
    organization = await office.organization()
    await office.books.post(organization, [sale(5, "x")])
    with pytest.raises(Taken) as taken:
        await office.books.post(organization, [sale(1), sale(6, "x"), sale(2)], "batch")
    assert taken.value.places == [1]
    with pytest.raises(UnknownAccount):
        await office.books.post(organization, [sale(1), entry([("1000", 5, "EUR"), ("nowhere", -5, "EUR")])], "batch")
    with pytest.raises(BadEntry, match="differ by 1 minor") as bad:
        await office.books.post(organization, [sale(1), entry([("1000", 5, "EUR"), ("4000", -4, "EUR")])], "batch")
    assert bad.value.field == "1/lines"
    async with office.books.reading(organization) as scope:
        assert _sums(await totals.between(scope, None, None)) == {("1000", "EUR"): (5, 0), ("4000", "EUR"): (0, 5)}


async def test_many_at_once_are_posted_in_portions_and_each_once(office: Office) -> None:
    organization = await office.organization()
    many = [sale(number + 1, f"r{number}") for number in range(600)]
    first = await office.books.post(organization, [*many, many[0]], "batch")
    assert [one.outcome for one in first] == [*["added"] * 600, "known"]
    assert first[0].id == first[600].id
    again = await office.books.post(organization, [replace(many[3], memo="another"), *many[:2]], "import")
    assert [one.outcome for one in again] == ["taken", "known", "known"]
    assert [one.id for one in again] == [first[3].id, first[0].id, first[1].id]


async def test_an_entry_is_reversed_once_and_another_organisation_has_none_to_reverse(office: Office) -> None:
    organization, other = await office.organization(), await office.organization()
    (posted,) = await office.books.post(organization, [sale(900)])
    with pytest.raises(NoSuchEntry):
        await office.books.reverse(other, posted.id, None, "")
    outcomes = await asyncio.gather(
        *(office.books.reverse(organization, posted.id, DAY + timedelta(days=40), "") for _ in range(5)),
        return_exceptions=True,
    )
    assert sum(isinstance(one, Taken) for one in outcomes) == 4
    async with office.books.reading(organization) as scope:
        found = await totals.between(scope, None, None)
        assert found["4000", "EUR"].debit == found["4000", "EUR"].credit == 900


@pytest.mark.parametrize(
    "lines",
    [
        [("1000", 5, "EUR")],
        [("1000", 5, "EUR"), ("4000", -5, "USD")],
        [("1000", 0, "EUR"), ("4000", 0, "EUR")],
        [("1000", 5, "EURO"), ("4000", -5, "EURO")],
        [("1000", 10**13, "EUR"), ("4000", -(10**13), "EUR")],
    ],
)
async def test_what_does_not_balance_is_refused_before_the_database(lines: list[tuple[str, int, str]]) -> None:
    with pytest.raises(BadEntry):
        entry(lines).check()


async def test_the_database_itself_refuses_lines_that_do_not_balance(office: Office) -> None:
    """Whoever writes, and however: by hand, as the owner of the tables, past all checks of the service."""
    organization = await office.organization()
    (posted,) = await office.books.post(organization, [sale(900)])
    keys = {"organization_id": organization, "day": DAY}
    line = {**keys, "entry_id": 1 << 60, "currency": "EUR"}
    head = {**keys, "id": 1 << 60, "kind": "journal", "memo": "", "digest": 0, "posted_at": 0}
    lines = [{**line, "line": 0, "account": "1000", "amount": 5}, {**line, "line": 1, "account": "4000", "amount": -4}]
    own = LINES.c.organization_id == organization
    attempts: list[list[tuple[Any, Any]]] = [
        [(insert(LINES), lines), (insert(ENTRIES), head)],
        [(insert(LINES), {**lines[0], "entry_id": posted.id, "line": 7})],
        [(update(LINES).where(own, LINES.c.amount > 0).values(amount=901), None)],
        [(delete(LINES).where(own, LINES.c.amount > 0), None)],
    ]
    for attempt in attempts:
        with pytest.raises(DBAPIError, match="balance"):
            async with office.books.database.begin() as connection:
                for statement, rows in attempt:
                    await connection.execute(statement, rows)
    async with office.books.database.connect() as connection:
        kept = (await connection.execute(select(LINES.c.amount).where(own).order_by(LINES.c.line))).scalars().all()
    assert kept == [900, -900]


async def test_books_that_are_wrong_are_found_told_and_mended(office: Office) -> None:
    organization = await office.organization()
    await office.books.post(organization, [sale(900), sale(30, day=DAY - timedelta(days=60))])
    async with office.books.database.begin() as connection:
        await connection.execute(
            update(MONTHS)
            .where(MONTHS.c.organization_id == organization, MONTHS.c.month == 202511, MONTHS.c.account == "4000")
            .values(credit=MONTHS.c.credit + 7)
        )
    while await office.books.check():
        pass
    overview = office.books.overview()
    assert (overview["wrong"], overview["trialBalanceDifference"]) == (1, 7)
    assert await office.harness.value("ledger_trial_balance_difference") == 7
    (probe,) = office.books.spec.probes
    with pytest.raises(Exception, match="wrong by 7 minor units"):
        await probe.check()
    async with office.books.database.begin() as connection:
        (found,) = await totals.differences(connection, organization, organization)
        assert found == (organization, 202511, "4000", "EUR", 7, 0)
        await totals.mend_months(connection, organization)
        assert await totals.differences(connection, organization, organization) == []
    while await office.books.check():
        pass
    assert office.books.overview()["wrong"] == 0
    assert "difference 0" in str(await probe.check())


async def test_what_one_month_has_too_much_and_another_too_little_is_found_in_both(office: Office) -> None:
    organization = await office.organization()
    await office.books.post(organization, [sale(900), sale(300, day=DAY - timedelta(days=60))])

    async def moved(account: str, month: int, **values: int) -> None:
        wrong = update(MONTHS).where(MONTHS.c.organization_id == organization, MONTHS.c.account == account)
        added = {name: MONTHS.c[name] + value for name, value in values.items()}
        await connection.execute(wrong.where(MONTHS.c.month == month).values(**added))

    async with office.books.database.begin() as connection:
        await moved("4000", 202511, credit=7)
        await moved("4000", 202509, credit=-7)
        # Debits and credits that are both too much, and lines that are none, change no balance.
        await moved("1000", 202511, credit=5, debit=5)
        await moved("1000", 202509, lines=2)
        found = await totals.differences(connection, organization, organization)
        assert sorted(found) == [
            (organization, 202509, "1000", "EUR", 0, -2),
            (organization, 202509, "4000", "EUR", 7, 0),
            (organization, 202511, "1000", "EUR", 10, 0),
            (organization, 202511, "4000", "EUR", 7, 0),
        ]
        await totals.mend_months(connection, organization)
        assert await totals.differences(connection, organization, organization) == []
