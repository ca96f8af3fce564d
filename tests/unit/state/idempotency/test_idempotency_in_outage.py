"""What becomes of requests when the store goes away, or a process does."""

from __future__ import annotations

import asyncio

import pytest

KEY = '"8e03978e-40d5-43dd-bc93-6894a57f9324"'


async def test_without_the_store_nothing_is_executed_that_has_a_key(one) -> None:
    one.link.cut()
    answer = await one.post("/orders", KEY)
    assert answer.status_code == 503
    assert answer.headers["retry-after"]
    assert answer.headers["content-type"] == "application/problem+json"
    assert one.shop.done["orders"] == 0
    assert (await one.post("/orders")).status_code == 201  # it promises nothing
    one.link.heal()
    assert (await one.post("/orders", KEY)).status_code == 201
    assert await one.count("refused") == 1


async def test_a_begin_whose_answer_got_lost_blocks_nobody_for_long(one) -> None:
    one.link.loses_replies = True
    assert (await one.post("/orders", KEY)).status_code == 503
    one.link.loses_replies = False
    assert one.shop.done["orders"] == 0
    one.link.heal()
    await one.clock.advance(0.1)
    assert (await one.post("/orders", KEY)).status_code == 201


async def test_what_was_executed_while_the_store_went_away_is_answered_and_recorded_later(world) -> None:
    one, other = await world.instance(), await world.instance()
    world.shop.door.clear()
    asked = asyncio.create_task(one.post("/orders", KEY))
    await world.shop.inside.wait()
    one.link.cut()
    other.link.cut()
    world.shop.door.set()
    assert (await asked).status_code == 201
    assert one.idempotency.overview()["notRecorded"] == 1
    await one.clock.advance(100)  # its mark has lapsed by now
    other.link.heal()
    assert (await other.post("/orders", KEY)).status_code == 409  # and yet nobody takes over so soon
    one.link.heal()
    await one.clock.advance(0.1)
    assert one.idempotency.overview()["notRecorded"] == 0
    again = await other.post("/orders", KEY)
    assert (again.status_code, again.json()) == (201, {"order": 1})
    assert world.shop.done["orders"] == 1


async def test_a_record_whose_answer_got_lost_is_recorded_once_and_no_incident(one) -> None:
    async def lose(operation) -> None:
        one.link.loses_replies = operation.name == "idempotency_finish"

    one.link.before = lose
    assert (await one.post("/orders", KEY)).status_code == 201
    one.link.before, one.link.loses_replies = None, False
    one.link.heal()
    await one.clock.advance(0.1)
    assert (await one.post("/orders", KEY)).json() == {"order": 1}
    assert await one.incidents("fenced_off") == 0


async def test_a_mark_is_held_as_long_as_its_process_lives(world) -> None:
    one, other = await world.instance(lease=6), await world.instance(lease=6)
    world.shop.door.clear()
    asked = asyncio.create_task(one.post("/orders", KEY))
    await world.shop.inside.wait()
    await one.clock.advance(20)
    assert (await other.post("/orders", KEY)).status_code == 409
    world.shop.door.set()
    await asked
    assert world.shop.done["orders"] == 1


async def test_the_mark_of_a_process_that_died_lapses_and_a_late_one_cannot_overwrite(world) -> None:
    one, other = await world.instance(lease=6), await world.instance(lease=6)
    world.shop.door.clear()
    late = asyncio.create_task(one.post("/orders", KEY))
    await world.shop.inside.wait()
    one.link.hang()  # as a process that is stopped: it neither renews nor hears anything
    await other.clock.advance(7)
    world.shop.inside.clear()
    second = asyncio.create_task(other.post("/orders", KEY))
    await world.shop.inside.wait()
    assert world.shop.attempts == [1, 2]  # the handler can know, and look for what the first has left
    world.shop.door.set()
    answers = {(await late).json()["order"], (await second).json()["order"]}
    assert answers == {1, 2}
    one.link.heal()
    await one.clock.advance(3)
    kept = (await other.post("/orders", KEY)).json()
    assert kept == (await second).json()  # not the late one's
    assert await other.incidents("taken_over") == 1
    assert await one.incidents("fenced_off") == 1


async def test_a_request_that_is_cut_short_is_not_repeated_before_its_mark_has_lapsed(world) -> None:
    one = await world.instance(lease=6)
    world.shop.door.clear()
    asked = asyncio.create_task(one.post("/orders", KEY))
    await world.shop.inside.wait()
    asked.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asked
    world.shop.door.set()
    assert (await one.post("/orders", KEY)).status_code == 409
    await one.clock.advance(7)
    assert (await one.post("/orders", KEY)).status_code == 201
    assert await one.incidents("abandoned") == 1


async def test_keys_are_forgotten_after_their_time(world) -> None:
    one = await world.instance(ttl=20, lease=10)
    await one.post("/orders", KEY)
    await one.clock.advance(19)
    assert (await one.post("/orders", KEY)).json() == {"order": 1}
    await one.clock.advance(2)
    assert (await one.post("/orders", KEY)).json() == {"order": 2}


async def test_an_outage_is_said_and_measured(one) -> None:
    one.link.cut()
    view = next(view for view in one.harness.service.views if view.component is one.idempotency)
    assert view.state == "degraded"
    assert "refused" in view.reason
    assert await one.harness.value("bedplate_idempotency_up") == 0
    one.link.heal()
    assert await one.harness.value("bedplate_idempotency_up") == 1
