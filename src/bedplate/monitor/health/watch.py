"""Running one probe for as long as the service lives."""

from __future__ import annotations

import asyncio
import inspect
import random
from collections.abc import Callable
from typing import Any

from bedplate.clock import Clock
from bedplate.monitor.health.record import Outcome, ProbeRecord, Run
from bedplate.monitor.health.settings import HealthSettings

__all__ = ["ProbeWatch", "say"]

_LONGEST_TEXT = 300


class ProbeWatch:
    """Asks one probe again and again, never twice at once.

    A run that exceeds the probe's timeout is cancelled. If it ignores that, it is abandoned: nothing waits for it,
    every further interval counts as a failed run, and the check is asked again only once it has returned.

    :param is_due: tells whether the component runs; while it does not, the probe is not asked.
    :param report: receives every run.
    :param clean: makes an error's text fit to be shown; it takes secrets out.
    """

    def __init__(
        self,
        record: ProbeRecord,
        settings: HealthSettings,
        clock: Clock,
        *,
        is_due: Callable[[], bool],
        report: Callable[[ProbeRecord, Run], None],
        clean: Callable[[str], str],
    ) -> None:
        self.record = record
        self._settings = settings
        self._clock = clock
        self._is_due = is_due
        self._report = report
        self._clean = clean
        self._check: asyncio.Task[str | None] | None = None
        self._check_began = 0.0

    @property
    def check(self) -> asyncio.Task[str | None] | None:
        """The check that is under way, abandoned ones included."""
        return self._check if self._check is not None and not self._check.done() else None

    async def run(self) -> None:
        """Ask for ever; ends by being cancelled."""
        await self._clock.sleep(random.uniform(0, min(self._settings.start_jitter, self.record.probe.interval)))
        while True:
            if not self._is_due():
                await self._clock.sleep(self._settings.tick)
                continue
            self._report(self.record, await self.ask())
            await self._clock.sleep(self.record.probe.interval * random.uniform(0.9, 1.1))

    async def ask(self) -> Run:
        """Run the check once and return what came of it; within its timeout and the grace after it."""
        at, began = self._clock.time(), self._clock.monotonic()
        if self.check is not None:
            return Run(at, 0.0, "hung", f"has not returned for {began - self._check_began:.0f} s")
        self._check_began = began
        check = self._check = asyncio.create_task(self._call(), name=f"probe {self.record.component}")
        check.add_done_callback(_retrieve)
        try:
            outcome, text = await self._outcome(check)
        except asyncio.CancelledError:
            check.cancel()
            raise
        return Run(at, self._clock.monotonic() - began, outcome, text)

    async def _outcome(self, check: asyncio.Task[str | None]) -> tuple[Outcome, str]:
        timeout = self.record.probe.timeout
        if await self._ends_within(check, timeout):
            return self._verdict(check)
        check.cancel()
        if await self._ends_within(check, self._settings.cancel_grace):
            return "timeout", f"no answer within {timeout:g} s"
        return "hung", f"no answer within {timeout:g} s, and it ignores being cancelled"

    async def _ends_within(self, check: asyncio.Task[str | None], seconds: float) -> bool:
        timer = asyncio.ensure_future(self._clock.sleep(seconds))
        try:
            await asyncio.wait({check, timer}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            timer.cancel()
        return check.done()

    def _verdict(self, check: asyncio.Task[str | None]) -> tuple[Outcome, str]:
        if check.cancelled():
            return "failed", "it was cancelled from inside"
        error = check.exception()
        if error is not None:
            return "failed", self._clean(say(error))
        detail = check.result()
        return "ok", self._clean(str(detail))[:_LONGEST_TEXT] if isinstance(detail, str) else ""

    async def _call(self) -> str | None:
        answer: Any = self.record.probe.check()
        if inspect.isawaitable(answer):
            answer = await answer
        if answer is False:
            raise RuntimeError("the check returned False")
        return answer if isinstance(answer, str) else None


def say(error: BaseException) -> str:
    """Return an error as one short line: its type and its message."""
    message = " ".join(str(error).split())
    name = type(error).__name__
    return (f"{name}: {message}" if message else name)[:_LONGEST_TEXT]


def _retrieve(task: asyncio.Task[Any]) -> None:
    """Mark the exception as seen; an abandoned check has nobody else to do it."""
    if not task.cancelled():
        task.exception()
