"""The component that tells what can be checked of the service, and checks it when asked to."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

from bedplate.component import Environment, Host, Spec
from bedplate.declarations import Action, Actor, Check, Routes, Suite
from bedplate.monitor.auth import Authenticator, Identity
from bedplate.monitor.auth.tokens import Grant, allows
from bedplate.monitor.checks.derived import derived_checks
from bedplate.monitor.checks.inside import asking
from bedplate.monitor.checks.items import Item, Listing, in_suite
from bedplate.monitor.checks.running import Report, Runner
from bedplate.monitor.management.responses import Json, starting
from bedplate.monitor.replies import ProblemError
from bedplate.problems import BedplateError, Problem

__all__ = ["Checks", "Choice"]


class Choice(BaseModel):
    """Which checks to run."""

    model_config = ConfigDict(extra="forbid")

    suite: Suite | Literal["all"] = "all"


class Checks:
    """Tells at ``<prefix>/checks`` what can be checked, which is all that ``bedplate smoke`` has to know of a service.

    Everybody is told what everybody may run; the rest, which names the service's parts, only those who may run it.

    :param app: the service, which is asked as a client would ask it. :param prefix: of the management API.
    :param operated: whether a path is answered for operators, and so in whichever process these checks run.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        auth: Authenticator,
        environment: Environment,
        prefix: str = "/monitoring",
        operated: Callable[[str], bool] = lambda path: True,
    ) -> None:
        self._app = app
        self._auth = auth
        self._environment: Environment = environment
        self._operated = operated
        self._host: Host | None = None
        self._items: tuple[Item, ...] = ()
        self._running = False
        self.prefix = prefix.rstrip("/")

    @property
    def spec(self) -> Spec:
        """What it is."""
        return Spec(
            kind="checks",
            summary="Tells what can be checked of the service, and checks it when asked to.",
            needs=(self._auth,),
            checks=(
                Check(
                    name="list",
                    path=f"{self.prefix}/checks",
                    summary="The checks are told.",
                    group="management",
                    fields=("service", "environment", "checks.0.name"),
                ),
            ),
        )

    @asynccontextmanager
    async def lifespan(self, host: Host) -> AsyncIterator[None]:
        """Know the components of the service while inside."""
        self._host = host
        try:
            yield
        finally:
            self._host, self._items = None, ()

    def routes(self) -> Sequence[Routes]:
        """Return the list."""
        return (Routes(routes=[Route("/checks", self._list)], access=None),)

    def actions(self) -> Sequence[Action]:
        """Return the button that runs the checks."""
        return (
            Action(
                name="run",
                summary="Check the service from the inside, as `bedplate smoke` does from the outside.",
                run=self._press,
                parameters=Choice,
                role="operator",
                refused=lambda: "They are running already." if self._running else None,
            ),
        )

    async def run(self, suite: Suite | Literal["all"], identity: Identity) -> Report:
        """Run the checks of a suite in this process on somebody's behalf, and return what became of them.

        :raises BedplateError: while they run already, or before the service has started.
        """
        if self._running:
            raise BedplateError("The checks are running already.", "Wait until they are done.")
        self._running = True
        try:
            items = in_suite(self._known(), suite)
            if self._role() == "ops":
                # This process watches the others; the application is served by them.
                items = tuple(item for item in items if self._operated(item.path))
            return await Runner(asking(self._app, identity), grant=identity.grant).run(items)
        finally:
            self._running = False

    def _role(self) -> str:
        return self._host.role if self._host is not None else ""

    def _known(self) -> tuple[Item, ...]:
        if self._host is None:
            raise BedplateError("The service is still starting.", "Try again in a moment.")
        if not self._items:
            specs = [view.spec for view in self._host.components]
            self._items = derived_checks(specs, prefix=self.prefix, environment=self._environment)
        return self._items

    async def _list(self, request: Request) -> Response:
        """Return the checks that the caller may run, and how many others there are."""
        if self._host is None:
            raise starting()
        grant = self._grant(request)
        known = self._known()
        insider = grant is not None and allows(grant, "viewer")
        shown = tuple(item for item in known if item.public or (insider and item.permits(grant)))
        hidden: dict[Suite, int] = {}
        for item in known:
            if item not in shown:
                hidden[item.suite] = hidden.get(item.suite, 0) + 1
        listing = Listing(
            service=self._host.service,
            environment=self._environment,
            prefix=self.prefix,
            grant=grant,
            hidden=hidden,
            checks=shown,
        )
        return Json(asdict(listing))

    def _grant(self, request: Request) -> Grant | None:
        identity = self._auth.identify(request.scope)
        if isinstance(identity, Problem):
            if "authorization" in request.headers:
                raise ProblemError(identity)
            return None
        return identity.grant

    async def _press(self, parameters: Any, actor: Actor) -> dict[str, Any]:
        return (await self.run(parameters.suite, Identity(actor.name, actor.role))).document()
