"""Several instances and several requests at once: nothing is lost, nothing is served that has ended."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from secrets import token_urlsafe

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bedplate.state.sessions import SessionConflictError, SessionEndedError, SessionsUnavailableError
from bedplate.state.sessions.session import _merged
from tests.linked import snapshot


async def test_a_session_ended_by_one_instance_ends_on_the_other_at_once(world) -> None:
    one, other = await world.instance(), await world.instance()
    for every in (False, True):
        token, session = await one.sessions.open("ada")
        assert await other.sessions.find(token) is not None  # held near there from now on
        await (one.sessions.revoke_all("ada") if every else one.sessions.revoke(session))
        assert await other.sessions.find(token) is None


async def test_who_keeps_something_open_is_told_of_the_end_on_whatever_instance(world) -> None:
    one, other = await world.instance(), await world.instance(idle=20)
    for end in ("one", "all", "everyone", "idle"):
        token, session = await (other if end == "idle" else one).sessions.open("ada")
        waiting = asyncio.create_task(other.sessions.ended(await other.sessions.find(token)))
        await other.clock.advance(0)
        await one.sessions.revoke_all("bob")
        assert not waiting.done()
        if end == "one":
            await one.sessions.revoke(session)
        elif end == "all":
            await one.sessions.revoke_all("ada")
        elif end == "everyone":
            await one.sessions.revoke_everyone()
        else:
            await other.clock.advance(31)
        await asyncio.wait_for(waiting, 60)


async def test_an_outage_is_no_end(one) -> None:
    _, session = await one.sessions.open("ada")
    waiting = asyncio.create_task(one.sessions.ended(session))
    await one.clock.advance(0)
    one.link.cut()
    await one.clock.advance(31)
    assert not waiting.done()
    one.link.heal()
    await one.sessions.revoke(session)
    await asyncio.wait_for(waiting, 60)


async def test_a_change_by_one_instance_is_seen_by_the_other(world) -> None:
    one, other = await world.instance(), await world.instance()
    token, session = await one.sessions.open("ada")
    assert (await other.sessions.find(token)).get("a") is None
    session["a"] = 1
    await session.save()
    assert (await other.sessions.find(token))["a"] == 1


async def test_what_was_saved_is_held_until_another_changes_it(world) -> None:
    one, other = await world.instance(), await world.instance()
    token, session = await one.sessions.open("ada")
    for number in range(3):
        session["n"] = number
        await session.save()
        one.link.asked.clear()
        assert (await one.sessions.find(token))["n"] == number
        assert one.link.asked == []
        theirs = await other.sessions.find(token)
        theirs["n"] = -1
        await theirs.save()
        session = await one.sessions.find(token)
        assert session["n"] == -1
    await other.sessions.revoke(session)
    assert await one.sessions.find(token) is None


async def test_what_was_saved_is_not_held_when_nobody_tells_of_changes_or_waits_for_the_answer(world) -> None:
    one, other = await world.instance(), await world.instance()
    token, session = await one.sessions.open("ada")
    for lost in (False, True):
        one.link.is_deaf, one.link.loses_replies = not lost, lost
        session["n"] = 1
        with suppress(SessionsUnavailableError):
            await session.save()
        one.link.is_deaf = one.link.loses_replies = False
        theirs = await other.sessions.find(token)
        theirs["n"] = 2
        await theirs.save()
        session = await one.sessions.find(token)
        assert session["n"] == 2


async def test_a_flood_of_cookies_that_were_made_up_leaves_nothing_behind(one) -> None:
    token, _ = await one.sessions.open("ada")
    one.link.asked.clear()
    for _ in range(50):
        assert await one.sessions.find(f"{token_urlsafe(16)}.{token_urlsafe(32)}") is None
    # None of them was read in the way that makes the server remember who is to be told of changes.
    assert set(one.link.asked) == {"sessions_probe"}
    assert len(one.sessions.keeper.near) == 0
    assert await one.sessions.find(token) is not None
    one.link.asked.clear()
    assert await one.sessions.find(f"{token[:22]}.{token_urlsafe(32)}") is None
    assert one.link.asked == ["sessions_load"]  # this user's sessions are followed anyway


async def test_changes_of_requests_at_once_are_all_kept(one) -> None:
    async with one.browser() as browser:
        await browser.post("/sign-in/ada")
        await asyncio.gather(*(browser.put(f"/values/v{number}", json=number) for number in range(10)))
        values = (await browser.get("/me")).json()["values"]
    assert values == {f"v{number}": number for number in range(10)}
    assert await one.harness.value("bedplate_sessions_writes_total", kind="save", outcome="merged") > 0


async def test_of_two_changes_of_one_name_the_later_stays_and_removals_are_kept(one) -> None:
    token, session = await one.sessions.open("ada")
    session.update({"a": 1, "b": 2, "c": 3})
    await session.save()
    first, second = await one.sessions.find(token), await one.sessions.find(token)
    first["a"] = "first"
    del first["b"]
    second["a"] = "second"
    second["d"] = 4
    await first.save()
    await second.save()
    assert dict(await one.sessions.find(token)) == {"a": "second", "c": 3, "d": 4}


async def test_a_session_that_changes_all_the_time_is_a_conflict_at_last(one) -> None:
    token, session = await one.sessions.open("ada")
    other = await one.sessions.find(token)
    count = 0

    async def interfere(operation) -> None:
        nonlocal count
        if operation.name == "sessions_save":
            one.link.before = None
            count += 1
            other["x"] = count
            await other.save()
            one.link.before = interfere

    one.link.before = interfere
    session["y"] = 1
    with pytest.raises(SessionConflictError):
        await session.save()


async def test_who_writes_reads_it_although_notices_are_late(one) -> None:
    token, session = await one.sessions.open("ada")
    one.link.is_deaf = True
    for number in range(3):
        session = await one.sessions.find(token)
        assert session.get("n", 0) == number
        session["n"] = number + 1
        await session.save()
    await session.rotate()
    assert await one.sessions.find(token) is None


async def test_a_save_never_brings_back_a_session_that_has_ended(one, world) -> None:
    token, session = await one.sessions.open("ada")
    late = await one.sessions.find(token)
    await one.sessions.revoke(session)
    late["a"] = 1
    with pytest.raises(SessionEndedError):
        await late.save()
    assert await one.sessions.find(token) is None
    data, _ = await snapshot(world.store)
    assert [field for key, fields in data.items() if "{" in key for field in fields if field != b"*"] == []
    with pytest.raises(SessionEndedError):
        late = await one.sessions.find((await one.sessions.open("ada"))[0])
        await one.sessions.revoke_all("ada")
        await late.rotate()


async def test_a_request_that_outlives_its_session_is_answered_and_its_cookie_taken_away(one) -> None:
    async with one.browser() as browser:
        await browser.post("/sign-in/ada")

        async def end(operation) -> None:
            if operation.name == "sessions_save":
                one.link.before = None
                await one.sessions.revoke_all("ada")

        one.link.before = end
        answer = await browser.put("/values/a", json=1)
        assert answer.status_code == 200
        assert "Max-Age=0" in answer.headers["set-cookie"]


async def test_a_reader_that_was_overtaken_by_a_revocation_does_not_hold_the_session(world) -> None:
    one, other = await world.instance(), await world.instance()
    token, session = await one.sessions.open("ada")

    async def overtake(operation) -> None:
        if operation.name == "sessions_load":
            other.link.before = None
            await one.sessions.revoke(session)

    other.link.before = overtake
    assert await other.sessions.find(token) is None
    assert await other.sessions.find(token) is None


async def test_a_rotated_secret_keeps_sessions_that_are_used_within_the_overlap(world) -> None:
    from bedplate.settings.rotation import RotatingSecret

    secret = RotatingSecret("the first secret of them all, quite long", overlap=60, clock=world.clock)
    one = await world.instance(secret=secret)
    used, _ = await one.sessions.open("ada")
    unused, _ = await one.sessions.open("ada")
    secret.rotate("the second secret of them all, quite long")
    assert (await one.sessions.find(used)).user == "ada"
    await one.clock.advance(61)
    assert (await one.sessions.find(used)).user == "ada"
    assert await one.sessions.find(unused) is None


_VALUES = st.dictionaries(st.sampled_from("abcde"), st.integers(0, 3), max_size=5)


@given(base=_VALUES, mine=_VALUES, theirs=_VALUES)
def test_a_merge_keeps_every_change_of_both_and_ours_where_both_changed(base, mine, theirs) -> None:
    merged = _merged(dict(theirs), base, mine)
    for name in "abcde":
        if mine.get(name) != base.get(name):
            assert merged.get(name) == mine.get(name)
        else:
            assert merged.get(name) == theirs.get(name)
