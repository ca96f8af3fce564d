"""The demo's command: serve, make traffic, end cleanly."""

from __future__ import annotations

import argparse
import errno
import os
import signal
import socket
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path

from demo.real import Real, real_servers
from demo.screen import Screen

__all__ = ["main"]

HOST = "127.0.0.1"
#: The exit status for wrong arguments and a port that cannot be had.
EXIT_USAGE = 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the demo until Ctrl-C, SIGTERM or the end of ``--seconds``; return the exit status."""
    options = _options(arguments)
    # SIGTERM ends it as Ctrl-C does: uvicorn raises what it caught once more when it is done.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        return _run(options.port, options.seconds, calm=options.calm, production=options.production)
    except KeyboardInterrupt:
        # Before the server took the signals over, or after it gave them back.
        return 0


def _run(port: int, seconds: float | None, *, calm: bool, production: bool) -> int:
    screen = Screen()
    listener = _listen(port, screen)
    if listener is None:
        return EXIT_USAGE
    # A demo leaves nothing behind.
    with listener, tempfile.TemporaryDirectory(prefix="bedplate-demo-") as scratch:
        base = f"http://{HOST}:{listener.getsockname()[1]}"
        screen.note(f"Starting at {base} …")
        # These import numpy, polars and scikit-learn: whoever mistyped the port need not wait for that.
        from bedplate.problems import BedplateError

        try:
            with _servers(screen) if production else nullcontext() as real:
                return _serve(listener, base, Path(scratch), screen, seconds, calm=calm, real=real)
        except BedplateError as error:
            screen.trouble(str(error))
            return EXIT_USAGE


def _serve(
    listener: socket.socket,
    base: str,
    folder: Path,
    screen: Screen,
    seconds: float | None,
    *,
    calm: bool,
    real: Real | None,
) -> int:
    from bedplate.service.runner import serve
    from demo.process import build_demo
    from demo.traffic import Traffic

    demo = build_demo(base=base, folder=folder, faults=not calm, real=real)
    demo.pager.rings = screen.ring
    consoles = [service.builtins.console for service in demo.process.services]
    for console in consoles:
        console.announce = screen.console_link
    traffic = Traffic(base, screen, demo.trouble, consoles[0].site.access.links.make)
    traffic.start()
    if seconds is not None:
        timer = threading.Timer(seconds, os.kill, (os.getpid(), signal.SIGINT))
        timer.daemon = True
        timer.start()
    status = serve(demo.process, sockets=[listener])
    traffic.stop()
    if status:
        for service in demo.process.services:
            for record in service.builtins.logs.tail.search(level="CRITICAL", limit=1):
                screen.trouble(f"{service.name} did not start: {record['message']}")
    else:
        screen.note(f"Stopped after {traffic.client.requests:,} requests.")
    return status


@contextmanager
def _servers(screen: Screen) -> Iterator[Real]:
    from demo.process import SERVICES, SHARING, TENANTS

    screen.note("Starting PostgreSQL with a replica, PgBouncer and Redis …")
    with real_servers(SERVICES, SHARING, TENANTS, screen.status) as real:
        screen.real = real
        yield real


def _listen(port: int, screen: Screen) -> socket.socket | None:
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    # A port that was in use a moment ago may be taken at once.
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((HOST, port))
        listener.listen(128)
    except OSError as error:
        listener.close()
        why = "is in use" if error.errno == errno.EADDRINUSE else f"cannot be listened on ({error.strerror})"
        screen.trouble(f"Port {port} {why}. Choose another: make demo PORT=8001, or PORT=0 for a free one.")
        return None
    return listener


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bedplate-demo", description="Run the services with live traffic.")
    parser.add_argument("--port", type=_port, default=8000, help="the one port, 8000 by default; 0 takes a free one")
    parser.add_argument("--calm", action="store_true", help="let no faults come by turns")
    parser.add_argument(
        "--production", action="store_true", help="on real servers: PostgreSQL with a replica, PgBouncer, Redis"
    )
    parser.add_argument("--seconds", type=float, help="end by itself after so many seconds")
    return parser.parse_args(arguments)


def _port(text: str) -> int:
    if not text.isdigit() or int(text) > 65_535:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port: give a number from 0 to 65535")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
