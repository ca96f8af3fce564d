"""The conformance suite: what every component must do, ours or a user's.

.. code-block:: python

    @pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
    async def test_greeter_conforms(case):
        await case(lambda: Greeter("hello"))
"""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress

from bedplate.component import Component, ComponentState, HasActions, HasRoutes, Host, Spec
from bedplate.monitor.alerts.soundness import unsound
from bedplate.problems import BedplateError
from bedplate.service import Service
from bedplate.service.graph import refusals
from bedplate.service.lifecycle import StartError
from bedplate.testing.clock import ManualClock
from bedplate.testing.harness import running, settings

__all__ = ["CASES", "ConformanceError", "check_component"]

Make = Callable[[], Component]
Case = Callable[[Make], Awaitable[None]]

#: Turns of the event loop, in each state of a component, at which its start or stop is cut short: while it starts and
#: stops nearly every one, later ones at greater distances, since what waits for a thread waits for many turns.
TURNS = {
    "waiting": (0, 3, 13),
    "starting": (*range(20), 24, 32, 48, 64, 96, 128),
    "running": (0, 1, 2, 3, 5, 8, 21),
    "stopping": (*range(20), 24, 32, 48, 64, 96, 128),
}
#: Turns in other states until they are waited for with more patience.
PATIENT_TURNS = 200
#: Seconds that a cancelled probe has to end, and what is left of a start or stop that was cut short.
PATIENCE = 1.0


class ConformanceError(BedplateError, AssertionError):
    """A component does not do what every component must."""


async def check_component(make: Make) -> None:
    """Put a component through every case.

    :param make: returns a new instance each time, with what it needs.
    :raises ConformanceError: with every case that it failed.
    """
    failures: list[str] = []
    for case in CASES:
        try:
            await case(make)
        except ConformanceError as error:
            failures.append(f"{case.__name__}: {error}")
    if failures:
        raise ConformanceError("\n".join(failures))


async def spec_is_stable(make: Make) -> None:
    """Two reads of the spec are equal, and so are the specs of two instances made alike, but for what they need."""
    component = make()
    if component.spec != component.spec:
        raise ConformanceError(
            "Two reads of its spec differ.", "Make it a function of the constructor's arguments, without new objects."
        )
    one, other = component.spec, make().spec
    if (one.key, one.metrics, one.alerts, one.panels) != (other.key, other.metrics, other.alerts, other.panels):
        raise ConformanceError("Two instances made alike have different specs.", "Keep state out of the spec.")


async def constructor_does_no_io(make: Make) -> None:
    """Neither the constructor nor the spec opens files or sockets, starts processes, threads or tasks."""
    # Once before: imports that happen at the first use read files, and are not the component's doing.
    make().spec  # noqa: B018
    threads, tasks = set(threading.enumerate()), asyncio.all_tasks()
    with _watching() as seen:
        component = make()
        component.spec  # noqa: B018
    if seen:
        raise ConformanceError(f"Its constructor or spec does I/O: {', '.join(seen)}.", "Move it into lifespan().")
    if set(threading.enumerate()) - threads or asyncio.all_tasks() - tasks:
        raise ConformanceError("Its constructor starts a thread or a task.", "Move it into lifespan().")


async def declarations_are_sound(make: Make) -> None:
    """Whatever it declares can be derived from: metrics, expressions, routes, actions; and alerts can be trusted.

    Each alert has a section in the runbook, fires on its ``fires`` series and keeps quiet on its ``quiet`` ones.
    """
    component = make()
    service = Service("conformance", None, [component], settings=settings())
    found = [str(refusal) for refusal in refusals(service.components, "test", {})]
    spec = component.spec
    found += [str(refusal) for refusal in unsound(service.name, [spec])]
    if isinstance(component, HasRoutes):
        component.routes()
    if isinstance(component, HasActions):
        names = [action.name for action in component.actions()]
        found += [f"action {name} is there twice" for name in sorted(names) if names.count(name) > 1]
    if found:
        raise ConformanceError("; ".join(found))


async def starts_and_stops_twice(make: Make) -> None:
    """It starts, stops, and starts again; nothing of it is left behind."""
    component = make()
    for _ in range(2):
        async with _nothing_left():
            async with running(component) as harness:
                await harness.clock.advance(30)
                for view in harness.service.views:
                    broken = next((task for task in view.tasks if task.restarts), None)
                    if view.component is component and broken is not None:
                        raise ConformanceError(f"Its task {broken.name} crashed: {broken.last_error}")
        ended = next(view for view in harness.run.lifecycle.views() if view.component is component)
        if ended.reason:
            raise ConformanceError(f"It did not stop cleanly: {ended.reason}")


