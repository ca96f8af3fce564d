"""Why something is not done again, or not now; each is also an answer over HTTP."""

from __future__ import annotations

from collections.abc import Mapping

from bedplate.problems import BedplateError, Problem
from bedplate.state.answering import Answering
from bedplate.state.store import StoreUnavailableError

__all__ = [
    "DoneWithoutRecordError",
    "IdempotencyUnavailableError",
    "KeyInUseError",
    "KeyMissingError",
    "KeyReusedError",
    "problem_of",
]


class IdempotencyUnavailableError(StoreUnavailableError, Answering):
    """The store is away, so nobody knows whether it was done before: nothing was executed. Over HTTP a 503."""

    status = 503
    answer = "It cannot be told now whether this was done before, so nothing was done. Repeat it with the same key."


class KeyInUseError(BedplateError, Answering):
    """The same thing is being done right now. Over HTTP a 409.

    :ivar retry_after: seconds until it is over, or may be begun anew.
    """

    status = 409
    answer = "A request with this Idempotency-Key is being processed. Ask again with the same key in a moment."

    def __init__(self, retry_after: float = 1.0) -> None:
        super().__init__("This is being done right now.", "Ask again in a moment.")
        self.retry_after = retry_after
        self.headers = {"Retry-After": "1"}


class KeyReusedError(BedplateError, Answering):
    """The key stands for something else. Over HTTP a 422."""

    status = 422
    answer = "This Idempotency-Key was used for another request. Use a new key for a new request."

    def __init__(self) -> None:
        super().__init__("The key was used for something else.", "Use a new key.")


class KeyMissingError(BedplateError, Answering):
    """There is no key, or none that can be one. Over HTTP a 400."""

    status = 400
    answer = "This needs an Idempotency-Key header."

    def __init__(self, detail: str = answer) -> None:
        super().__init__(detail)
        self.detail = detail


class DoneWithoutRecordError(BedplateError, Answering):
    """It was done, and what came of it was not kept: it was too large, or broke off. Over HTTP a 409."""

    status = 409
    answer = "This was done, but its answer was not kept: it was too large, or broke off. It is not done again."

    def __init__(self) -> None:
        super().__init__("It was done, and its answer was not kept.", "Look for what it has changed.")


_TITLES = {
    IdempotencyUnavailableError: "",
    KeyInUseError: "A request is outstanding for this Idempotency-Key",
    KeyReusedError: "Idempotency-Key is already used",
    KeyMissingError: "Idempotency-Key is missing or malformed",
    DoneWithoutRecordError: "The answer was not kept",
}


def problem_of(error: Answering, reference: str = "") -> Problem:
    """Return an error as it is answered.

    :param reference: names the key for operators; it is no secret.
    """
    headers: Mapping[str, str] = error.headers or {}
    title = next((title for kind, title in _TITLES.items() if isinstance(error, kind)), "")
    extra = {"reference": reference} if reference else {}
    return Problem(status=error.status_code, title=title, detail=error.detail, headers=headers, extra=extra)
