"""Somebody who is told of alerts: a webhook inside the demo, whose messages are printed."""

from __future__ import annotations

from collections.abc import Callable

from fastapi import APIRouter
from pydantic import BaseModel

__all__ = ["Pager"]


class Message(BaseModel):
    """What Apprise sends to a webhook, as far as it is read here."""

    title: str = ""
    message: str = ""


class Pager:
    """Takes messages about alerts and the heartbeat of the alert engine, as a pager and a dead man's switch would.

    :ivar rings: is given the title of each message.
    """

    def __init__(self) -> None:
        self.rings: Callable[[str], None] = lambda title: None

    def routes(self) -> APIRouter:
        """Return where it is told."""
        router = APIRouter(prefix="/demo", tags=["made-up trouble"])

        @router.post("/pager", status_code=204)
        async def ring(message: Message) -> None:
            """Take a message about an alert."""
            self.rings(message.title)

        @router.get("/heartbeat", status_code=204)
        async def heartbeat() -> None:
            """Take a heartbeat; whoever runs a real dead man's switch hears of it when none comes."""

        return router
