"""Components and applications that misbehave: each harms itself, is named, and leaves the others whole."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest
from fastapi import FastAPI

from bedplate.component import Component, Host, Spec
from bedplate.declarations import Middleware, Routes
from bedplate.problems import BedplateError, RefusedError
from bedplate.service import Service
from bedplate.service.asgi import LifespanError, app_lifespan
from bedplate.service.lifecycle import LostError, StartError
from bedplate.service.settings import ServiceSettings
from bedplate.testing import running, settings


class Part:
    """A component made of a function that is its lifespan."""

    def __init__(self, lifespan: Callable[[Host], Any] | None = None, name: str = "default", *needs: Component) -> None:
        self._lifespan = lifespan or _nothing
        self.name = name
        self.needs = needs

    @property
    def spec(self) -> Spec:
        return Spec(kind="part", name=self.name, summary="A part.", needs=self.needs)

    def lifespan(self, host: Host) -> Any:
        return self._lifespan(host)


@asynccontextmanager
async def _nothing(host: Host) -> AsyncIterator[None]:
    yield


def service(*parts: Component, app: Any = None, **timing: float) -> Service:
    built = Service("shop", app, parts, settings=settings())
    built.builtins.settings = ServiceSettings(**timing)
    return built


def state(built: Service, name: str) -> tuple[str, str]:
    view = next(view for view in built.views if view.spec.name == name)
    return view.state, view.reason


@pytest.mark.parametrize("groups", ["asyncio", "anyio"])
async def test_a_task_group_that_fails_ends_its_own_component_and_the_service_is_told(groups: str) -> None:
    journal: list[str] = []
    fail = asyncio.Event()

    async def explode() -> None:
        await fail.wait()
        raise ConnectionError("feed closed")

    @asynccontextmanager
    async def grouped(host: Host) -> AsyncIterator[None]:
        if groups == "asyncio":
            async with asyncio.TaskGroup() as group:
                group.create_task(explode())
                yield
        else:
            async with anyio.create_task_group() as group_:
                group_.start_soon(explode)
                yield

    @asynccontextmanager
    async def neighbour(host: Host) -> AsyncIterator[None]:
        yield
        for _ in range(5):
            await asyncio.sleep(0)
        journal.append("neighbour stopped")

    feed = Part(grouped, "feed")
    built = service(feed, Part(neighbour, "neighbour", feed))
    async with running(built) as harness:
        fail.set()
        lost = await asyncio.wait_for(harness.run.lifecycle.lost, 60)
        assert isinstance(lost, LostError)
        assert "part:feed ended while the service was running" in str(lost)
        assert state(built, "feed")[0] == "failed"
        assert state(built, "neighbour")[0] == "running"
        samples = await harness.samples()
        assert samples['bedplate_service_component_up{component="part:feed"}'] == 0
        kinds = [group["type"] for group in (await harness.client.get("/monitoring/errors")).json()["items"]]
        assert any("ExceptionGroup" in kind or kind == "ConnectionError" for kind in kinds)
    assert journal == ["neighbour stopped"]


async def test_under_a_server_a_lost_component_ends_the_process() -> None:
    fail = asyncio.Event()

    async def explode() -> None:
        await fail.wait()
        raise ConnectionError("feed closed")

    @asynccontextmanager
    async def grouped(host: Host) -> AsyncIterator[None]:
        async with asyncio.TaskGroup() as group:
            group.create_task(explode())
            yield

    built = service(Part(grouped))
    failures: list[BaseException] = []
    built.on_failure = failures.append
    inbox: asyncio.Queue[Any] = asyncio.Queue()
    sent: list[str] = []

    async def send(message: Any) -> None:
        sent.append(message["type"])

    inbox.put_nowait({"type": "lifespan.startup"})
    serving = asyncio.create_task(built({"type": "lifespan"}, inbox.get, send))
    for _ in range(6000):
        if built.entry.ready:
            break
        await asyncio.sleep(0.01)
    fail.set()
    for _ in range(6000):
        if failures:
            break
        await asyncio.sleep(0.01)
    assert isinstance(failures[0], LostError)
    assert not built.entry.ready
    inbox.put_nowait({"type": "lifespan.shutdown"})
    await asyncio.wait_for(serving, 60)
    assert sent == ["lifespan.startup.complete", "lifespan.shutdown.complete"]


async def test_a_components_own_timeout_is_not_taken_for_the_services() -> None:
    @asynccontextmanager
    async def slow_backend(host: Host) -> AsyncIterator[None]:
        raise TimeoutError("redis did not answer within 1 s")
        yield

    with pytest.raises(StartError, match="part did not start: TimeoutError: redis did not answer within 1 s"):
        async with service(Part(slow_backend)).running():
            raise AssertionError

    @asynccontextmanager
    async def slow_flush(host: Host) -> AsyncIterator[None]:
        yield
        raise TimeoutError("no answer to QUIT")

    built = service(Part(slow_flush))
    async with running(built) as harness:
        hosts = harness.run.lifecycle
    assert next(v.reason for v in hosts.views() if v.spec.kind == "part") == "TimeoutError: no answer to QUIT"


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (SystemExit(7), "SystemExit: 7"),
        (asyncio.CancelledError(), "it was cancelled, and not by the service"),
        (GeneratorExit(), "GeneratorExit"),
        (BaseException("odd"), "BaseException: odd"),
    ],
)
async def test_whatever_a_start_raises_is_a_start_error_and_unwinds(error: BaseException, message: str) -> None:
    journal: list[str] = []

    @asynccontextmanager
    async def base(host: Host) -> AsyncIterator[None]:
        yield
        journal.append("base stopped")

    class Raising:
        async def __aenter__(self) -> None:
            raise error

        async def __aexit__(self, *_: object) -> None:
            raise AssertionError("it was never entered")

    below = Part(base, "base")
    with pytest.raises(StartError, match=f"part:top did not start: {message}"):
        async with service(below, Part(lambda host: Raising(), "top", below)).running():
            raise AssertionError
    assert journal == ["base stopped"]


async def test_a_component_that_ignores_its_cancellation_is_left_behind_and_the_others_stop() -> None:
    journal: list[str] = []
    release = asyncio.Event()

    @asynccontextmanager
    async def base(host: Host) -> AsyncIterator[None]:
        yield
        await asyncio.sleep(0)
        journal.append("base stopped")

    @asynccontextmanager
    async def stubborn(host: Host) -> AsyncIterator[None]:
        yield
        while not release.is_set():
            try:
                await release.wait()
            except asyncio.CancelledError:
                continue

    below = Part(base, "base")
    built = service(below, Part(stubborn, "stubborn", below), stop_timeout=0.5)
    async with running(built) as harness:
        life = harness.run.lifecycle
    assert journal == ["base stopped"]
    assert [v.reason for v in life.views() if v.spec.name == "stubborn"] == ["did not stop within the deadline"]
    release.set()
    await asyncio.sleep(0.01)


async def test_a_task_that_does_not_stop_keeps_neither_its_siblings_nor_its_lifespan_from_stopping() -> None:
    journal: list[str] = []
    release = asyncio.Event()

    async def stubborn() -> None:
        while not release.is_set():
            try:
                await release.wait()
            except asyncio.CancelledError:
                continue

    async def polite() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            journal.append("polite ended")

    @asynccontextmanager
    async def pool(host: Host) -> AsyncIterator[None]:
        host.spawn("polite", polite)
        host.spawn("stubborn", stubborn)
        yield
        journal.append("pool closed")

    built = service(Part(pool), stop_timeout=0.5)
    async with running(built) as harness:
        life = harness.run.lifecycle
    assert journal == ["polite ended", "pool closed"]
    [reason] = [v.reason for v in life.views() if v.spec.kind == "part"]
    assert reason == "its task stubborn did not stop within the deadline"
    release.set()
    await asyncio.sleep(0.01)


async def test_a_service_runs_once_at_a_time_and_again_afterwards() -> None:
    built = service(Part())
    for _ in range(2):
        async with running(built) as harness:
            with pytest.raises(BedplateError, match="runs already"):
                async with built.running():
                    raise AssertionError
            assert (await harness.client.get("/readyz")).status_code == 200
        assert built.run is None


class Broken(Part):
    """A component with one ability that fails."""

    def __init__(self, what: str) -> None:
        super().__init__()
        self.what = what

    @property
    def spec(self) -> Spec:
        if self.what == "spec":
            return self.missing.spec  # type: ignore[attr-defined,no-any-return]
        return super().spec

    def routes(self) -> list[Routes]:
        if self.what == "routes":
            raise KeyError("template")
        return []

    def middleware(self) -> list[Middleware]:
        def factory(app: Any) -> Any:
            raise ValueError("no secret")

        return [Middleware(stage="edge", factory=factory)] if self.what == "middleware" else []

    def refusals(self, environment: str, values: Any) -> list[Any]:
        return [values["nothing"]] if self.what == "refusals" else []


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("spec", r"The spec of Broken cannot be read: AttributeError: .*missing.*test_breaking_lifespans.py, line"),
        ("routes", r"part: its routes\(\) failed: KeyError: 'template' \(test_breaking_lifespans.py, line"),
        ("middleware", r"part: its edge middleware failed: ValueError: no secret"),
        ("refusals", r"part: its refusals\(\) failed: KeyError: 'nothing'"),
    ],
)
async def test_an_ability_that_fails_is_a_refusal_that_names_the_component_and_the_line(
    what: str, message: str
) -> None:
    built = Service("shop", FastAPI(), [Broken(what)], settings=settings())
    with pytest.raises(RefusedError, match=message):
        built.check()


@pytest.mark.parametrize(
    ("component", "message"),
    [
        (Part, "Part is a class, not a component. Construct it: Part()."),
        (type("Method", (Part,), {"spec": lambda self: None})(), "The spec of Method is a method. Make it a property."),
        (type("Odd", (Part,), {"spec": {"kind": "odd"}})(), "The spec of Odd is a dict. Return a Spec from it."),
        (object(), "is not a component. Give it a `spec` property"),
    ],
)
def test_what_is_no_component_is_refused_with_its_mend(component: Any, message: str) -> None:
    with pytest.raises(RefusedError) as caught:
        Service("shop", None, [component], settings=settings()).check()
    assert message in str(caught.value)


def _hanging(*, at: str) -> FastAPI:
    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        try:
            app.state.entered.set()
            if at == "start":
                await asyncio.Event().wait()
            yield
            if at == "stop":
                await asyncio.Event().wait()
        finally:
            app.state.left = True

    app = FastAPI(lifespan=lifespan)
    app.state.entered = asyncio.Event()
    return app


async def test_an_application_that_hangs_at_its_start_fails_the_start_within_the_deadline() -> None:
    app = _hanging(at="start")
    with pytest.raises(LifespanError, match="did not start within 2 s"):
        async with service(app=app, start_timeout=2.0).running():
            raise AssertionError
    assert app.state.left


async def test_an_application_whose_start_is_cancelled_is_unwound() -> None:
    app = _hanging(at="start")

    async def start() -> None:
        async with service(app=app).running():
            raise AssertionError

    task = asyncio.create_task(start())
    await asyncio.wait_for(app.state.entered.wait(), 30)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert app.state.left


async def test_an_application_that_hangs_at_its_stop_leaves_time_for_the_components() -> None:
    journal: list[str] = []

    @asynccontextmanager
    async def base(host: Host) -> AsyncIterator[None]:
        yield
        await asyncio.sleep(0.05)
        journal.append("base stopped")

    app = _hanging(at="stop")
    async with running(service(Part(base), app=app, stop_timeout=1.0)):
        pass
    assert journal == ["base stopped"]
    assert app.state.left


async def test_an_application_that_loses_a_task_of_its_own_ends_the_service() -> None:
    fail = asyncio.Event()

    async def explode() -> None:
        await fail.wait()
        raise ConnectionError("feed closed")

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with asyncio.TaskGroup() as group:
            group.create_task(explode())
            yield

    async with running(service(app=FastAPI(lifespan=lifespan))) as harness:
        fail.set()
        lost = await asyncio.wait_for(harness.run.lifecycle.lost, 60)
        assert "The application ended while the service was running" in str(lost)


async def test_an_application_that_exits_at_its_start_fails_the_start() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        raise SystemExit(3)

    with pytest.raises(LifespanError, match=r"called sys.exit\(3\)"):
        async with app_lifespan(app):
            raise AssertionError


async def test_a_stopped_application_is_no_loss() -> None:
    lost: list[object] = []
    async with app_lifespan(FastAPI(), lost=lost.append):
        await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert lost == []
