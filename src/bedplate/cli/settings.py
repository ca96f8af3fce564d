"""``bedplate settings``: every setting that a service reads."""

from __future__ import annotations

from typing import Annotated

import typer

from bedplate.cli.output import console, faults, print_json

__all__ = ["settings"]


def settings(
    target: Annotated[str, typer.Argument(help="module:attribute, a factory build(settings) or a Service.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """List every setting with its variable, its default and its present value; secrets are masked."""
    from rich.table import Table

    from bedplate.service.loading import load
    from bedplate.service.runner import services_of

    with faults(as_json):
        service = services_of(load(target))[0]
        # Sections are asked for when the built-in components are made.
        assert service.components
        found = service.settings.values()
    if as_json:
        print_json(
            [
                {
                    "name": one.declared.name,
                    "variables": one.declared.env,
                    "value": one.shown,
                    "origin": service.settings.origin(one.declared.name),
                    "default": one.declared.default,
                    "expects": one.declared.expects,
                    "reloadable": one.declared.reloadable,
                    "doc": one.declared.doc,
                }
                for one in found
            ]
        )
        return
    table = Table("variable", "value", "from", "what it does", box=None, header_style="dim")
    for one in found:
        origin = service.settings.origin(one.declared.name)
        table.add_row(one.declared.variable, one.shown, "" if origin == "default" else origin, one.declared.doc)
    console.print(table)
