"""One run of a service in one process: its cells, its directory, its lifecycle."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bedplate.component import Logger
from bedplate.problems import BedplateError
from bedplate.service.asgi import app_lifespan
from bedplate.service.lifecycle import Lifecycle
from bedplate.service.sockets import host_and_port

if TYPE_CHECKING:
    from bedplate.service.service import RunOptions, Service

__all__ = ["Run"]


class Run:
    """A service that runs; made anew for every start."""

    def __init__(self, service: Service, options: RunOptions) -> None:
        self.service = service
        self.options = options
        #: What the application's lifespan put into its state.
        self.state: dict[str, Any] = {}
        self._own_directory: Path | None = None
        self._closed = False
        builtins, settings = service.builtins, service.settings
        self.alone = options.directory is None or (options.role == "web" and not options.instance)
        self.lifecycle = Lifecycle(
            service.name,
            service.components,
            binder=builtins.metrics.registry,
            observer=builtins.supervision,
            logger=self._logger,
            clock=options.clock,
            directory=self.directory,
            querier=builtins.queries,
            role=options.role,
            environment=settings.environment,
            alone=self.alone,
            start_timeout=builtins.settings.start_timeout,
            stop_timeout=builtins.settings.stop_timeout,
        )

    def directory(self) -> Path:
        """Return the directory that the processes of this service share; a lone process makes one when asked."""
        if self.options.directory is not None:
            path = self.options.directory / self.service.name
            path.mkdir(parents=True, exist_ok=True, mode=0o700)
            return path
        if self._closed:
            raise BedplateError(f"Service {self.service.name} does not run any more, and its directory is gone.")
        if self._own_directory is None:
            self._own_directory = Path(tempfile.mkdtemp(prefix=f"bedplate-{self.service.name}-"))
        return self._own_directory

    async def start(self) -> None:
        """Check the service, open its registry, start its components and then its application."""
        service, builtins = self.service, self.service.builtins
        service.check()
        cells = None
        if self.options.directory is not None:
            cells = self.directory() / "cells"
            cells.mkdir(exist_ok=True, mode=0o700)
        metrics = [metric for component in service.components for metric in component.spec.metrics]
        self.lifecycle.binder = builtins.metrics.open(service.name, cells, metrics)
        builtins.supervision.attach(self._logger("service"))
        builtins.queries.clock = self.options.clock
        # One process of a host samples for all: the one that watches, or the only one there is.
        builtins.samples.active = self.alone or self.options.role == "ops"
        builtins.samples.address = self.options.served or host_and_port(service.addresses)
        try:
            await self.lifecycle.start(self._serving)
        except BaseException:
            self._close()
            raise

    async def stop(self) -> None:
        """Stop everything, within the deadline."""
        try:
            await self.lifecycle.stop()
        finally:
            self._close()

    @asynccontextmanager
    async def _serving(self) -> AsyncIterator[None]:
        """Run the application inside all components, and open the door to it."""
        service, health = self.service, self.service.builtins.health
        async with AsyncExitStack() as stack:
            if service.app is not None and self.options.role == "web":
                health.block("app", "The application has not finished starting.")
                timing = service.builtins.settings
                self.state = await stack.enter_async_context(
                    app_lifespan(
                        service.app,
                        start_timeout=timing.start_timeout,
                        # The components, which the application may need to the end, have the rest.
                        stop_timeout=0.8 * timing.stop_timeout,
                        lost=lambda error: self.lifecycle.lose("The application", error),
                    )
                )
            service.entry.open(self.state)
            health.block("app", None)
            try:
                yield
            finally:
                service.entry.drain()

    def _logger(self, label: str) -> Logger:
        return self.service.builtins.logger(label)

    def _close(self) -> None:
        self.service.entry.close()
        self.service.builtins.metrics.close()
        self._closed = True
        if self._own_directory is not None:
            shutil.rmtree(self._own_directory, ignore_errors=True)
            self._own_directory = None
