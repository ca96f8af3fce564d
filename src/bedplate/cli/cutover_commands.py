"""``bedplate cutover start … events``: what is wanted of a cutover, and how it is."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bedplate.cli.cutover_target import Target, actor, find
from bedplate.cli.output import EXIT_FAULTS, console, faults, print_json
from bedplate.problems import BedplateError

if TYPE_CHECKING:
    from bedplate.database.cutover.machine.look import Sight
    from bedplate.database.cutover.machine.record import Record
    from bedplate.database.cutover.machine.wishes import Wish
    from bedplate.database.cutover.plan import Plan

__all__ = ["COMMANDS"]

Service = Annotated[
    str,
    typer.Argument(
        help="module:attribute of the service that has it; with --url the cutover's name, if any.", show_default=False
    ),
]
Name = Annotated[str, typer.Argument(help="Which cutover; needed where there are several.", show_default=False)]
Tables = Annotated[list[str] | None, typer.Option("--tables", help="A table, as SQL takes its name; repeat it.")]
Key = Annotated[str, typer.Option("--key", help="The column that partitions them.")]
Partitions = Annotated[int, typer.Option("--partitions", help="How many.")]
Mode = Annotated[str, typer.Option("--mode", help="capture, or dual-write.")]
Url = Annotated[
    str, typer.Option("--url", help="The primary's own address; by default DATABASE_URL.", show_default=False)
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
#: Colours of a line of the time line.
_TONES = {"good": "green", "warn": "yellow", "bad": "red", "info": "cyan", "idle": "default"}


def start(
    service: Service = "",
    name: Name = "",
    tables: Tables = None,
    key: Key = "organization_id",
    partitions: Partitions = 64,
    mode: Mode = "capture",
    url: Url = "",
    as_json: AsJson = False,
) -> None:
    """Want the tables to be copied until both sides are proven equal; a worker does it, in the service or by `run`."""
    with faults(as_json):
        target = find(service, name, tables=tables or (), key=key, partitions=partitions, mode=mode, url=url)
        target.make_tables()
        _tell(_wish(target, "start", as_json=as_json), as_json)


def run(
    service: Service = "",
    name: Name = "",
    tables: Tables = None,
    key: Key = "organization_id",
    partitions: Partitions = 64,
    mode: Mode = "capture",
    keep: Annotated[bool, typer.Option("--keep", help="Go on keeping both sides equal, until Ctrl-C.")] = False,
    url: Url = "",
    as_json: AsJson = False,
) -> None:
    """Carry out here what is wanted, with a progress bar, and end when that is done; begin it, if nobody has.

    The exit status is 0 when it is done, 1 when it waits for somebody. It may be ended at any moment, and goes on when
    it is run again. Between two runs the logs of changed keys grow: `--keep`, or the service's worker, empties them.
    """
    from bedplate.database.cutover.machine.record import Book
    from bedplate.database.cutover.machine.wishes import refusal

    with faults(as_json):
        target = find(service, name, tables=tables or (), key=key, partitions=partitions, mode=mode, url=url)
        target.make_tables()
        with target.connection() as connection:
            record = Book(connection, target.name).read()
        if record is None or not record.wanted:
            if target.plan is None and record is None:
                raise BedplateError("It is not said what is to be moved.", "Give --tables and --key, or a service.")
            if refusal(record, "start") is None:
                _wish(target, "start", as_json=as_json)
        _carry_out(target, keep=keep, as_json=as_json)


def _wishing(wish: Wish, doc: str) -> Callable[..., None]:
    """Return the command that only writes a wish, which whoever works on it follows."""

    def command(service: Service = "", name: Name = "", url: Url = "", as_json: AsJson = False) -> None:
        with faults(as_json):
            target = find(service, name, tables=(), key="", partitions=2, mode="capture", url=url)
            _tell(_wish(target, wish, as_json=as_json), as_json)

    command.__doc__ = doc
    command.__name__ = wish
    return command


def _turning(wish: Wish, doc: str) -> Callable[..., None]:
    """Return the command that writes a wish and sees it done, by the worker there is or else here."""

    def command(service: Service = "", name: Name = "", url: Url = "", as_json: AsJson = False) -> None:
        with faults(as_json):
            target = find(service, name, tables=(), key="", partitions=2, mode="capture", url=url)
            _wish(target, wish, as_json=as_json)
            _carry_out(target, as_json=as_json)

    command.__doc__ = f"{doc} By the worker that runs, or else here. The exit status is 1 when it is refused."
    command.__name__ = wish
    return command


def throttle(
    percent: Annotated[int, typer.Argument(min=1, max=100, help="Percent of full speed.")],
    service: Service = "",
    name: Name = "",
    url: Url = "",
    as_json: AsJson = False,
) -> None:
    """Let the worker work a share of the time only."""
    with faults(as_json):
        target = find(service, name, tables=(), key="", partitions=2, mode="capture", url=url)
        _tell(_wish(target, "throttle", percent=percent, as_json=as_json), as_json)


def finalize(
    service: Service = "",
    name: Name = "",
    confirm: Annotated[str, typer.Option("--confirm", help="The cutover's name: there is no way back.")] = "",
    url: Url = "",
    as_json: AsJson = False,
) -> None:
    """Drop the legacy tables and all that lets them follow; there is no way back after it."""
    with faults(as_json):
        target = find(service, name, tables=(), key="", partitions=2, mode="capture", url=url)
        _wish(target, "finalize", confirm=confirm, as_json=as_json)
        _carry_out(target, as_json=as_json)


def status(service: Service = "", name: Name = "", url: Url = "", as_json: AsJson = False) -> None:
    """Say how far it is, whether both sides are equal, and whether it may be switched.

    The exit status is 1 when it waits for somebody, or both sides differ.
    """
    from bedplate.database.cutover.machine.figures import metrics_figures
    from bedplate.database.cutover.machine.look import look
    from bedplate.database.cutover.machine.readiness import readiness

    with faults(as_json):
        target = find(service, name, tables=(), key="", partitions=2, mode="capture", url=url)
        with target.connection() as connection:
            sight = look(connection, target.name, target.plan)
        record = sight.record
        if record is None:
            raise BedplateError(f"There is no cutover {target.name}.", "Begin it: bedplate cutover start.")
    ready = readiness(sight, fresh=target.settings.fresh)
    if as_json:
        figures = metrics_figures(target.name, record.plan, sight, ready, time.monotonic())
        print_json({**figures, "record": record.to_json()})
    else:
        _show(sight, record)
        if record.state not in ("switched", "finalized"):
            console.print(f"Readiness {ready.score} of 100{'' if ready.ready else ': not yet'}")
            for reason in ready.reasons:
                console.print(f"  [yellow]{_plain(reason)}[/yellow]")
    if record.trouble == "waits" or any(one.differing for one in sight.tables):
        raise typer.Exit(EXIT_FAULTS)


def events(
    service: Service = "",
    name: Name = "",
    most: Annotated[int, typer.Option("--most", min=1, max=10_000, help="At most so many.")] = 50,
    url: Url = "",
    as_json: AsJson = False,
) -> None:
    """Tell what happened to it, the latest last."""
    from bedplate.database.cutover.machine.record import Book
    from bedplate.database.cutover.machine.telling import time_line

    with faults(as_json):
        target = find(service, name, tables=(), key="", partitions=2, mode="capture", url=url)
        with target.connection() as connection:
            found = Book(connection, target.name).timeline(most)
    if as_json:
        print_json([one.to_json() for one in reversed(found)])
        return
    for moment in reversed(time_line(found, most)):
        at = "" if moment.at is None else f"{datetime.fromtimestamp(moment.at, UTC).astimezone():%Y-%m-%d %H:%M:%S}"
        detail = f"  {_plain(moment.detail)}" if moment.detail else ""
        console.print(f"[dim]{at:19}[/dim] [{_TONES[moment.tone]}]{_plain(moment.text)}[/]{detail}")


def _carry_out(target: Target, *, keep: bool = False, as_json: bool) -> None:
    from bedplate.cli.cutover_working import carry_out

    _end(carry_out(target, keep=keep, quiet=as_json), as_json)


def _wish(target: Target, wish: Wish, *, percent: int = 100, confirm: str = "", as_json: bool) -> Record:
    from bedplate.database.cutover.asking import CutoverError
    from bedplate.database.cutover.machine.look import look
    from bedplate.database.cutover.machine.readiness import readiness
    from bedplate.database.cutover.machine.record import Book
    from bedplate.database.cutover.machine.wishes import press

    with target.connection() as connection:
        ready = None
        if wish == "switch":
            sight = look(connection, target.name, target.plan)
            # Where no worker runs, this command is the one.
            ready = readiness(replace(sight, runs=True), fresh=target.settings.fresh)
        plan: Plan | None = target.plan if wish == "start" else None
        if wish == "start" and plan is None:
            record = Book(connection, target.name).read()
            plan = None if record is None else record.plan
            if plan is None:
                raise BedplateError("It is not said what is to be moved.", "Give --tables and --key, or a service.")
        try:
            press(
                connection,
                target.name,
                wish,
                actor(),
                plan=plan,
                percent=percent,
                confirm=confirm,
                readiness=ready,
            )
        except CutoverError as error:
            if as_json:
                print_json({"ok": False, "error": error.what, "mend": error.mend})
            else:
                typer.echo(str(error), err=True)
            raise typer.Exit(EXIT_FAULTS) from None
        record = Book(connection, target.name).read()
    assert record is not None
    return record


def _tell(record: Record, as_json: bool) -> None:
    if as_json:
        print_json({"ok": True, **record.to_json()})
    else:
        paused = ", paused" if record.paused else ""
        console.print(
            f"[cyan]{record.state}[/cyan]{paused}, to be {record.wanted or 'left'}; {record.throttle} % of speed"
        )


def _end(record: Record, as_json: bool) -> None:
    if as_json:
        print_json({"ok": not record.trouble, **record.to_json()})
    elif record.trouble:
        typer.echo(f"{record.state}. {record.error} {record.mend}", err=True)
    else:
        console.print(f"[green]{record.state}[/green]")
    if record.trouble:
        raise typer.Exit(EXIT_FAULTS)


def _show(sight: Sight, record: Record) -> None:
    from rich.table import Table

    runner = record.runner if sight.runs else "nobody"
    console.print(
        f"[bold]{_plain(record.name)}[/bold]: [cyan]{record.state}[/cyan], {record.plan.mode}; {runner} works on it"
    )
    if record.trouble:
        console.print(f"[red]{_plain(record.error)}[/red] {_plain(record.mend)}")
    table = Table("table", "rows", "other side", "size", "pending", "delta", "differ", box=None, header_style="dim")
    for one in sight.tables:
        cells: list[Any] = [one.table]
        cells += [f"{one.live.rows:,}" if one.live else "–", f"{one.shadow.rows:,}" if one.shadow else "–"]
        cells += [f"{one.live.size / 1e6:,.1f} MB" if one.live else "–", f"{one.pending:,}"]
        cells += ["–" if one.delta is None else f"{one.delta:,}", f"{one.differing:,}"]
        table.add_row(*(_plain(str(cell)) for cell in cells))
    console.print(table)


def _plain(text: str) -> str:
    from rich.markup import escape

    return escape(text)


#: The commands, in the order in which people meet them.
COMMANDS: tuple[Callable[..., None], ...] = (
    start,
    run,
    status,
    events,
    _wishing("pause", "Let the worker rest where it is; the logs of changed keys go on growing."),
    _wishing("resume", "Let the worker go on, also after what it waited for is mended."),
    throttle,
    _turning("verify", "Compare both sides now."),
    _turning("repair", "Make rows that were found to differ equal to the table in use."),
    _turning("switch", "Give the partitioned tables their names, under one short lock."),
    _turning("rollback", "Before the switch: take everything away again. After it: switch back, losing nothing."),
    finalize,
)
