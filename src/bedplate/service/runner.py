"""Serving in this process: uvicorn around a service, with an exit status that tells the truth."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import FrameType

import uvicorn
from starlette.types import ASGIApp

from bedplate.service.door import Door
from bedplate.service.ending import loop_threads, time_to_stop
from bedplate.service.lifecycle import LostError
from bedplate.service.line import ALONE, DRAINING, ENDS, FEWER, GONE, HURRY, LOST, OTHERS, STARTED, TURN, Line
from bedplate.service.process import Process
from bedplate.service.protocol import HttpProtocol
from bedplate.service.service import Service
from bedplate.service.sockets import address, close_all

__all__ = ["EXIT_LOST", "EXIT_START_FAILED", "Server", "serve", "services_of"]

#: The exit status of a process whose service did not start.
EXIT_START_FAILED = 3

#: The exit status of a process that ran, and then lost a component; a new one may do better.
EXIT_LOST = 4

#: Seconds in which a client that has connected may still ask when the process closes.
_LETTING_IN = 1.0

#: Seconds between two warnings of the same thing.
_QUIET = 60.0

#: Seconds in which a supervisor that was told to stop as well says so.
_ASIDE = 1.0

_logger = logging.getLogger("bedplate.service")


def services_of(target: Service | Process) -> Sequence[Service]:
    """Return the services of a target."""
    return target.services if isinstance(target, Process) else (target,)


class Server(uvicorn.Server):
    """A uvicorn server that tells its services first when it is told to stop, and takes what it can serve best.

    Under a supervisor it shares its sockets with other workers. While one of those serves, it takes no connection
    before its services have started, and none after it was told to stop. Without one it answers meanwhile: probes are
    answered at any time, by whoever is there.

    :param drain: seconds in which it answers on, but says on ``/readyz`` that it is going away, before it closes its
        sockets; load balancers need them to notice.
    :param line: what the supervisor says of the others; None without one.
    :param watches: whether it shares its sockets with nobody, and is ready only while a worker serves.
    """

    def __init__(
        self,
        config: uvicorn.Config,
        target: Service | Process,
        *,
        drain: float,
        signals: bool,
        line: Line | None = None,
        watches: bool = False,
    ) -> None:
        super().__init__(config)
        self._target = target
        self._drain = drain
        self._signals = signals
        self._line = line
        self._watches = watches
        self._starting = len(services_of(target))
        self._told = 0
        self._is_full = False
        self._warned = -_QUIET
        self._turned = asyncio.Event()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Take over SIGINT and SIGTERM, unless another server of the process does.

        Uvicorn raises the signal again at the end, which makes a clean stop look like a death; here it ends in 0.
        """
        if not self._signals:
            yield
            return
        self._loop = asyncio.get_running_loop()
        before = {number: signal.signal(number, self.handle_exit) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Become unready at once, and close after the drain time; a second signal waits for no request any more.

        Under a supervisor only that one can be in a hurry: whoever signals all processes of a group, as systemd does,
        signals this one twice. One that has not started has nothing to drain.
        """
        self._told += 1
        for service in services_of(self._target):
            service.builtins.health.drain()
        if self._told == 1:
            # The loop's own turn, because a signal comes in the middle of anything.
            self._loop.call_soon_threadsafe(self._drain_or_leave)
        elif self._line is None:
            self._loop.call_soon_threadsafe(self._hurry)

    def _drain_or_leave(self) -> None:
        if self._watches and self._line is not None and self._line.heard not in (TURN, LOST):
            # Whoever signals all processes of a group signals this one too early: workers ship to it to their end.
            self._loop.call_later(_ASIDE, self._leave_before_the_others)
        elif self._drain > 0 and self._is_started:
            self._part()
            self._loop.call_later(self._drain, self.leave)
            self._turned.set()
        else:
            self.leave()

    def _leave_before_the_others(self) -> None:
        if self._line is not None and self._line.heard != ENDS:
            self.leave()

    def _part(self) -> None:
        """Let no client believe that it may use its connection again."""
        for connection in self.server_state.connections:
            if isinstance(connection, HttpProtocol):
                connection.part()

    def _hurry(self) -> None:
        self.force_exit = True
        self.leave()

    def service_started(self) -> None:
        """Note that one of the services has started."""
        self._starting -= 1
        self._turned.set()

    def leave(self) -> None:
        """Take no connections any more, and end."""
        self.should_exit = True
        self._part()
        self._turned.set()

    @property
    def _is_started(self) -> bool:
        return self._starting <= 0

    def _is_needed(self) -> bool:
        """Return whether connections are better taken here than left to the other workers."""
        if self.should_exit or self._is_full:
            return False
        heard = ALONE if self._line is None or self._watches else self._line.heard
        if heard == ALONE:
            return True
        # When all end, all serve on for their drain time: load balancers notice by their answers.
        return self._is_started and (heard != OTHERS or not self._told)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, and take connections when that is for the best."""
        await super().startup(sockets=[])
        config, state = self.config, self.server_state

        def protocol() -> HttpProtocol:
            made = HttpProtocol(config=config, server_state=state, app_state=self.lifespan.state)
            # A client that is told to come back later must not come back to the same one.
            made.keeps = not self._told and (self._line is None or self._is_started)
            return made

        self._door = Door(sockets or (), protocol, backlog=config.backlog)
        if self._line is not None:
            self._line.watch(self._hear)
            self._hear()
        await self._turn()
        self._minding = asyncio.create_task(self._mind(), name="door")

    async def on_tick(self, counter: int) -> bool:
        """Look ten times a second whether there is room for connections; they wait, or go elsewhere, when not."""
        if self._door.is_full(self._is_full) != self._is_full:
            self._is_full = not self._is_full
            self._turned.set()
            now = asyncio.get_running_loop().time()
            if self._is_full and now - self._warned >= _QUIET:
                self._warned = now
                _logger.error(
                    "The process has opened nearly as many files as it may; new connections wait or go elsewhere"
                )
        return await super().on_tick(counter)

    def _hear(self) -> None:
        assert self._line is not None
        if self._line.heard == HURRY:
            self._hurry()
        elif self._watches and self._told and self._line.heard in (TURN, LOST):
            self.leave()
        self._turned.set()

    async def _mind(self) -> None:
        while not self.should_exit:
            await self._turned.wait()
            self._turned.clear()
            try:
                await self._turn()
            except OSError as error:
                _logger.error("No connections can be taken, which is tried again: %s", error)
                asyncio.get_running_loop().call_later(1.0, self._turned.set)

    async def _turn(self) -> None:
        """Do what the supervisor said, and what has happened here, and tell it."""
        line = self._line
        if line is not None and self._watches:
            for service in services_of(self._target):
                _watch(service, line.heard)
        if self._is_needed():
            await self._door.open()
        else:
            self._door.close()
        if line is None:
            return
        if self.should_exit:
            line.say(GONE)
        elif self._is_started:
            line.say(DRAINING if self._told or self._is_full else STARTED)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Close the sockets, let requests end, then stop the services, even for somebody in a hurry."""
        self.leave()
        await asyncio.wait([self._minding])
        await self._turn()
        close_all(sockets or ())
        await self._first_requests()
        await super().shutdown(sockets)
        if self.force_exit:
            for task in self.server_state.tasks:
                task.cancel()
            await self.lifespan.shutdown()

    async def _first_requests(self) -> None:
        """Wait a moment for clients that were let in and have not asked yet: what they ask is on its way."""
        loop = asyncio.get_running_loop()
        end = loop.time() + _LETTING_IN
        while True:
            # A connection is known a turn of the loop after it was taken.
            await asyncio.sleep(0.02)
            silent = any(getattr(one, "cycle", one) is None for one in self.server_state.connections)
            if not silent or self.force_exit or loop.time() > end:
                return


def _watch(service: Service, heard: bytes) -> None:
    """Let the process that watches say of the service what is true of its workers."""
    health = service.builtins.health
    if heard in (ALONE, FEWER, OTHERS):
        health.block("workers", "No worker serves." if heard == ALONE else None)
        if heard != ALONE:
            service.builtins.supervision.missing(heard == FEWER)
    else:
        health.drain()


def serve(
    target: Service | Process,
    sockets: Sequence[socket.socket],
    *,
    management: Sequence[socket.socket] = (),
    app: ASGIApp | None = None,
    relayed: bool = False,
    line: Line | None = None,
) -> int:
    """Serve until a signal comes; return the exit status: 0, :data:`EXIT_START_FAILED` or :data:`EXIT_LOST`.

    :param sockets: listening sockets; closed at the end.
    :param management: sockets that serve the management API and health alone.
    :param app: what is served when it is more than the target itself.
    :param relayed: whether only our own relay can connect; who asks is what it says then.
    :param line: the line to the supervisor, for one of several processes.
    """
    settings = services_of(target)[0].builtins.settings
    if line is not None:
        line.patience = time_to_stop(settings)
    options = {
        "interface": "asgi3",
        "http": HttpProtocol,
        "log_config": None,
        "access_log": False,
        "server_header": False,
        "date_header": True,
        "timeout_graceful_shutdown": int(settings.stop_timeout) or 1,
        "timeout_keep_alive": 65,
    }
    config = uvicorn.Config(
        app or target,
        lifespan="on",
        # Who asks is decided by the trusted proxies of the HTTP settings; only our own relay is believed here.
        proxy_headers=relayed,
        forwarded_allow_ips="*" if relayed else None,
        **options,  # type: ignore[arg-type]
    )
    # Whoever is relayed to is stopped when all workers have drained and ended.
    drain = 0.0 if relayed else settings.drain
    server = Server(config, target, drain=drain, signals=True, line=line, watches=relayed)
    failures: list[BaseException] = []

    def failed(error: BaseException) -> None:
        failures.append(error)
        server.leave()

    for service in services_of(target):
        service.on_failure = failed
        service.on_started = server.service_started
        root = f"/{service.name}" if isinstance(target, Process) else ""
        service.addresses = tuple(f"{address(listener)}{root}" for listener in (*sockets, *management))

    async def main() -> None:
        async with loop_threads(lambda: 0.0 if server.force_exit else settings.stop_timeout):
            await serving()

    async def serving() -> None:
        if not management:
            await server.serve(list(sockets))
            return
        beside_config = uvicorn.Config(
            management_app(target),
            lifespan="off",
            proxy_headers=False,
            **options,  # type: ignore[arg-type]
        )
        second = Server(beside_config, target, drain=0, signals=False)
        beside = asyncio.create_task(second.serve(list(management)))
        try:
            await server.serve(list(sockets))
        finally:
            second.should_exit = True
            await beside

    try:
        with contextlib.suppress(KeyboardInterrupt), asyncio.Runner(loop_factory=config.get_loop_factory()) as runner:
            runner.run(main())
    finally:
        close_all((*sockets, *management))
    if not failures:
        return 0
    return EXIT_LOST if isinstance(failures[0], LostError) else EXIT_START_FAILED


def management_app(target: Service | Process) -> ASGIApp:
    """Return the part of a target that is for operators: health, metrics and the management API."""
    return target.entry.manage if isinstance(target, Service) else target.manage
