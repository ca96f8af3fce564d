"""``synfinance score``: alerts and anomalies in a file."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import polars as pl
import typer
from rich.table import Table as Grid

from synfinance.cli.generate import _format
from synfinance.cli.output import FAILED, checked_target, emit, notices, progress, refuse, screen, tell
from synfinance.files import BadFile, TableSource, open_table, read_table
from synfinance.sink import Format, sink

if TYPE_CHECKING:
    from synfinance.fraud import Detector, Scores

WINDOW_ROWS = 250_000
"""Rows scored at once."""
HISTORY_ROWS = 100_000
"""Rows remembered from before a window, and read from a file of earlier transactions."""


def score(
    file: Annotated[Path, typer.Argument(help="The CSV or Parquet file to score.", show_default=False)],
    model: Annotated[
        Path | None,
        typer.Option("--model", "-m", help="Directory of a trained model; without it, anomalies only."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Write the rows with their scores here.", show_default=False)
    ] = None,
    format: Annotated[
        str | None, typer.Option("--format", "-f", help="parquet or csv.", show_default="by the file's name")
    ] = None,
    history: Annotated[
        Path | None, typer.Option(help="Earlier transactions, to know the cards by.", show_default=False)
    ] = None,
    threshold: Annotated[
        float | None, typer.Option(min=0, max=1, help="Alert from this probability on.", show_default="the model's")
    ] = None,
    rows: Annotated[int | None, typer.Option(min=1, help="Score only so many rows.", show_default="all")] = None,
    top: Annotated[int, typer.Option(min=0, help="How many of the most suspicious rows to show.")] = 10,
    fail_on_alerts: Annotated[
        bool, typer.Option("--fail-on-alerts", help="Exit with 1 when there are alerts.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document instead of tables.")] = False,
) -> None:
    """Score every row of a file: the probability of fraud by a trained model, and how unusual the row is.

    Without a model the file is judged by itself. Exit codes: 0 done, 1 failed or --fail-on-alerts, 2 bad input.
    """
    # The machinery of learning takes seconds to import; the other commands do without.
    from synfinance import fraud

    detector = _load(model)
    if detector is not None and threshold is not None:
        detector.threshold = threshold
    target_format: Format | None = None
    if out is not None:
        target_format = _format("score", out, format)
        checked_target("score", out)
    try:
        past = None if history is None else read_table(history, max_rows=HISTORY_ROWS, sample="tail").frame
        with open_table(file) as source:
            source.rows = min(source.rows, rows or source.rows)
            run = _Run(source, detector, past, top)
            with progress("rows") as bar:
                task = bar.add_task(f"Scoring {file.name}", total=source.rows)
                frames = _counted(run, lambda rows: bar.advance(task, rows))
                if out is not None and target_format is not None:
                    _write(frames, out, target_format)
                else:
                    for _ in frames:
                        pass
    except BadFile as error:
        refuse("score", error)
    except fraud.UnfitTable as error:
        refuse("score", f"{file}: {error}")
    document = {"file": str(file), "model": None if model is None else str(model), **run.summary()}
    document["out"] = None if out is None else str(out)
    if as_json:
        emit(document)
    else:
        _show(document, file)
        tell(run.notes)
    if fail_on_alerts and run.alerts:
        raise typer.Exit(FAILED)


@dataclass
class _Run:
    """Scoring of one file, window by window."""

    source: TableSource
    detector: Detector | None
    past: pl.DataFrame | None
    top: int
    rows: int = 0
    alerts: int = 0
    anomalies: int = 0
    by_type: Counter[str] = field(default_factory=Counter)
    by_severity: Counter[str] = field(default_factory=Counter)
    by_reason: Counter[str] = field(default_factory=Counter)
    feature_seconds: float = 0.0
    prediction_seconds: float = 0.0
    notes: list[str] = field(default_factory=list)
    worst: list[tuple[float, int, dict[str, Any]]] = field(default_factory=list)

    def frames(self) -> Iterator[pl.DataFrame]:
        """The rows of the file with their scores beside them, in the file's order."""
        source = self.source
        self.notes.extend(source.notes)
        if source.rows > WINDOW_ROWS:
            self.notes.append(
                f"the file has {source.rows:,} rows and is scored {WINDOW_ROWS:,} at a time, which takes it to be in "
                f"order of time; each row is judged with at least the {HISTORY_ROWS:,} before it in mind"
            )
        for start in range(0, source.rows, WINDOW_ROWS):
            raw = source.raw_between(start, min(start + WINDOW_ROWS, source.rows))
            frame = source.narrow(raw)
            if self.detector is None:
                self.detector, scores = self._first_look(frame)
            else:
                scores = self.detector.score(frame, self.past)
            self.past = frame.tail(HISTORY_ROWS) if self.source.rows > WINDOW_ROWS else None
            self._note(frame, scores)
            taken = set(raw.columns)
            columns = scores.frame()
            yield raw.hstack(columns.rename({name: _free(name, taken) for name in columns.columns}))

    def _first_look(self, frame: pl.DataFrame) -> tuple[Detector, Scores]:
        """Without a model, what is usual is learned from the file itself: from all of it, or from its first window."""
        if self.source.rows > WINDOW_ROWS:
            self.notes.append(f"what is usual was learned from the first {WINDOW_ROWS:,} rows")
        from synfinance.fraud import Detector

        if self.past is None:
            return Detector.score_unlabelled(frame)
        detector = Detector.unlabelled(self.past)
        return detector, detector.score(frame, self.past)

    def _note(self, frame: pl.DataFrame, scores: Scores) -> None:
        """Count alerts, and keep the most suspicious rows."""
        self.alerts += int(scores.decision.sum())
        self.anomalies += int(scores.is_anomaly.sum())
        self.by_type.update(scores.type[scores.decision].tolist())
        self.by_severity.update(scores.severity[scores.decision].tolist())
        self.by_reason.update(reason for reason in scores.reason[scores.is_anomaly].tolist() if reason)
        self.feature_seconds += scores.feature_seconds
        self.prediction_seconds += scores.prediction_seconds
        rank = scores.anomaly if scores.probability is None else scores.probability
        for place in heapq.nlargest(self.top, range(len(rank)), key=lambda place: float(rank[place])):
            shown = {
                "row": self.rows + place + 1,
                "fraud_probability": None if scores.probability is None else round(float(scores.probability[place]), 6),
                "anomaly_score": round(float(scores.anomaly[place]), 6),
                "alert": bool(scores.decision[place]),
                "type": str(scores.type[place]),
                "severity": str(scores.severity[place]),
                "reason": str(scores.reason[place]),
                "values": frame.row(place, named=True),
            }
            self.worst.append((float(rank[place]), -(self.rows + place), shown))
        self.worst = heapq.nlargest(self.top, self.worst, key=lambda entry: entry[:2])
        self.rows += len(rank)

    def summary(self) -> dict[str, Any]:
        """What was found, as plain values."""
        detector = self.detector
        trained = detector is not None and detector.classifier is not None
        return {
            "rows": self.rows,
            "detects": detector.meaning if detector is not None and trained else None,
            "threshold": detector.threshold if detector is not None and trained else None,
            "alerts": self.alerts,
            "alert_rate": self.alerts / max(1, self.rows),
            "anomalies": self.anomalies,
            "by_type": dict(self.by_type.most_common()),
            "by_severity": dict(self.by_severity.most_common()),
            "anomaly_reasons": dict(self.by_reason.most_common()),
            "feature_seconds": round(self.feature_seconds, 4),
            "prediction_seconds": round(self.prediction_seconds, 4),
            "roles": detector.roles.as_dict() if detector is not None else None,
            "top": [shown for _, _, shown in self.worst],
            "notes": self.notes,
        }


