"""What can go wrong with sessions, each also an answer over HTTP."""

from __future__ import annotations

from bedplate.problems import BedplateError
from bedplate.state.answering import Answering
from bedplate.state.store import StoreUnavailableError

__all__ = ["NotSignedInError", "SessionConflictError", "SessionEndedError", "SessionsUnavailableError"]


class SessionsUnavailableError(StoreUnavailableError, Answering):
    """The store of the sessions is away: nobody knows whether a session is good, or nothing can be written to it.

    Over HTTP it is a 503 with ``Retry-After``; never a 401, which would sign people out.
    """

    status = 503
    answer = "It cannot be told or changed now who is signed in. Try again in a moment; nobody is signed out by this."


class SessionConflictError(BedplateError, Answering):
    """Others changed a session again and again while it was being saved; over HTTP a 409."""

    status = 409
    answer = "Other requests keep changing this session. Try again."


class SessionEndedError(BedplateError, Answering):
    """The session ended while it was in use, so what was to be written to it is gone with it; over HTTP a 401."""

    status = 401
    answer = "The session has ended meanwhile. Sign in again."

    def __init__(self) -> None:
        super().__init__("The session has ended meanwhile.", "Sign in again.")
        self.headers = {"WWW-Authenticate": "Cookie"}


class NotSignedInError(BedplateError, Answering):
    """Nobody is signed in; over HTTP a 401."""

    status = 401
    answer = "Nobody is signed in. Sign in first."

    def __init__(self) -> None:
        super().__init__("Nobody is signed in.", "Sign in first.")
        self.headers = {"WWW-Authenticate": "Cookie"}
