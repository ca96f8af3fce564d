"""``synfinance train``: a detector from a file, with labels or without."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table as Grid

from synfinance.cli.output import BAD_INPUT, FAILED, emit, notices, refuse, screen, tell
from synfinance.files import BadFile, Table, read_table

if TYPE_CHECKING:
    from synfinance.fraud import Detector, Report
    from synfinance.fraud.report import PartQuality

MAX_ROWS = 400_000
_STEPS = {
    "features": "Deriving features …",
    "fit": "Fitting, and choosing the threshold …",
    "judge": "Judging on the last period …",
}


def train(
    file: Annotated[Path, typer.Argument(help="The CSV or Parquet file to learn from.", show_default=False)],
    label: Annotated[
        str | None,
        typer.Option("--label", "-l", help="The label column; without it, only what is usual is learned."),
    ] = None,
    positive: Annotated[
        str | None, typer.Option(help="The label's value to detect, where it is not evident.", show_default=False)
    ] = None,
    out: Annotated[Path, typer.Option("--out", "-o", help="Directory of the model.")] = Path("model"),
    threshold: Annotated[
        str, typer.Option(help="What to alert by: f1, precision=0.9, recall=0.8 or budget=0.01.")
    ] = "f1",
    delay: Annotated[
        float | None,
        typer.Option(min=0, help="Days until a label is known.", show_default="7, or a 20th of the time span"),
    ] = None,
    exclude: Annotated[list[str] | None, typer.Option(help="A column not to use; repeat for more.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Equal seeds and files make equal models.")] = 0,
    max_rows: Annotated[
        int, typer.Option("--max-rows", "--rows", min=1, help="Of a longer file, only its last rows are used.")
    ] = MAX_ROWS,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document instead of tables.")] = False,
) -> None:
    """Train a fraud detector on a file and judge it on the latest fifth of its rows.

    The columns are recognised by name, type and content. Exit codes: 0 done, 1 failed, 2 bad input.
    """
    # The machinery of learning takes seconds to import; the other commands do without.
    from synfinance import fraud

    try:
        criterion = fraud.Criterion.parse(threshold)
    except ValueError as error:
        refuse("train", error)
    if label is None and positive is not None:
        refuse("train", "--positive needs --label, the column that has this value")
    with notices.status("Reading …") as status:
        table = _read(file, max_rows)
        report: Report | None = None
        try:
            if label is None:
                status.update("Learning what is usual …")
                began = time.perf_counter()
                detector = fraud.Detector.unlabelled(table.frame.drop(exclude or [], strict=False))
                detector.summary = {"rows": table.frame.height, "seconds": time.perf_counter() - began}
            else:
                detector, report = fraud.train(
                    table.frame,
                    label,
                    positive,
                    criterion=criterion,
                    delay_days=delay,
                    exclude=tuple(exclude or ()),
                    seed=seed,
                    on_step=lambda step: status.update(_STEPS[step]),
                )
            detector.save(out)
        except (fraud.BadLabel, fraud.UnfitTable) as error:
            refuse("train", f"{file}: {error}")
        except fraud.BadModel as error:
            refuse("train", error, BAD_INPUT)
        except OSError as error:
            refuse("train", f"{out}: the model cannot be written ({error.strerror or error})", FAILED)
    notes = [*table.notes, *(report.notes if report is not None else ())]
    if as_json:
        document: dict[str, Any] = {"file": str(file), "file_rows": table.rows, "rows": table.frame.height}
        document |= {"model": str(out), "roles": detector.roles.as_dict()}
        document |= {"report": None if report is None else report.as_dict(), "notes": notes}
        emit(document)
        return
    _show_roles(detector)
    if report is None:
        screen.print(
            f"[bold]{out}[/]: learned what is usual in {table.frame.height:,} rows; there is no label, so "
            f"synfinance score will give anomaly scores",
            soft_wrap=True,
        )
    else:
        _show(report, out)
    tell(notes)


def _read(file: Path, max_rows: int) -> Table:
    try:
        return read_table(file, max_rows=max_rows, sample="tail")
    except BadFile as error:
        refuse("train", error)


def _show_roles(detector: Detector) -> None:
    roles = detector.roles
    named = {
        "time": roles.time,
        "amount": roles.amount,
        "whose": roles.entity,
        "owner": roles.owner,
        "merchant": roles.merchant,
        "device": roles.device,
        "place": roles.latitude and f"{roles.latitude}, {roles.longitude}",
        "categories": ", ".join(roles.categories),
        "numbers": ", ".join(roles.numbers[:8]) + (" …" if len(roles.numbers) > 8 else ""),
        "texts": ", ".join(roles.texts),
    }
    screen.print("[dim]columns:[/] " + "; ".join(f"{k} [cyan]{v}[/]" for k, v in named.items() if v), soft_wrap=True)
    if roles.left_out:
        why = "; ".join(f"{name} ({reason})" for name, reason in roles.left_out.items())
        screen.print(f"[dim]not used:[/] {why}", soft_wrap=True)


def _show(report: Report, out: Path) -> None:
    quality = report.quality
    screen.print(
        f"[bold]{out}[/]: alerts where {report.positive}, at {report.threshold:.3f} or above ({report.criterion}); "
        f"{report.iterations} trees on {report.features} features",
        soft_wrap=True,
    )
    period = f"{report.test.begin} to {report.test.end}" if report.test.begin else "the last rows"
    screen.print(
        f"Judged on {quality.rows:,} later rows ({period}), {quality.positive:,} of them positive: "
        f"precision {quality.precision:.3f}, recall {quality.recall:.3f}, F1 {quality.f1:.3f}, "
        f"average precision [bold]{quality.average_precision:.3f}[/] (chance: {quality.positive / quality.rows:.4f})",
        soft_wrap=True,
    )
    screen.print(
        f"  {quality.true_positive:,} right alerts, {quality.false_positive:,} false ones, {quality.false_negative:,} "
        f"missed, {quality.true_negative:,} rightly quiet",
        soft_wrap=True,
    )
    for title, parts in (("type", report.by_type), ("severity", report.by_severity)):
        if parts:
            screen.print(_grid(title, parts))
    features = ", ".join(f"{name} {loss:.3f}" for name, loss in report.important[:6] if loss > 0)
    screen.print(f"[dim]what counts most:[/] {features}", soft_wrap=True)


def _grid(title: str, parts: list[PartQuality]) -> Grid:
    grid = Grid(title, "rows", "precision", "recall", "F1", "average precision", box=None, header_style="dim")
    for column in grid.columns[1:]:
        column.justify = "right"

    def shown(value: float | None) -> str:
        return "–" if value is None else f"{value:.3f}"

    for part in parts:
        measures = (part.precision, part.recall, part.f1, part.average_precision)
        grid.add_row(part.name, f"{part.positive:,}", *(shown(measure) for measure in measures))
    return grid
