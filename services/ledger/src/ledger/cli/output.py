"""What the commands share: the database, one JSON document, one-line errors, exit codes, progress."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Annotated, Any, Final, NoReturn, TypeVar

import orjson
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeRemainingColumn
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from bedplate.database import DatabaseSettings
from bedplate.database.address import address
from bedplate.database.opening import prepare
from bedplate.declarations import Migrations
from bedplate.problems import BedplateError

__all__ = ["BAD_INPUT", "FAILED", "Url", "carry_out", "emit", "opened", "progress", "refuse", "run", "screen"]

T = TypeVar("T")
FAILED: Final = 1
BAD_INPUT: Final = 2
_DEBUG: Final = "LEDGER_DEBUG"

screen: Final = Console(highlight=False, soft_wrap=True)
_notices: Final = Console(stderr=True, highlight=False)

Url = Annotated[
    str,
    typer.Option(
        "--database", envvar="DATABASE_URL", help="Where the books are; the URL of the tables' owner on PostgreSQL."
    ),
]


def refuse(command: str, reason: object, code: int = BAD_INPUT) -> NoReturn:
    """End the command with a one-line reason on stderr."""
    typer.echo(f"ledger {command}: {' '.join(str(reason).split())}", err=True)
    raise typer.Exit(code)


def emit(document: dict[str, Any]) -> None:
    """Print one JSON document."""
    typer.echo(orjson.dumps(document, option=orjson.OPT_INDENT_2, default=str).decode())


def progress(unit: str) -> Progress:
    """A bar of what is done, on stderr; nothing where that is no terminal."""
    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn(unit),
        TimeRemainingColumn(),
        console=_notices,
        disable=not _notices.is_terminal,
        transient=True,
    )


def carry_out(command: str, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run what a command does; what Bedplate refuses ends it with one line."""
    try:
        return asyncio.run(work())
    except BedplateError as error:
        refuse(command, error, FAILED)


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[AsyncEngine]:
    """Open the database with its tables, for one that works alone and not for long.

    :raises BedplateError: when it cannot be opened.
    """
    place = address(url)
    await prepare(place, DatabaseSettings(), [Migrations(name="ledger", package="ledger.revisions")])
    engine = create_async_engine(place.url)
    try:
        yield engine
    finally:
        await engine.dispose()


def run(app: Callable[[], None]) -> None:
    """Run the application; whatever goes wrong is one line, unless LEDGER_DEBUG is set."""
    try:
        app()
    except KeyboardInterrupt:
        raise SystemExit(130) from None
    except Exception as error:
        if os.environ.get(_DEBUG):
            raise
        reason = " ".join(str(error).split()) or type(error).__name__
        typer.echo(f"ledger: {type(error).__name__}: {reason} (set {_DEBUG}=1 for the traceback)", err=True)
        sys.exit(FAILED)
