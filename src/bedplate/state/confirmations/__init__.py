"""Confirmations: users are asked before something is done, and each decision is taken exactly once."""

from bedplate.state.confirmations.component import Confirmations, ConfirmationsSettings
from bedplate.state.confirmations.confirmation import Confirmation, Expired
from bedplate.state.confirmations.errors import (
    AlreadyDecidedError,
    ConfirmationError,
    ConfirmationExistsError,
    ConfirmationExpiredError,
    ConfirmationUnavailableError,
    UnknownConfirmationError,
)
from bedplate.state.confirmations.http import accepted, confirmation_routes

__all__ = [
    "AlreadyDecidedError",
    "Confirmation",
    "ConfirmationError",
    "ConfirmationExistsError",
    "ConfirmationExpiredError",
    "ConfirmationUnavailableError",
    "Confirmations",
    "ConfirmationsSettings",
    "Expired",
    "UnknownConfirmationError",
    "accepted",
    "confirmation_routes",
]
