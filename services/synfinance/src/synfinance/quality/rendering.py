"""A report for people: a coloured score with its dimensions, a line a column, findings in words."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from rich import box
from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from synfinance.quality.faults import Dimension, Severity
from synfinance.quality.found import percent
from synfinance.quality.masking import masked
from synfinance.quality.report import Drift, Finding, Report, band_of

_BANDS: Final = {"good": "green", "fair": "yellow", "poor": "red"}
_MARKS: Final = {
    Severity.ERROR: ("✗ ", "bold red"),
    Severity.WARNING: ("! ", "yellow"),
    Severity.NOTE: ("· ", "dim"),
}
_BRIEF_FINDINGS: Final = 3
_BAR: Final = 12
_WIDE: Final = 100


def print_report(
    report: Report, console: Console, *, title: str, notes: Sequence[str] = (), verbose: bool = False
) -> None:
    """Print a report. ``verbose`` adds every note, examples, suggestions and the measured drift."""
    console.print(_heading(report, title, wide=console.width >= _WIDE))
    console.print(_columns(report, verbose=verbose))
    if report.findings:
        console.print(Text("Rows", style="bold"))
        console.print(Padding(_findings(report.findings, verbose=verbose), (0, 0, 1, 2)))
    if verbose and report.drift:
        console.print(_drift(report.drift, report.compared or ""))
    elif report.compared is not None:
        drifted = sum(item.drifted for item in report.drift)
        told = f"{drifted} of {len(report.drift)} comparisons between {report.compared} show drift."
        console.print(Text(told if drifted else f"No drift between {report.compared}.", style="dim"))
    for note in (*notes, *report.notes):
        console.print(Text(f"Note: {note}", style="dim"))
    if not verbose:
        console.print(Text("--verbose shows every finding with examples and what to do.", style="dim"))


def _coloured(score: float) -> Text:
    return Text(f"{score:.1f}", style=f"bold {_BANDS[band_of(score)]}")


def _heading(report: Report, title: str, *, wide: bool) -> Panel:
    colour = _BANDS[report.band]
    line = Text.assemble(
        (f"{report.score:.1f}", f"bold {colour}"),
        (" of 100, ", "default"),
        (report.band, f"bold {colour}"),
        (f"   {report.rows:,} rows × {len(report.columns):,} columns", "dim"),
    )
    dimensions = Table.grid(padding=(0, 2))
    cells: list[RenderableType] = []
    for dimension in Dimension:
        score = report.dimensions[dimension]
        filled = round(_BAR * score / 100)
        style = _BANDS[band_of(score)]
        cells += [
            Text(dimension.value),
            Text.assemble(("━" * filled, style), ("━" * (_BAR - filled), "bright_black"), (f" {score:5.1f}", style)),
        ]
    across = 6 if wide else 4
    for start in range(0, len(cells), across):
        dimensions.add_row(*cells[start : start + across])
    return Panel(
        Group(line, Text(), dimensions),
        title=Text(f" {masked(title)} ", style="bold"),
        title_align="left",
        border_style=colour,
    )


def _columns(report: Report, *, verbose: bool) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_lines=False, header_style="bold")
    table.add_column("column", overflow="fold", min_width=8, max_width=28)
    table.add_column("kind", style="cyan", no_wrap=True)
    table.add_column("score", justify="right", no_wrap=True)
    table.add_column("missing", justify="right", no_wrap=True)
    table.add_column("findings", ratio=1, overflow="fold")
    for column in report.columns:
        rate = column.missing / max(1, report.examined_rows)
        table.add_row(
            Text(masked(column.name)),
            column.kind.value,
            _coloured(column.score),
            Text(percent(rate) if rate else "–", style="dim" if not rate else ""),
            _findings(column.findings, verbose=verbose),
        )
    return table


def _findings(findings: Sequence[Finding], *, verbose: bool) -> RenderableType:
    if not findings:
        return Text("nothing to report", style="dim")
    shown = findings if verbose else findings[:_BRIEF_FINDINGS]
    lines = [line for finding in shown for line in _finding(finding, verbose=verbose)]
    if len(findings) > len(shown):
        lines.append(Text(f"  … {len(findings) - len(shown)} more", style="dim"))
    return Group(*lines)


def _finding(finding: Finding, *, verbose: bool) -> Iterable[Text]:
    mark, style = _MARKS[finding.severity]
    # Nobody asked what an unremarkable finding costs, and "−0.0" says nothing.
    cost = f" (−{finding.points:.1f})" if finding.points >= 0.05 else ""
    yield Text.assemble((mark, style), finding.message, (cost, style))
    if verbose:
        if finding.examples:
            yield Text("  e.g. " + " | ".join(finding.examples), style="dim")
        yield Text("  → " + finding.suggestion, style="dim italic")


def _drift(items: Sequence[Drift], compared: str) -> Table:
    table = Table(
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        header_style="bold",
        title=f"Drift between {compared}",
        title_justify="left",
    )
    for name in ("column", "measure"):
        table.add_column(name, overflow="fold")
    for name in ("value", "alarm above", ""):
        table.add_column(name, justify="right", no_wrap=True)
    for item in items:
        verdict = Text("drifted", style="bold yellow") if item.drifted else Text("quiet", style="dim")
        table.add_row(
            Text(masked(item.column)), item.kind, f"{item.value:.3f}", f"{item.bound:.3f}", verdict
        )  # fmt: skip
    return table
