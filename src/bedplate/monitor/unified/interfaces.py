"""What the unified view asks of those whose data it shows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from bedplate.component import Component
from bedplate.declarations import Action, Actor
from bedplate.monitor.alerts.notices import AlertView, Silence, Transition
from bedplate.monitor.health.status import Status

__all__ = ["AlertSource", "HealthSource", "Presses", "RuleSource"]


class HealthSource(Component, Protocol):
    """Who asks every component how it is; :class:`~bedplate.monitor.health.Health` does."""

    @property
    def status(self) -> Status:
        """How the service is, as far as probes and states say."""
        ...

    def report(self, *, history: bool = ...) -> dict[str, Any]:
        """Return the status and every component with its probes."""
        ...


class RuleSource(Protocol):
    """A rule of the service, evaluated here or not."""

    @property
    def rule(self) -> Any:
        """The rule: its ``name`` is the alert's."""
        ...


class AlertSource(Component, Protocol):
    """The alert engine; :class:`~bedplate.monitor.alerts.component.Alerts` is it."""

    @property
    def active(self) -> bool:
        """Whether it runs in this process."""
        ...

    def current(self, *, resolved: bool = ...) -> Sequence[AlertView]:
        """Return the alerts of all instances: firing, pending, and perhaps those resolved lately."""
        ...

    def rules(self) -> Sequence[RuleSource]:
        """Return every rule of the service."""
        ...

    async def history(
        self,
        limit: int = ...,
        *,
        since: float = ...,
        until: float | None = ...,
        name: str = ...,
        fingerprint: str = ...,
    ) -> Sequence[Transition]:
        """Return transitions of all instances, the latest first."""
        ...

    def silences(self, *, ended: bool = ...) -> Sequence[Silence]:
        """Return the silences."""
        ...

    def actions(self) -> Sequence[Action]:
        """Return what operators may do; ``acknowledge`` is one of it."""
        ...

    def subscribe(self, callback: Callable[[Transition], None]) -> Callable[[], None]:
        """Call back at every transition; returns what ends that."""
        ...


class Presses(Protocol):
    """Who does actions, and keeps the record of them; :class:`~bedplate.monitor.management.actions.Buttons` does."""

    async def press(self, component: str, action: Action, actor: Actor, body: dict[str, object]) -> Any:
        """Validate the parameters, do it, and return its result."""
        ...
