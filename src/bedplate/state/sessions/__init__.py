"""Sessions: who is signed in, on all instances."""

from bedplate.state.sessions.component import Sessions
from bedplate.state.sessions.errors import (
    NotSignedInError,
    SessionConflictError,
    SessionEndedError,
    SessionsUnavailableError,
)
from bedplate.state.sessions.record import SessionInfo
from bedplate.state.sessions.session import Session
from bedplate.state.sessions.settings import SessionsSettings

__all__ = [
    "NotSignedInError",
    "Session",
    "SessionConflictError",
    "SessionEndedError",
    "SessionInfo",
    "Sessions",
    "SessionsSettings",
    "SessionsUnavailableError",
]
