"""What can go wrong with a confirmation. Raised in a request, it answers it: 404, 409, or 503 while nobody can know."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bedplate.problems import BedplateError
from bedplate.state.answering import Answering
from bedplate.state.store import StoreUnavailableError

if TYPE_CHECKING:
    from bedplate.state.confirmations.confirmation import Confirmation

__all__ = [
    "AlreadyDecidedError",
    "ConfirmationError",
    "ConfirmationExistsError",
    "ConfirmationExpiredError",
    "ConfirmationUnavailableError",
    "UnknownConfirmationError",
]


class ConfirmationError(BedplateError):
    """Something about a confirmation."""


class UnknownConfirmationError(ConfirmationError, Answering):
    """There is no such confirmation, or none any more: it has expired, or was decided days ago."""

    status = 404
    answer = "There is nothing to confirm here, or no longer."

    def __init__(self, id: str) -> None:
        super().__init__(f"There is no confirmation {id}, or none any more.", "Ask anew if it still matters.")
        self.id = id


class ConfirmationExpiredError(UnknownConfirmationError):
    """It was pending, and nobody decided it in time."""

    status = 410


class AlreadyDecidedError(ConfirmationError, Answering):
    """It was decided before, by somebody else or otherwise; that decision holds.

    :ivar confirmation: with the decision, by whom and when.
    """

    status = 409

    def __init__(self, confirmation: Confirmation[Any]) -> None:
        at = confirmation.decided_at
        when = "" if at is None else f" at {at:%Y-%m-%d %H:%M:%S} UTC"
        said = f"It was {confirmation.status} by {confirmation.decided_by}{when}."
        super().__init__(f"The confirmation {confirmation.id} is decided.", said)
        self.confirmation = confirmation
        extra: Any = {
            "detail": "It is decided already.",
            "decision": confirmation.status,
            "decidedBy": confirmation.decided_by,
            "decidedAt": None if at is None else at.isoformat(),
        }
        self.detail = extra


class ConfirmationExistsError(ConfirmationError, Answering):
    """There is another confirmation under this id."""

    status = 409
    answer = "This was asked before, and otherwise."

    def __init__(self, id: str) -> None:
        super().__init__(f"There is another confirmation {id}.", "Give each question an id of its own, or none.")
        self.id = id


class ConfirmationUnavailableError(StoreUnavailableError, ConfirmationError, Answering):
    """The store is away. With ``sent``, the call may have been carried out: repeating it gives the same answer."""

    answer = "This cannot be confirmed at the moment. Try again."

    def __init__(self, why: str, *, sent: bool = False) -> None:
        mend = "Repeat the same call: if it was carried out, it gives the same answer." if sent else ""
        super().__init__(f"Confirmations cannot be reached: {why}", mend, sent=sent)
