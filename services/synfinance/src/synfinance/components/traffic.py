"""What clients ask of the service and how they are answered, watched over the metrics that HTTP has anyway."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from bedplate.component import Host, Spec
from synfinance.components.signals.traffic import CHECKS, RUNBOOK, alerts, panels

__all__ = ["Traffic"]


class Traffic:
    """The alerts and panels of SynFinance's requests; it measures nothing itself.

    :param management: where the management API is, whose requests are no clients'.
    """

    def __init__(self, management: str = "/monitoring") -> None:
        self._alerts = alerts(management)
        self._panels = panels(management)

    @property
    def spec(self) -> Spec:
        """What it is."""
        return Spec(
            kind="traffic",
            summary="Watches what clients ask for, how fast they are answered, and what fails.",
            alerts=self._alerts,
            panels=self._panels,
            checks=CHECKS,
            runbook=RUNBOOK,
        )

    @asynccontextmanager
    async def lifespan(self, host: Host) -> AsyncIterator[None]:
        """Do nothing: HTTP is measured by Bedplate's own component."""
        yield
