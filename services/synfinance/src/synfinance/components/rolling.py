"""What components of SynFinance say about the last five minutes: a window, gauges that follow it, and a reset."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from pathlib import Path
from typing import Annotated, Any, Generic, TypeVar

from pydantic import Field

from bedplate.component import Host
from bedplate.declarations import Action, Actor
from bedplate.settings import Seconds, Section
from bedplate.telemetry.metrics.windows import Window

__all__ = ["Rolling", "RollingSettings"]

K = TypeVar("K", bound=Hashable)

#: Seconds between two looks at what has left the window and at resets asked for in other processes.
REFRESH = 5.0


class RollingSettings(Section):
    """Over how long rates are taken."""

    window: Annotated[Seconds, Field(ge=10, le=86_400)] = 300.0
    """Seconds that rates and shares look back."""


class Rolling(Generic[K]):
    """A window whose owner shows it as gauges; call within ``lifespan``.

    A reset is asked for in whichever process has the button: it leaves a mark in the directory that the processes of
    the service share, and each of them forgets its own window when it sees the mark.

    :param name: names the mark and the task; unique within a service.
    :param show: sets the gauges; called after every change of the window by time or reset.
    """

    def __init__(self, host: Host, name: str, seconds: float, show: Callable[[], None]) -> None:
        self.seconds = seconds
        self._window: Window[K] = Window(seconds, clock=host.clock.monotonic)
        self._host = host
        self._name = name
        self._show = show
        self._seen = self._stamp()
        host.spawn("window", self._follow)

    def add(self, key: K, amount: float = 1.0) -> None:
        """Add to the window."""
        self._window.add(key, amount)

    def total(self, key: K) -> float:
        """Return the sum of ``key`` in the window."""
        return self._window.total(key)

    def totals(self) -> dict[K, float]:
        """Return all sums in the window."""
        return self._window.totals()

    def rate(self, key: K) -> float:
        """Return the sum of ``key`` per second."""
        return self._window.rate(key)

    def reset(self) -> None:
        """Forget the window in all processes: here at once, in the others within seconds."""
        self._mark.touch()
        self._seen = self._stamp()
        self._forget()

    async def _follow(self) -> None:
        while True:
            if (stamp := self._stamp()) != self._seen:
                self._seen = stamp
                self._forget()
            self._show()
            await self._host.clock.sleep(REFRESH)

    def _forget(self) -> None:
        self._window.reset()
        self._show()

    @property
    def _mark(self) -> Path:
        return self._host.directory / f"{self._name}.reset"

    def _stamp(self) -> int:
        try:
            return self._mark.stat().st_mtime_ns
        except FileNotFoundError:
            return 0


def reset_action(summary: str, reset: Callable[[], None]) -> Action:
    """Return the button that forgets a window."""

    async def run(parameters: Any, actor: Actor) -> dict[str, str]:
        reset()
        return {"status": "reset"}

    return Action(name="reset", summary=summary, run=run)
