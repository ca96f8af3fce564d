"""Starting and stopping: components in the order of their needs, one after the other, with deadlines.

An owner task sees to it, whoever asks for the start and for the stop. A start that fails or is cancelled unwinds what
had started. A stop has a deadline: what hangs is cancelled, named in the log, and left behind rather than waited for.
A component that ends although nobody asked it to takes the service with it: what needs it would fail.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from contextvars import copy_context
from pathlib import Path
from typing import Any, Literal, Protocol

from bedplate.clock import Clock
from bedplate.component import (
    Component,
    ComponentState,
    ComponentView,
    Environment,
    Lease,
    Logger,
    Role,
    Vector,
)
from bedplate.metric import Metric
from bedplate.problems import BedplateError, UndeclaredMetricError
from bedplate.service.lifespan import MOMENT, Lifespan, LifespanTimeoutError
from bedplate.service.observer import Observer
from bedplate.service.tasks import SupervisedTask, stop_tasks

__all__ = ["ComponentHost", "Lifecycle", "LostError", "StartError"]


class StartError(BedplateError):
    """A component did not start; the message names it, the cause is chained."""


class LostError(BedplateError):
    """A component, or the application, ended although the service was running; the cause is chained."""


class Binder(Protocol):
    """Who makes cells."""

    def bind(self, metric: Metric, /, **labels: str) -> Any:
        """Return the cell of a family of the whole service."""
        ...


class Querier(Protocol):
    """Who answers PromQL."""

    async def query(self, expr: str, *, scope: Literal["host", "fleet"] = "host") -> Vector:
        """Return the present value of an expression. :raises BedplateError: when it has none that is known."""
        ...


class ComponentHost:
    """What one running component sees of its service; implements :class:`bedplate.component.Host`."""

    def __init__(self, component: Component, lifecycle: Lifecycle) -> None:
        self.component = component
        self.spec = component.spec
        self.tasks: list[SupervisedTask] = []
        self.state: ComponentState = "waiting"
        self.reason = ""
        self._lifecycle = lifecycle
        self._declared = {metric.name: metric for metric in self.spec.metrics}
        self.service = lifecycle.service
        self.role: Role = lifecycle.role
        self.environment: Environment = lifecycle.environment
        self.alone = lifecycle.alone
        self.clock: Clock = lifecycle.clock
        self.log: Logger = lifecycle.logger(self.spec.label)

    @property
    def components(self) -> Sequence[ComponentView]:
        """All components of the service in start order."""
        return self._lifecycle.views()

    @property
    def directory(self) -> Path:
        """The directory that the processes of this service share on this host."""
        return self._lifecycle.directory()

    def bind(self, metric: Metric, /, **labels: str) -> Any:
        """Return the cell of a metric that this component declares."""
        declared = self._declared.get(metric.name)
        if declared is None or (declared is not metric and declared.family != metric.family):
            raise UndeclaredMetricError(
                f"{self.spec.label} binds {metric.name}, which its spec does not declare.",
                f"Add it to the metrics of the spec of {self.spec.label}.",
            )
        if declared.fixed and declared.fixed != metric.fixed:
            # A spec that declares HITS(cache="reports") binds nothing of another cache; the rest is filled in.
            metric = metric(**dict(declared.fixed))
        return self._lifecycle.binder.bind(metric, **labels)

    def spawn(self, name: str, fn: Callable[[], Coroutine[Any, Any, None]], *, lease: Lease | None = None) -> None:
        """Supervise ``fn`` for as long as the component runs."""
        coroutine: Any = fn
        if asyncio.iscoroutine(coroutine):
            coroutine.close()
            raise BedplateError(
                f"{self.spec.label} spawns {name!r} with a coroutine, which cannot be restarted.",
                "Pass the function itself: host.spawn(name, self.loop), not self.loop().",
            )
        if self.state not in ("starting", "running", "degraded"):
            raise BedplateError(f"{self.spec.label} spawns {name!r} while it is {self.state}.", "Spawn in lifespan().")
        observer = self._lifecycle.observer
        self.tasks.append(SupervisedTask(name, fn, host=self, label=self.spec.label, observer=observer, lease=lease))

    def degraded(self, reason: str | None) -> None:
        """Say that the component works with less than it should, or that it is whole again."""
        if self.state in ("running", "degraded", "starting"):
            state: ComponentState = self.state if self.state == "starting" else "running"
            self.become("degraded" if reason else state, reason or "")

    async def query(self, expr: str, *, scope: Literal["host", "fleet"] = "host") -> Vector:
        """Return the present value of a PromQL expression, narrowed to this service."""
        querier = self._lifecycle.querier
        if querier is None:
            raise BedplateError(f"Nobody answers PromQL in this run of {self.service}.", "Run it as a Service.")
        return await querier.query(expr, scope=scope)

    def become(self, state: ComponentState, reason: str = "") -> None:
        """Change the state and tell the observer, once a change."""
        if (state, reason) != (self.state, self.reason):
            self.state, self.reason = state, reason
            self._lifecycle.observer.changed(self.spec.label, state, reason)

    def view(self) -> ComponentView:
        """Return what others may see of it."""
        tasks = tuple(task.view() for task in self.tasks)
        return ComponentView(self.component, self.spec, self.state, self.reason, tasks)


class Lifecycle:
    """The components of one service, running in one process.

    :param alone: whether it is the service's only process on this host.
    :param start_timeout: seconds that one component may take to start.
    :param stop_timeout: seconds that all of them together may take to stop.
    """

    def __init__(
        self,
        service: str,
        components: Sequence[Component],
        *,
        binder: Binder,
        observer: Observer,
        logger: Callable[[str], Logger],
        clock: Clock,
        directory: Callable[[], Path],
        querier: Querier | None = None,
        role: Role = "web",
        environment: Environment = "development",
        alone: bool = True,
        start_timeout: float = 30.0,
        stop_timeout: float = 10.0,
    ) -> None:
        self.service = service
        self.binder = binder
        self.observer = observer
        self.logger = logger
        self.clock = clock
        self.directory = directory
        self.querier = querier
        self.role: Role = role
        self.environment: Environment = environment
        self.alone = alone
        self._start_timeout = start_timeout
        self._stop_timeout = stop_timeout
        self._hosts = [ComponentHost(component, self) for component in components]
        # What a component binds to its context, those after it see; and all that they spawn.
        self._context = copy_context()
        #: Done, with what happened, when a component has ended although the service runs.
        self.lost: asyncio.Future[LostError] = asyncio.get_running_loop().create_future()
        self._stopping = asyncio.Event()
        self._started: asyncio.Future[None] | None = None
        self._owner: asyncio.Task[None] | None = None

    def views(self) -> Sequence[ComponentView]:
        """Return all components with their present state, in start order."""
        return [host.view() for host in self._hosts]

    async def start(self, inside: Callable[[], AbstractAsyncContextManager[Any]] | None = None) -> None:
        """Start every component, then enter ``inside``; return when all run.

        :raises StartError: when one failed; all that had started has been stopped again.
        """
        self._started = asyncio.get_running_loop().create_future()
        self._owner = asyncio.create_task(self._own(inside), name=f"{self.service}/owner")
        try:
            await asyncio.shield(self._started)
        except asyncio.CancelledError:
            self._owner.cancel()
            await asyncio.wait([self._owner])
            raise
        except BaseException:
            await asyncio.wait([self._owner])
            raise

    async def stop(self) -> None:
        """Stop every component in reverse order; return at the latest a little after the deadline.

        Whoever is cancelled while they wait for it gets their cancellation after the stop, not instead of it.
        """
        if self._owner is None:
            return
        self._stopping.set()
        finishing = asyncio.create_task(self._finish(self._owner))
        cancelled: asyncio.CancelledError | None = None
        while not finishing.done():
            try:
                await asyncio.wait([finishing])
            except asyncio.CancelledError as error:
                cancelled = error
        if cancelled is not None:
            raise cancelled

    async def _finish(self, owner: asyncio.Task[None]) -> None:
        # The components share the deadline; the owner gets a second more to say which of them hung.
        done, _ = await asyncio.wait([owner], timeout=self._stop_timeout + 1.0)
        if not done:
            owner.cancel()
            self.observer.abandoned(self.service, "shutdown")
            await asyncio.wait([owner], timeout=1.0)

    async def _own(self, inside: Callable[[], AbstractAsyncContextManager[Any]] | None) -> None:
        assert self._started is not None
        try:
            async with AsyncExitStack() as stack:
                for host in self._hosts:
                    await stack.enter_async_context(self._running(host))
                if inside is not None:
                    await stack.enter_async_context(inside())
                if not self._started.done():
                    self._started.set_result(None)
                await self._stopping.wait()
                self._deadline = asyncio.get_running_loop().time() + self._stop_timeout
        except BaseException as error:
            if not self._started.done():
                if isinstance(error, asyncio.CancelledError):
                    self._started.cancel()
                else:
                    self._started.set_exception(error)
            elif isinstance(error, asyncio.CancelledError):
                raise
            else:
                self.observer.crashed(self.service, "shutdown", error)

    _deadline: float = 0.0

    @asynccontextmanager
    async def _running(self, host: ComponentHost) -> AsyncIterator[None]:
        host.become("starting")
        label = host.spec.label
        lifespan = Lifespan(
            lambda: host.component.lifespan(host),
            name=f"{self.service}/{label}",
            context=self._context,
            lost=lambda error: self._lose(host, error),
        )
        try:
            await lifespan.enter(self._start_timeout)
        except LifespanTimeoutError:
            await self._failed(host, f"did not start within {self._start_timeout:g} s")
            raise StartError(
                f"{label} did not start within {self._start_timeout:g} s.",
                "Look at what it waits for; its start must not depend on something that can hang.",
            ) from None
        except asyncio.CancelledError as error:
            await self._failed(host, "start was cancelled")
            if _cancelled():
                raise
            # Something that it awaited was cancelled, or a cancel scope of its own was left by mistake.
            raise StartError(f"{label} did not start: it was cancelled, and not by the service.") from error
        except BaseException as error:
            reason = f"{type(error).__name__}: {error}"
            await self._failed(host, reason)
            raise StartError(f"{label} did not start: {reason}") from error
        if host.state == "starting":
            host.become("running")
        try:
            yield
        finally:
            await self._leave(host, lifespan)

    def _lose(self, host: ComponentHost, error: BaseException | None) -> None:
        """Note that a component has ended on its own, and that the service must."""
        reason = "its lifespan returned" if error is None else f"{type(error).__name__}: {error}"
        host.become("failed", reason)
        self.lose(host.spec.label, error)

    def lose(self, what: str, error: BaseException | None) -> None:
        """Note that something that the service cannot do without has ended on its own."""
        reason = "its lifespan returned." if error is None else f"{type(error).__name__}: {error}"
        failure = LostError(f"{what} ended while the service was running: {reason}")
        failure.__cause__ = error
        self.observer.crashed(what, "lifespan", error or failure)
        if not self.lost.done():
            self.lost.set_result(failure)

    async def _failed(self, host: ComponentHost, reason: str) -> None:
        await stop_tasks(host.tasks, self._stop_timeout)
        host.become("failed", reason)

    async def _leave(self, host: ComponentHost, lifespan: Lifespan) -> None:
        failed = host.reason if host.state == "failed" else ""
        host.become("stopping")
        loop = asyncio.get_running_loop()
        deadline = self._deadline or loop.time() + self._stop_timeout
        reason = ""
        try:
            for task in await stop_tasks(host.tasks, max(deadline - loop.time(), MOMENT)):
                reason = f"its task {task.name} did not stop within the deadline"
                self.observer.abandoned(host.spec.label, task.name)
            await lifespan.leave(deadline)
        except LifespanTimeoutError:
            reason = "did not stop within the deadline"
            self.observer.abandoned(host.spec.label, "stop")
        except asyncio.CancelledError:
            if _cancelled():
                raise
            reason = "was cancelled, and not by the service"
        except BaseException as error:
            # One component that fails to stop must not keep the others from stopping.
            if not failed:
                reason = f"{type(error).__name__}: {error}"
                self.observer.crashed(host.spec.label, "stop", error)
        finally:
            host.become("failed" if failed else "stopped", failed or reason)


def _cancelled() -> bool:
    """Return whether the present task itself has been told to end."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
