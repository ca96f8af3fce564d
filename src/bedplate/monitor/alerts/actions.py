"""What operators may do to alerts, as actions: acknowledge, silence, end a silence."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from bedplate.declarations import Action, Actor
from bedplate.monitor.alerts.matching import parse_matcher
from bedplate.settings.markers import Seconds, Section

if TYPE_CHECKING:
    from bedplate.monitor.alerts.component import Alerts

__all__ = ["Acknowledge", "ExpireSilence", "MakeSilence", "actions_of"]


class Acknowledge(Section):
    """Which alert somebody looks after."""

    fingerprint: str = Field(min_length=1, max_length=100)
    """Of the alert, or its key."""

    note: str = Field(default="", max_length=2000)
    """What is being done."""


class MakeSilence(Section):
    """Which alerts nobody is to be told of, and for how long."""

    matchers: tuple[str, ...] = Field(min_length=1, max_length=50)
    """Conditions that all must hold: `alertname="CacheHitRateLow"`, `component=~"redis.*"`."""

    duration: Annotated[Seconds, Field(gt=0, le=366 * 86_400)] = 3600.0
    """From now on, in seconds or as `2h`."""

    comment: str = Field(default="", max_length=2000)
    """Why."""


class ExpireSilence(Section):
    """Which silence is to end now."""

    id: str = Field(min_length=1, max_length=100)
    """Of the silence."""


def actions_of(alerts: Alerts) -> tuple[Action, ...]:
    """Return the buttons of the engine."""

    async def acknowledge(parameters: Any, actor: Actor) -> Any:
        made = await alerts.acknowledge(parameters.fingerprint, actor.name, parameters.note)
        return {"fingerprint": parameters.fingerprint, "actor": made.actor, "note": made.note, "at": made.at}

    async def silence(parameters: Any, actor: Actor) -> Any:
        matchers = [parse_matcher(text) for text in parameters.matchers]
        made = await alerts.silence(
            matchers, duration=parameters.duration, actor=actor.name, comment=parameters.comment
        )
        return {
            "id": made.id,
            "matchers": [str(one) for one in made.matchers],
            "starts": made.starts,
            "ends": made.ends,
        }

    async def expire(parameters: Any, actor: Actor) -> Any:
        ended = await alerts.unsilence(parameters.id, actor.name)
        return {"id": ended.id, "ends": ended.ends}

    def state() -> Any:
        held = {one.fingerprint: one.acknowledged.actor for one in alerts.current(resolved=False) if one.acknowledged}
        return {"acknowledged": held, "silences": [one.id for one in alerts.silences()]}

    def refused() -> str | None:
        return None if alerts.active else "Alerts are not evaluated in this process."

    return (
        Action(
            name="acknowledge",
            summary="Say that you look after an alert; it ends when the alert is resolved.",
            run=acknowledge,
            parameters=Acknowledge,
            refused=refused,
            state=state,
        ),
        Action(
            name="silence",
            summary="Let nobody be told of some alerts for a while.",
            run=silence,
            parameters=MakeSilence,
            refused=refused,
            state=state,
        ),
        Action(
            name="expire-silence",
            summary="End a silence now.",
            run=expire,
            parameters=ExpireSilence,
            refused=refused,
            state=state,
        ),
    )