async def survives_cancellation_at_any_moment(make: Make) -> None:
    """A start or stop that is cancelled at any moment leaves nothing behind, and the component can start afterwards."""
    component = make()
    for state, turns in TURNS.items():
        for turn in turns:
            async with _nothing_left():
                if await _start_and_cancel(component, state, turn):
                    break
    async with running(component):
        pass


async def a_failing_neighbour_unwinds_it(make: Make) -> None:
    """When what starts after it fails, it is stopped again, and nothing is left behind."""
    component = make()
    async with _nothing_left():
        try:
            async with running([component, _Failing(component)]):
                raise ConformanceError("A service started although one of its components failed.")
        except StartError as error:
            if "failing" not in str(error):
                raise ConformanceError(f"It did not start: {error}") from error


async def probes_end_when_cancelled(make: Make) -> None:
    """A probe whose dependency hangs ends when its time is up: cancelled at its first wait, it is gone in a moment."""
    component = make()
    async with running(component):
        for probe in component.spec.probes:
            asking = asyncio.ensure_future(probe.check())
            await asyncio.sleep(0)
            asking.cancel()
            done, _ = await asyncio.wait([asking], timeout=PATIENCE)
            if not done:
                raise ConformanceError(
                    f"Its probe {probe.name} ignores being cancelled.", "Do not catch CancelledError in it."
                )


CASES: tuple[Case, ...] = (
    spec_is_stable,
    constructor_does_no_io,
    declarations_are_sound,
    starts_and_stops_twice,
    survives_cancellation_at_any_moment,
    a_failing_neighbour_unwinds_it,
    probes_end_when_cancelled,
)


class _Failing:
    def __init__(self, after: Component) -> None:
        self._after = after
        self._broken = True

    @property
    def spec(self) -> Spec:
        return Spec(kind="failing", summary="Fails to start.", needs=(self._after,))

    @asynccontextmanager
    async def lifespan(self, host: Host) -> AsyncIterator[None]:
        if self._broken:
            raise RuntimeError("fails on purpose")
        yield


async def _start_and_cancel(component: Component, state: str, turn: int) -> bool:
    """Cancel a start and stop when the component is in a state for so many turns; return whether it never was."""
    service = Service("conformance", None, [component], settings=settings())

    others = 0

    async def start() -> None:
        nonlocal others
        async with service.running(clock=ManualClock()):
            others = 0

    task = asyncio.create_task(start())
    while turn >= 0:
        # In a state that is not asked for, waiting in earnest lets threads get on, but would miss a short one soon.
        await asyncio.sleep(0 if others < PATIENT_TURNS else 0.001)
        if task.done():
            task.result()
            return True
        if _state(service, component) == state:
            turn -= 1
        else:
            others += 1
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
    return False


def _state(service: Service, component: Component) -> ComponentState:
    if service.run is None:
        return "waiting"
    return next((view.state for view in service.views if view.component is component), "waiting")


@asynccontextmanager
async def _nothing_left() -> AsyncIterator[None]:
    tasks = asyncio.all_tasks()
    yield
    left = {task for task in asyncio.all_tasks() - tasks if not task.done()}
    if left:
        # What is ending may take a moment: a driver tells its server that a statement was cancelled.
        _, left = await asyncio.wait(left, timeout=PATIENCE)
    if left:
        names = ", ".join(sorted(task.get_name() for task in left))
        for task in left:
            task.cancel()
        raise ConformanceError(
            f"It leaves tasks behind: {names}.", "Spawn them with host.spawn(), or end them in lifespan()."
        )


class _Watch:
    """An audit hook cannot be removed, so there is one, which listens only while a case wants it to."""

    def __init__(self) -> None:
        self.seen: list[str] | None = None
        self.installed = False
        self.thread = 0

    def __call__(self, event: str, arguments: tuple[object, ...]) -> None:
        if self.seen is None or threading.get_ident() != self.thread:
            return
        if event in ("open", "socket.connect", "socket.bind", "subprocess.Popen", "os.fork", "sqlite3.connect"):
            self.seen.append(f"{event} {arguments[0]!r}")


_WATCH = _Watch()


@contextmanager
def _watching() -> Iterator[list[str]]:
    if not _WATCH.installed:
        sys.addaudithook(_WATCH)
        _WATCH.installed = True
    _WATCH.thread, _WATCH.seen = threading.get_ident(), []
    try:
        yield _WATCH.seen
    finally:
        _WATCH.seen = None
