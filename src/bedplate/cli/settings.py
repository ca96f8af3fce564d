"""``bedplate settings``: every setting that a service reads."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.table import Table

from bedplate.cli.output import console, faults, print_json
from bedplate.service.loading import load
from bedplate.service.runner import services_of

__all__ = ["settings"]


def settings(
    target: Annotated[str, typer.Argument(help="module:attribute, a factory build(settings) or a Service.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """List every setting with its variable, its default and its present value; secrets are masked."""
    with faults(as_json):
        service = services_of(load(target))[0]
        rows = service.settings.describe()
    if as_json:
        print_json(rows)
        return
    table = Table("variable", "value", "default", "what it does", box=None, header_style="dim")
    for row in rows:
        table.add_row(row["env"], row["value"], row["default"], row["doc"])
    console.print(table)
