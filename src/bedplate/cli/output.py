"""How commands speak: one JSON document, or sentences for people; faults on standard error."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import orjson
import typer
from rich.console import Console

from bedplate.problems import BedplateError, RefusedError

__all__ = ["EXIT_FAULTS", "EXIT_USAGE", "console", "faults", "print_json"]

#: The command looked and found faults. :data:`EXIT_USAGE` is for what it could not look at.
EXIT_FAULTS = 1
EXIT_USAGE = 2

console = Console(highlight=False, soft_wrap=True)


def print_json(document: Any) -> None:
    """Print one JSON document on standard output, and nothing else."""
    sys.stdout.buffer.write(orjson.dumps(document, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE, default=str))
    sys.stdout.flush()


@contextmanager
def faults(as_json: bool = False) -> Iterator[None]:
    """Turn Bedplate's errors into messages and exit statuses, never into a traceback."""
    try:
        yield
    except RefusedError as error:
        if as_json:
            refusals = [{"component": r.component, "what": r.what, "mend": r.mend} for r in error.refusals]
            print_json({"ok": False, "faults": refusals})
        else:
            typer.echo(str(error), err=True)
        raise typer.Exit(EXIT_FAULTS) from None
    except BedplateError as error:
        if as_json:
            print_json({"ok": False, "error": error.what, "mend": error.mend})
        else:
            typer.echo(str(error), err=True)
        raise typer.Exit(EXIT_USAGE) from None
