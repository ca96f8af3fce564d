"""Who asks for quotes: one of all instances, which stands back when nobody can know who leads."""

from __future__ import annotations

import random
from collections.abc import Mapping
from decimal import Decimal

import pytest

from bedplate.state.events import Events
from bedplate.state.locks import Locks
from bedplate.testing import running
from bedplate.testing.clock import settle
from tests.unit.state.far_store import FarStore
from tradesense.components.market import Market

ACME = ("ACME", "USD")
DEGRADED = "bedplate_service_component_degraded"
CRASHES = "bedplate_service_task_crashes_total"


class Source:
    """Counts how often it is asked."""

    def __init__(self) -> None:
        self.asked = 0

    async def quotes(self, watched: Mapping[tuple[str, str], Decimal | None]) -> Mapping[tuple[str, str], Decimal]:
        self.asked += 1
        return {one: Decimal(5) for one in watched}


async def test_an_outage_is_no_crash_and_asking_goes_on_after_it(caplog: pytest.LogCaptureFixture) -> None:
    store, source = FarStore(random.Random(1)), Source()
    market = Market(source, events=Events(store.near), locks=Locks(store))
    async with running(market) as harness:
        await settle(100)
        await market.watch([ACME])
        await harness.clock.advance(3)
        assert source.asked > 0 and market.prices == {ACME: 5}

        store.set_away(True)
        await harness.clock.advance(20)
        asked = source.asked
        await market.watch([ACME])
        await harness.clock.advance(60)
        assert source.asked == asked
        assert await harness.value(DEGRADED, component="market") == 1
        assert "leads no more" in caplog.text

        store.set_away(False)
        for _ in range(20):
            await harness.clock.advance(1)
            await market.watch([ACME])
        assert source.asked > asked
        assert await harness.value(DEGRADED, component="market") == 0
        assert await harness.value(CRASHES, component="market", task="ask") == 0
    assert "LockLostError" not in caplog.text
