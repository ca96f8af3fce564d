"""``bedplate db transfer``: all records of one database moved into another, and proven to be the same."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bedplate.cli.output import EXIT_FAULTS, console, faults, print_json
from bedplate.problems import BedplateError

if TYPE_CHECKING:
    from bedplate.database.transfer import Plan, Progress, Report, Transfer
    from bedplate.declarations import Migrations

__all__ = ["transfer"]

_PHASES = {
    "look": "look at values",
    "copy": "copy",
    "changes": "catch up",
    "index": "make indexes",
    "compare": "compare",
    "wait": "wait for the right to write, which somebody keeps",
    "last": "last pass",
    "finished": "finished",
}


def transfer(
    source: Annotated[
        str, typer.Argument(help="What is moved: sqlite:///path or postgresql://user:password@host/name.")
    ],
    target: Annotated[str, typer.Argument(help="Where to: an empty database; an SQLite file is made.")],
    service: Annotated[
        str, typer.Option("--service", help="module:attribute of the service whose tables these are.")
    ] = "",
    database: Annotated[str, typer.Option("--database", help="Which of its databases.")] = "default",
    live: Annotated[
        bool, typer.Option("--live", help="Copy while the source is written to; run it again without, to finish.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show the mapping, look at all values, touch nothing.")
    ] = False,
    verify: Annotated[bool, typer.Option("--verify", help="Only compare both databases as they are.")] = False,
    abandon: Annotated[
        bool, typer.Option("--abandon", help="Take what --live left in the source away, and move nothing.")
    ] = False,
    types: Annotated[
        list[str] | None, typer.Option("--type", help="TABLE.COLUMN=TYPE of the target, without --service.")
    ] = None,
    skip: Annotated[list[str] | None, typer.Option("--skip", help="A table that stays.")] = None,
    chunk: Annotated[int, typer.Option("--chunk", min=1, help="Rows in a transaction.")] = 20_000,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Move all records between SQLite and PostgreSQL, and prove that both hold the same.

    Killed at any point, the same command goes on. The exit status is 0 when both are equal, 1 when values do not fit or
    both differ, 2 when it was refused or could not go on.
    """
    from bedplate.database.transfer import DifferenceError, FaultsError, Transfer

    with faults(as_json):
        if sum((live, dry_run, verify, abandon)) > 1:
            raise BedplateError("--live, --dry-run, --verify and --abandon exclude each other.", "Give one of them.")
        migrations = _migrations(service, database) if service else ()
        with _watching(as_json) as watch:
            moving = Transfer(
                source,
                target,
                migrations=migrations,
                types=_types(types or ()),
                skip=skip or (),
                chunk=chunk,
                watch=watch,
            )
            try:
                outcome = _carry_out(moving, live=live, dry_run=dry_run, verify=verify, abandon=abandon)
            except (DifferenceError, FaultsError) as error:
                _tell(error, as_json)
                raise typer.Exit(EXIT_FAULTS) from None
    if as_json:
        print_json({"ok": True} if outcome is None else outcome.to_json())
    else:
        _show(outcome, moving.shown)
    if not getattr(outcome, "equal", True):
        raise typer.Exit(EXIT_FAULTS)


def _carry_out(moving: Transfer, *, live: bool, dry_run: bool, verify: bool, abandon: bool) -> Plan | Report | None:
    """Do what is asked; a driver's own errors are told in words, never with values or passwords."""
    try:
        if abandon:
            moving.abandon()
            return None
        if dry_run:
            return moving.plan()
        if verify:
            return moving.verify()
        return moving.follow() if live else moving.run()
    except BedplateError:
        raise
    except Exception as error:
        if type(error).__module__.partition(".")[0] not in ("psycopg", "sqlite3", "sqlalchemy"):
            raise
        diagnosis = getattr(error, "diag", None)
        words = getattr(diagnosis, "message_primary", None) or " ".join(str(error).split())[:200]
        mend = "The source is as it was, the target is marked as unfinished; run the same again to go on."
        raise BedplateError(f"The transfer was broken off: {words}.", mend) from None


def _migrations(service: str, database: str) -> Sequence[Migrations]:
    """Return the migrations of all components of a service that keep their tables in one of its databases."""
    from bedplate.component import HasMigrations
    from bedplate.database import Database
    from bedplate.service.loading import load
    from bedplate.service.runner import services_of

    found = services_of(load(service))
    if len(found) != 1:
        raise BedplateError(f"{service} runs {len(found)} services.", "Name the factory of one of them.")
    components = found[0].components
    chosen = [one for one in components if isinstance(one, Database) and one.name == database]
    if not chosen:
        raise BedplateError(f"{service} has no database named {database}.", "Name one with --database.")
    needing = [one for one in components if any(need is chosen[0] for need in one.spec.needs)]
    return [chosen[0].migrations(), *(one.migrations() for one in needing if isinstance(one, HasMigrations))]


