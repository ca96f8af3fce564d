"""The component that shows a service to people."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import cache, partial
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from bedplate.component import Component, Environment, Host, Spec
from bedplate.console.access.outlast import Outlast
from bedplate.console.interfaces import Sources
from bedplate.console.metrics import ALERTS, CHECKS, LIVE, METRICS, PANELS, RENDER, SESSIONS, SIGN_INS, VIEWS
from bedplate.console.pages import all_pages
from bedplate.console.pages.parts import add_parts
from bedplate.console.settings import ConsoleSettings
from bedplate.console.site import Site
from bedplate.declarations import Routes
from bedplate.monitor.audit.place import folder
from bedplate.monitor.auth import Authenticator
from bedplate.monitor.runbooks import runbook
from bedplate.problems import Refusal

__all__ = ["Console"]

_RUNBOOK = runbook(__file__)


class Console:
    """The console of a service at ``/console``.

    :param serves: whether this process answers for the console, and does not pass requests on to another one.
    :ivar addresses: where the service is reached, for the one-time link of a development service.
    """

    def __init__(
        self,
        settings: ConsoleSettings | None = None,
        *,
        sources: Sources,
        auth: Authenticator,
        needs: tuple[Component, ...] = (),
        serves: Callable[[], bool] = lambda: True,
        prefix: str = "/console",
    ) -> None:
        self.settings = settings or ConsoleSettings()
        self.prefix = prefix
        self.sources = sources
        self.site = Site(self.settings, sources, auth, self.count)
        #: Told the address of a new one-time link; by default it is written to the terminal.
        self.announce: Callable[[str], None] = _announce
        #: Other sites that live as long as this console does: the one that tells of all services of a process.
        self.hosted: list[Site] = []
        #: Whether it writes a link to the terminal and keeps who is signed in; one of a process does.
        self.invites = True
        self._auth = auth
        self._serves = serves
        self.addresses: Callable[[], Sequence[str]] = tuple
        self._host: Host | None = None
        self._spec = Spec(
            kind="console",
            summary="Shows people how the service is, and takes their actions, in a browser.",
            needs=(auth, *needs),
            settings=self.settings,
            metrics=METRICS,
            alerts=ALERTS,
            panels=PANELS,
            checks=CHECKS,
            runbook=_RUNBOOK,
        )
        add_parts(self.site)
        self.site.new_link = self.new_link
        self.site.count_sign_in = self._count_sign_in

    @property
    def spec(self) -> Spec:
        """The component's declaration."""
        return self._spec

    def routes(self) -> Sequence[Routes]:
        """Return its pages; each asks by itself who looks, since people carry cookies and no tokens."""
        pages = self.site.routes(all_pages(self.sources))
        return (Routes(routes=pages, prefix=self.prefix, management=False, access=None),)

    def refusals(self, environment: Environment, settings: Mapping[str, Any]) -> Iterable[Refusal]:
        """Refuse to be open to everybody where it matters, and half a provider."""
        oidc = self.settings.oidc
        if environment in ("staging", "production") and not self._auth.settings.tokens and not oidc.issuer:
            yield Refusal(
                "console",
                f"Nobody could sign in to the console in {environment}.",
                "Set BEDPLATE_TOKENS to name:role:token, or BEDPLATE_CONSOLE__OIDC__ISSUER.",
            )
        if oidc.issuer and not (oidc.client_id and oidc.client_secret):
            yield Refusal(
                "console",
                "The OpenID Connect provider has no client id or secret.",
                "Set BEDPLATE_CONSOLE__OIDC__CLIENT_ID and BEDPLATE_CONSOLE__OIDC__CLIENT_SECRET.",
            )
        if oidc.issuer and not (oidc.viewers or oidc.operators or oidc.admins):
            yield Refusal(
                "console",
                "The OpenID Connect provider lets people in, but none of them has a role.",
                "Set BEDPLATE_CONSOLE__OIDC__VIEWERS, OPERATORS or ADMINS to values of the role claim.",
            )
        if oidc.issuer and environment in ("staging", "production") and not oidc.issuer.startswith("https://"):
            yield Refusal("console", "The OpenID Connect issuer is not reached over https.", "Use an https issuer.")

    @asynccontextmanager
    async def lifespan(self, host: Host) -> AsyncIterator[None]:
        """Show the components of ``host`` while inside; a development service tells how to sign in."""
        self._host = host
        self.site.access.clock = host.clock
        sites = (self.site, *self.hosted)
        for site in sites:
            site.log = host.log
        self.sources.started = host.clock.time()
        for site in (self.site, *self.hosted):
            site.sources.version = _version()
        self.sources.views = lambda: host.components
        await asyncio.to_thread(self._warm)
        host.bind(SESSIONS).set(0.0)
        host.bind(LIVE).set(0.0)
        ways, outcomes = (label.values or () for label in SIGN_INS.labels)
        for way in ways:
            for outcome in outcomes:
                host.bind(SIGN_INS, way=way, outcome=outcome)
        for site in sites:
            site.viewers_changed = lambda: host.bind(LIVE).set(float(sum(one.feed.watchers for one in sites)))
        live = self.sources.settings
        stop = live.subscribe(self.site.timeline.settings_changed) if live is not None else _nothing
        self.site.timeline.note("start", f"{host.service} started", tone="good")
        if self._serves():
            for name, site in zip(("live", "live-of-all"), sites, strict=False):
                host.spawn(name, partial(site.feed.run, host.clock.sleep, self.settings.live_interval))
            host.spawn("ending", partial(self._wake, host))
        outlast = self._outlast()
        if outlast is not None:
            await outlast.begin(host)
        if self.invites:
            self.site.access.is_certain = True
        if self._serves() and self.invites and self.site.is_development and self.addresses():
            self.site.new_link()
        try:
            yield
        finally:
            stop()
            for site in sites:
                site.feed.wake()
                site.log = None
            if self.invites:
                self.site.access.is_certain = False
                if outlast is not None:
                    await outlast.end(host)
                self.site.access.sessions.clear()
            self.sources.views = tuple
            self._host = None

    def new_link(self) -> str:
        """Make a one-time link, tell whoever sees the terminal, and return it; development only."""
        address = next((one for one in self.addresses() if one.startswith("http")), "")
        if self.hosted:
            address = address.removesuffix(self.site.mount.removesuffix(self.prefix))
        link = f"{address}{self.prefix}/enter?key={self.site.access.links.make()}"
        self.announce(link)
        return link

    def _outlast(self) -> Outlast | None:
        """Return what keeps sessions over a restart, where they are to be kept and this console keeps them."""
        wanted = self.settings.outlast and self._serves() and self.invites and self.sources.environment != "test"
        access = self.site.access
        return Outlast(folder() / f"{access.cookie}.sessions.json", access) if wanted else None

    async def _wake(self, host: Host) -> None:
        """Let nobody who looks hold up the service's end."""
        while True:
            await host.clock.sleep(0.5)
            for site in (self.site, *self.hosted):
                if site.is_ending():
                    site.feed.wake()

    def _warm(self) -> None:
        """Read templates and files before the first person waits for them."""
        assert self.site.assets.files
        for name in self.site.templates.environment.list_templates():
            self.site.templates.environment.get_template(name)

    def count(self, page: str, outcome: str, seconds: float) -> None:
        """Count a page that was asked for, and the seconds that it took."""
        host = self._host
        if host is not None:
            host.bind(VIEWS, page=page, outcome=outcome).inc()
            host.bind(RENDER, page=page).observe(seconds)
            host.bind(SESSIONS).set(float(len(self.site.access.sessions)))

    def _count_sign_in(self, way: str, outcome: str) -> None:
        if self._host is not None:
            self._host.bind(SIGN_INS, way=way, outcome=outcome).inc()


def _nothing() -> None:
    """Stop nothing."""


@cache
def _version() -> str:
    try:
        return version("bedplate")
    except PackageNotFoundError:
        return ""


def _announce(link: str) -> None:
    # Not the log: files keep that, and others read it.
    sys.stderr.write(f"Console: {link}\n  The link is good once, and for some minutes.\n")
