"""Calls that are to be done once, without HTTP."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from decimal import Decimal

import pytest

from bedplate import BedplateError
from bedplate.problems import DeclarationError
from bedplate.state.idempotency import Idempotency, IdempotencyUnavailableError, KeyInUseError, KeyReusedError
from bedplate.state.memory import Memory
from bedplate.testing import CASES


@dataclass
class Receipt:
    order: str
    total: Decimal


async def test_a_call_is_done_once_and_its_result_given_again(one) -> None:
    results = []
    for _ in range(2):
        async with one.idempotency.once("payout:1", "12.50 EUR") as once:
            if not once.done:
                await once.finish({"paid": Decimal("12.50")})
        results.append((once.done, once.attempt))
    assert results == [(False, 1), (True, 0)]
    assert once.result == {"paid": "12.50"}


async def test_without_a_result_it_is_done_nevertheless(one) -> None:
    for done in (False, True):
        async with one.idempotency.once("payout:1") as once:
            assert once.done is done
        assert once.result is None


async def test_what_failed_is_done_again(one) -> None:
    with pytest.raises(ValueError, match="no"):
        async with one.idempotency.once("payout:1"):
            raise ValueError("no")
    async with one.idempotency.once("payout:1") as once:
        assert (once.done, once.attempt) == (False, 2)


async def test_it_is_refused_while_it_is_done_and_for_something_else(one) -> None:
    async with one.idempotency.once("payout:1", "a"):
        with pytest.raises(KeyInUseError):
            async with one.idempotency.once("payout:1", "a"):
                pass
        with pytest.raises(KeyReusedError):
            async with one.idempotency.once("payout:1", "b"):
                pass
        async with one.idempotency.once("payout:1", "b", caller="bob"):
            pass
    with pytest.raises(KeyReusedError):
        async with one.idempotency.once("payout:1", "b"):
            pass


async def test_without_the_store_nothing_is_done(one) -> None:
    one.link.cut()
    with pytest.raises(IdempotencyUnavailableError):
        async with one.idempotency.once("payout:1"):
            raise AssertionError("done")


async def test_it_is_finished_once_and_with_what_can_be_kept(one) -> None:
    async with one.idempotency.once("payout:1") as once:
        with pytest.raises(BedplateError, match="larger"):
            await once.finish("x" * 2_000_000)
        await once.finish(1)
        with pytest.raises(BedplateError, match="before"):
            await once.finish(2)


async def test_a_function_is_executed_once_for_a_key_and_its_result_typed(one) -> None:
    paid: list[str] = []

    @one.idempotency.idempotent(key=lambda order, total: order)
    async def pay(order: str, total: Decimal) -> Receipt:
        paid.append(order)
        return Receipt(order, total)

    first = await pay("a", Decimal("0.10"))
    assert await pay("a", Decimal("0.10")) == first == Receipt("a", Decimal("0.10"))
    await pay("b", total=Decimal(1))
    assert paid == ["a", "b"]


async def test_two_functions_do_not_share_keys(one) -> None:
    @one.idempotency.idempotent(key=lambda: "k")
    async def first() -> int:
        return 1

    @one.idempotency.idempotent(key=lambda: "k")
    async def second() -> int:
        return 2

    assert [await first(), await second(), await first()] == [1, 2, 1]


async def test_of_many_calls_at_once_one_is_executed(one) -> None:
    ran = 0

    @one.idempotency.idempotent(key=lambda: "k")
    async def pay() -> int:
        nonlocal ran
        ran += 1
        await asyncio.sleep(0)
        return ran

    results = await asyncio.gather(*(pay() for _ in range(10)), return_exceptions=True)
    assert ran == 1
    assert all(result == 1 or isinstance(result, KeyInUseError) for result in results)


async def test_an_operator_lets_a_request_be_executed_again(one) -> None:
    key = '"8e03978e-40d5-43dd-bc93-6894a57f9324"'
    await one.post("/orders", key)
    reference = (await one.post("/orders", key, json={})).json()["reference"]
    base = "/monitoring/components/idempotency/default/actions/forget"
    answer = await one.harness.client.post(base, json={"reference": reference})
    assert answer.status_code == 200, answer.text
    assert (await one.post("/orders", key)).json() == {"order": 2}
    assert (await one.harness.client.post(base, json={"reference": "x"})).status_code == 422


async def test_no_key_reaches_metrics_logs_or_the_store(one, world, caplog) -> None:
    from tests.linked import snapshot

    key = "8e03978e-40d5-43dd-bc93-6894a57f9324"
    await one.post("/orders", key, user="a-token-of-ada")
    await one.post("/orders", key, user="a-token-of-ada", json={})
    one.link.cut()
    await one.post("/orders", key, user="a-token-of-ada")
    exposed = (await one.harness.client.get("/metrics")).text
    for text in (exposed, caplog.text, repr(await snapshot(world.store))):
        assert key not in text
        assert "a-token-of-ada" not in text


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
async def test_idempotency_conforms(case) -> None:
    await case(lambda: Idempotency(Memory()))


async def test_what_cannot_be_right_is_refused() -> None:
    with pytest.raises(DeclarationError, match="lease"):
        Idempotency(Memory(), ttl=1, lease=2)
    with pytest.raises(DeclarationError, match="not async"):
        Idempotency(Memory()).idempotent(key=str)(lambda: 1)  # type: ignore[arg-type]
    with pytest.raises(BedplateError, match="does not run"):
        async with Idempotency(Memory()).once("k"):
            pass
