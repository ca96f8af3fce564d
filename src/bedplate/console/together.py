"""The one console of a process with several services: signed in once, a home that tells of all, a way to each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from starlette.types import ASGIApp, Receive, Scope, Send

from bedplate.component import Environment
from bedplate.console.access.access import ALL, Access, Member
from bedplate.console.component import Console
from bedplate.console.interfaces import HealthSource, Sources
from bedplate.console.pages import live, oidc, sign_in, together
from bedplate.console.site import Site
from bedplate.declarations import Routes
from bedplate.monitor.auth import ProblemRouter, secure

__all__ = ["Together"]

#: What is the least open counts for what tells of all.
_CAREFUL: tuple[Environment, ...] = ("production", "staging", "test", "development")
_PAGES = (sign_in, oidc, live, together)


class Together:
    """Makes the consoles of a process one; an ASGI application below its ``prefix``.

    The consoles stay where they are. They share who is signed in, with a role for each service by that service's own
    tokens and provider, and the first of them keeps what tells of all.

    :param consoles: by the name of their service, at ``/<name>/console``; two at least.
    :param otherwise: answers what is nobody's.
    """

    def __init__(self, consoles: Mapping[str, Console], otherwise: ASGIApp) -> None:
        self._consoles = dict(consoles)
        lead = next(iter(self._consoles.values()))
        self.prefix = lead.prefix
        members = {
            name: Member(console.site.auth, console.settings, console.sources.environment)
            for name, console in self._consoles.items()
        }
        environment = next(one for one in _CAREFUL if any(one == member.environment for member in members.values()))
        sources = Sources(
            service=ALL,
            environment=environment,
            health=_Health(self._consoles),
            presses=lead.sources.presses,
            redactor=lead.sources.redactor,
            capture=lead.sources.capture,
        )
        self.site = Site(lead.settings, sources, lead.site.auth, lead.count)
        access = Access(members, lead.settings, "bedplate_" + "_".join(members).replace("-", "_"), shared=True)
        self.site.mount = self.prefix
        siblings = (self.site, *(console.site for console in self._consoles.values()))
        for name, console in self._consoles.items():
            console.site.mount = f"/{name}{console.prefix}"
            console.invites = console is lead
        for site in siblings:
            site.access, site.siblings = access, siblings
            site.new_link = lead.new_link
            if site.settings.oidc == lead.settings.oidc:
                # The provider may know one address to come back to, wherever people set out.
                site.oidc = self.site.oidc
        together.add_parts(self.site)
        lead.hosted.append(self.site)
        pages = [page for module in _PAGES for page in module.pages(sources)]
        routes = Routes(routes=self.site.routes(pages), prefix=self.prefix, management=False, access=None)
        self._router = ProblemRouter(secure(routes, lead.site.auth), default=otherwise)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        await self._router(scope, receive, send)


@dataclass(frozen=True, slots=True)
class _Status:
    phase: str
    ready: bool
    level: str = "healthy"
    since: float = 0.0
    reasons: tuple[Any, ...] = ()


class _Health(HealthSource):
    """How the process is, as far as what tells of all depends on it: it ends when one of its services does."""

    def __init__(self, consoles: Mapping[str, Console]) -> None:
        self._consoles = consoles

    @property
    def status(self) -> _Status:
        found = [console.sources.health.status for console in self._consoles.values()]
        phase = next((one.phase for one in found if one.phase in ("stopping", "failed")), "running")
        return _Status(phase, all(one.ready for one in found))

    def report(self, *, history: bool = True) -> dict[str, Any]:
        return {name: console.sources.health.report(history=history) for name, console in self._consoles.items()}

    def probes(self, label: str, *, history: bool = True) -> list[dict[str, Any]]:
        return []
