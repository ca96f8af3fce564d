"""One process under the supervisor: a web worker on the inherited socket, or the ops process on the unix socket."""

from __future__ import annotations

import argparse
import os
import socket
import sys
from dataclasses import replace
from pathlib import Path

from bedplate.problems import BedplateError
from bedplate.service.loading import load
from bedplate.service.process import Process
from bedplate.service.relay import Relay, receiving, socket_path
from bedplate.service.runner import EXIT_START_FAILED, serve, services_of
from bedplate.service.service import Service

__all__ = ["main"]


def main() -> int:
    """Run the process until a signal comes; return its exit status."""
    parser = argparse.ArgumentParser(prog="bedplate.service.child", description=__doc__)
    parser.add_argument("target")
    parser.add_argument("--role", choices=("web", "ops"), required=True)
    parser.add_argument("--directory", type=Path, required=True)
    parser.add_argument("--instance", default="")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--fd", type=int)
    arguments = parser.parse_args()
    try:
        target = load(arguments.target)
    except BedplateError as error:
        sys.stderr.write(f"{error}\n")
        return EXIT_START_FAILED
    for service in services_of(target):
        service.options = replace(
            service.options, role=arguments.role, directory=arguments.directory, instance=arguments.instance
        )
    if arguments.role == "ops":
        return _ops(target, arguments.directory, arguments.host)
    return _web(target, arguments.directory, arguments.fd)


def _web(target: Service | Process, directory: Path, descriptor: int) -> int:
    relay = Relay(socket_path(directory))
    for service in services_of(target):
        service.builtins.shipping.path = socket_path(directory)
        service.entry.relay(relay)
    return serve(target, sockets=[socket.socket(fileno=descriptor)])


def _ops(target: Service | Process, directory: Path, host: str) -> int:
    path = socket_path(directory)
    path.unlink(missing_ok=True)
    # Whoever may open the socket may read everything: the directory is private, and so is the socket.
    os.umask(0o077)
    stores = {service.name: service.builtins.stores for service in services_of(target)}
    management_port = services_of(target)[0].builtins.settings.management_port
    return serve(target, host=host, uds=str(path), management_port=management_port, app=receiving(target, stores))


if __name__ == "__main__":
    sys.exit(main())
