"""``bedplate audit``: whether the record of what operators did is as it was written."""

from __future__ import annotations

import os
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bedplate.cli.output import EXIT_FAULTS, console, faults, print_json
from bedplate.problems import BedplateError

if TYPE_CHECKING:
    from bedplate.monitor.audit import AuditLog

__all__ = ["audit"]

audit = typer.Typer(
    name="audit",
    help="Check and show the hash-chained log of what operators did.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

File = Annotated[
    Path | None,
    typer.Argument(
        help="The log; its rotated files are found beside it. By default the one where a service here keeps it."
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]


@audit.command()
def verify(
    file: File = None,
    expect: Annotated[str, typer.Option(help="The latest hash, as it was kept elsewhere.")] = "",
    as_json: AsJson = False,
) -> None:
    """Check that no record was changed, removed or inserted; the exit status is 1 when one was."""
    with faults(as_json):
        found = _log(file).verify()
    wrong = found.whole and bool(expect) and expect != found.head
    whole = found.whole and not wrong
    fault = found.fault if not wrong else "Records at the end are missing or were replaced: the latest hash differs."
    if as_json:
        print_json({**asdict(found), "whole": whole, "fault": fault})
    elif whole:
        since = "" if found.first <= 1 else f" from number {found.first} on; older ones are gone"
        console.print(f"Whole: {found.records} records{since}.\nLatest hash {found.head}")
    else:
        console.print(
            f"[red]Broken[/red] after {found.records} good records: {found.place}: {fault}".replace(": :", ":")
        )
    if not whole:
        raise typer.Exit(EXIT_FAULTS)


@audit.command()
def show(
    file: File = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="Records at most, the latest first.")] = 20,
    as_json: AsJson = False,
) -> None:
    """Show the latest records."""
    from datetime import UTC, datetime

    from rich.markup import escape
    from rich.table import Table

    with faults(as_json):
        records = _log(file).latest(limit)
    if as_json:
        print_json(records)
        return
    table = Table("when", "who", "what", "outcome", "parameters", box=None, header_style="dim")
    for record in records:
        when = datetime.fromtimestamp(float(record.get("at", 0)), UTC).strftime("%Y-%m-%d %H:%M:%S")
        what = f"{record.get('action', '')} {record.get('component', '')}"
        cells = (when, record.get("actor", ""), what, record.get("outcome", ""), record.get("parameters", ""))
        table.add_row(*(escape(str(cell)) for cell in cells))
    console.print(table)


def _log(file: Path | None) -> AuditLog:
    from bedplate.monitor.audit import AuditLog, files_of

    file = file or _usual()
    if not files_of(file):
        raise BedplateError(f"There is no audit log at {file}.", "Name the file of BEDPLATE_AUDIT__FILE.")
    if not os.access(file, os.R_OK):
        raise BedplateError(f"{file} cannot be read.", "Run it as a user who may read the audit log.")
    return AuditLog(file)


def _usual() -> Path:
    """Return the file of the one service that keeps a log here."""
    from bedplate.monitor.audit.place import folder

    named = os.environ.get("BEDPLATE_AUDIT__FILE", "")
    if named:
        return Path(named)
    found = sorted(folder().glob("*.audit.jsonl"))
    if len(found) != 1:
        names = ", ".join(map(str, found))
        what = f"There are several audit logs: {names}." if found else f"There is no audit log in {folder()}."
        raise BedplateError(what, "Name the file of one service.")
    return found[0]
