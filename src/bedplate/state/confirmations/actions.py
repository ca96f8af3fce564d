"""What operators may do with confirmations, as actions: look at one, and decide one in a user's place."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from bedplate.declarations import Action, Actor
from bedplate.state.confirmations.errors import UnknownConfirmationError
from bedplate.state.reach import unless_reached

if TYPE_CHECKING:
    from bedplate.state.confirmations.component import Confirmations

__all__ = ["DecideOne", "WhichConfirmation", "actions_of"]


class WhichConfirmation(BaseModel):
    """Which confirmation."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str = Field(min_length=1, max_length=100)
    """Of the confirmation."""


class DecideOne(WhichConfirmation):
    """What is decided, in a user's place."""

    decision: Literal["confirm", "reject"]
    """Whether it is right."""


def actions_of(confirmations: Confirmations[Any]) -> tuple[Action, ...]:
    """Return the buttons of confirmations."""

    async def show(parameters: Any, actor: Actor) -> Any:
        found = await confirmations.get(parameters.id)
        if found is None:
            raise UnknownConfirmationError(parameters.id)
        # What it is about is between the service and its user.
        shown = confirmations.codec.shown(found)
        return {name: shown[name] for name in shown if name not in ("payload", "correction")} | {"user": found.user}

    async def decide(parameters: Any, actor: Actor) -> Any:
        decide = confirmations.confirm if parameters.decision == "confirm" else confirmations.reject
        decided = await decide(parameters.id, f"operator {actor.name}")
        return {"id": decided.id, "user": decided.user, "status": decided.status}

    refused = unless_reached(confirmations, "Confirmations")

    return (
        Action(
            name="show",
            summary="Say whose question it is and what became of it, without what it is about.",
            run=show,
            parameters=WhichConfirmation,
            refused=refused,
        ),
        Action(
            name="decide",
            summary="Decide a question in its user's place; it cannot be decided again.",
            run=decide,
            parameters=DecideOne,
            refused=refused,
            role="admin",
            danger=True,
        ),
    )
