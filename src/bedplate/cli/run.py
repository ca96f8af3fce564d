"""``bedplate run``: serve a service."""

from __future__ import annotations

import shlex
import signal
import socket
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from bedplate.cli.output import EXIT_USAGE, faults

__all__ = ["run"]


def run(
    target: Annotated[str, typer.Argument(help="module:attribute, a factory build(settings) or a Service.")],
    host: Annotated[str | None, typer.Option(help="Address to listen on; by default from the settings.")] = None,
    port: Annotated[
        int | None,
        typer.Option(min=0, max=65535, help="Port to listen on, 0 for a free one; by default PORT, or 8000."),
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Web processes; more than one adds an ops process.")
    ] = None,
    reload: Annotated[bool, typer.Option("--reload", help="Restart when a source file changes; development.")] = False,
    run_dir: Annotated[Path | None, typer.Option(help="Where processes share metrics and sockets.")] = None,
) -> None:
    """Serve a service until it is told to stop; SIGTERM drains it.

    The exit status is 0 after a clean stop, 1 when the service is refused, 2 when it cannot be found or its port is
    taken, 3 when a component does not start, 4 when one ended although the service was running.
    """
    if reload:
        _reload()
        return
    # SIGHUP asks for a reload; until there is something to reload, it must not end the process.
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    from bedplate.service.ending import time_to_stop
    from bedplate.service.loading import load
    from bedplate.service.runner import serve, services_of
    from bedplate.service.sockets import close_all, listen
    from bedplate.service.supervisor import Supervisor

    with faults(), ExitStack() as stack:
        service = load(target)
        first = services_of(service)[0]
        settings, timing = first.settings, first.builtins.settings
        host, port = host or settings.host, settings.port if port is None else port
        workers = workers or settings.workers
        sockets = listen(host, port)
        stack.callback(close_all, sockets)
        management = [] if timing.management_port is None else listen(host, timing.management_port)
        stack.callback(close_all, management)
        run_dir = run_dir or settings.run_dir
        if workers > 1:
            supervisor = Supervisor(
                target,
                sockets=sockets,
                management=management,
                workers=workers,
                stop_timeout=time_to_stop(timing),
                directory=run_dir,
            )
            _greet(target, sockets, management)
            raise typer.Exit(supervisor.run())
        if run_dir is not None:
            for each in services_of(service):
                each.options = replace(each.options, directory=run_dir)
        _greet(target, sockets, management)
        raise typer.Exit(serve(service, sockets, management=management))


def _greet(target: str, sockets: Sequence[socket.socket], management: Sequence[socket.socket]) -> None:
    """Say to a person where to look; programs find it in the log."""
    if not _is_terminal():
        return
    from bedplate.service.sockets import address

    where = ", ".join(dict.fromkeys(map(address, sockets)))
    beside = f", operators at {', '.join(dict.fromkeys(map(address, management)))}" if management else ""
    typer.echo(f"{target} is served at {where}{beside}. Ctrl-C stops it.", err=True)


def _is_terminal() -> bool:
    return sys.stderr.isatty()


def _reload() -> None:
    try:
        from watchfiles import run_process
    except ModuleNotFoundError:
        typer.echo("--reload needs watchfiles. Run: pip install 'bedplate[reload]'", err=True)
        raise typer.Exit(EXIT_USAGE) from None
    arguments = [argument for argument in sys.argv[1:] if argument != "--reload"]
    command = shlex.join([sys.executable, "-m", "bedplate.cli", *arguments])
    run_process(Path.cwd(), target=command, target_type="command")
