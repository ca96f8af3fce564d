"""``bedplate db indexes``: what is declared of indexes, what is there, what each does for the question it answers."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bedplate.cli.output import EXIT_FAULTS, console, faults, print_json
from bedplate.clock import duration
from bedplate.problems import BedplateError

if TYPE_CHECKING:
    from bedplate.database.indexes.declaration import Index
    from bedplate.database.indexes.measure import Measured
    from bedplate.database.indexes.progress import Progress, Watch
    from bedplate.database.indexes.work import Made, Report

__all__ = ["indexes"]

_COLOURS = {"present": "green", "building": "cyan", "missing": "yellow"}


@dataclass
class _Found:
    """A database of a service with what became of its indexes."""

    service: str
    database: str
    url: str = field(repr=False)
    declared: Sequence[Index]
    production: bool
    shown: str = ""
    report: Report | None = None
    made: Made | None = None
    measured: list[Measured] = field(default_factory=list)

    @property
    def well(self) -> bool:
        return self.report is not None and self.report.complete and not (self.made and self.made.faults)

    def to_json(self) -> dict[str, Any]:
        return {
            "service": self.service,
            "database": self.database,
            "address": self.shown,
            **(self.report.to_json() if self.report is not None else {}),
            "made": list(self.made.names) if self.made is not None else [],
            "failed": {name: str(error) for name, error in self.made.faults.items()} if self.made is not None else {},
            "measured": [one.to_json() for one in self.measured],
        }


def indexes(
    target: Annotated[str, typer.Argument(help="module:attribute, a factory build(settings) or a Service.")],
    apply: Annotated[bool, typer.Option("--apply", help="Make what is missing or broken, beside the traffic.")] = False,
    measure: Annotated[
        bool, typer.Option("--measure", help="Ask the path of each, with its index and without it.")
    ] = False,
    replace: Annotated[
        bool, typer.Option("--replace", help="With --apply: also those that are other ones than declared.")
    ] = False,
    only: Annotated[list[str] | None, typer.Option("--only", help="Only the index of this name.")] = None,
    url: Annotated[
        str,
        typer.Option("--url", help="The primary's own address, where a pooler stands before it.", show_default=False),
    ] = "",
    patience: Annotated[
        float, typer.Option(min=0, help="Seconds that an index may wait for other transactions.")
    ] = 600,
    lock_timeout: Annotated[
        float, typer.Option(min=0.01, help="Seconds to wait at a time for a lock that others queue behind.")
    ] = 0.2,
    drop_to_compare: Annotated[
        bool,
        typer.Option(
            "--drop-to-compare",
            help="With --measure: drop an index for the time of its measurement, at most 2 seconds, while all who use"
            " its table wait. Never in production.",
        ),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Say which declared indexes are there, which others serve nobody or are lacking; make and measure them.

    The exit status is 0 when all that is declared is there, 1 when it is not, 2 when it could not be looked at.
    """
    with faults(as_json):
        from bedplate.database.indexes.build import Limits

        found = _databases(target, only or (), url)
        limits = Limits(lock=lock_timeout, patience=patience)
        for one in found:
            if drop_to_compare and one.production:
                raise BedplateError(
                    "In production no index is dropped to see what happens.",
                    "Measure on a copy, or as a superuser, who can hide an index from one transaction.",
                )
            with _bars(as_json) as watch:
                _work(one, apply, measure, replace, drop_to_compare, limits, watch)
            if not as_json:
                _show(one)
    if as_json:
        print_json({"ok": all(one.well for one in found), "databases": [one.to_json() for one in found]})
    if not all(one.well for one in found):
        raise typer.Exit(EXIT_FAULTS)


def _databases(target: str, only: Sequence[str], url: str) -> list[_Found]:
    from bedplate.database import Database
    from bedplate.database.indexes.declaration import declared_for
    from bedplate.service.loading import load
    from bedplate.service.runner import services_of

    found = []
    for service in services_of(load(target)):
        components = list(service.components)
        for component in components:
            if isinstance(component, Database) and (declared := declared_for(component, components)):
                wanted = [index for index in declared if not only or index.name in only]
                where = url or component.address_for(service.name).reveal()
                production = service.settings.environment == "production"
                found.append(_Found(service.name, component.name, where, wanted, production))
    if not found:
        raise BedplateError(
            f"No component of {target} declares indexes.", "Give it indexes(), and name the database in its needs."
        )
    unknown = set(only) - {index.name for one in found for index in one.declared}
    if unknown:
        raise BedplateError(f"No index {sorted(unknown)[0]} is declared.", "Leave out --only to see all.")
    found = [one for one in found if one.declared]
    if url and len(found) > 1:
        raise BedplateError("One address is given for several databases.", "Name a target with one of them.")
    return found


