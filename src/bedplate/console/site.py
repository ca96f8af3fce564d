"""The site: who may see which page, how it is made, and what is said when it cannot be."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from bedplate.clock import Clock
from bedplate.component import Logger
from bedplate.console import responses
from bedplate.console.access.access import ALL, Access, Member
from bedplate.console.access.oidc import Oidc
from bedplate.console.access.sessions import Session
from bedplate.console.assets import Assets
from bedplate.console.charting import Charting
from bedplate.console.charts.keeping import RANGES
from bedplate.console.interfaces import Sources
from bedplate.console.live.feed import Feed
from bedplate.console.live.stream import Parts
from bedplate.console.page import NAVIGATION, Entry, Page
from bedplate.console.settings import ConsoleSettings
from bedplate.console.story import headline
from bedplate.console.templating import Templates
from bedplate.console.timeline import Timeline
from bedplate.console.visit import Visit, address
from bedplate.declarations import Actor
from bedplate.monitor.auth import Authenticator
from bedplate.monitor.auth.origin import is_cross_site, is_safe
from bedplate.monitor.replies import ProblemError
from bedplate.problems import BedplateError, Problem
from bedplate.telemetry.context import current

__all__ = ["THEMES", "Site"]

THEMES = ("auto", "light", "dark")
_FOLDER = Path(__file__).parent


class Site:
    """Everything that pages share.

    :param note: receives the page, the outcome and the seconds that it took, to be counted.
    """

    def __init__(
        self,
        settings: ConsoleSettings,
        sources: Sources,
        auth: Authenticator,
        note: Callable[[str, str, float], None],
    ) -> None:
        self.settings = settings
        self.sources = sources
        self.auth = auth
        self.log: Logger | None = None
        self.assets = Assets(_FOLDER / "static")
        self.templates = Templates(_FOLDER / "templates", self.assets)
        # Browsers share cookies between ports, so services tell theirs apart.
        alone = {sources.service: Member(auth, settings, sources.environment)}
        self.access = Access(alone, settings, f"bedplate_{sources.service.replace('-', '_')}")
        self.oidc = Oidc(settings.oidc, lambda: self.clock.monotonic())
        #: The path of the console below its process: ``/ledger/console`` where several services share one.
        self.mount = ""
        #: The consoles of the process, if there are several, the one that tells of all first.
        self.siblings: Sequence[Site] = ()
        self.charting = Charting(sources)
        self.parts = Parts()
        self.feed = Feed(self.parts.make, limit=settings.viewers, ending=self.is_ending)
        self.viewers_changed: Callable[[], None] = lambda: None
        self.timeline = Timeline(sources, lambda: self.clock.time())
        self.new_link: Callable[[], str] = str
        self.count_sign_in: Callable[[str, str], None] = lambda way, outcome: None
        self._note = note
        #: What the navigation counts beside an entry, by its name: a number and a tone.
        self.badges: dict[str, Callable[[], tuple[int, str]]] = {}

    @property
    def is_development(self) -> bool:
        """Whether one-time links let people in."""
        return self.sources.environment == "development"

    @property
    def clock(self) -> Clock:
        """The time that the console tells; the service's, once that runs."""
        return self.access.clock

    @property
    def is_of_all(self) -> bool:
        """Whether this tells of all services of a process, and is no service's own."""
        return self.sources.service == ALL

    def lets_in(self, known: Mapping[str, Actor]) -> bool:
        """Tell whether somebody whom these services know may look here."""
        return bool(known) if self.is_of_all else self.sources.service in known

    def granted(self, visit: Visit) -> dict[str, Session]:
        """Return the sessions of whoever looks with the services of the process."""
        cookie = self._given(visit.request)
        if cookie and visit.session is not None:
            return {name: one for name, one in self.access.sessions.services(cookie).items() if name != ALL}
        scheme, _, token = visit.request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            return {}
        known = self.access.known(token.strip())
        return {name: Session(actor.name, actor.role, "token", visit.now) for name, actor in known.items()}

    def cookie_path(self, visit: Visit) -> str:
        """Return the path below which cookies are good."""
        return (visit.root if self.access.shared else visit.base) or "/"

    def routes(self, pages: Iterable[Page]) -> Sequence[BaseRoute]:
        """Return the routes of the pages, the files, and what answers everything else below the console."""
        routes: list[BaseRoute] = [Route("/static/{digest}/{name:path}", self._file)]
        routes += [Route(page.path, self._endpoint(page), methods=list(page.methods)) for page in pages]
        nowhere = Page("/{path:path}", "nowhere", _nowhere, methods=("GET", "POST"))
        return [*routes, Route(nowhere.path, self._endpoint(nowhere), methods=list(nowhere.methods))]

    def render(self, visit: Visit, template: str, context: dict[str, Any]) -> str:
        """Return the text of a page for somebody."""
        session = visit.session
        theme = visit.request.cookies.get("bedplate_theme", "auto")
        shared = {
            "visit": visit,
            "url": visit.url,
            "now": visit.now,
            "may": visit.may,
            "session": session,
            "service": self.sources.service,
            "environment": self.sources.environment,
            "version": self.sources.version,
            "navigation": self.navigation(visit),
            "services": self.switch(visit),
            "badges": {name: count() for name, count in self.badges.items()} if session is not None else {},
            "theme": theme if theme in THEMES else "auto",
            "form_token": session.form_token() if session is not None else "",
            "notes": _taken(session, visit),
            "interval": self.settings.live_interval,
        }
        return self.templates.render(template, {**shared, **context})

    def navigation(self, visit: Visit) -> list[Entry]:
        """Return the pages that whoever looks may see."""
        return [entry for entry in NAVIGATION if visit.may(entry.role) and (not self.is_of_all or entry.name == "home")]

    def switch(self, visit: Visit) -> list[dict[str, Any]]:
        """Return the consoles that whoever looks can go to, this one among them; none where there is no other."""
        if visit.session is None or not self.siblings:
            return []
        granted = self.granted(visit)
        open_to = [site for site in self.siblings if site.is_of_all or site.sources.service in granted]
        return [
            {
                "name": site.sources.service,
                "base": f"{visit.root}{site.mount}",
                "key": "o" if site.is_of_all else str(number),
                "here": site is self,
                "tone": "" if site.is_of_all else site.tone(),
            }
            for number, site in enumerate(open_to)
        ]

    def tone(self) -> str:
        """Return how the service is, as a tone: ``good``, ``warn``, ``bad``."""
        desk = self.sources.alerts
        firing = [one for one in desk.current(resolved=False) if one.state == "firing"] if desk is not None else []
        status = self.sources.health.status
        return headline(status.level, status.phase, firing)[0]

    def part(self, base: str, template: str, context: dict[str, Any]) -> str:
        """Return the text of a part that is the same for everybody who looks."""

        def url(path: str = "/", **query: Any) -> str:
            return address(base, path, query)

        shared = {"url": url, "now": self.clock.time(), "service": self.sources.service}
        return self.templates.render(template, {**shared, **context})

    def window(self, visit: Visit) -> str:
        """Return the time that charts show: what was asked for, else as much as there can be, up to the settings'."""
        asked = visit.query("range")
        return asked if asked in RANGES else self.usual_window()

    def usual_window(self) -> str:
        """Return the time that charts show when nobody asks for another."""
        age = (self.clock.time() - self.sources.started) * 1.1
        fits = next((name for name, size in RANGES.items() if size >= age), self.settings.window)
        return fits if RANGES[fits] < RANGES[self.settings.window] else self.settings.window

    def is_signed_in(self, visit: Visit) -> bool:
        """Tell whether somebody who signed in still is; what is carried along with every request always counts."""
        cookie = self._given(visit.request)
        if not cookie:
            return visit.session is not None
        return self.access.sessions.is_open(cookie, self.sources.service)

    def is_ending(self) -> bool:
        """Tell whether whoever looks should go home."""
        return self.sources.health.status.phase in ("stopping", "failed")

    def open(
        self,
        visit: Visit,
        known: Mapping[str, Actor],
        way: str,
        still: Callable[[str], Callable[[], bool]] = lambda name: lambda: True,
        proof: str = "",
    ) -> None:
        """Sign somebody in with every service that knows them; the answer carries the cookie."""
        self.close(visit)
        cookie, of = self.access.open(known, way, began=visit.now, still=still, proof=proof)
        visit.session = of[self.sources.service]
        visit.headers["Set-Cookie"] = self._cookie(visit, cookie)
        if self.log is not None:
            self.log.info("console_signed_in", actor=visit.session.name, role=visit.session.role, way=way)

    def close(self, visit: Visit) -> None:
        """Sign out whoever looks."""
        cookie = self._given(visit.request)
        if cookie:
            self.access.sessions.close(cookie)
        visit.session = None
        visit.headers["Set-Cookie"] = self._cookie(visit, "") + "; Max-Age=0"

    def _cookie(self, visit: Visit, value: str) -> str:
        secure = "" if self.is_development else "; Secure"
        path = self.cookie_path(visit)
        return f"{self.access.cookie}={value}; Path={path}; HttpOnly; SameSite=Strict{secure}"

    def _given(self, request: Request) -> str:
        # Several paths of one host may set cookies of one name, and the browser sends the most exact one first.
        for header in request.headers.getlist("cookie"):
            for part in header.split(";"):
                name, _, value = part.strip().partition("=")
                if name == self.access.cookie and value:
                    return value
        return ""

    def _endpoint(self, page: Page) -> Callable[[Request], Any]:
        async def endpoint(request: Request) -> Response:
            visit = Visit(self, request)
            begun = time.perf_counter()
            outcome = "shown"
            try:
                response = self._admit(page, visit) or await page.show(visit)
                if response.status_code >= 400:
                    outcome = "missing" if response.status_code == 404 else "refused"
            except ProblemError as error:
                outcome = "refused"
                response = self._trouble(visit, error.problem)
            except BedplateError as error:
                outcome = "refused"
                response = self._trouble(visit, Problem(status=409, title=error.what, detail=error.mend))
            except Exception as error:
                outcome = "failed"
                response = self._failed(visit, page, error)
            self._note(page.name, outcome, time.perf_counter() - begun)
            return response

        endpoint.__name__ = page.name
        endpoint.__doc__ = page.show.__doc__
        return endpoint

    def _admit(self, page: Page, visit: Visit) -> Response | None:
        """Find out who looks; return the answer to those who may not."""
        request = visit.request
        if not is_safe(request.scope) and is_cross_site(request.scope):
            detail = "Another site's page may not do this. Open the console itself and do it there."
            raise ProblemError(Problem(status=403, detail=detail))
        cookie = self._given(request)
        visit.session = self.access.sessions.find(cookie, self.sources.service) if cookie else None
        if page.role is None:
            return None
        if cookie and visit.session is None and not self.access.is_certain:
            detail = "The service starts or stops, and the console does not know yet who is signed in."
            raise ProblemError(Problem(status=503, title="One moment", detail=detail, headers={"Retry-After": "1"}))
        if visit.session is None and "authorization" in request.headers:
            visit.session = self._bearer(visit)
        if visit.session is None:
            return self._stranger(visit)
        if not visit.may(page.role):
            raise ProblemError(
                Problem(status=403, detail=f"You are signed in as {visit.session.role}; this needs {page.role}.")
            )
        return None

    def _bearer(self, visit: Visit) -> Session:
        """Return a session for this request alone: checks and scripts carry a token."""
        identity = self.auth.identify(visit.request.scope)
        if isinstance(identity, Problem):
            others = self.granted(visit) if self.is_of_all and identity.status == 401 else {}
            if not others:
                raise ProblemError(identity)
            return next(iter(others.values()))
        actor = identity.actor
        if actor is None:
            raise ProblemError(Problem(status=403, detail="A scraper's token does not open the console."))
        return Session(actor.name, actor.role, "token", visit.now)

    def _stranger(self, visit: Visit) -> Response:
        request = visit.request
        if visit.is_fragment:
            return visit.show("signed_out.html", status=401)
        site, mode = request.headers.get("sec-fetch-site", ""), request.headers.get("sec-fetch-mode", "")
        if request.method == "GET" and site == "cross-site" and mode == "navigate":
            # From a chat or a dashboard: the browser keeps our cookie back until a page of ours asks.
            return visit.show("opening.html", address=visit.here)
        if request.method not in ("GET", "HEAD") or "text/html" not in request.headers.get("accept", "text/html"):
            raise ProblemError(Problem(status=401, detail="Sign in to the console first."))
        here = visit.here
        return visit.go("/sign-in", next="" if here == "/" else here)

    def _trouble(self, visit: Visit, problem: Problem) -> Response:
        visit.headers |= {name: value for name, value in problem.headers.items() if name == "Retry-After"}
        text = self.sources.redactor.text
        document = problem.document()
        return visit.show(
            "trouble.html",
            status=problem.status,
            code=problem.status,
            what=text(str(document["title"])),
            mend=text(problem.detail),
            request_id="",
            trace_id="",
        )

    def _failed(self, visit: Visit, page: Page, error: Exception) -> Response:
        self.sources.capture(error, f"console {page.name}")
        if self.log is not None:
            self.log.error("console_page_failed", page=page.name, error=type(error).__name__)
        work = current.get()
        return visit.show(
            "trouble.html",
            status=500,
            code=500,
            what="This page could not be made.",
            mend="The fault is in the console, not in the service. It was recorded with the id of this request.",
            request_id=work.request_id if work is not None else "",
            trace_id=work.trace_id if work is not None else "",
        )

    async def _file(self, request: Request) -> Response:
        """Return a style sheet, script or picture."""
        asset = self.assets.find(request.path_params["digest"], request.path_params["name"])
        if asset is None:
            return Response("There is no such file.\n", 404, {"Cache-Control": "no-store"}, "text/plain")
        return responses.file(request, asset)


async def _nowhere(visit: Visit) -> Response:
    """Say that there is no such page."""
    return visit.show("missing.html", status=404, what="There is no such page.", mend="")


def _taken(session: Session | None, visit: Visit) -> list[tuple[str, str]]:
    """Return what this page is to say, once."""
    if session is None or visit.is_fragment or not session.notes:
        return []
    notes = list(session.notes)
    session.notes.clear()
    return notes
