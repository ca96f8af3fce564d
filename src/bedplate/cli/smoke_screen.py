"""What ``bedplate smoke`` prints for people: a line a check, in groups, and the counts."""

from __future__ import annotations

from typing import Final

from rich.markup import escape

from bedplate.cli.output import console
from bedplate.monitor.checks import Listing, Outcome, Report, Result

__all__ = ["Screen"]

_MARKS: Final[dict[Outcome, str]] = {
    "passed": "[green]✓[/green]",
    "warning": "[yellow]![/yellow]",
    "failed": "[red]✗[/red]",
}


class Screen:
    """Prints results as they come.

    :param verbose: say what each check is for and what it asks. :param quiet: print nothing.
    """

    def __init__(self, *, verbose: bool, quiet: bool) -> None:
        self._verbose = verbose
        self._quiet = quiet
        self._group = ""

    def begin(self, url: str, listing: Listing, count: int) -> None:
        """Say what is checked."""
        self._group = ""
        self._print(
            f"[bold]{escape(listing.service)}[/bold] at {escape(url)} ({listing.environment}): {_checks(count)}"
        )

    def tell(self, result: Result) -> None:
        """Print one result; a heading before the first of each group."""
        item = result.item
        if item.group != self._group:
            self._group = item.group
            self._print(f"[bold]{escape(item.group)}[/bold]")
        seconds = "" if result.seconds is None else f" [dim]{result.seconds * 1000:.0f} ms[/dim]"
        detail = f": {escape(result.detail)}" if result.detail else ""
        self._print(f"  {_MARKS[result.outcome]} {escape(item.name)}{seconds}{detail}")
        if self._verbose:
            asked = f" {item.method} {item.path} → {item.expect or 'any status'}" if item.source else ""
            self._print(f"      [dim]{escape(item.summary + asked)}[/dim]")

    def end(self, report: Report) -> None:
        """Print the counts."""
        parts = [f"[green]{report.count('passed')} passed[/green]"]
        if warned := report.count("warning"):
            parts.append(f"[yellow]{warned} {'warning' if warned == 1 else 'warnings'}[/yellow]")
        if failed := report.count("failed"):
            parts.append(f"[red]{failed} failed[/red]")
        self._print(f"{', '.join(parts)} in {report.seconds:.1f} s")

    def _print(self, text: str) -> None:
        if not self._quiet:
            console.print(text)


def _checks(count: int) -> str:
    return f"{count} check" if count == 1 else f"{count} checks"
