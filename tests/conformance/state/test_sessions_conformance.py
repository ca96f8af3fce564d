"""What sessions promise, on every backend."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from bedplate.state.sessions import SessionEndedError, Sessions
from tests.stores import Backend

SECRET = "a secret for tests that is long enough to be one"


def make(store: object) -> Sessions:
    return Sessions(store, secret=SECRET, most=4)  # type: ignore[arg-type]


async def soon(condition: Callable[[], Awaitable[object]]) -> None:
    """Wait until it holds: a notice is on its way."""
    async with asyncio.timeout(60):
        while not await condition():
            await asyncio.sleep(0.001)


async def test_what_one_instance_opens_another_knows_until_one_of_them_ends_it(backend: Backend) -> None:
    async with backend.instances(make) as (one, other):
        token, session = await one.open("ada", label="phone")
        found = await other.find(token)
        assert found is not None and found.user == "ada"
        assert [(info.id, info.label) for info in await other.list("ada")] == [(session.id, "phone")]
        assert (await other.find(token)) is not None  # held near by now
        assert await one.revoke(session)
        assert await one.find(token) is None
        await soon(lambda: _is_gone(other, token))
        assert await other.list("ada") == []
        assert not await other.revoke(session.id)


async def test_two_that_change_a_session_by_turns_lose_nothing(backend: Backend) -> None:
    async with backend.instances(make) as (one, other):
        token, _ = await one.open("ada")
        for number in range(20):
            saves, reads = (one, other) if number % 2 else (other, one)
            session = await saves.find(token)
            assert session is not None
            session["n"] = number
            await session.save()
            own = await saves.find(token)
            assert own is not None and own["n"] == number
            await soon(lambda reads=reads, number=number: _reads(reads, token, number))  # type: ignore[misc]


async def _reads(sessions: Sessions, token: str, number: int) -> bool:
    found = await sessions.find(token)
    return found is not None and found.get("n") == number


async def _is_gone(sessions: Sessions, token: str) -> bool:
    return await sessions.find(token) is None


async def test_signing_out_everywhere_ends_all_but_those_that_begin_after(backend: Backend) -> None:
    async with backend.instances(make) as (one, other):
        tokens = [(await one.open("ada"))[0] for _ in range(3)]
        bob, _ = await other.open("bob")
        for token in tokens:
            assert await other.find(token) is not None
        assert await one.revoke_all("ada") == 3
        fresh, _ = await one.open("ada")
        for token in tokens:
            await soon(lambda token=token: _is_gone(other, token))  # type: ignore[misc]
            assert await one.find(token) is None
        assert await other.find(fresh) is not None and await one.find(fresh) is not None
        assert await other.find(bob) is not None


async def test_everywhere_else_leaves_the_one_that_asks(backend: Backend) -> None:
    async with backend.instances(make) as (one, other):
        token, session = await one.open("ada")
        gone, _ = await other.open("ada")
        assert await other.revoke_all("ada", but=session) == 1
        await soon(lambda: _is_gone(one, gone))
        assert await one.find(token) is not None


async def test_everybody_is_signed_out_on_all_instances(backend: Backend) -> None:
    async with backend.instances(make) as (one, other):
        token, _ = await one.open("ada")
        assert await other.find(token) is not None
        await one.revoke_everyone()
        await soon(lambda: _is_gone(other, token))
        fresh, _ = await other.open("ada")
        assert await one.find(fresh) is not None


async def test_no_change_is_lost_and_none_brings_a_session_back(backend: Backend) -> None:
    async with backend.instances(make) as (one, other):
        token, _ = await one.open("ada")

        async def change(sessions: Sessions, name: str) -> None:
            session = await sessions.find(token)
            assert session is not None
            session[name] = {"empty": [], "money": "0.10", "large": 2**53 + 1, "half": 0.5}
            await session.save()

        await asyncio.gather(*(change((one, other)[number % 2], f"n{number}") for number in range(8)))
        session = await other.find(token)
        assert session is not None
        await soon(lambda: _has(one, token, 8))
        assert session["n3"] == {"empty": [], "money": "0.10", "large": 2**53 + 1, "half": 0.5}
        await one.revoke(session)
        session["late"] = 1
        with pytest.raises(SessionEndedError):
            await session.save()
        assert await one.list("ada") == []


async def _has(sessions: Sessions, token: str, count: int) -> bool:
    session = await sessions.find(token)
    return session is not None and len(session) == count


async def test_a_new_secret_ends_the_old_one_at_once(backend: Backend) -> None:
    async with backend.instances(make) as (one, other):
        token, session = await one.open("ada")
        session["a"] = 1
        await session.save()
        assert await other.find(token) is not None
        await session.rotate()
        assert session.token is not None and session.token != token
        await soon(lambda: _is_gone(other, token))
        found = await other.find(session.token)
        assert found is not None and found["a"] == 1


async def test_a_session_that_is_not_used_ends_and_leaves_nothing_behind(backend: Backend) -> None:
    sessions = Sessions(backend.store, secret=SECRET, idle=2 * backend.short, longest=60)
    async with backend.running(sessions):
        token, _ = await sessions.open("ada")
        assert await sessions.find(token) is not None
        await backend.pass_(3 * backend.short)
        assert await sessions.find(token) is None
        assert await sessions.list("ada") == []


async def test_the_session_used_longest_ago_makes_room(backend: Backend) -> None:
    sessions = make(backend.store)
    async with backend.running(sessions):
        tokens = []
        for _ in range(6):
            tokens.append((await sessions.open("ada"))[0])
            await backend.pass_(0.005)
        good = [await sessions.find(token) is not None for token in tokens]
        assert good == [False, False, True, True, True, True]
