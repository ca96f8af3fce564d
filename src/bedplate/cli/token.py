"""``bedplate token``: a new token for the management API."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from bedplate.cli.output import faults, print_json

__all__ = ["token"]


def token(
    name: Annotated[str, typer.Argument(help="Who gets it; shown in the audit record.")],
    role: Annotated[
        Literal["metrics", "viewer", "operator", "admin"], typer.Option(help="What it may do; metrics only scrapes.")
    ] = "viewer",
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Make a token; give the first line to its holder and the second to the service, in BEDPLATE_TOKENS."""
    from bedplate.monitor.auth.tokens import mint

    with faults(as_json):
        secret, entry = mint(name, role)
    if as_json:
        print_json({"token": secret, "entry": entry})
    else:
        typer.echo(f"token  {secret}\nentry  {entry}")
