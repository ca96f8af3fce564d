"""Hearing a topic of events for as long as a component runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from bedplate.component import Host
from bedplate.state.events import Events, EventsUnavailableError

__all__ = ["follow"]

#: Seconds until a topic that cannot be heard is tried again.
_AGAIN: Final = 1.0


async def follow(
    events: Events, topic: str, host: Host, heard: Callable[[Any], None], missed: Callable[[], None] = lambda: None
) -> None:
    """Give each event's payload to ``heard``, for ever.

    :param missed: called when events may have been lost, as after an outage of the store.
    """
    while True:
        try:
            async with events.subscribe(topic) as subscription:
                async for event in subscription:
                    if event.missed:
                        missed()
                    heard(event.payload)
        except EventsUnavailableError:
            await host.clock.sleep(_AGAIN)
            missed()
