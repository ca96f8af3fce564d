"""What operators may do with locks, as actions: look at one, and release one that is stuck."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field

from bedplate.declarations import Action, Actor
from bedplate.state.reach import unless_reached

if TYPE_CHECKING:
    from bedplate.state.locks.component import Locks

__all__ = ["WhichLock", "actions_of"]


class WhichLock(BaseModel):
    """Which lock."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(min_length=1, max_length=500)
    """As it is given to `hold`: `portfolio:7`, or `lease:digest` for a leader."""


def actions_of(locks: Locks) -> tuple[Action, ...]:
    """Return the buttons of locks."""

    async def look(parameters: Any, actor: Actor) -> Any:
        return asdict(await locks.info(parameters.name))

    async def release(parameters: Any, actor: Actor) -> Any:
        before = await locks.info(parameters.name)
        holder = await locks.force(parameters.name)
        return {"released": bool(holder), "holder": holder, "fence": before.fence, "waiting": before.waiting}

    refused = unless_reached(locks, "Locks")

    return (
        Action(
            name="look",
            summary="Say who has a lock, for how long yet, and how many wait for it.",
            run=look,
            parameters=WhichLock,
            refused=refused,
        ),
        Action(
            name="release",
            summary="Take a lock from whoever has it: its work is cancelled, and may stay half done.",
            run=release,
            parameters=WhichLock,
            refused=refused,
            state=lambda: {"held": sorted(held.name for held in locks.held.values())[:100]},
            role="operator",
            danger=True,
        ),
    )
