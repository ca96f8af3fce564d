from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest

from bedplate.declarations import Probe
from bedplate.monitor.health import HealthSettings, blocking
from bedplate.monitor.health.record import ProbeRecord, Run
from bedplate.monitor.health.watch import ProbeWatch
from tests.unit.monitor.monitor_fakes import DrivenClock, settle

SETTINGS = HealthSettings(start_jitter=0, cancel_grace=1)


class Watched:
    def __init__(self, check: Callable[[], Any], **probe: Any) -> None:
        self.clock = DrivenClock()
        self.runs: list[Run] = []
        self.due = True
        record = ProbeRecord("redis", Probe(name="ping", check=check, **probe), 0.0)
        self.watch = ProbeWatch(
            record,
            SETTINGS,
            self.clock,
            is_due=lambda: self.due,
            report=lambda _, run: self.runs.append(run),
            clean=lambda text: text.replace("hunter2", "[redacted]"),
        )

    async def __aenter__(self) -> Watched:
        self.task = asyncio.create_task(self.watch.run())
        await self.clock.advance(0)
        return self

    async def __aexit__(self, *_: object) -> None:
        self.task.cancel()
        await asyncio.wait([self.task])

    @property
    def outcomes(self) -> list[str]:
        return [run.outcome for run in self.runs]


async def test_it_asks_at_once_and_then_about_every_interval() -> None:
    async def check() -> str:
        return "PONG"

    async with Watched(check, interval=10) as watched:
        assert watched.outcomes == ["ok"]
        assert watched.runs[0].text == "PONG"
        await watched.clock.advance(100)
        assert 9 <= len(watched.runs) <= 12


@pytest.mark.parametrize("answer", [None, True, "fine"])
async def test_returning_is_passing(answer: object) -> None:
    async def check() -> Any:
        return answer

    async with Watched(check) as watched:
        assert watched.outcomes == ["ok"]


async def test_errors_are_kept_as_one_short_line_without_secrets() -> None:
    async def check() -> None:
        raise ConnectionError("cannot reach\n  redis://:hunter2@cache" + "x" * 5000)

    async with Watched(check) as watched:
        assert watched.outcomes == ["failed"]
        text = watched.runs[0].text
        assert text.startswith("ConnectionError: cannot reach redis://:[redacted]@cache")
        assert len(text) <= 310


async def test_false_and_a_plain_function_that_raises_are_failures() -> None:
    async def no() -> Any:
        return False

    def broken() -> Any:
        raise ValueError("not even a coroutine")

    for check in (no, broken):
        async with Watched(check) as watched:
            assert watched.outcomes == ["failed"]


async def test_a_slow_check_is_cancelled_at_its_timeout() -> None:
    cancelled = asyncio.Event()

    async def check() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.set()
            raise

    async with Watched(check, timeout=2) as watched:
        await watched.clock.advance(1.9)
        assert not watched.runs
        await watched.clock.advance(0.2)
        assert cancelled.is_set()
        assert watched.outcomes == ["timeout"]
        assert "2 s" in watched.runs[0].text


async def test_a_check_that_ignores_cancelling_is_reported_and_never_started_twice() -> None:
    started, released = 0, asyncio.Event()

    async def check() -> None:
        nonlocal started
        started += 1
        while not released.is_set():
            try:
                await released.wait()
            except asyncio.CancelledError:
                continue

    async with Watched(check, timeout=2, interval=10) as watched:
        await watched.clock.advance(4)
        assert watched.outcomes == ["hung"]
        await watched.clock.advance(50)
        assert started == 1
        assert set(watched.outcomes) == {"hung"}
        assert len(watched.runs) >= 4
        assert "has not returned for" in watched.runs[-1].text
        released.set()
        await watched.clock.advance(12)  # the interval varies by a tenth
        assert started > 1
        assert watched.outcomes[-1] == "ok"


async def test_a_check_that_cancels_itself_is_a_failure_and_not_the_end() -> None:
    async def check() -> None:
        raise asyncio.CancelledError

    async with Watched(check, interval=10) as watched:
        await watched.clock.advance(30)
        assert set(watched.outcomes) == {"failed"}
        assert len(watched.runs) >= 3


async def test_a_component_that_does_not_run_is_not_asked() -> None:
    asked = 0

    async def check() -> None:
        nonlocal asked
        asked += 1

    watched = Watched(check)
    watched.due = False
    async with watched:
        await watched.clock.advance(5)
        assert asked == 0
        watched.due = True
        await watched.clock.advance(1)
        assert asked == 1


async def test_stopping_cancels_the_check() -> None:
    ended = asyncio.Event()

    async def check() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    async with Watched(check):
        pass
    await settle()
    assert ended.is_set()


async def test_a_blocking_call_runs_in_a_thread_once_at_a_time_and_leaves_the_loop_alone() -> None:
    release, calls = threading.Event(), 0

    def call() -> str:
        nonlocal calls
        calls += 1
        release.wait(60)
        return "listed"

    check = blocking(call)
    first = asyncio.ensure_future(check())
    await settle()
    with pytest.raises(TimeoutError, match="previous call has not returned"):
        await check()
    first.cancel()
    await settle()
    with pytest.raises(TimeoutError):
        await check()
    assert calls == 1
    release.set()
    for _ in range(30_000):
        try:
            assert await check() == "listed"
            break
        except TimeoutError:
            await asyncio.sleep(0.002)
    assert calls == 2


async def test_a_blocking_call_hands_its_error_on() -> None:
    def call() -> None:
        raise OSError("disk gone")

    with pytest.raises(OSError, match="disk gone"):
        await blocking(call)()
