"""A page of the history of alerts."""

from __future__ import annotations

from collections.abc import Callable

from bedplate.monitor.alerts.notices import AlertView, Transition
from bedplate.monitor.management.requests import cursor_of, position_of
from bedplate.monitor.unified.interfaces import AlertSource
from bedplate.monitor.unified.requests import AlertQuery

__all__ = ["page_of"]

_BATCH = 500
_MOST_BATCHES = 40


async def page_of(
    alerts: AlertSource, query: AlertQuery, chosen: Callable[[AlertView], bool]
) -> tuple[list[Transition], str | None]:
    """Return the transitions that were asked for, the latest first, and the cursor of the next page if there is one.

    A cursor is a moment and how many transitions of that very moment were seen, so what happens meanwhile shifts
    nothing.
    """
    position = position_of(query.cursor)
    until, skip = (position[0], int(position[1])) if position is not None else (None, 0)
    found: list[Transition] = []
    for _ in range(_MOST_BATCHES):
        asked = _BATCH + skip
        batch = await alerts.history(
            asked,
            since=query.since.timestamp() if query.since is not None else 0.0,
            until=until,
            name=query.name,
            fingerprint=query.fingerprint,
        )
        for transition in batch[skip:]:
            skip = skip + 1 if transition.at == until else 1
            until = transition.at
            if chosen(transition.alert):
                found.append(transition)
                if len(found) == query.limit:
                    more = len(batch) >= asked or transition is not batch[-1]
                    return found, cursor_of(until, str(skip)) if more else None
        if len(batch) < asked:
            return found, None
    return found, cursor_of(until, str(skip)) if until is not None else None
