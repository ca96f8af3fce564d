"""Confirmations on a driven clock and over bad lines: telling, outages, lost answers, actions, metrics."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest

from bedplate.service import Service
from bedplate.state.confirmations import (
    AlreadyDecidedError,
    Confirmation,
    ConfirmationError,
    Confirmations,
    ConfirmationUnavailableError,
    Expired,
)
from bedplate.state.confirmations.metrics import (
    AVAILABLE,
    CONFLICTS,
    CREATED,
    DECISIONS,
    EXPIRED,
    PENDING,
    TELLING_FAILURES,
    THINKING,
    UNAVAILABLE,
)
from bedplate.state.memory.component import Memory
from bedplate.testing import CASES, Harness, ManualClock, running, settings
from bedplate.testing.clock import settle
from tests.stores import Borrowed
from tests.unit.state.far_store import FarStore

Plain = Confirmations[dict[str, int]]
DAY = 86_400.0


def make(store: Any, name: str = "default") -> Plain:
    return Confirmations(store, dict[str, int], name)


@asynccontextmanager
async def instances(count: int = 2) -> AsyncIterator[tuple[Harness, list[Plain]]]:
    """Instances that share a store and a clock."""
    clock, store = ManualClock(), Memory()
    async with AsyncExitStack() as stack:
        made: list[Plain] = []
        harness: Any = None
        for number in range(count):
            its: Any = Borrowed(store) if number else store
            made.append(make(its))
            service = Service("test", None, [its, made[-1]], settings=settings())
            entered = await stack.enter_async_context(running(service, clock=clock))
            harness = harness or entered
        yield harness, made


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
async def test_confirmations_conform(case: Any) -> None:
    await case(lambda: make(Memory(), "guesses"))


def test_a_time_that_nobody_can_answer_in_is_refused() -> None:
    with pytest.raises(ValueError, match="second"):
        Confirmations(Memory(), dict, ttl=0)


async def test_a_handler_that_fails_is_called_again_until_it_succeeds() -> None:
    calls: list[str] = []

    async def failing(confirmation: Confirmation[Any]) -> None:
        calls.append(confirmation.id)
        if len(calls) < 3:
            raise RuntimeError("the ledger is away")

    async with instances() as (harness, (one, other)):
        for each in (one, other):
            each.on_decision(failing)
        asked = await one.create("ann", {"a": 1})
        await one.confirm(asked.id, "ann")
        await settle()
        assert calls == [asked.id]
        await harness.clock.advance(100)
        assert calls == [asked.id] * 3
        await harness.clock.advance(60)
        assert len(calls) == 3
    assert len(calls) == 3


async def test_what_an_instance_that_died_did_not_tell_another_tells() -> None:
    told: list[str] = []

    async def hangs(what: Expired) -> None:
        await asyncio.Event().wait()

    async def tells(what: Expired) -> None:
        told.append(what.id)

    async with instances() as (harness, (one, other)):
        one.on_expiry(hangs)
        other.on_expiry(tells)
        asked = await one.create("ann", {}, ttl=10)
        await harness.clock.advance(10.2)
        # One of them has claimed it. If it is the one that hangs, the other has it half a minute later.
        await harness.clock.advance(50)
        assert told == [asked.id]


async def test_an_instance_that_starts_after_the_expiry_tells_of_it() -> None:
    told: list[Expired] = []

    async def tells(what: Expired) -> None:
        told.append(what)

    store, clock = Memory(), ManualClock()
    lent: list[Any] = [Borrowed(store), Borrowed(store)]
    first, late = make(lent[0]), make(lent[1])
    late.on_expiry(tells)
    async with running(Service("test", None, [store], settings=settings()), clock=clock):
        async with running(Service("test", None, [lent[0], first], settings=settings()), clock=clock):
            await first.create("ann", {}, ttl=10, id="a")
        await clock.advance(60)
        async with running(Service("test", None, [lent[1], late], settings=settings()), clock=clock):
            await clock.advance(1)
            assert told == [Expired("a", "ann")]


async def test_a_decision_whose_telling_was_lost_with_its_process_is_told_when_it_would_have_expired() -> None:
    told: list[str] = []

    async def tells(what: Any) -> None:
        told.append(type(what).__name__)

    async with instances() as (harness, (one, other)):
        for each in (one, other):
            each.on_decision(tells)
            each.on_expiry(tells)
        asked = await one.create("ann", {})
        one._telling.decided = lambda confirmation: None  # type: ignore[method-assign]
        await one.confirm(asked.id, "ann")  # and dies in this very moment
        await harness.clock.advance(60)
        assert told == []
        assert await other.pending("ann") == [], "whoever reads sees it nevertheless"
        harness.clock.jump(DAY)
        await harness.clock.advance(20)
        assert told == ["Confirmation"]


async def test_what_is_decided_is_known_for_another_day() -> None:
    async with instances() as (harness, (one, other)):
        asked = await one.create("ann", {}, ttl=60)
        decided = await one.reject(asked.id, "ann")
        harness.clock.jump(DAY)
        assert await other.reject(asked.id, "ann") == decided
        harness.clock.jump(61)
        assert await other.get(asked.id) is None


async def test_a_lost_answer_may_be_asked_for_again_and_each_decision_is_taken_once() -> None:
    dice = random.Random(5)
    store = FarStore(dice, lost=0.25, unordered=True)
    confirmations = make(store)
    told: dict[str, int] = {}

    async def tells(confirmation: Confirmation[Any]) -> None:
        told[confirmation.id] = told.get(confirmation.id, 0) + 1

    confirmations.on_decision(tells)

    async def stubborn(call: Any) -> Any:
        while True:
            try:
                return await call()
            except ConfirmationUnavailableError as error:
                assert error.sent and error.status_code == 503
            except AlreadyDecidedError as error:
                return error

    async with running(confirmations) as harness:
        for number in range(60):
            id = f"q-{number}"
            await stubborn(lambda id=id: confirmations.create("ann", {"n": 1}, id=id))
            ended = await asyncio.gather(
                stubborn(lambda id=id: confirmations.confirm(id, "ann")),
                stubborn(lambda id=id: confirmations.reject(id, "ann")),
                stubborn(lambda id=id: confirmations.confirm(id, "bob")),
            )
            won = [one for one in ended if isinstance(one, Confirmation)]
            assert len(won) == 1, "whatever was lost, one of them has the decision, and knows"
            lost = [one for one in ended if isinstance(one, AlreadyDecidedError)]
            assert {one.confirmation.decided_by for one in lost} == {won[0].decided_by}
        store.lost = 0.0
        for _ in range(80):
            await harness.clock.advance(1)
            await settle(60)
        assert len(told) == 60 and await confirmations.count("ann") == 0


async def test_while_the_store_is_away_everything_is_refused_and_nothing_is_lost() -> None:
    store = FarStore(random.Random(1))
    confirmations = make(store)
    async with running(confirmations) as harness:
        asked = await confirmations.create("ann", {"a": 1}, ttl=3600)
        waiting = asyncio.create_task(confirmations.wait(asked.id))
        await settle(60)
        store.set_away(True)
        for call in (
            confirmations.create("ann", {}),
            confirmations.get(asked.id),
            confirmations.confirm(asked.id, "ann"),
            confirmations.pending("ann"),
            confirmations.wait(asked.id),
        ):
            with pytest.raises(ConfirmationUnavailableError) as caught:
                await call
            assert caught.value.status_code == 503 and not caught.value.sent
        assert await harness.value(AVAILABLE) == 0 and await harness.value(UNAVAILABLE) >= 5
        view = next(view for view in harness.service.views if view.component is confirmations)
        assert view.state == "degraded"
        await harness.clock.advance(120)
        assert not waiting.done()
        store.set_away(False)
        await settle(60)
        assert await harness.value(AVAILABLE) == 1
        await confirmations.confirm(asked.id, "ann")
        await settle(60)
        assert (await waiting).status == "confirmed"


async def test_waiting_ends_after_its_time() -> None:
    async with instances() as (harness, (one, _)):
        asked = await one.create("ann", {})
        waiting = asyncio.create_task(one.wait(asked.id, timeout=5))
        await harness.clock.advance(4)
        assert not waiting.done()
        await harness.clock.advance(1.1)
        with pytest.raises(TimeoutError, match="pending"):
            await waiting
        assert len(one._waiting) == 0


async def test_a_document_of_another_type_is_an_error_that_shows_nothing_of_it() -> None:
    store = Memory()
    one, other = make(store), Confirmations(store, dict[str, list[int]], "other", prefix="")
    async with running([one, other]):
        asked = await other.create("ann", {"secret": [47110815]})
        with pytest.raises(ConfirmationError, match="another version") as caught:
            await one.get(asked.id)
        assert "47110815" not in str(caught.value)


async def test_a_listener_that_fails_keeps_nobody_from_hearing() -> None:
    async with instances(1) as (_, (one,)):
        heard: list[str] = []

        def fails(what: object) -> None:
            raise RuntimeError("no")

        one.listen(fails)
        end = one.listen(lambda what: heard.append(what.id))
        asked = await one.create("ann", {})
        waiting = asyncio.create_task(one.wait(asked.id))
        await settle()
        await one.confirm(asked.id, "ann")
        await settle()
        assert heard == [asked.id] and waiting.done()
        end()
        await one.confirm((await one.create("ann", {})).id, "ann")
        await settle()
        assert heard == [asked.id]


async def test_what_happens_is_counted() -> None:
    async with instances(1) as (harness, (one,)):

        async def fails(what: object) -> None:
            raise RuntimeError("no")

        one.on_expiry(fails)
        asked = [await one.create("ann", {}, ttl=100) for _ in range(3)]
        await harness.clock.advance(50)
        assert await harness.value(PENDING) == 3
        await one.confirm(asked[0].id, "ann")
        await one.confirm(asked[0].id, "ann")
        with pytest.raises(AlreadyDecidedError):
            await one.reject(asked[0].id, "ann")
        await one.correct(asked[1].id, "ann", {"a": 1})
        await settle()
        assert await harness.value(CREATED) == 3
        assert await harness.value(DECISIONS(outcome="confirmed")) == 1
        assert await harness.value(DECISIONS(outcome="corrected")) == 1
        assert await harness.value(CONFLICTS) == 1
        assert await harness.value(THINKING.sum) == pytest.approx(100)
        await harness.clock.advance(60)
        assert await harness.value(TELLING_FAILURES) == 1 and await harness.value(EXPIRED) == 0
        one.expiry_handlers.clear()
        await harness.clock.advance(60)
        assert await harness.value(EXPIRED) == 1 and await harness.value(PENDING) == 0


async def test_an_operator_looks_at_one_and_decides_it_but_does_not_see_what_it_is_about() -> None:
    async with instances(1) as (harness, (one,)):
        asked = await one.create("ann", {"amount": 47110815})
        path = "/monitoring/components/confirmations/default/actions"
        shown = await harness.client.post(f"{path}/show", json={"id": asked.id})
        assert "ann" in shown.text and "pending" in shown.text and "47110815" not in shown.text
        decided = await harness.client.post(f"{path}/decide", json={"id": asked.id, "decision": "reject"})
        assert decided.status_code == 200, decided.text
        found = await one.get(asked.id)
        assert found is not None and (found.status, found.decided_by) == ("rejected", "operator test")
        again = await harness.client.post(f"{path}/decide", json={"id": asked.id, "decision": "confirm"})
        assert again.status_code >= 400


def test_a_store_that_forgets_is_refused() -> None:
    (refusal,) = make(Memory(role="cache")).refusals("development", {})
    assert "forgets" in refusal.what and not list(make(Memory()).refusals("production", {}))


async def test_a_store_without_room_refuses_and_loses_nothing() -> None:
    store = Memory()
    confirmations = make(store)
    async with running(confirmations):
        asked = await confirmations.create("ann", {})
        assert store._space is not None
        store._space._most = 1
        for call in (confirmations.create("ann", {}), confirmations.confirm(asked.id, "ann")):
            with pytest.raises(ConfirmationUnavailableError, match="maxmemory"):
                await call
        store._space._most = 10**9
        assert (await confirmations.confirm(asked.id, "ann")).status == "confirmed"


async def test_who_waits_hears_of_a_decision_though_its_message_was_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    store = FarStore(random.Random(1))
    confirmations = make(store)
    async with running(confirmations):
        asked = await confirmations.create("ann", {})
        waiting = asyncio.create_task(confirmations.wait(asked.id))
        await settle(60)
        with monkeypatch.context() as patch:
            patch.setattr(confirmations, "_waiting", confirmations._waiting.__class__(confirmations._waiting._host))
            await confirmations.confirm(asked.id, "ann")
            await settle(60)
        assert not waiting.done()
        store.gap()
        await settle(60)
        assert waiting.done() and (await waiting).status == "confirmed"
