"""The buttons of a cache."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from bedplate.declarations import Action, Actor
from bedplate.state.cache.keys import stored

if TYPE_CHECKING:
    from bedplate.state.cache.component import Cache
    from bedplate.state.cache.running import Running

__all__ = ["RESET_PATH", "actions_of"]

#: Where the counts of all caches are reset, below the management prefix.
RESET_PATH = "/cache/reset-metrics"

_Text = Annotated[str, StringConstraints(min_length=1, max_length=400)]


class _Parameters(BaseModel):
    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)


class DropTag(_Parameters):
    """Which tag to drop."""

    tag: _Text = Field()
    """The tag, as code writes it: ``org:7``."""


class DropPattern(_Parameters):
    """Which keys to drop."""

    pattern: _Text = Field()
    """Keys to drop; ``*`` stands for anything, ``?`` for one character: ``report:7:*``."""


class DropKey(_Parameters):
    """Which key to drop."""

    key: _Text = Field()
    """The key: ``report:7``."""


def actions_of(cache: Cache) -> Sequence[Action]:
    """Return the buttons of one cache."""

    def running() -> Running:
        found = cache.running
        assert found is not None  # a button that is refused is not pressed
        return found

    async def act(what: str, name: str = "") -> dict[str, Any]:
        everywhere = await running().wanted(what, name)
        return {"cache": cache.name, "done": "everywhere" if everywhere else "here; within seconds in other processes"}

    async def drop_tag(parameters: DropTag, actor: Actor) -> dict[str, Any]:
        return await act("tag", stored(parameters.tag))

    async def drop_pattern(parameters: DropPattern, actor: Actor) -> dict[str, Any]:
        return await act("pattern", parameters.pattern)

    async def drop_key(parameters: DropKey, actor: Actor) -> dict[str, Any]:
        return await act("key", stored(parameters.key))

    async def clear(parameters: None, actor: Actor) -> dict[str, Any]:
        return await act("pattern", "*")

    async def reset(parameters: None, actor: Actor) -> dict[str, Any]:
        return await act("reset")

    def refused() -> str | None:
        return None if cache.running is not None else "The cache does not run."

    def state() -> dict[str, Any]:
        return dict(cache.overview())

    buttons: dict[str, tuple[str, Callable[[Any, Actor], Awaitable[Any]], type[BaseModel] | None, bool]] = {
        "invalidate-key": ("Drop one value, for all instances.", drop_key, DropKey, False),
        "invalidate-tag": ("Drop all values with a tag, for all instances.", drop_tag, DropTag, False),
        "invalidate-pattern": ("Drop all values whose key matches a pattern.", drop_pattern, DropPattern, True),
        "clear": ("Drop all values; everything is computed anew.", clear, None, True),
        "reset-metrics": ("Begin the counts of hits, times and invalidations anew.", reset, None, False),
    }
    return tuple(
        Action(
            name=name,
            summary=summary,
            run=run,
            parameters=parameters,
            refused=refused,
            state=state,
            danger=danger,
            path=RESET_PATH if name == "reset-metrics" else "",
        )
        for name, (summary, run, parameters, danger) in buttons.items()
    )
