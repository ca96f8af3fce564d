"""What confirmations promise, on every backend."""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from pydantic import BaseModel

from bedplate.state.confirmations import (
    AlreadyDecidedError,
    Confirmation,
    ConfirmationExistsError,
    ConfirmationExpiredError,
    Confirmations,
    Expired,
    UnknownConfirmationError,
)
from bedplate.state.store import Operation
from tests.stores import Backend


@dataclass(frozen=True)
class Guess:
    transaction: int
    category: str
    amount: Decimal = Decimal("0")


class Model(BaseModel):
    name: str
    at: datetime
    parts: list[dict[str, float]] = []


FOOD = Guess(12, "food", Decimal("12.30"))

TTL = Operation(name="ttl", command=("TTL",), memory=lambda space, keys, _: space.ttl(keys[0]), reads=True)
TYPE = Operation(name="type", command=("TYPE",), memory=lambda space, keys, _: space.type(keys[0]), reads=True)


def make(store: Any) -> Confirmations[Guess]:
    return Confirmations(store, Guess)


async def eventually(condition: Any) -> None:
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0.002)


async def test_what_is_asked_is_there_for_all_instances(backend: Backend) -> None:
    async with backend.instances(make) as (one, other):
        asked = await one.create("ann", FOOD)
        assert asked.pending and asked.user == "ann" and asked.payload == FOOD
        assert await other.get(asked.id) == asked
        assert await other.pending("ann") == [asked] and await other.count("ann") == 1
        assert await other.pending("bob") == [] and await other.count("bob") == 0
        assert await other.get("nothing") is None
        now = datetime.fromtimestamp(backend.clock.time(), UTC)
        assert abs(asked.created - now) < timedelta(seconds=5)
        assert asked.expires - asked.created == timedelta(days=1)


async def test_its_keys_are_those_that_were_agreed_and_end_after_a_day(backend: Backend) -> None:
    confirmations = make(backend.store)
    async with backend.running(confirmations):
        asked = await confirmations.create("7", FOOD)
        for key, kind in ((f"confirmation:{asked.id}", b"string"), ("user_pending:7", b"set")):
            assert await backend.store.run(TYPE, (key,)) in (kind, kind.decode())
            assert 86_390 < await backend.store.run(TTL, (key,)) <= 86_400


async def test_the_user_s_set_lives_as_long_as_the_last_of_them(backend: Backend) -> None:
    confirmations = make(backend.store)
    async with backend.running(confirmations):
        await confirmations.create("7", FOOD, ttl=1000)
        await confirmations.create("7", FOOD, ttl=10)
        assert await backend.store.run(TTL, ("user_pending:7",)) > 900


@pytest.mark.parametrize("way", ["confirm", "reject", "correct"])
async def test_a_decision_is_seen_everywhere(backend: Backend, way: str) -> None:
    async with backend.instances(make) as (one, other):
        asked = await one.create("ann", FOOD)
        right = Guess(12, 'ähm "quoted" \\ {}', Decimal("-0.10"))
        decided = await (
            one.correct(asked.id, "ann", right) if way == "correct" else getattr(one, way)(asked.id, "ann")
        )
        assert decided.status == {"confirm": "confirmed", "reject": "rejected", "correct": "corrected"}[way]
        assert decided.decided_by == "ann" and decided.decided_at is not None and decided.decided_at >= asked.created
        assert decided.payload == FOOD and decided.correction == (right if way == "correct" else None)
        assert await other.get(asked.id) == decided
        assert await other.pending("ann") == []


async def test_of_all_who_decide_at_once_one_does(backend: Backend) -> None:
    async with backend.instances(make, 3) as instances:
        for _ in range(5):
            asked = await instances[0].create("ann", FOOD)
            tries = [
                (instance.confirm if number % 2 else instance.reject)(asked.id, f"user {number}")
                for number, instance in enumerate(instances * 7)
            ]
            ended = await asyncio.gather(*tries, return_exceptions=True)
            won = [one for one in ended if isinstance(one, Confirmation)]
            lost = [one for one in ended if isinstance(one, AlreadyDecidedError)]
            assert len(won) == 1 and len(lost) == 20
            assert {one.confirmation.decided_by for one in lost} == {won[0].decided_by}
            assert all(one.status_code == 409 for one in lost)
            assert await instances[2].get(asked.id) == won[0]


