"""Events: topics that are heard by whoever listens, and streams whose every event is worked on."""

from bedplate.state.events.bridge import BadResumeError, send_events, stream_events
from bedplate.state.events.component import Events, EventsSettings
from bedplate.state.events.errors import EventsError, EventsUnavailableError, StreamFullError
from bedplate.state.events.event import Event
from bedplate.state.events.stream import Group, Stream
from bedplate.state.events.subscription import Subscription

__all__ = [
    "BadResumeError",
    "Event",
    "Events",
    "EventsError",
    "EventsSettings",
    "EventsUnavailableError",
    "Group",
    "Stream",
    "StreamFullError",
    "Subscription",
    "send_events",
    "stream_events",
]
