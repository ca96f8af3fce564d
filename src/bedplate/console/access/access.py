"""What the sites of one process share: who is signed in, and with which services."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from bedplate.clock import Clock, SystemClock
from bedplate.component import Environment
from bedplate.console.access.links import Links
from bedplate.console.access.sessions import Session, Sessions
from bedplate.console.settings import ConsoleSettings
from bedplate.declarations import Actor
from bedplate.monitor.auth import Authenticator
from bedplate.monitor.auth.throttle import Throttle
from bedplate.monitor.auth.tokens import allows

__all__ = ["ALL", "Access", "Member"]

#: The name under which somebody is signed in to what tells of all services of a process; no service can have it.
ALL = "all services"

#: Links that somebody may ask to be written to the terminal in a minute.
_LINKS = 6


@dataclass(frozen=True, slots=True)
class Member:
    """A service that lets people in. :ivar environment: one-time links let in where it is ``development``."""

    auth: Authenticator
    settings: ConsoleSettings
    environment: Environment


class Access:
    """How people come in. A service alone has one; the services of a process share one, and each decides for itself.

    :param members: the services by their names. :param cookie: the name of the session cookie.
    :param shared: whether the cookie is good for all paths of the process, and not for one console's alone.
    """

    def __init__(
        self, members: Mapping[str, Member], settings: ConsoleSettings, cookie: str, *, shared: bool = False
    ) -> None:
        self.members = dict(members)
        self.cookie = cookie
        self.shared = shared
        self.clock: Clock = SystemClock()
        #: Whether who is signed in is known: not before sessions have been read, nor once they have been written.
        self.is_certain = False
        self.sessions = Sessions(
            idle=settings.idle,
            longest=settings.longest,
            limit=settings.sessions,
            monotonic=lambda: self.clock.monotonic(),
        )
        self.links = Links(expires=settings.link_expires, monotonic=lambda: self.clock.monotonic())
        failures = min((member.auth.settings.failures for member in members.values()), default=_LINKS)
        self.throttle = Throttle(failures)
        self.link_throttle = Throttle(_LINKS)

    def open(
        self,
        found: Mapping[str, Actor],
        way: str,
        *,
        began: float,
        still: Callable[[str], Callable[[], bool]],
        proof: str = "",
    ) -> tuple[str, dict[str, Session]]:
        """Sign somebody in; return the cookie's value and the sessions that it stands for, by service.

        :param found: whom each service knows; not empty. :param still: makes what tells whether a service still does.
        :param proof: a digest of what they signed in with, for after a restart.
        """
        of = {name: Session(actor.name, actor.role, way, began, still(name), proof) for name, actor in found.items()}
        if self.shared:
            greatest = next(one for one in of.values() if all(allows(one.role, other.role) for other in of.values()))
            known = tuple(of.values())
            of[ALL] = Session(greatest.name, greatest.role, way, began, lambda: any(one.still() for one in known))
        return self.sessions.open(of), of

    def known(self, token: str) -> dict[str, Actor]:
        """Return whom each service knows by a token; scrapers are nobody here."""
        found = {name: member.auth.holder(token) for name, member in self.members.items()}
        return {name: one.actor for name, one in found.items() if one is not None and one.actor is not None}
