"""What operators may do with streams, as actions: try the dead again, or throw them away."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field

from bedplate.declarations import Action, Actor
from bedplate.problems import BedplateError
from bedplate.state.reach import unless_reached

if TYPE_CHECKING:
    from bedplate.state.events.component import Events
    from bedplate.state.events.stream import Stream

__all__ = ["WhichStream", "actions_of"]


class WhichStream(BaseModel):
    """Which stream."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    stream: str = Field(min_length=1, max_length=100)
    """Its name."""


def actions_of(events: Events) -> tuple[Action, ...]:
    """Return the buttons of events; those that have no streams have none."""
    if not events.streams:
        return ()

    def found(name: str) -> Stream[Any]:
        stream = events.streams.get(name)
        if stream is None:
            raise BedplateError(f"There is no stream {name}.", f"There are {', '.join(sorted(events.streams))}.")
        return stream

    async def revive(parameters: Any, actor: Actor) -> Any:
        return {"revived": await found(parameters.stream).revive()}

    async def forget(parameters: Any, actor: Actor) -> Any:
        await found(parameters.stream).forget_dead()
        return {"stream": parameters.stream, "dead": 0}

    refused = unless_reached(events, "Events")

    return (
        Action(
            name="revive",
            summary="Add the events of a stream that were given up to it again, for all of its groups.",
            run=revive,
            parameters=WhichStream,
            refused=refused,
            state=events.overview,
        ),
        Action(
            name="forget-dead",
            summary="Throw away the events of a stream that were given up; what they ask for is never done.",
            run=forget,
            parameters=WhichStream,
            refused=refused,
            state=events.overview,
            role="admin",
            danger=True,
        ),
    )
