"""The service: an application, its components, and everything that is derived from them, as one ASGI application."""

from __future__ import annotations

import re
import signal
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from starlette.types import ASGIApp, Receive, Scope, Send

from bedplate.clock import Clock, SystemClock
from bedplate.component import Component, ComponentView, Role
from bedplate.problems import BedplateError, DeclarationError, Refusal, RefusedError
from bedplate.service.builtins import Builtins
from bedplate.service.entry import Entry
from bedplate.service.graph import collect, refusals, spec_of, start_order
from bedplate.service.run import Run
from bedplate.service.serving import serve_lifespan
from bedplate.settings import Settings

__all__ = ["RunOptions", "Service"]

_NAME = re.compile(r"[a-z][a-z0-9_-]*\Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions:
    """How one process runs a service.

    :param role: what the process is for.
    :param directory: where the processes of one host share cells and leases; None when there is but this one.
    :param clock: the time that components see.
    :param instance: which of several workers this is, for logs; empty when there is but one.
    :param served: ``host:port`` at which the workers are served, for a process that watches them.
    """

    role: Role = "web"
    directory: Path | None = None
    clock: Clock = field(default_factory=SystemClock)
    instance: str = ""
    served: str = ""


class Service:
    """A service: ``Service("ledger", app, [cache, sessions, jobs])``.

    It is the outermost ASGI application. It acknowledges start-up at once, starts the components in the order of
    their needs and runs the application's own lifespan inside; meanwhile it answers probes and the management API, and
    503 to everything else.

    :param name: its name, which is its ``job`` in Prometheus: lower-case letters, digits, ``-`` and ``_``.
    :param app: any ASGI application; None for a bot or a worker without HTTP of its own.
    :param components: its components; what they need is collected by itself.
    :param settings: the settings that it was built from; those of the environment by default.
    :raises DeclarationError: when the name cannot be a path and a label, or something is not of its kind.
    """

    def __init__(
        self,
        name: str,
        app: ASGIApp | None = None,
        components: Sequence[Component] = (),
        *,
        settings: Settings | None = None,
    ) -> None:
        if not _NAME.match(name):
            raise DeclarationError(
                f"Service name {name!r} cannot be a path and a label.", "Use lower-case letters, digits, - and _."
            )
        if app is not None and not callable(app):
            raise DeclarationError(
                f"The application of {name} is a {type(app).__name__}.", "Give an ASGI application, or None for none."
            )
        given: object = components
        if isinstance(given, str) or not isinstance(given, Iterable):
            raise DeclarationError(
                f"The components of {name} are a {type(components).__name__}.", "Give a list of them."
            )
        self.name = name
        self.app: ASGIApp | None = app
        self.own_components = tuple(components)
        self.options = RunOptions()
        #: What is done when the start fails; `bedplate run` ends the process with a status that is not 0.
        self.on_failure: Callable[[BaseException], None] = _end_process
        #: What is done when a server has started it; `bedplate run` lets the first requests in then.
        self.on_started: Callable[[], None] = _nothing
        #: Where it is served, for the log; whoever serves it says so.
        self.addresses: tuple[str, ...] = ()
        self._given_settings = settings
        self._run: Run | None = None

    @cached_property
    def settings(self) -> Settings:
        """The settings that the service was built from."""
        return self._given_settings if self._given_settings is not None else Settings()

    @cached_property
    def builtins(self) -> Builtins:
        """The components that every service has."""
        builtins = Builtins(self.name, self.settings, self, lambda path: self.entry.is_operated(path))
        builtins.console.addresses = self._reached
        return builtins

    @cached_property
    def components(self) -> tuple[Component, ...]:
        """All components, Bedplate's own included, in the order in which they start.

        :raises BedplateError: when something is not a component, or needs form a circle.
        """
        builtins = self.builtins
        before, after = builtins.before(), builtins.after()
        if any(spec_of(component).kind == builtins.live.spec.kind for component in self.own_components):
            # A service that asks its live settings at run time brings its own reloader, of its own settings class.
            before.remove(builtins.live)
        builtins.meet(collect(self.own_components))
        return tuple(start_order(collect([*before, *self.own_components, *after])))

    @cached_property
    def entry(self) -> Entry:
        """The ASGI face: routes of the management API and of components, then the application."""
        return Entry(self)

    def _reached(self) -> Sequence[str]:
        """Return where people reach the service; of the process that watches, where its workers are reached."""
        if not self.options.served:
            return self.addresses
        below = next((one.rpartition(".sock")[2] for one in self.addresses if one.startswith("unix:")), "")
        return (f"http://{self.options.served}{below}",)

    @property
    def run(self) -> Run | None:
        """The present run, None while the service does not run."""
        return self._run

    @property
    def views(self) -> Sequence[ComponentView]:
        """All components with their present state; all waiting while the service does not run."""
        if self._run is not None:
            return self._run.lifecycle.views()
        return [ComponentView(component, component.spec, "waiting") for component in self.components]

    def refusals(self) -> list[Refusal]:
        """Return every reason why the service may not start with these settings; pure, without I/O."""
        found = list(self.settings.refusals())
        try:
            components = self.components
        except BedplateError as error:
            return [*found, Refusal(self.name, error.what, error.mend)]
        found += refusals(components, self.settings.environment, self.settings.model_dump())
        if not found:
            try:
                # Routes and middleware are asked for here, so that what is wrong with them is known before the start.
                self.entry  # noqa: B018
            except BedplateError as error:
                found.append(Refusal(self.name, error.what, error.mend))
        return found

    def check(self) -> None:
        """Check the service.

        :raises RefusedError: with every reason, when it may not start.
        """
        found = self.refusals()
        if found:
            raise RefusedError(f"Service {self.name}", found)

    @asynccontextmanager
    async def running(self, options: RunOptions | None = None, **changes: Any) -> AsyncIterator[Run]:
        """Run the service while inside; for workers, tests, and whoever drives a service without an ASGI server.

        :raises RefusedError: when it may not start. :raises StartError: when a component does not start.
        """
        run = Run(self, replace(options or self.options, **changes))
        await self._begin(run)
        try:
            yield run
        finally:
            await self._end(run)

    async def _begin(self, run: Run) -> None:
        if self._run is not None:
            raise BedplateError(f"Service {self.name} runs already.", "Build another one for another run.")
        self._run = run
        try:
            await run.start()
        except BaseException:
            self._run = None
            raise

    async def _end(self, run: Run) -> None:
        try:
            await run.stop()
        finally:
            self._run = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI scope."""
        if scope["type"] == "lifespan":
            await serve_lifespan([self], receive, send)
        else:
            await self.entry.serve(scope, receive, send)


def _end_process(error: BaseException) -> None:
    # A server that is not ours knows no other way to be told: it ends on SIGTERM, and says so in its exit status.
    signal.raise_signal(signal.SIGTERM)


def _nothing() -> None:
    pass
