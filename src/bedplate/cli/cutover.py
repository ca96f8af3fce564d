"""``bedplate cutover``: moving tables to partitions; what stands in the way, and whether two tables are the same."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from bedplate.cli.cutover_commands import COMMANDS
from bedplate.cli.cutover_target import database_url
from bedplate.cli.output import EXIT_FAULTS, console, faults, print_json
from bedplate.problems import BedplateError

if TYPE_CHECKING:
    from bedplate.database.cutover import Comparison, Parity, Preflight, Progress

__all__ = ["cutover"]

cutover = typer.Typer(
    name="cutover",
    help="Move tables to partitions while they are written to, and back.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

for command in COMMANDS:
    cutover.command()(command)

Tables = Annotated[list[str], typer.Argument(help="Tables, as SQL takes their names.")]
Key = Annotated[str, typer.Option("--key", help="The column that partitions them.")]
Partitions = Annotated[int, typer.Option("--partitions", help="How many.")]
Url = Annotated[str, typer.Option("--url", help="The primary's address; by default DATABASE_URL.", show_default=False)]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]

_COLOURS = {"blocker": "red", "warning": "yellow", "note": "dim"}


@cutover.command()
def preflight(
    tables: Tables,
    key: Key = "organization_id",
    partitions: Partitions = 64,
    free_gb: Annotated[float | None, typer.Option(help="Gigabytes that are free on the server's disk.")] = None,
    url: Url = "",
    as_json: AsJson = False,
) -> None:
    """Say what stands in the way, what it will cost and how to mend it; nothing is touched.

    The exit status is 1 when something refuses the cutover, 2 when it could not be looked at.
    """
    from bedplate.database.cutover import Plan, connected
    from bedplate.database.cutover import preflight as look

    with faults(as_json):
        wanted = Plan(tables=tables, key=key, partitions=partitions)
        with connected(database_url(url)) as connection:
            found = look(connection, wanted, free=None if free_gb is None else int(free_gb * 1e9))
    if as_json:
        print_json(found.to_json())
    else:
        _show(found)
    if not found.ready:
        raise typer.Exit(EXIT_FAULTS)


@cutover.command()
def layout(
    tables: Tables,
    key: Key = "organization_id",
    partitions: Partitions = 64,
    engine: Annotated[
        str, typer.Option(help="Lay the tables out for an engine of several servers instead: citus. Untested.")
    ] = "",
    url: Url = "",
    as_json: AsJson = False,
) -> None:
    """Print the statements that make the tables' partitioned twins; nothing is touched."""
    from bedplate.database.cutover import Plan, connected
    from bedplate.database.cutover import layout as derive
    from bedplate.database.cutover.outgrown import outgrown

    with faults(as_json):
        wanted = Plan(tables=tables, key=key, partitions=partitions)
        if engine:
            with connected(database_url(url)) as connection:
                found = outgrown(connection, wanted, engine)
            if as_json:
                print_json({"engine": engine, "statements": list(found.statements), "notes": list(found.notes)})
            else:
                typer.echo(found.text)
            return
        with connected(database_url(url)) as connection:
            layouts = [derive(connection, wanted, table) for table in wanted.tables]
    if as_json:
        print_json(
            [
                {
                    "table": f"{one.source.schema}.{one.source.name}",
                    "statements": [{"part": part.part, "sql": part.sql} for part in one.statements],
                    "notes": list(one.notes),
                }
                for one in layouts
            ]
        )
        return
    for one in layouts:
        for note in one.notes:
            typer.echo(f"-- {' '.join(note.split())}")
        typer.echo(one.text)


@cutover.command()
def compare(
    one: Annotated[str, typer.Argument(help="The table that is right.")],
    other: Annotated[str, typer.Argument(help="The table that should hold the same rows.")],
    identified_by: Annotated[
        list[str] | None, typer.Option("--by", help="A column that identifies a row; by default the primary key's.")
    ] = None,
    most: Annotated[int, typer.Option(min=1, help="Differing rows to tell at most.")] = 20,
    slice_rows: Annotated[int | None, typer.Option(min=1, help="Compare so many rows at a time.")] = None,
    rest: Annotated[float, typer.Option(min=0, help="Seconds to rest for each second of a slice.")] = 0.0,
    url: Url = "",
    as_json: AsJson = False,
) -> None:
    """Compare all rows of two tables as of one moment, without a lock, and name those that differ.

    The exit status is 0 when they are proven equal, 1 when they are not, 2 when they could not be compared.
    """
    from bedplate.database.cutover import Comparison, connected

    with faults(as_json), connected(database_url(url)) as connection:
        comparison = Comparison(
            connection,
            one,
            other,
            identified_by=identified_by or (),
            most=most,
            slice_rows=slice_rows,
            rest=rest,
            watch=lambda progress: None if as_json or slice_rows is None else _tell(progress),
        )
        found = _run(comparison)
    if as_json:
        print_json(found.to_json())
    else:
        _report(found)
    if not found.equal:
        raise typer.Exit(EXIT_FAULTS)


def _run(comparison: Comparison) -> Parity:
    """Compare; Ctrl-C ends the statement that runs on the server, too."""
    import psycopg

    try:
        return comparison.run()
    except psycopg.Error as error:
        words = " ".join(str(error).split())[:300]
        mend = "Its user needs to read all rows of both tables; try again if the connection was lost."
        raise BedplateError(f"The comparison was broken off: {words}.", mend) from None


def _tell(progress: Progress) -> None:
    typer.echo(f"{progress.rows[0]:,} rows compared, {len(progress.found)} differ", err=True)


def _show(found: Preflight) -> None:
    from rich.markup import escape
    from rich.table import Table

    for one in found.findings:
        colour = _COLOURS[one.severity]
        console.print(f"[{colour}]{one.severity}[/{colour}]  [bold]{escape(one.table)}[/bold]: {escape(one.what)}")
        for said in (one.cost, one.mend):
            if said:
                console.print(f"    [dim]{escape(said)}[/dim]")
    sizes = Table("table", "rows", "size", "disk", "WAL", "backfill", "lock", box=None, header_style="dim")
    for each in found.estimates:
        sizes.add_row(
            escape(each.table),
            f"{each.rows:,}",
            *(f"{size / 1e6:,.1f} MB" for size in (each.size, each.disk, each.wal)),
            f"{each.seconds:,.0f} s",
            f"{each.lock:.0f} ms",
        )
    console.print(sizes)
    console.print("[green]Nothing refuses it.[/green]" if found.ready else "[red]Refused.[/red]")


def _report(found: Parity) -> None:
    from rich.markup import escape

    for note in found.notes:
        console.print(f"[dim]{escape(note)}[/dim]")
    for one in found.differences:
        row = ", ".join(f"{name}={value}" for name, value in zip(found.identified_by, one.row, strict=True))
        console.print(f"[red]{one.kind}[/red] {escape(row)}")
    names = " and ".join(map(escape, found.tables))
    rows = f"{found.rows[0]:,} and {found.rows[1]:,} rows as of {found.position}, {found.seconds:.1f} s"
    if found.equal:
        console.print(f"[green]Equal[/green]: {names}; {rows}.")
    else:
        more = "" if found.whole else f"; more than these {len(found.differences)} rows differ"
        console.print(f"[red]Not equal[/red]: {names}; {rows}{more}.")