def _work(one: _Found, apply: bool, measure: bool, replace: bool, drop: bool, limits: Any, watch: Watch) -> None:
    from bedplate.database.indexes import work
    from bedplate.database.indexes.place import Place

    place = Place(one.url)
    one.shown = place.shown
    try:
        before = []
        if apply and measure:
            wanting = [state.index for state in work.look(place, one.declared).states if state.wanting]
            before = work.measure(place, wanting)
        if apply:
            one.made = work.apply(place, one.declared, limits=limits, replace=replace, watch=watch)
        one.report = work.look(place, one.declared)
        if measure:
            there = [state.index for state in one.report.states if state.word != "no table"]
            one.measured = work.measure(place, there, drop=drop, before=before)
    finally:
        place.close()


@contextmanager
def _bars(quiet: bool) -> Iterator[Callable[[Progress], None]]:
    """Show each index that is made as a bar, for people; programs see the result alone."""
    if quiet or not sys.stderr.isatty():
        yield lambda progress: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bars

    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[phase]}"), TimeElapsedColumn())
    with Bars(*columns, console=Console(stderr=True)) as bars:
        tasks: dict[str, Any] = {}

        def watch(progress: Progress) -> None:
            name = progress.index or progress.table or "indexes"
            if name not in tasks:
                tasks[name] = bars.add_task(name, total=1.0, phase="")
            phase = f"{progress.phase}, held up by {progress.waits_for}" if progress.waits_for else progress.phase
            bars.update(tasks[name], completed=progress.part, phase=phase)

        yield watch
        for task in tasks.values():
            bars.update(task, completed=1.0, phase="")


def _show(one: _Found) -> None:
    from rich.markup import escape
    from rich.table import Table

    assert one.report is not None
    console.print(f"[bold]{escape(one.service)}[/bold], database {escape(one.database)} at {escape(one.shown)}")
    table = Table("state", "index", "table", "asked", box=None, header_style="dim")
    for state in one.report.states:
        colour = _COLOURS.get(state.word, "red")
        why = f" ({state.why})" if state.why else ""
        cells = (state.index.name, state.index.table, f"{state.index.path.asked}{why}")
        table.add_row(f"[{colour}]{state.word}[/{colour}]", *map(escape, cells))
    console.print(table)
    if one.made is not None:
        for name in one.made.names:
            console.print(f"[green]made[/green] {escape(name)}")
        for error in one.made.faults.values():
            console.print(f"[red]not made[/red] {escape(str(error))}")
    told = one.report.findings
    if one.report.brief and (early := [finding for finding in told if finding.kind == "unused"]):
        told = tuple(finding for finding in told if finding.kind != "unused")
        span = duration(one.report.seconds or 0.0)
        console.print(f"[dim]Uses are counted for {span} only: that {len(early)} saw none yet tells nothing.[/dim]")
    for finding in told:
        name = f"{finding.name} on {finding.table}" if finding.name else finding.table
        console.print(f"[yellow]{finding.kind}[/yellow] {escape(name)}: {escape(finding.what)} {escape(finding.mend)}")
    if one.measured:
        _show_measures(one.measured)


def _show_measures(measured: Sequence[Measured]) -> None:
    from rich.markup import escape
    from rich.table import Table

    from bedplate.database.indexes.measure import verdict

    table = Table("index", "rows", "without", "with", "verdict", "how it is read", box=None, header_style="dim")
    for one in measured:
        within, without = one.within, one.without
        shown = within or without
        nodes = shown.nodes if shown is not None else ()
        table.add_row(
            escape(one.index.name),
            f"{one.rows:,}",
            "" if without is None else f"{without.milliseconds:,.2f} ms",
            "" if within is None else f"{within.milliseconds:,.2f} ms",
            escape(verdict(one)),
            escape("; ".join([*nodes[:3], *([one.why] if one.why else [])])),
        )
    console.print(table)