def _types(given: Sequence[str]) -> dict[str, str]:
    found = {}
    for text in given:
        place, equals, type = text.partition("=")
        if not equals or "." not in place or not type.strip():
            raise BedplateError(f"{text!r} is not TABLE.COLUMN=TYPE.", "Write it as in: --type orders.price=numeric")
        found[place.strip()] = type.strip()
    return found


@contextmanager
def _watching(as_json: bool) -> Iterator[Callable[[Progress], None]]:
    """Show a bar for each table while inside, on standard error, when a person looks."""
    if as_json or not sys.stderr.isatty():
        yield lambda progress: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bars

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Bars(*columns, console=Console(stderr=True)) as bars:
        tasks: dict[tuple[str, str], Any] = {}

        def watch(progress: Progress) -> None:
            key = (progress.phase, progress.table)
            if key not in tasks:
                tasks[key] = bars.add_task(f"{_PHASES[progress.phase]} {progress.table}".strip(), total=None)
            bars.update(tasks[key], completed=progress.rows, total=progress.total or None)

        yield watch


def _tell(error: Any, as_json: bool) -> None:
    if not as_json:
        typer.echo(str(error), err=True)
        return
    faults = getattr(error, "faults", ())
    found = [{"table": one.table, "row": one.row, "column": one.column, "what": one.what} for one in faults]
    what = "Values do not fit." if found else error.what
    more = getattr(error, "more", False)
    print_json({"ok": False, "error": what, "mend": error.mend, "faults": found, "more": more})


def _show(outcome: Plan | Report | None, shown: tuple[str, str]) -> None:
    from bedplate.database.transfer import Plan

    if outcome is None:
        console.print(f"The log was taken away from {shown[0]}. {shown[1]} stays marked as unfinished: make it anew.")
    elif isinstance(outcome, Plan):
        _show_plan(outcome)
    else:
        _show_report(outcome, shown)


def _show_plan(plan: Plan) -> None:
    from rich.markup import escape
    from rich.table import Table

    for pair in plan.pairs:
        key = ", ".join(pair.names[: pair.keys]) or "none"
        console.print(f"[bold]{escape(pair.name)}[/bold] {plan.rows[pair.name]:,} rows, key {escape(key)}")
        table = Table("column", "source", "target", "values", box=None, header_style="dim")
        for one in pair.columns:
            table.add_row(escape(one.name), escape(one.source.type), escape(one.target.type), one.kind.name)
        console.print(table)
    _show_notes(plan.notes)
    console.print("[green]All values fit.[/green] Nothing has been touched.")


def _show_report(report: Report, shown: tuple[str, str]) -> None:
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=None, header_style="dim")
    for title in ("table", "rows", "checksum", ""):
        # A checksum that is cut off is none.
        table.add_column(title, no_wrap=title == "checksum", min_width=32 if title == "checksum" else None)
    for one in report.tables:
        rows = f"{one.rows[0]:,}" if one.equal else f"{one.rows[0]:,} / {one.rows[1]:,}"
        sums = one.checksums[0] if one.checksums[0] == one.checksums[1] else " / ".join(one.checksums)
        table.add_row(escape(one.table), rows, sums, "[green]equal[/green]" if one.equal else "[red]differs[/red]")
    console.print(table)
    _show_notes(report.notes)
    said = f"{report.rows:,} rows copied in {report.seconds:.1f} s"
    if report.mended:
        said += f", {report.mended:,} of them again since they had changed"
    if report.state == "finished":
        since = f"; {report.since:,} rows were written since, and compared one by one" if report.since else ""
        console.print(
            f"[green]Finished[/green]: {said}{since}. Both hold the same; start the service on {escape(shown[1])}."
        )
    elif report.state == "caught-up":
        console.print(f"[green]Caught up[/green]: {said}.")
        console.print(
            f"Now stop whatever writes into {escape(shown[0])}, and run the same without --live. Until then "
            f"{escape(shown[1])} is marked as unfinished, and what is written is logged in {escape(shown[0])}."
        )
    else:
        console.print("[green]Both hold the same.[/green]" if report.equal else "[red]They differ.[/red]")


def _show_notes(notes: Sequence[str]) -> None:
    from rich.markup import escape

    for note in notes:
        console.print(f"[yellow]note[/yellow] {escape(note)}")