async def test_the_same_decision_of_the_same_person_gives_the_same_answer(backend: Backend) -> None:
    async with backend.instances(make) as (one, other):
        asked = await one.create("ann", FOOD)
        right = Guess(12, "fun")
        decided = await one.correct(asked.id, "ann", right)
        assert await other.correct(asked.id, "ann", right) == decided
        for otherwise in (
            other.confirm(asked.id, "ann"),
            other.correct(asked.id, "ann", FOOD),
            other.correct(asked.id, "bob", right),
            other.correct(asked.id, "ann", right, token="another"),
        ):
            with pytest.raises(AlreadyDecidedError, match="corrected by ann at"):
                await otherwise
        asked = await one.create("ann", FOOD)
        decided = await one.confirm(asked.id, "ann", token="button-1")
        assert await other.confirm(asked.id, "the same in other words", token="button-1") == decided
        with pytest.raises(AlreadyDecidedError):
            await other.reject(asked.id, "ann", token="button-1")


async def test_what_nobody_knows_cannot_be_decided(backend: Backend) -> None:
    confirmations = make(backend.store)
    async with backend.running(confirmations):
        for id in ("unknown", "", "a:b", "x" * 200, "{a}"):
            with pytest.raises(UnknownConfirmationError):
                await confirmations.confirm(id, "ann")
        for wrong in (confirmations.create("", FOOD), confirmations.create("ann", FOOD, ttl=0)):
            with pytest.raises(ValueError, match="needs"):
                await wrong
        asked = await confirmations.create("ann", FOOD)
        with pytest.raises(ValueError, match="who"):
            await confirmations.confirm(asked.id, "")


async def test_expired_ones_leave_by_themselves(backend: Backend) -> None:
    async with backend.instances(make) as (one, other):
        stays = await one.create("ann", FOOD)
        asked = await one.create("ann", FOOD, ttl=10 * backend.short)
        assert await other.count("ann") == 2
        await backend.pass_(13 * backend.short)
        assert await other.get(asked.id) is None
        assert await other.pending("ann") == [stays] and await other.count("ann") == 1
        with pytest.raises(UnknownConfirmationError):
            await one.confirm(asked.id, "ann")


async def test_the_same_question_under_the_same_id_is_asked_once(backend: Backend) -> None:
    async with backend.instances(make) as (one, other):
        asked = await one.create("ann", FOOD, id="tx-12")
        assert await other.create("ann", FOOD, id="tx-12") == asked
        assert await one.count("ann") == 1
        for user, payload in (("bob", FOOD), ("ann", Guess(12, "fun"))):
            with pytest.raises(ConfirmationExistsError):
                await other.create(user, payload, id="tx-12")
        decided = await other.reject("tx-12", "ann")
        assert await one.create("ann", FOOD, id="tx-12") == decided


async def test_the_index_is_repaired_by_reading(backend: Backend) -> None:
    confirmations = make(backend.store)
    add = Operation(name="add", command=("SADD",), memory=lambda space, keys, args: space.sadd(keys[0], *args))
    count = Operation(name="n", command=("SCARD",), memory=lambda space, keys, _: space.scard(keys[0]), reads=True)
    async with backend.running(confirmations):
        asked = await confirmations.create("ann", FOOD)
        foreign = await confirmations.create("bob", FOOD)
        decided = await confirmations.create("ann", FOOD)
        await confirmations.confirm(decided.id, "ann")
        await backend.store.run(add, ("user_pending:ann",), ("gone", foreign.id, decided.id))
        assert await confirmations.pending("ann") == [asked]
        assert await backend.store.run(count, ("user_pending:ann",)) == 1
        assert await confirmations.pending("bob") == [foreign]


async def test_the_oldest_comes_first(backend: Backend) -> None:
    confirmations = make(backend.store)
    async with backend.running(confirmations):
        asked = []
        for number in range(5):
            asked.append(await confirmations.create("ann", Guess(number, "x")))
            await backend.pass_(0.002)
        assert await confirmations.pending("ann") == asked


