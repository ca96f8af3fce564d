"""A decision that cannot be told for days stays a decision."""

from __future__ import annotations

import asyncio

from bedplate.service import Service
from bedplate.state.confirmations import Confirmation, Confirmations, Expired
from bedplate.state.memory.component import Memory
from bedplate.testing import running, settings


async def test_a_decision_whose_handler_fails_for_days_is_told_as_a_decision() -> None:
    store = Memory()
    confirmations = Confirmations(store, dict[str, int])
    broken = True
    told: list[str] = []
    failed: list[str] = []

    @confirmations.on_decision
    async def apply(confirmation: Confirmation[dict[str, int]]) -> None:
        if broken:
            failed.append(confirmation.id)
            raise RuntimeError("its bank is away")
        told.append(confirmation.status)

    @confirmations.on_expiry
    async def expire(expired: Expired) -> None:
        told.append("expired")

    async with running(Service("test", None, [store, confirmations], settings=settings())) as harness:
        asked = await confirmations.create("user-7", {"amount": 12})
        await confirmations.confirm(asked.id, by="user-7")
        while not failed:
            await harness.clock.advance(1.0)
            await asyncio.sleep(0.001)
        await asyncio.sleep(0.001)
        harness.clock.jump(3 * 86_400.0)
        broken = False
        for _ in range(40):
            await harness.clock.advance(1.0)
            await asyncio.sleep(0.001)
        assert told == ["confirmed"]
