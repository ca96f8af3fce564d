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
from bedplate.service.service import Service

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
        sockets; load balancers need them to notice. A second signal cuts them short.
    """

    def __init__(self, config: uvicorn.Config, target: Service | Process, *, drain: float, signals: bool) -> None:
        super().__init__(config)
        self._target = target
        self._drain = drain
        self._signals = signals
        self._draining: asyncio.TimerHandle | None = None

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
        """Become unready at once, and close after the drain time."""
        for service in services_of(self._target):
            service.entry.drain()
        if self._drain <= 0 or self._draining is not None or not self.started:
            super().handle_exit(sig, frame)
            return
        loop = asyncio.get_running_loop()
        self._draining = loop.call_later(self._drain, super().handle_exit, sig, frame)


def serve(
    target: Service | Process,
    *,
    host: str = "127.0.0.1",
    port: int = 8000,
    sockets: list[socket.socket] | None = None,
    uds: str | None = None,
    management_port: int | None = None,
    app: ASGIApp | None = None,
) -> int:
    """Serve until a signal comes; return the exit status: 0, :data:`EXIT_START_FAILED` or :data:`EXIT_LOST`.

    :param sockets: listening sockets to use instead of host and port. :param uds: a unix socket to listen on instead.
    :param management_port: a second port of ``host``, which serves the management API and health alone.
    :param app: what is served when it is more than the target itself.
    """
    settings = services_of(target)[0].builtins.settings
    options = {
        "interface": "asgi3",
        "log_config": None,
        "access_log": False,
        "server_header": False,
        "date_header": True,
        "timeout_graceful_shutdown": int(settings.stop_timeout) or 1,
        "timeout_keep_alive": 65,
    }
    config = uvicorn.Config(
        app or target,
        host=host,
        port=port,
        uds=uds,
        lifespan="on",
        # Who asks is decided by the trusted proxies of the HTTP settings; only our own relay is believed here.
        proxy_headers=uds is not None,
        forwarded_allow_ips="*" if uds is not None else None,
        **options,  # type: ignore[arg-type]
    )
    server = Server(config, target, drain=settings.drain, signals=True)
    failures: list[BaseException] = []

    def failed(error: BaseException) -> None:
        failures.append(error)
        server.should_exit = True

    for service in services_of(target):
        service.on_failure = failed

    async def main() -> None:
        if management_port is None:
            await server.serve(sockets)
            return
        management = uvicorn.Config(
            management_app(target),
            host=host,
            port=management_port,
            lifespan="off",
            proxy_headers=False,
            **options,  # type: ignore[arg-type]
        )
        second = Server(management, target, drain=0, signals=False)
        beside = asyncio.create_task(second.serve())
        try:
            await server.serve(sockets)
        finally:
            second.should_exit = True
            await beside

    with contextlib.suppress(KeyboardInterrupt), asyncio.Runner(loop_factory=config.get_loop_factory()) as runner:
        runner.run(main())
    if not failures:
        return 0
    return EXIT_LOST if isinstance(failures[0], LostError) else EXIT_START_FAILED


def management_app(target: Service | Process) -> ASGIApp:
    """Return the part of a target that is for operators: health, metrics and the management API."""
    return target.entry.manage if isinstance(target, Service) else target.manage
