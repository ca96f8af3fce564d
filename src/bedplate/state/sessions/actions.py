"""The buttons of sessions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import Field

from bedplate.declarations import Action, Actor
from bedplate.settings.markers import Section

if TYPE_CHECKING:
    from bedplate.state.sessions.component import Sessions

__all__ = ["actions_of"]


class User(Section):
    """Whose sessions."""

    user: str = Field(min_length=1, max_length=200)
    """The user's id, as the service signs them in."""


class Named(Section):
    """Which session."""

    id: str = Field(pattern=r"^[A-Za-z0-9_-]{22}\.[0-9a-f]{48}$")
    """Its public id, as the list of a user's sessions shows it."""


class Everyone(Section):
    """How many are signed out."""

    confirm: str = Field(pattern="^everyone$")
    """The word `everyone`."""


def actions_of(sessions: Sessions) -> tuple[Action, ...]:
    """Return the buttons."""

    async def show(parameters: Any, actor: Actor) -> Any:
        found = await sessions.list(parameters.user)
        shown = ("id", "created", "seen", "expires", "agent", "label")
        return {"user": parameters.user, "sessions": [{name: getattr(one, name) for name in shown} for one in found]}

    async def revoke(parameters: Any, actor: Actor) -> Any:
        return {"ended": await sessions.revoke(parameters.id)}

    async def revoke_user(parameters: Any, actor: Actor) -> Any:
        return {"user": parameters.user, "ended": await sessions.revoke_all(parameters.user)}

    async def revoke_everyone(parameters: Any, actor: Actor) -> Any:
        await sessions.revoke_everyone()
        return {"ended": "everyone"}

    def refused() -> str | None:
        return None if sessions.reachable else "The store of the sessions is away."

    return (
        Action(
            name="list-user",
            summary="Show the sessions of a user.",
            run=show,
            parameters=User,
            refused=refused,
            state=sessions.overview,
        ),
        Action(
            name="revoke-user",
            summary="End all sessions of a user, on every device and instance, at once.",
            run=revoke_user,
            parameters=User,
            refused=refused,
            state=sessions.overview,
            danger=True,
        ),
        Action(
            name="revoke-session",
            summary="End one session.",
            run=revoke,
            parameters=Named,
            refused=refused,
            state=sessions.overview,
            danger=True,
        ),
        Action(
            name="revoke-everyone",
            summary="Sign everybody out: after the store was restored from an old copy, or a secret was lost.",
            run=revoke_everyone,
            parameters=Everyone,
            refused=refused,
            state=sessions.overview,
            role="admin",
            danger=True,
        ),
    )
