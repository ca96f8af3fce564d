"""Serving in this process: uvicorn around a service, with an exit status that tells the truth."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import FrameType

import uvicorn
from starlette.types import ASGIApp

from bedplate.service.lifecycle import LostError
from bedplate.service.process import Process
from bedplate.service.protocol import HttpProtocol
from bedplate.service.service import Service
from bedplate.service.sockets import address, close_all

__all__ = ["EXIT_LOST", "EXIT_START_FAILED", "Server", "serve", "services_of"]

#: The exit status of a process whose service did not start.
EXIT_START_FAILED = 3

#: The exit status of a process that ran, and then lost a component; a new one may do better.
EXIT_LOST = 4


def services_of(target: Service | Process) -> Sequence[Service]:
    """Return the services of a target."""
    return target.services if isinstance(target, Process) else (target,)


class Server(uvicorn.Server):
    """A uvicorn server that tells its services first when it is told to stop.

    :param drain: seconds in which it answers on, but says on ``/readyz`` that it is going away, before it closes its
        sockets; load balancers need them to notice.
    """

    def __init__(self, config: uvicorn.Config, target: Service | Process, *, drain: float, signals: bool) -> None:
        super().__init__(config)
        self._target = target
        self._drain = drain
        self._signals = signals
        self._told = 0

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Take over SIGINT and SIGTERM, unless another server of the process does.

        Uvicorn raises the signal again at the end, which makes a clean stop look like a death; here it ends in 0.
        """
        if not self._signals:
            yield
            return
        before = {number: signal.signal(number, self.handle_exit) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Become unready at once, and close after the drain time; a second signal waits for no request any more."""
        self._told += 1
        for service in services_of(self._target):
            service.builtins.health.drain()
        if self._told == 1 and self._drain > 0 and self.started:
            asyncio.get_running_loop().call_later(self._drain, self._close)
        elif self._told == 1:
            self._close()
        else:
            self.force_exit = True
            self._close()

    def _close(self) -> None:
        self.should_exit = True

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Close the sockets, let requests end, then stop the services, even for somebody in a hurry."""
        await super().shutdown(sockets)
        if self.force_exit:
            for task in self.server_state.tasks:
                task.cancel()
            await self.lifespan.shutdown()


def serve(
    target: Service | Process,
    sockets: Sequence[socket.socket],
    *,
    management: Sequence[socket.socket] = (),
    app: ASGIApp | None = None,
    relayed: bool = False,
) -> int:
    """Serve until a signal comes; return the exit status: 0, :data:`EXIT_START_FAILED` or :data:`EXIT_LOST`.

    :param sockets: listening sockets; closed at the end.
    :param management: sockets that serve the management API and health alone.
    :param app: what is served when it is more than the target itself.
    :param relayed: whether only our own relay can connect; who asks is what it says then.
    """
    settings = services_of(target)[0].builtins.settings
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
    server = Server(config, target, drain=settings.drain, signals=True)
    failures: list[BaseException] = []

    def failed(error: BaseException) -> None:
        failures.append(error)
        server.should_exit = True

    for service in services_of(target):
        service.on_failure = failed
        root = f"/{service.name}" if isinstance(target, Process) else ""
        service.addresses = tuple(f"{address(listener)}{root}" for listener in (*sockets, *management))

    async def main() -> None:
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