async def test_who_waits_hears_of_a_decision_on_another_instance(backend: Backend) -> None:
    async with backend.instances(make) as (one, other):
        asked = await one.create("ann", FOOD)
        waiting = [asyncio.create_task(each.wait(asked.id)) for each in (one, other, other)]
        await eventually(lambda: len(one._waiting) + len(other._waiting) == 3)
        for _ in range(20):
            await asyncio.sleep(0.002)
        decided = await other.confirm(asked.id, "ann")
        assert await asyncio.wait_for(asyncio.gather(*waiting), 60) == [decided] * 3
        assert await one.wait(asked.id) == decided, "also when it was decided before"
        with pytest.raises(UnknownConfirmationError):
            await one.wait("nothing")


async def test_who_waits_hears_of_expiry(backend: Backend) -> None:
    async with backend.instances(make) as (one, other):
        # Long enough for a busy machine to begin to wait before it is over.
        asked = await one.create("ann", FOOD, ttl=10 * backend.short)
        waiting = asyncio.create_task(other.wait(asked.id))
        await eventually(lambda: len(other._waiting) == 1)
        for _ in range(20):
            await asyncio.sleep(0.001)
        await backend.pass_(13 * backend.short)
        with pytest.raises(ConfirmationExpiredError):
            await asyncio.wait_for(waiting, 60)


async def test_decisions_and_expiries_are_told_to_one_and_heard_by_all(backend: Backend) -> None:
    told: list[str] = []
    heard: list[tuple[int, str]] = []

    async def decided(confirmation: Confirmation[Guess]) -> None:
        told.append(f"{confirmation.status} {confirmation.id}")

    async def expired(what: Expired) -> None:
        told.append(f"expired {what.id} {what.user}")

    async with backend.instances(make, 3) as instances:
        for number, instance in enumerate(instances):
            instance.on_decision(decided)
            instance.on_expiry(expired)
            instance.listen(lambda what, number=number: heard.append((number, what.id)))  # type: ignore[misc]
        for id in ("long", "other"):
            await instances[0].create("ann", FOOD, id=id)
        await instances[1].confirm("long", "ann")
        await instances[2].reject("other", "ann")
        for id in ("short-1", "short-2"):
            await instances[0].create("ann", FOOD, ttl=2 * backend.short, id=id)
        await eventually(lambda: len(told) == 2)
        await backend.pass_(4 * backend.short)
        await eventually(lambda: len(told) == 4)
        await eventually(lambda: len(heard) == 12)
        assert sorted(told) == ["confirmed long", "expired short-1 ann", "expired short-2 ann", "rejected other"]
        assert sorted(heard) == sorted((n, id) for n in range(3) for id in ("long", "other", "short-1", "short-2"))
        assert [await each.count("ann") for each in instances] == [0, 0, 0]


async def test_payloads_of_other_types_come_back_as_they_were(backend: Backend) -> None:
    model = Confirmations(backend.store, Model, "models")
    plain: Confirmations[dict[str, Any]] = Confirmations(backend.store, dict[str, Any], "plain")
    async with backend.running(model, plain):
        payload = Model(name="é\n\x00", at=datetime(2026, 11, 27, 12, tzinfo=UTC), parts=[{}, {"a": 1e-9}])
        asked = await model.create("ann", payload)
        assert (await model.correct(asked.id, "ann", payload)).correction == payload
        data: dict[str, Any] = {
            "empty": [],
            "none": None,
            "big": 2**53 + 1,
            "deep": [[{}]],
            "text": '{"status":"pending",',
        }
        question = await plain.create("ann", data)
        decided = await plain.confirm(question.id, "ann")
        assert decided.payload == data, "nothing on the way takes it apart"
        assert await model.get(question.id) is None, "components of other names have keys of their own"
        with pytest.raises(AlreadyDecidedError):
            await plain.reject(question.id, "ann")


async def test_ids_are_nobody_s_to_guess(backend: Backend) -> None:
    confirmations = make(backend.store)
    async with backend.running(confirmations):
        asked = [await confirmations.create("ann", FOOD) for _ in range(20)]
        assert len({one.id for one in asked}) == 20
        assert all(re.fullmatch(r"[0-9a-f]{32}", one.id) for one in asked)
