"""The ``bedplate`` command: run a service, check it before it runs, mint a token for it."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from bedplate.cli.alerts import alerts
from bedplate.cli.audit import audit
from bedplate.cli.check import check
from bedplate.cli.cutover import cutover
from bedplate.cli.db import db
from bedplate.cli.render import render
from bedplate.cli.run import run
from bedplate.cli.settings import settings
from bedplate.cli.smoke import smoke
from bedplate.cli.token import token

__all__ = ["app", "main"]

app = typer.Typer(
    name="bedplate",
    help="The production layer for Python back-end services that handle money.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_show_locals=False,
    rich_markup_mode=None,
)
app.command()(run)
app.command()(check)
app.command()(render)
app.command()(smoke)
app.command()(settings)
app.command()(token)
app.add_typer(alerts)
app.add_typer(audit)
app.add_typer(cutover)
app.add_typer(db)


@app.callback(invoke_without_command=True)
def options(version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False) -> None:
    """Run, check and configure services."""
    if version:
        from importlib.metadata import version as installed

        typer.echo(installed("bedplate"))
        raise typer.Exit


def main() -> None:
    """Run the command; the entry point of the console script."""
    try:
        sys.exit(app())
    except SystemExit as ended:
        if sys.argv[1:2] == ["run"]:
            # What has served for weeks may have a thread that hangs, for which Python would wait.
            from bedplate.service.ending import end_soon

            end_soon(ended.code if isinstance(ended.code, int) else 0 if ended.code is None else 1)
        raise
