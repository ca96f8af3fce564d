"""What can go wrong with events. Raised in a request, each answers it with a 503: nothing was lost, try again."""

from __future__ import annotations

from bedplate.problems import BedplateError
from bedplate.state.answering import Answering
from bedplate.state.store import StoreError, StoreUnavailableError

__all__ = ["EventsError", "EventsUnavailableError", "StreamFullError", "unavailable"]


class EventsError(BedplateError):
    """Something about events."""


class EventsUnavailableError(StoreUnavailableError, EventsError, Answering):
    """The store is away. With ``sent``, the event may have been published: a stream takes the same key once."""

    answer = "This cannot be passed on at the moment. Try again."

    def __init__(self, why: str, *, sent: bool = False) -> None:
        super().__init__(f"Events cannot be passed on: {why}", sent=sent)


class StreamFullError(EventsError, Answering):
    """A stream holds as many events as it may, all of which somebody still needs."""

    answer = "Too much waits to be worked on. Try again later."

    def __init__(self, stream: str, most: int) -> None:
        super().__init__(
            f"The stream {stream} holds {most} events that are not worked on.",
            "Let its consumers catch up, or give it a greater `most`; see the runbook of EventsBacklogGrowing.",
        )


def unavailable(error: StoreError) -> EventsUnavailableError:
    """Return what to say when the store is away, or refuses: its memory may be full."""
    return EventsUnavailableError(str(error), sent=isinstance(error, StoreUnavailableError) and error.sent)
