"""Starting, unwinding, supervising and stopping components."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from bedplate.component import Component, Host, Spec
from bedplate.metric import Counter
from bedplate.problems import BedplateError, UndeclaredMetricError
from bedplate.service.graph import collect, start_order
from bedplate.service.lease import HostLease
from bedplate.service.lifecycle import Lifecycle, StartError
from bedplate.telemetry.metrics.registry import Registry
from bedplate.testing.clock import ManualClock, settle

EVENTS = Counter("part_events_total", "Events.", {"part": 10})


class Recorder:
    """An observer that writes down what it is told, and a logger that says nothing."""

    def __init__(self) -> None:
        self.states: list[tuple[str, str, str]] = []
        self.crashes: list[tuple[str, str, str]] = []
        self.left: list[tuple[str, str]] = []

    def changed(self, label: str, state: str, reason: str) -> None:
        self.states.append((label, state, reason))

    def crashed(self, label: str, task: str, error: BaseException) -> None:
        self.crashes.append((label, task, str(error)))

    def abandoned(self, label: str, what: str) -> None:
        self.left.append((label, what))


class Part:
    """A component whose start and stop a test decides."""

    def __init__(
        self,
        name: str,
        *needs: Component,
        journal: list[str] | None = None,
        start: Callable[[Host], Any] | None = None,
        stop: Callable[[], Any] | None = None,
    ) -> None:
        self.name = name
        self.needs = needs
        self.journal = [] if journal is None else journal
        self.start = start
        self.stop = stop

    @property
    def spec(self) -> Spec:
        return Spec(kind="part", name=self.name, summary="A part.", needs=self.needs, metrics=(EVENTS(part=self.name),))

    @asynccontextmanager
    async def lifespan(self, host: Host) -> AsyncIterator[None]:
        self.host = host
        if self.start is not None:
            result = self.start(host)
            if asyncio.iscoroutine(result):
                await result
        self.journal.append(f"+{self.name}")
        try:
            yield
        finally:
            if self.stop is not None:
                result = self.stop()
                if asyncio.iscoroutine(result):
                    await result
            self.journal.append(f"-{self.name}")


def lifecycle(*components: Component, recorder: Recorder | None = None, **options: Any) -> Lifecycle:
    registry = Registry("test")
    registry.declare([EVENTS])
    options.setdefault("clock", ManualClock())
    return Lifecycle(
        "test",
        start_order(collect(components)),
        binder=registry,
        observer=recorder or Recorder(),
        logger=lambda label: None,  # type: ignore[arg-type,return-value]
        directory=options.pop("directory", lambda: Path()),
        **options,
    )


async def test_components_start_after_what_they_need_and_stop_before_it() -> None:
    journal: list[str] = []
    base = Part("base", journal=journal)
    left, right = Part("left", base, journal=journal), Part("right", base, journal=journal)
    life = lifecycle(Part("top", left, right, journal=journal))
    await life.start()
    assert journal == ["+base", "+left", "+right", "+top"]
    await life.stop()
    assert journal[4:] == ["-top", "-right", "-left", "-base"]


def test_a_circle_is_named() -> None:
    one = Part("one")
    two = Part("two", one)
    one.needs = (two,)
    with pytest.raises(BedplateError, match="part:one → part:two → part:one"):
        start_order(collect([one]))


def test_what_is_no_component_is_refused() -> None:
    with pytest.raises(BedplateError, match="is not a component"):
        collect(["redis"])  # type: ignore[list-item]


async def test_a_failed_start_unwinds_in_reverse_and_names_the_culprit() -> None:
    journal: list[str] = []
    recorder = Recorder()

    def explode(host: Host) -> None:
        raise ConnectionError("no route to host")

    base = Part("base", journal=journal)
    middle = Part("middle", base, journal=journal)
    life = lifecycle(Part("top", middle, journal=journal, start=explode), recorder=recorder)
    with pytest.raises(StartError, match="part:top did not start: ConnectionError: no route to host"):
        await life.start()
    assert journal == ["+base", "+middle", "-middle", "-base"]
    assert ("part:top", "failed", "ConnectionError: no route to host") in recorder.states


async def test_a_hung_start_ends_at_its_deadline() -> None:
    async def hang(host: Host) -> None:
        await asyncio.Event().wait()

    journal: list[str] = []
    life = lifecycle(Part("top", Part("base", journal=journal), start=hang), start_timeout=0.05)
    with pytest.raises(StartError, match=r"part:top did not start within 0\.05 s"):
        await life.start()
    assert journal == ["+base", "-base"]


async def test_a_cancelled_start_unwinds() -> None:
    async def hang(host: Host) -> None:
        await asyncio.Event().wait()

    journal: list[str] = []
    life = lifecycle(Part("top", Part("base", journal=journal), start=hang))
    task = asyncio.create_task(life.start())
    await settle()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert journal == ["+base", "-base"]


async def test_lifespans_are_left_by_the_task_that_entered_them() -> None:
    tasks: list[asyncio.Task[Any] | None] = []
    part = Part(
        "part",
        start=lambda host: tasks.append(asyncio.current_task()),
        stop=lambda: tasks.append(asyncio.current_task()),
    )
    life = lifecycle(part)
    await life.start()
    await life.stop()
    assert tasks[0] is tasks[1] is not asyncio.current_task()


async def test_one_that_hangs_or_fails_at_its_stop_does_not_keep_the_others() -> None:
    async def hang() -> None:
        await asyncio.Event().wait()

    def explode() -> None:
        raise RuntimeError("cannot flush")

    journal: list[str] = []
    recorder = Recorder()
    base = Part("base", journal=journal)
    failing = Part("failing", base, journal=journal, stop=explode)
    life = lifecycle(Part("hung", failing, journal=journal, stop=hang), recorder=recorder, stop_timeout=0.1)
    await life.start()
    await asyncio.wait_for(life.stop(), 3)
    assert journal[-1] == "-base"
    assert recorder.left == [("part:hung", "stop")]
    assert recorder.crashes == [("part:failing", "stop", "cannot flush")]


async def test_a_crashed_task_is_told_and_restarted_with_growing_delays() -> None:
    clock, recorder, runs = ManualClock(), Recorder(), [0]

    async def crash() -> None:
        runs[0] += 1
        raise ValueError(f"run {runs[0]}")

    life = lifecycle(Part("part", start=lambda host: host.spawn("poll", crash)), clock=clock, recorder=recorder)
    await life.start()
    await clock.advance(0)
    assert runs == [1]
    view = life.views()[0].tasks[0]
    assert (view.name, view.state, view.restarts, view.last_error) == ("poll", "restarting", 1, "ValueError: run 1")
    await clock.advance(0.11)
    assert runs == [2]
    await clock.advance(0.03)
    assert runs == [2], "the second delay is longer than the first"
    await clock.advance(600)
    assert 20 < runs[0] < 60, "delays stop growing at half a minute"
    assert recorder.crashes[0] == ("part:part", "poll", "run 1")
    await life.stop()


async def test_a_cancellation_that_nobody_asked_for_is_a_crash() -> None:
    recorder = Recorder()

    async def poll() -> None:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        future.cancel()
        await future

    life = lifecycle(Part("part", start=lambda host: host.spawn("poll", poll)), recorder=recorder)
    await life.start()
    await settle()
    assert [crash[:2] for crash in recorder.crashes] == [("part:part", "poll")]
    await life.stop()


async def test_a_finished_task_is_not_restarted() -> None:
    async def once() -> None:
        return

    life = lifecycle(Part("part", start=lambda host: host.spawn("once", once)))
    await life.start()
    await settle()
    assert life.views()[0].tasks[0].state == "finished"
    await life.stop()


async def test_a_coroutine_instead_of_a_function_is_refused() -> None:
    async def loop() -> None:
        return

    life = lifecycle(Part("part", start=lambda host: host.spawn("loop", loop())))  # type: ignore[arg-type]
    with pytest.raises(StartError) as caught:
        await life.start()
    assert "Pass the function itself" in str(caught.value)


async def test_degraded_is_a_state_that_is_told_once_and_ends() -> None:
    recorder = Recorder()
    part = Part("part")
    life = lifecycle(part, recorder=recorder)
    await life.start()
    for _ in range(3):
        part.host.degraded("Redis is away")
    assert (life.views()[0].state, life.views()[0].reason) == ("degraded", "Redis is away")
    part.host.degraded(None)
    assert life.views()[0].state == "running"
    assert [state for _, state, _ in recorder.states] == ["starting", "running", "degraded", "running"]
    await life.stop()


async def test_a_component_binds_only_what_it_declares() -> None:
    part = Part("one")
    life = lifecycle(part)
    await life.start()
    part.host.bind(EVENTS).inc()
    with pytest.raises(UndeclaredMetricError, match="part:one binds other_total"):
        part.host.bind(Counter("other_total", "Other."))
    with pytest.raises(BedplateError, match="already narrowed"):
        part.host.bind(EVENTS(part="two"))
    await life.stop()


async def test_a_lease_lets_one_of_the_host_run_and_passes_on(tmp_path: Path) -> None:
    ran: list[str] = []

    def loop(name: str) -> Callable[[Host], None]:
        async def act() -> None:
            ran.append(name)
            await asyncio.Event().wait()

        return lambda host: host.spawn("act", act, lease=HostLease("move", poll=0.01))

    clock = ManualClock()
    one = lifecycle(Part("one", start=loop("one")), clock=clock, directory=lambda: tmp_path)
    two = lifecycle(Part("two", start=loop("two")), clock=clock, directory=lambda: tmp_path)
    await one.start()
    await settle()
    await two.start()
    await clock.advance(1)
    assert ran == ["one"]
    assert two.views()[0].tasks[0].state == "waiting"
    await one.stop()
    await clock.advance(1)
    assert ran == ["one", "two"]
    await two.stop()
