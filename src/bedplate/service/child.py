"""One process under the supervisor: a web worker on inherited sockets, or the ops process on the unix socket."""

from __future__ import annotations

import argparse
import signal
import socket
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from bedplate.problems import BedplateError
from bedplate.service.ending import end_soon
from bedplate.service.line import Line
from bedplate.service.loading import load
from bedplate.service.process import Process
from bedplate.service.questions import Asking, answering
from bedplate.service.relay import Relay, receiving, socket_path
from bedplate.service.runner import EXIT_START_FAILED, serve, services_of
from bedplate.service.service import Service
from bedplate.service.sockets import listen_unix
from bedplate.telemetry.http import TrustedProxies

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the process until a signal comes; return its exit status."""
    parser = argparse.ArgumentParser(prog="bedplate.service.child", description=__doc__)
    parser.add_argument("target")
    parser.add_argument("--role", choices=("web", "ops"), required=True)
    parser.add_argument("--directory", type=Path, required=True)
    parser.add_argument("--instance", default="")
    parser.add_argument("--served", default="", help="host:port at which the web processes are served.")
    parser.add_argument("--line", type=int, required=True, help="A socket to the supervisor.")
    parser.add_argument("--fd", type=int, action="append", default=[], help="A socket to listen on.")
    given = parser.parse_args(arguments)
    _ignore_hangups()
    line = Line(given.line)
    try:
        target = load(given.target)
        for service in services_of(target):
            service.options = replace(
                service.options,
                role=given.role,
                directory=given.directory,
                instance=given.instance,
                served=given.served,
            )
        sockets = [socket.socket(fileno=descriptor) for descriptor in given.fd]
        for listener in sockets:
            # What a service starts must not hold the port when the service is gone.
            listener.set_inheritable(False)
        return (_ops if given.role == "ops" else _web)(target, given.directory, sockets, line)
    except BedplateError as error:
        sys.stderr.write(f"{error}\n")
        return EXIT_START_FAILED


def _web(target: Service | Process, directory: Path, sockets: list[socket.socket], line: Line) -> int:
    path = socket_path(directory)
    for service in services_of(target):
        service.builtins.shipping.path = path
        service.builtins.queries.remote = Asking(path, service.name)
        service.entry.relay(Relay(path, TrustedProxies(service.builtins.http.settings.trusted_proxies).client))
    if isinstance(target, Process):
        trusted = services_of(target)[0].builtins.http.settings.trusted_proxies
        target.relay(Relay(path, TrustedProxies(trusted).client))
    return serve(target, sockets, line=line)


def _ops(target: Service | Process, directory: Path, management: list[socket.socket], line: Line) -> int:
    stores = {service.name: service.builtins.stores for service in services_of(target)}
    listener = listen_unix(socket_path(directory))
    queries = {service.name: service.builtins.queries for service in services_of(target)}
    app = answering(receiving(target, stores), queries)
    return serve(target, [listener], management=management, app=app, relayed=True, line=line)


def _ignore_hangups() -> None:
    """Let no request to reload kill a process that has not read its settings yet; the supervisor has blocked them."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGHUP})


if __name__ == "__main__":
    sys.exit(end_soon(main()))
