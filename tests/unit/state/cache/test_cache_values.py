"""Values: what goes in comes out, by type, or is refused; and what does not change is one object for all."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any, Literal, NamedTuple
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from bedplate.problems import DeclarationError
from bedplate.state.cache import MISSING, CacheSettings, CacheTypeError
from bedplate.state.cache.codec import JSON, codec_of, is_immutable
from tests.unit.state.cache.instances import Node, nodes


class Side(enum.Enum):
    BUY = "buy"
    SELL = "sell"


@dataclass(frozen=True)
class Fill:
    price: Decimal
    side: Side
    at: datetime


@dataclass
class Report:
    id: UUID
    fills: list[Fill]
    days: set[date] = field(default_factory=set)
    note: str | None = None


class Point(NamedTuple):
    x: int
    y: Decimal


class Money(BaseModel, frozen=True):
    amount: Decimal
    currency: Literal["EUR", "USD"]


class Basket(BaseModel):
    items: list[Money]


MOMENT = datetime(2026, 11, 27, 14, 0, 1, 123456, tzinfo=UTC)
FILL = Fill(Decimal("12.50"), Side.BUY, MOMENT)

VALUES: list[tuple[Any, Any]] = [
    (Decimal, Decimal("0.10")),
    (datetime, MOMENT),
    (date, date(2026, 2, 28)),
    (timedelta, timedelta(days=1, microseconds=5)),
    (UUID, UUID(int=7)),
    (Side, Side.SELL),
    (tuple[int, str], (1, "a")),
    (tuple[Decimal, ...], (Decimal("1.0"), Decimal("2.00"))),
    (set[int], {1, 2}),
    (frozenset[str], frozenset({"a"})),
    (dict[int, Decimal], {7: Decimal("1.5")}),
    (list[Fill], [FILL]),
    (Report, Report(UUID(int=1), [FILL], {date(2026, 1, 1)})),
    (Point, Point(1, Decimal("2.5"))),
    (Money, Money(amount=Decimal("9.99"), currency="EUR")),
    (Basket, Basket(items=[Money(amount=Decimal(1), currency="USD")])),
    (Money | None, None),
    (bytes, b"plain"),
    (str, "ü\u0000😀"),
    (float, 0.1 + 0.2),
    (bool, True),
]


@pytest.mark.parametrize(("kind", "value"), VALUES, ids=[str(kind) for kind, _ in VALUES])
async def test_a_value_of_a_type_comes_back_as_it_was(node: Node, kind: Any, value: Any) -> None:
    await node.cache.set("value", value, type=kind)
    for _ in range(3):  # from the store, and then near
        found = await node.cache.get("value", MISSING, type=kind)
        assert found == value and type(found) is type(value)


JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(JSON_VALUES)
def test_plain_json_needs_no_type(value: Any) -> None:
    try:
        text = JSON.encode(value)
    except CacheTypeError:
        assert any(0xD800 <= ord(sign) < 0xE000 for sign in str(value))  # what UTF-8 cannot say
        return
    assert JSON.decode(text) == value


@given(st.decimals(allow_nan=False, allow_infinity=False), st.datetimes(timezones=st.just(UTC)), st.uuids())
def test_money_and_moments_are_exact(price: Decimal, at: datetime, id_: UUID) -> None:
    codec = codec_of(Report)
    report = Report(id_, [Fill(price, Side.BUY, at)])
    again = codec.decode(codec.encode(report))
    assert again == report
    assert str(again.fills[0].price) == str(price) or Decimal(again.fills[0].price) == price


@pytest.mark.parametrize(
    "value",
    [Decimal("1.5"), (1, 2), {1: "a"}, {1, 2}, MOMENT, UUID(int=1), FILL, Side.BUY, float("nan"), [(1,)], {"a": {2}}],
    ids=repr,
)
async def test_what_json_would_change_is_refused_without_a_type(node: Node, value: Any) -> None:
    with pytest.raises(CacheTypeError, match=r"cannot be cached as plain JSON.*type="):
        await node.cache.set("value", value)
    assert await node.cache.get("value") is None


async def test_a_value_of_another_type_than_was_said_is_refused(node: Node) -> None:
    with pytest.raises(CacheTypeError, match="Money"):
        await node.cache.set("value", Basket(items=[]), type=Money)
    with pytest.raises(CacheTypeError):
        await node.cache.set("value", "12", type=int)


async def test_a_value_that_another_version_of_the_code_wrote_is_a_miss(node: Node) -> None:
    await node.cache.set("value", {"amount": "many"}, type=dict)
    assert await node.cache.get("value", MISSING, type=Money) is MISSING

    @node.cache.cached(key="value")
    async def money() -> Money:
        return Money(amount=Decimal(1), currency="EUR")

    assert (await money()).amount == 1
    assert await node.cache.get("value", type=Money) == await money()


def test_a_type_that_is_no_data_is_refused_where_it_is_declared() -> None:
    class Connection:
        pass

    with pytest.raises(DeclarationError, match="Connection cannot be cached"):
        codec_of(Connection)


@pytest.mark.parametrize("kind", [int, str, Decimal, Fill, Point, Money, tuple[Money, ...], Side, Money | None])
def test_what_cannot_be_changed_is_known(kind: Any) -> None:
    assert is_immutable(kind)


@pytest.mark.parametrize(
    "kind", [list[int], dict[str, Any], Report, Basket, set[int], tuple[list[int], ...], Any, object]
)
def test_what_can_be_changed_is_known(kind: Any) -> None:
    assert not is_immutable(kind)


async def test_nobody_changes_what_others_get(node: Node) -> None:
    await node.cache.set("value", {"a": [1]})
    for _ in range(3):
        found = await node.cache.get("value")
        assert found == {"a": [1]}
        found["a"].append(2)


async def test_what_cannot_be_changed_is_one_object_for_all(node: Node) -> None:
    await node.cache.set("value", FILL, type=Fill)
    first = await node.cache.get("value", type=Fill)
    assert await node.cache.get("value", type=Fill) is first


async def test_one_key_can_be_read_as_several_types(node: Node) -> None:
    await node.cache.set("value", FILL, type=Fill)
    for _ in range(2):
        assert await node.cache.get("value", type=Fill) == FILL
        assert (await node.cache.get("value", type=dict[str, str]))["price"] == "12.50"


async def test_none_is_a_value_and_absence_is_not(node: Node) -> None:
    await node.cache.set("nobody", None)
    assert await node.cache.get("nobody", "default") is None
    assert await node.cache.get("unknown", "default") == "default"
    assert await node.cache.get("nobody", MISSING) is None


async def test_many_are_set_and_got_in_one_go(node: Node) -> None:
    values = {f"n:{number}": number for number in range(50)}
    await node.cache.set_many(values, tags=("numbers",), type=int)
    assert await node.cache.get_many([*values, "n:50"], type=int) == values
    await node.cache.delete("n:1", "n:2")
    assert (await node.cache.get_many(["n:1", "n:2", "n:3"], type=int)) == {"n:3": 3}
    await node.cache.invalidate(tags=("numbers",))
    assert await node.cache.get_many(list(values), type=int) == {}


async def test_a_value_ends_with_its_time(node: Node) -> None:
    await node.cache.set("value", 1, ttl=10)
    assert await node.cache.get("value") == 1
    await node.clock.advance(9.4)  # the time is shortened by a twentieth, at most
    assert await node.cache.get("value") == 1
    await node.clock.advance(0.6)
    assert await node.cache.get("value") is None


async def test_what_is_too_large_is_computed_and_not_kept() -> None:
    async with nodes(settings=CacheSettings(value_bytes=100)) as (node,):
        calls = []

        @node.cache.cached(key="text")
        async def text() -> str:
            calls.append(1)
            return "x" * 200

        assert await text() == await text()
        assert len(calls) == 2


async def test_what_is_too_large_leaves_no_older_value_in_its_place() -> None:
    async with nodes(2, settings=CacheSettings(value_bytes=100)) as (one, other):
        await one.cache.set("k", "small", type=str)
        await one.cache.set("k", "x" * 200, type=str)
        assert await one.cache.get("k", type=str) is await other.cache.get("k", type=str) is None
