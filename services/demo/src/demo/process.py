"""The services that the demo runs, in one process."""

from __future__ import annotations

import asyncio
import itertools
from typing import Any

from fastapi import APIRouter, FastAPI

from bedplate.service import Process
from synfinance.service import build
from synfinance.settings import SynFinanceSettings

__all__ = ["RateSourceError", "build_process"]


class RateSourceError(Exception):
    """The bank that exchange rates come from did not answer; it is made up, and so are its failures."""


def build_process() -> Process:
    """Return the services; nothing runs yet.

    Log records are not written to the terminal, where they would bury what people want to see: the latest are at
    ``/synfinance/monitoring/logs``.
    """
    values: dict[str, Any] = {"environment": "development", "logs": {"stream": "off"}}
    synfinance = build(SynFinanceSettings(**values))
    assert isinstance(synfinance.app, FastAPI)
    synfinance.app.include_router(_made_up_trouble())
    return Process([synfinance])


def _made_up_trouble() -> APIRouter:
    """Something that is slow at times and fails at times, so that traces and errors have something to show."""
    router = APIRouter(prefix="/demo", tags=["made-up trouble"])
    numbers = itertools.count(1)

    @router.get("/exchange-rate")
    async def exchange_rate(currency: str = "GBP") -> dict[str, str]:
        """Ask a bank that is made up: of twelve answers the third fails and the seventh takes over a second."""
        number = next(numbers) % 12
        await asyncio.sleep(1.2 if number == 7 else 0.005 * number)
        if number == 3:
            raise RateSourceError(f"The bank did not answer when asked for {currency}.")
        return {"currency": currency, "per_euro": f"{0.84 + 0.003 * number:.4f}"}

    return router
