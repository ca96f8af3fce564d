"""Idempotency: what is asked for twice is done once."""

from bedplate.state.idempotency.component import Idempotency
from bedplate.state.idempotency.errors import (
    DoneWithoutRecordError,
    IdempotencyUnavailableError,
    KeyInUseError,
    KeyMissingError,
    KeyReusedError,
)
from bedplate.state.idempotency.once import Once
from bedplate.state.idempotency.settings import IdempotencySettings

__all__ = [
    "DoneWithoutRecordError",
    "Idempotency",
    "IdempotencySettings",
    "IdempotencyUnavailableError",
    "KeyInUseError",
    "KeyMissingError",
    "KeyReusedError",
    "Once",
]
