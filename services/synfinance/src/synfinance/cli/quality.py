"""``synfinance quality``: how good a file is, and why."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import polars as pl
import typer

from synfinance.cli.output import FAILED, emit, notices, refuse, screen
from synfinance.files import BadFile, Table, read_table
from synfinance.quality import BadSchema, Report, Schema, profile
from synfinance.quality.rendering import print_report


def quality(
    file: Annotated[Path, typer.Argument(help="The CSV or Parquet file to judge.", show_default=False)],
    reference: Annotated[
        Path | None, typer.Option(help="Measure drift from this file, and expect its columns.", show_default=False)
    ] = None,
    schema: Annotated[
        Path | None, typer.Option(help="JSON or YAML: what each column must hold.", show_default=False)
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document instead of tables.")] = False,
    fail_under: Annotated[
        float | None,
        typer.Option(min=0, max=100, help="Exit with 1 when the score is lower.", show_default=False),
    ] = None,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Show every finding with examples and what to do.")
    ] = False,
) -> None:
    """Score the quality of a file from 0 to 100 and explain every lost point.

    Looks for missing, invalid, inconsistent, repeated and outlying values and for drift. Exit codes: 0 done, 1 below
    --fail-under, 2 bad input.
    """
    with notices.status("Reading …") as status:
        rules = _schema(schema)
        table = _table(file)
        before = _table(reference) if reference is not None else None
        status.update("Looking …")
        report = _report(file, table, rules, before)
    notes = [*table.notes, *(f"reference: {note}" for note in (before.notes if before is not None else ()))]
    if as_json:
        emit({"file": str(file), "file_rows": table.rows, **report.to_dict(), "notes": [*notes, *report.notes]})
    else:
        print_report(report, screen, title=file.name, notes=notes, verbose=verbose)
    if fail_under is not None and report.score < fail_under:
        refuse("quality", f"the score {report.score:.2f} is under {fail_under:g}", FAILED)


def _schema(path: Path | None) -> Schema | None:
    try:
        return Schema.load(path) if path is not None else None
    except BadSchema as error:
        refuse("quality", f"schema {error}")


def _table(path: Path) -> Table:
    try:
        return read_table(path)
    except BadFile as error:
        refuse("quality", error)


def _report(file: Path, table: Table, rules: Schema | None, before: Table | None) -> Report:
    try:
        return profile(table.frame, schema=rules, reference=before.frame if before is not None else None)
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        refuse("quality", f"{file}: it cannot be judged ({(str(error).splitlines() or ['?'])[0]})")
