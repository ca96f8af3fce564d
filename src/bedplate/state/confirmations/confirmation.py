"""A confirmation as a value, and as JSON."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any, Generic, Literal, TypeVar

import orjson
from pydantic import TypeAdapter, ValidationError, create_model

from bedplate.state.confirmations.errors import ConfirmationError

__all__ = ["Codec", "Confirmation", "Decision", "Expired", "Status"]

T = TypeVar("T")

Decision = Literal["confirmed", "rejected", "corrected"]
Status = Literal["pending", "confirmed", "rejected", "corrected"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Confirmation(Generic[T]):
    """Something that a user is asked before it is done.

    :param payload: what it is about. :param expires: when it is no longer asked; a decision keeps it for longer.
    :param decided_by: who decided it, empty while it is pending. :param correction: what is right instead, if it was
        corrected.
    """

    id: str
    user: str
    payload: T
    status: Status
    created: datetime
    expires: datetime
    decided_at: datetime | None = None
    decided_by: str = ""
    correction: T | None = None

    @property
    def pending(self) -> bool:
        """Whether nobody has decided it."""
        return self.status == "pending"


@dataclass(frozen=True, slots=True)
class Expired:
    """A confirmation that nobody decided in time."""

    id: str
    user: str


class Codec(Generic[T]):
    """Confirmations with one type of payload, to JSON and back.

    :param payload: anything that pydantic knows: a model, a dataclass, ``dict[str, str]``.
    """

    def __init__(self, payload: type[T]) -> None:
        self.adapter: TypeAdapter[T] = TypeAdapter(payload)
        several: Any = payload
        self._document: Any = create_model(
            "Confirmation",
            id=(str, ...),
            user=(str, ...),
            payload=(several, ...),
            status=(Status, ...),
            created=(float, ...),
            expires=(float, ...),
            decided_at=(float | None, None),
            decided_by=(str, ""),
            decision=(str, ""),
            correction=(several | None, None),
        )

    def rest(self, id: str, user: str, payload: T) -> bytes:
        """Return the members of a new document that the store does not write, and its end."""
        who = orjson.dumps({"id": id, "user": user})[1:-1]
        return who + b',"payload":' + self.adapter.dump_json(payload) + b"}"

    def decision(self, by: str, token: str, correction: T | None) -> bytes:
        """Return the members of a document that say who decided, and what is right instead."""
        members = orjson.dumps({"decided_by": by, "decision": token})[1:-1]
        return members if correction is None else members + b',"correction":' + self.adapter.dump_json(correction)

    def token(self, by: str, status: str, correction: T | None) -> str:
        """Return what the same decision of the same person has in common, however often it is sent."""
        text = b"" if correction is None else self.adapter.dump_json(correction)
        return sha256(b"\0".join((by.encode(), status.encode(), text))).hexdigest()[:32]

    def read(self, raw: bytes) -> tuple[Confirmation[T], str]:
        """Return a confirmation and the token of its decision.

        :raises ConfirmationError: when it is none, or its payload is of another type.
        """
        try:
            found = self._document.model_validate_json(raw)
        except ValidationError as error:
            fault = error.errors(include_input=False, include_url=False)[0]
            where = ".".join(str(part) for part in fault["loc"])
            raise ConfirmationError(
                f"What the store has is no confirmation of this type: {where}: {fault['msg']}.",
                "Its payload was written by another version; let that one answer, or wait until it has expired.",
            ) from None
        confirmation: Confirmation[T] = Confirmation(
            id=found.id,
            user=found.user,
            payload=found.payload,
            status=found.status,
            created=_moment(found.created),
            expires=_moment(found.expires),
            decided_at=None if found.decided_at is None else _moment(found.decided_at),
            decided_by=found.decided_by,
            correction=found.correction,
        )
        return confirmation, found.decision

    def expired(self, message: bytes) -> Expired | None:
        """Return the expiry that a message tells of, None when it tells of something else."""
        try:
            found = orjson.loads(message)
            return Expired(found["id"], found["user"]) if found["status"] == "expired" else None
        except (orjson.JSONDecodeError, KeyError, TypeError):
            return None

    def shown(self, confirmation: Confirmation[T]) -> dict[str, Any]:
        """Return a confirmation as JSON-able data."""
        correction = confirmation.correction
        decided: dict[str, Any] = {}
        if confirmation.decided_at is not None:
            decided = {"decidedBy": confirmation.decided_by, "decidedAt": confirmation.decided_at.isoformat()}
            if correction is not None:
                decided["correction"] = self.adapter.dump_python(correction, mode="json")
        return {
            "id": confirmation.id,
            "status": confirmation.status,
            "payload": self.adapter.dump_python(confirmation.payload, mode="json"),
            "created": confirmation.created.isoformat(),
            "expires": confirmation.expires.isoformat(),
            **decided,
        }


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
