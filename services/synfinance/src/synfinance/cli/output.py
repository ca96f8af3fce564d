"""What the commands share: one JSON document, one-line errors, exit codes, progress."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, NoReturn

import orjson
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeRemainingColumn

FAILED: Final = 1
BAD_INPUT: Final = 2
_DEBUG: Final = "SYNFINANCE_DEBUG"

_WIDTH: Final = 140
"""Columns of output that does not go to a terminal, whose width nobody knows."""

screen: Final = Console(highlight=False, width=None if sys.stdout.isatty() else _WIDTH)
notices: Final = Console(stderr=True, highlight=False)


def refuse(command: str, reason: object, code: int = BAD_INPUT) -> NoReturn:
    """End the command with a one-line reason on stderr."""
    line = " ".join(str(reason).split())
    typer.echo(f"synfinance {command}: {line}", err=True)
    raise typer.Exit(code)


def emit(document: dict[str, Any]) -> None:
    """Print one JSON document. Numbers that JSON has no name for become null."""
    options = orjson.OPT_INDENT_2 | orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_NON_STR_KEYS
    typer.echo(orjson.dumps(document, option=options, default=str).decode())


def tell(notes: list[str]) -> None:
    """Show what was assumed or left out, on stderr."""
    for note in notes:
        notices.print(f"[dim]note:[/] {note}", markup=True, soft_wrap=True)


def progress(unit: str) -> Progress:
    """A bar of rows done, on stderr; nothing where that is no terminal."""
    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn(unit),
        TimeRemainingColumn(),
        console=notices,
        disable=not notices.is_terminal,
        transient=True,
    )


def checked_target(command: str, path: Path) -> None:
    """Refuse a path that no file can be written to."""
    if path.is_dir():
        refuse(command, f"{path}: this is a directory; name a file in it")
    folder = path.parent
    if not folder.is_dir():
        refuse(command, f"{path}: there is no directory {folder}")
    if not os.access(folder, os.W_OK):
        refuse(command, f"{path}: no permission to write to {folder}")


def run(app: Callable[[], None]) -> None:
    """Run the application; whatever goes wrong is one line, unless SYNFINANCE_DEBUG is set."""
    try:
        app()
    except BrokenPipeError:
        # The reader of our output has seen enough. Nothing more may be written, not even at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(0) from None
    except KeyboardInterrupt:
        raise SystemExit(130) from None
    except MemoryError:
        typer.echo("synfinance: not enough memory; ask for fewer rows with --max-rows", err=True)
        raise SystemExit(FAILED) from None
    except Exception as error:
        if os.environ.get(_DEBUG):
            raise
        reason = " ".join(str(error).split()) or type(error).__name__
        typer.echo(f"synfinance: {type(error).__name__}: {reason} (set {_DEBUG}=1 for the traceback)", err=True)
        raise SystemExit(FAILED) from None
