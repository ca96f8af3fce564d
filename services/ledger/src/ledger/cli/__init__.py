"""The command line: ``ledger generate | check``."""

from __future__ import annotations

import typer

from ledger.cli.check import check
from ledger.cli.generate import generate
from ledger.cli.output import run

app = typer.Typer(
    name="ledger",
    help="Accounting for a million organisations.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
app.command("generate")(generate)
app.command("check")(check)


def main() -> None:
    """Run the command line; the process exits with 0 for done, 1 for failed or findings, 2 for bad input."""
    run(app)
