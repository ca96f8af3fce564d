"""Who is told what happens to components."""

from __future__ import annotations

from typing import Protocol

from bedplate.component import ComponentState

__all__ = ["Observer"]


class Observer(Protocol):
    """Who is told what happens to components: the log, the metrics, the grouped errors."""

    def changed(self, label: str, state: ComponentState, reason: str) -> None:
        """A component has another state."""
        ...

    def crashed(self, label: str, task: str, error: BaseException) -> None:
        """A supervised task crashed and will be restarted."""
        ...

    def abandoned(self, label: str, what: str) -> None:
        """Something did not stop within its deadline and was left behind."""
        ...
