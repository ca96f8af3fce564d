"""The decorator: which call has which key, whose value it is, and that a function stays what it was."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import pytest
from fastapi import FastAPI
from hypothesis import given
from hypothesis import strategies as st

from bedplate import Service, bind_context
from bedplate.problems import DeclarationError
from bedplate.state.cache import Cache, CacheKeyError
from bedplate.state.cache.keys import compiled, default_template
from bedplate.state.memory import Memory
from bedplate.telemetry.context import WorkContext, current
from bedplate.testing import running, settings
from tests.unit.state.cache.instances import Node


@dataclass(frozen=True)
class User:
    id: int


async def test_a_call_is_computed_once_and_found_however_it_is_written(node: Node) -> None:
    calls: list[int] = []

    @node.cache.cached(key="report:{organization}:{month}")
    async def report(organization: int, month: str = "may") -> str:
        """Return a report."""
        calls.append(organization)
        return f"{organization} in {month}"

    assert await report(7) == await report(7, "may") == await report(organization=7) == "7 in may"
    assert await report(month="may", organization=7) == await report(organization=7, month="may")
    assert calls == [7]
    assert await report(7, "june") == "7 in june"
    assert report.key(7) == "report:7:may"
    assert (report.__name__, report.__doc__) == ("report", "Return a report.")  # type: ignore[attr-defined]
    with pytest.raises(TypeError):
        await report()  # type: ignore[call-arg]


async def test_a_function_that_is_not_async_runs_in_a_thread_once(node: Node) -> None:
    threads: list[int] = []

    @node.cache.cached(key="total:{account}")
    def total(account: int) -> Decimal:
        threads.append(threading.get_ident())
        return Decimal("10.50") * account

    assert await total(2) == await total(2) == Decimal("21.00")
    assert len(threads) == 1 and threads[0] != threading.get_ident()


async def test_without_a_key_the_function_and_all_arguments_are_one(node: Node) -> None:
    calls: list[Any] = []

    @node.cache.cached()
    async def search(text: str, page: int = 1, filters: dict[str, list[int]] | None = None) -> list[str]:
        calls.append((text, page, filters))
        return [text]

    for _ in range(2):
        await search("a")
        await search("a", 2)
        await search("a", 1, {"x": [1]})
        await search("a", filters={"x": [1]})
        await search("a", 1, {"x": [2]})
    assert len(calls) == 4


PARTS = st.one_of(
    st.text(max_size=12), st.integers(), st.none(), st.booleans(), st.uuids(), st.dates(), st.decimals(allow_nan=False)
)


async def _pair(a: Any, b: Any) -> None: ...


@given(PARTS, PARTS, PARTS, PARTS)
def test_arguments_that_differ_as_text_never_share_a_key(a: Any, b: Any, c: Any, d: Any) -> None:
    build = compiled("pair:{a}:{b}", _pair)
    one, other = build((a, b), {}), build((c, d), {})
    if one == other:
        assert (str(a), str(b)) == (str(c), str(d))
    assert build((), {"a": a, "b": b}) == build((a,), {"b": b}) == one


def test_a_name_with_a_colon_is_not_taken_for_two_arguments() -> None:
    build = compiled("pair:{a}:{b}", _pair)
    assert build(("x:y", "z"), {}) != build(("x", "y:z"), {})
    assert build((None, 1), {}) != build(("None", 1), {})
    assert build(("*", "?"), {}) == "pair:%2A:%3F"


async def test_keys_are_made_of_attributes_or_by_a_function(node: Node) -> None:
    @node.cache.cached(key="user:{user.id}")
    async def named(user: User) -> int:
        return user.id

    @node.cache.cached(key=lambda user, **rest: f"any:{user.id % 2}")
    async def parity(user: User, *, noise: int = 0) -> int:
        return user.id % 2

    assert named.key(User(7)) == "user:7"
    assert await parity(User(3)) == await parity(User(5), noise=1) == 1
    assert parity.key(User(5)) == "any:1"


async def test_a_method_is_keyed_by_what_tells_its_instances_apart(node: Node) -> None:
    class Book:
        def __init__(self, id: int) -> None:
            self.id = id

        @node.cache.cached(key="book:{self.id}:{page}")
        async def page(self, page: int) -> str:
            return f"{page} of {self.id}"

    one, other = Book(1), Book(2)
    assert [await book.page(7) for book in (one, other, one)] == ["7 of 1", "7 of 2", "7 of 1"]
    assert await node.cache.get("book:2:7", type=str) == "7 of 2"


async def test_what_says_nothing_that_lasts_is_no_part_of_a_key(node: Node) -> None:
    @node.cache.cached()
    async def fetch(connection: object) -> int:
        return 1

    with pytest.raises(CacheKeyError, match="object cannot be part of a cache key"):
        await fetch(object())


def test_keys_that_cannot_be_are_refused_where_they_are_declared() -> None:
    cache = Cache(Memory())

    async def fn(a: int) -> int:
        return a

    class Service:
        async def method(self, a: int) -> int:
            return a

    async def stream(a: int) -> Any:
        yield a

    for key in ("x:{b}", "x:{a", "x:{a!r}", "x:{0}"):
        with pytest.raises(DeclarationError, match="cache key"):
            cache.cached(key=key)(fn)
    with pytest.raises(DeclarationError, match=r"is a method.*self.id"):
        cache.cached()(Service.method)
    with pytest.raises(DeclarationError, match="generator"):
        cache.cached()(stream)
    with pytest.raises(DeclarationError, match="parentheses"):
        cache.cached(fn)  # type: ignore[arg-type]
    with pytest.raises(DeclarationError, match="Give a tuple"):
        cache.cached(tags="org:{a}")(fn)
    with pytest.raises(DeclarationError, match="longest"):
        cache.cached(ttl=86_000, keep=86_000)(fn)
    assert default_template(fn).endswith("fn:{a}")


async def test_a_value_per_user_is_never_another_users(node: Node) -> None:
    calls: list[str] = []

    @node.cache.cached(key="portfolio", per_user=True)
    async def portfolio() -> str:
        work = current.get()
        name = "nobody" if work is None or work.fields is None else str(work.fields["user_id"])
        calls.append(name)
        return f"of {name}"

    async def as_user(name: str | None) -> str:
        token = current.set(WorkContext("r", "t" * 32, "s" * 16))
        try:
            if name is not None:
                bind_context(user_id=name)
            return await portfolio()
        finally:
            current.reset(token)

    for _ in range(2):
        assert await as_user("ann") == "of ann"
        assert await as_user("bob:ann") == "of bob:ann"
    assert calls == ["ann", "bob:ann"]
    # Without a user there is nobody to keep it for.
    assert await as_user(None) == await as_user(None) == "of nobody"
    assert calls.count("nobody") == 2
    with pytest.raises(CacheKeyError, match="no user"):
        portfolio.key()


async def test_refresh_and_invalidate_concern_one_call(node: Node) -> None:
    numbers = iter(range(100))

    @node.cache.cached(key="n:{a}")
    async def number(a: int) -> int:
        return next(numbers)

    first, other = await number(1), await number(2)
    await number.invalidate(1)
    assert await number(1) > other and await number(2) == other
    assert await number.refresh(1) == await number(1) > first


async def test_an_endpoint_of_fastapi_stays_one() -> None:
    cache, app = Cache(Memory(chosen=True)), FastAPI()
    calls: list[int] = []

    @app.get("/reports/{organization}")
    @cache.cached(key="report:{organization}:{month}")
    async def report(organization: int, month: str = "may") -> dict[str, int | str]:
        calls.append(organization)
        return {"organization": organization, "month": month}

    @app.get("/totals/{organization}")
    @cache.cached(key="total:{organization}")
    def total(organization: int) -> float:
        calls.append(organization)
        return 1.5

    async with running(Service("shop", app, [cache], settings=settings())) as harness:
        for _ in range(3):
            assert (await harness.client.get("/reports/7")).json() == {"organization": 7, "month": "may"}
            assert (await harness.client.get("/totals/7")).json() == 1.5
        assert (await harness.client.get("/reports/seven")).status_code == 422
    assert calls == [7, 7]


async def test_a_cache_that_does_not_run_stands_in_nobodys_way() -> None:
    cache, calls = Cache(Memory()), []

    @cache.cached(key="n")
    async def number() -> int:
        calls.append(1)
        return 1

    assert await number() == await number() == 1
    assert len(calls) == 2
    assert await cache.get("n", "none") == "none"
    with pytest.raises(Exception, match="does not run"):
        await cache.invalidate(keys=("n",))


async def test_one_object_is_shared_where_somebody_says_so(node: Node) -> None:
    @node.cache.cached(key="own")
    async def own() -> dict[str, int]:
        return {"a": 1}

    @node.cache.cached(key="shared", share=True)
    async def shared() -> dict[str, int]:
        return {"a": 1}

    await own(), await own(), await shared(), await shared()
    assert await own() is not await own()
    assert await shared() is await shared()


async def test_a_value_is_one_object_however_it_is_asked_for(node: Node) -> None:
    @node.cache.cached(key="user")
    async def user() -> User:
        return User(7)

    await user()
    assert await user() is await node.cache.get("user", type=User) is await user()


async def test_options_of_one_function_go_before_those_of_the_cache(node: Node) -> None:
    @node.cache.cached(ttl=10, key="short")
    async def short() -> int:
        return node.clock.time().__int__()

    begun = await short()
    await node.clock.advance(9)
    assert await short() == begun
    await node.clock.advance(2)
    assert await short() > begun