def _load(model: Path | None) -> Detector | None:
    from synfinance.fraud import BadModel, Detector

    try:
        return None if model is None else Detector.load(model)
    except BadModel as error:
        refuse("score", error)


def _counted(run: _Run, advance: Any) -> Iterator[pl.DataFrame]:
    for frame in run.frames():
        advance(frame.height)
        yield frame


def _write(frames: Iterator[pl.DataFrame], out: Path, format: Format) -> None:
    """Write scored rows; the first window is scored before anything is written, since it decides the columns."""
    first = next(frames)

    def all_frames() -> Iterator[pl.DataFrame]:
        yield first
        yield from frames

    if format == "csv" and any(dtype.is_nested() for dtype in first.schema.values()):
        refuse("score", f"{out}: the file has nested columns, which CSV cannot hold; write Parquet")
    try:
        sink(all_frames, first.schema, out, format)
    except (OSError, pl.exceptions.PolarsError) as error:
        refuse("score", f"{out}: it cannot be written ({error})", FAILED)


def _free(name: str, taken: set[str]) -> str:
    """The name, with underscores after it until no column has it."""
    while name in taken:
        name += "_"
    taken.add(name)
    return name


def _show(document: dict[str, Any], file: Path) -> None:
    rows, alerts = document["rows"], document["alerts"]
    if document["detects"]:
        found = f"{alerts:,} alerts ({alerts / max(1, rows):.2%}) for {document['detects']}, "
        found += f"{document['anomalies']:,} anomalies"
    else:
        found = f"{document['anomalies']:,} anomalies ({document['anomalies'] / max(1, rows):.2%})"
    screen.print(f"[bold]{file}[/]: {found} in {rows:,} rows", soft_wrap=True)
    for title, key in (("by type", "by_type"), ("by severity", "by_severity"), ("unusual in", "anomaly_reasons")):
        if document[key]:
            listed = ", ".join(f"{name} {number:,}" for name, number in document[key].items())
            screen.print(f"  [dim]{title}:[/] {listed}", soft_wrap=True)
    if document["top"]:
        screen.print(_grid(document))
    if document["out"]:
        screen.print(f"Written to [bold]{document['out']}[/]", soft_wrap=True)
    notices.print(
        f"[dim]features {document['feature_seconds']:.2f} s, prediction {document['prediction_seconds']:.2f} s[/]"
    )


def _grid(document: dict[str, Any]) -> Grid:
    roles = document["roles"]
    names = [roles[key] for key in ("time", "entity", "merchant", "amount") if roles and roles[key]]
    grid = Grid("row", "score", "type", "severity", "reason", *names, box=None, header_style="dim")
    for shown in document["top"]:
        score = shown["anomaly_score"] if shown["fraud_probability"] is None else shown["fraud_probability"]
        values = (str(shown["values"][name])[:32] for name in names)
        grid.add_row(f"{shown['row']:,}", f"{score:.4f}", shown["type"], shown["severity"], shown["reason"], *values)
    return grid
