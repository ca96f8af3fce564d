"""``bedplate run``: serve a service."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from bedplate.cli.output import EXIT_USAGE, faults
from bedplate.service.loading import load
from bedplate.service.runner import serve, services_of
from bedplate.service.supervisor import Supervisor

__all__ = ["run"]


def run(
    target: Annotated[str, typer.Argument(help="module:attribute, a factory build(settings) or a Service.")],
    host: Annotated[str | None, typer.Option(help="Address to listen on; by default from the settings.")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on; by default from PORT, or 8000.")] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Web processes; more than one adds an ops process.")
    ] = None,
    reload: Annotated[bool, typer.Option("--reload", help="Restart when a source file changes; development.")] = False,
    run_dir: Annotated[Path | None, typer.Option(help="Where processes share metrics and sockets.")] = None,
) -> None:
    """Serve a service until it is told to stop; SIGTERM drains it.

    The exit status is 0 after a clean stop, 1 when the service is refused, 2 when it cannot be found, 3 when a
    component does not start.
    """
    if reload:
        _reload()
        return
    with faults():
        service = load(target)
    settings = services_of(service)[0].settings
    host, port = host or settings.host, settings.port if port is None else port
    workers = workers or settings.workers
    timing = services_of(service)[0].builtins.settings
    if workers == 1:
        raise typer.Exit(serve(service, host=host, port=port, management_port=timing.management_port))
    try:
        supervisor = Supervisor(
            target,
            host=host,
            port=port,
            workers=workers,
            stop_timeout=timing.drain + 2 * timing.stop_timeout,
            directory=run_dir or settings.run_dir,
        )
    except OSError as error:
        typer.echo(f"Cannot listen on {host}:{port}: {error.strerror}. Stop what is there or give --port.", err=True)
        raise typer.Exit(EXIT_USAGE) from None
    raise typer.Exit(supervisor.run())


def _reload() -> None:
    try:
        from watchfiles import run_process
    except ModuleNotFoundError:
        typer.echo("--reload needs watchfiles. Run: pip install 'bedplate[reload]'", err=True)
        raise typer.Exit(EXIT_USAGE) from None
    arguments = [argument for argument in sys.argv[1:] if argument != "--reload"]
    command = shlex.join([sys.executable, "-m", "bedplate.cli", *arguments])
    run_process(Path.cwd(), target=command, target_type="command")
