"""The buttons of a cutover: each writes what is wanted into its row, and a worker does it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field

from bedplate.database.cutover.machine.running import Running
from bedplate.database.cutover.machine.wishes import WISHES, Wish, refusal
from bedplate.declarations import AccessRole, Action, Actor

if TYPE_CHECKING:
    from bedplate.database.cutover.machine.component import Cutover

__all__ = ["actions_of"]


class _Parameters(BaseModel):
    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)


class Throttle(_Parameters):
    """How fast it may go."""

    percent: int = Field(ge=1, le=100)
    """Percent of full speed: at 25 it works a quarter of the time."""


class Confirm(_Parameters):
    """Approval by somebody who knows what it means."""

    confirm: str = Field(min_length=1, max_length=200)
    """The cutover's name: the legacy tables, and the way back, go for good."""


_SUMMARIES: dict[Wish, str] = {
    "start": "Look, copy and compare, until the partitioned tables are proven to be equal. The old ones stay in use.",
    "pause": "Let the worker rest where it is. The logs of changed keys go on growing.",
    "resume": "Let the worker go on, also after what it waited for is mended.",
    "throttle": "Work a share of the time only, to leave more to others.",
    "verify": "Compare both sides now.",
    "repair": "Make rows that the last comparison found to differ equal to the table in use; each is on the time line.",
    "switch": "Give the partitioned tables their names, under one short lock. It can be rolled back.",
    "rollback": "Before the switch: throw the copy away. After it: switch back, losing nothing.",
    "finalize": "Drop the legacy tables and all that follows them. It cannot be rolled back after that.",
}
_PARAMETERS: dict[Wish, type[BaseModel]] = {"throttle": Throttle, "finalize": Confirm}
#: What cannot be undone; a switch and a rollback after it can.
_DANGER: tuple[Wish, ...] = ("finalize", "repair")


def actions_of(cutover: Cutover) -> Sequence[Action]:
    """Return the buttons of one cutover."""
    return tuple(_action(cutover, wish) for wish in WISHES)


def _action(cutover: Cutover, wish: Wish) -> Action:
    role: AccessRole = "admin" if wish == "finalize" else "operator"
    return Action(
        name=wish,
        summary=_SUMMARIES[wish],
        run=_run(cutover, wish),
        parameters=_PARAMETERS.get(wish),
        refused=_refused(cutover, wish),
        state=lambda: _state(cutover.running),
        role=role,
        danger=wish in _DANGER,
    )


def _run(cutover: Cutover, wish: Wish) -> Callable[[Any, Actor], Awaitable[Any]]:
    async def run(parameters: Any, actor: Actor) -> Any:
        running = cutover.running
        assert running is not None  # a button that is refused is not pressed
        given = parameters.model_dump() if parameters is not None else {}
        return await running.press(wish, actor, int(given.get("percent", 100)), str(given.get("confirm", "")))

    return run


def _refused(cutover: Cutover, wish: Wish) -> Callable[[], str | None]:
    def refused() -> str | None:
        running = cutover.running
        if running is None:
            return cutover.unneeded or "The service does not run."
        if running.sight is None:
            # Nobody has looked in this process; pressing it looks.
            return running.trouble or None
        return refusal(running.sight.record, wish, running.readiness)

    return refused


def _state(running: Running | None) -> Any:
    if running is None or running.sight is None or running.sight.record is None:
        return None
    record = running.sight.record
    return {name: getattr(record, name) for name in ("state", "wanted", "paused", "throttle", "task", "trouble")}
