"""``bedplate db``: what is done to a service's database from outside."""

from __future__ import annotations

import typer

from bedplate.cli.db_indexes import indexes
from bedplate.cli.db_transfer import transfer

__all__ = ["db"]

db = typer.Typer(name="db", help="Look after a service's database.", no_args_is_help=True, rich_markup_mode=None)
db.command()(indexes)
db.command()(transfer)


@db.callback()
def group() -> None:
    """Look after a service's database."""
