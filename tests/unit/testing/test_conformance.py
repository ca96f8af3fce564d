"""Each case of the conformance suite catches the fault that it is for."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bedplate.component import Component, Host, Spec
from bedplate.declarations import Alert, Probe
from bedplate.testing import CASES, ConformanceError, check_component

BY_NAME = {case.__name__: case for case in CASES}
LEFT: list[asyncio.Task[None]] = []


class Sound:
    """Does what every component must."""

    @property
    def spec(self) -> Spec:
        return Spec(kind="part", summary="A part.", probes=(Probe(name="ping", check=self.ping),))

    async def ping(self) -> None:
        await asyncio.sleep(0)

    @asynccontextmanager
    async def lifespan(self, host: Host) -> AsyncIterator[None]:
        await asyncio.sleep(0)
        yield


class Unstable(Sound):
    reads = 0

    @property
    def spec(self) -> Spec:
        self.reads += 1
        return replace(super().spec, summary=f"Read {self.reads} times.")


class Reading(Sound):
    def __init__(self) -> None:
        Path(__file__).read_text()


class Unexplained(Sound):
    @property
    def spec(self) -> Spec:
        return replace(super().spec, alerts=(Alert(name="PartBroken", expr="nobodys_metric > 1", summary="Broken."),))


class Crashing(Sound):
    @asynccontextmanager
    async def lifespan(self, host: Host) -> AsyncIterator[None]:
        async def explode() -> None:
            raise ValueError("tick")

        host.spawn("tick", explode)
        yield


class StopsBadly(Sound):
    @asynccontextmanager
    async def lifespan(self, host: Host) -> AsyncIterator[None]:
        yield
        raise RuntimeError("cannot flush")


class Leaking(Sound):
    @asynccontextmanager
    async def lifespan(self, host: Host) -> AsyncIterator[None]:
        async def forever() -> None:
            await asyncio.Event().wait()

        LEFT.append(asyncio.create_task(forever(), name="left-behind"))
        await asyncio.sleep(0)
        yield


class NeverStarts(Sound):
    @asynccontextmanager
    async def lifespan(self, host: Host) -> AsyncIterator[None]:
        raise ConnectionError("no route")
        yield


class Stubborn(Sound):
    async def ping(self) -> None:
        for _ in range(30):
            try:
                await asyncio.sleep(0.1)
            except asyncio.CancelledError:
                continue


@pytest.mark.parametrize(
    ("case", "component", "told"),
    [
        ("spec_is_stable", Unstable, "Two reads of its spec differ"),
        ("constructor_does_no_io", Reading, "does I/O: open"),
        ("declarations_are_sound", Unexplained, "PartBroken has no section in the runbook"),
        ("declarations_are_sound", Unexplained, "nobodys_metric"),
        ("starts_and_stops_twice", Crashing, "Its task tick crashed: ValueError: tick"),
        ("starts_and_stops_twice", StopsBadly, "did not stop cleanly: RuntimeError: cannot flush"),
        ("starts_and_stops_twice", Leaking, "leaves tasks behind: left-behind"),
        ("survives_cancellation_at_any_moment", Leaking, "leaves tasks behind"),
        ("a_failing_neighbour_unwinds_it", Leaking, "leaves tasks behind"),
        ("a_failing_neighbour_unwinds_it", NeverStarts, "It did not start"),
        ("probes_end_when_cancelled", Stubborn, "probe ping ignores being cancelled"),
    ],
)
async def test_a_case_catches_its_fault(case: str, component: type[Component], told: str) -> None:
    with pytest.raises(ConformanceError, match=told):
        await BY_NAME[case](component)


async def test_what_is_sound_passes_and_each_case_is_tried_here() -> None:
    await check_component(Sound)
    mark: Any = next(m for m in test_a_case_catches_its_fault.pytestmark if m.name == "parametrize")  # type: ignore[attr-defined]
    assert {row[0] for row in mark.args[1]} == set(BY_NAME)
