"""What idempotency promises, on every backend."""

from __future__ import annotations

import asyncio

import pytest

from bedplate.state.idempotency import Idempotency, KeyInUseError, KeyReusedError
from tests.stores import Backend


def make(store: object) -> Idempotency:
    return Idempotency(store)  # type: ignore[arg-type]


async def test_what_one_instance_has_done_another_gives_again(backend: Backend) -> None:
    async with backend.instances(make) as (one, other):
        async with one.once("payout:1", b"12.50") as once:
            assert (once.done, once.attempt) == (False, 1)
            await once.finish({"bytes": "\x00é", "numbers": [1, 2.5, None]})
        for idempotency in (one, other):
            async with idempotency.once("payout:1", b"12.50") as once:
                assert once.done and once.result == {"bytes": "\x00é", "numbers": [1, 2.5, None]}
            with pytest.raises(KeyReusedError):
                async with idempotency.once("payout:1", b"13.50"):
                    pass


async def test_of_all_instances_one_does_it(backend: Backend) -> None:
    done: list[int] = []

    async def pay(idempotency: Idempotency) -> str:
        try:
            async with idempotency.once("payout:1") as once:
                if once.done:
                    return "again"
                done.append(once.attempt)
                await asyncio.sleep(0)
                await once.finish(1)
                return "done"
        except KeyInUseError:
            return "busy"

    async with backend.instances(make) as (one, other):
        said = await asyncio.gather(*(pay((one, other)[number % 2]) for number in range(30)))
        assert done == [1]
        assert said.count("done") == 1
        assert set(said) <= {"done", "again", "busy"}


async def test_what_failed_may_be_done_again_at_once(backend: Backend) -> None:
    async with backend.instances(make) as (one, other):
        with pytest.raises(ValueError, match="no"):
            async with one.once("payout:1"):
                with pytest.raises(KeyInUseError):
                    async with other.once("payout:1"):
                        pass
                raise ValueError("no")
        async with other.once("payout:1") as once:
            assert (once.done, once.attempt) == (False, 2)


async def test_a_mark_is_held_while_its_process_lives_and_lapses_when_it_died(backend: Backend) -> None:
    def short(store: object) -> Idempotency:
        return Idempotency(store, lease=4 * backend.short)  # type: ignore[arg-type]

    async with backend.instances(short) as (one, other):
        async with one.once("payout:1"):
            await backend.pass_(8 * backend.short)
            with pytest.raises(KeyInUseError):
                async with other.once("payout:1"):
                    pass
        with pytest.raises(asyncio.CancelledError):
            async with one.once("payout:2"):
                raise asyncio.CancelledError  # cut short: nobody knows what came of it
        with pytest.raises(KeyInUseError):
            async with other.once("payout:2"):
                pass
        await backend.pass_(6 * backend.short)
        async with other.once("payout:2") as once:
            assert once.attempt == 2


async def test_a_late_one_cannot_overwrite(backend: Backend) -> None:
    def short(store: object) -> Idempotency:
        return Idempotency(store, lease=3 * backend.short)  # type: ignore[arg-type]

    async with backend.instances(short) as (one, other):
        late = one.once("payout:1")
        first = await late.__aenter__()
        one.ledger._running.clear()  # as a process that is stopped, which renews nothing
        await backend.pass_(5 * backend.short)
        async with other.once("payout:1") as second:
            assert second.attempt == 2
            assert not await first.finish("late")
            assert first.is_lost
            await second.finish("right")
        await late.__aexit__(None, None, None)
        async with one.once("payout:1") as once:
            assert once.result == "right"


async def test_keys_are_forgotten_after_their_time(backend: Backend) -> None:
    idempotency = Idempotency(backend.store, ttl=2 * backend.short, lease=backend.short)
    async with backend.running(idempotency):
        async with idempotency.once("payout:1"):
            pass
        await backend.pass_(3 * backend.short)
        async with idempotency.once("payout:1") as once:
            assert (once.done, once.attempt) == (False, 1)
