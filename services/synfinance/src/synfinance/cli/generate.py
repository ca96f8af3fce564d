"""``synfinance generate``: labelled card transactions."""

from __future__ import annotations

import sys
import time
from collections import Counter
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import polars as pl
import typer

from synfinance.cli.output import FAILED, checked_target, emit, progress, refuse, screen
from synfinance.generator import FRAUD_TYPES, Generator, GeneratorConfig, write
from synfinance.sink import Format, format_of

_DEFAULTS = GeneratorConfig()


def generate(
    rows: Annotated[int, typer.Option("--rows", "-n", help="Transactions to make.")] = _DEFAULTS.rows,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="File to write; - prints CSV.", show_default="transactions.parquet"),
    ] = None,
    format: Annotated[
        str | None, typer.Option("--format", "-f", help="parquet or csv.", show_default="by the file's name")
    ] = None,
    seed: Annotated[int, typer.Option(help="Equal seeds make equal rows.")] = _DEFAULTS.seed,
    fraud_rate: Annotated[float, typer.Option(help="Share of fraudulent transactions.")] = _DEFAULTS.fraud_rate,
    fraud: Annotated[
        int | None, typer.Option(help="Exact number of fraudulent transactions.", show_default=False)
    ] = None,
    types: Annotated[
        str | None, typer.Option(help=f"Kinds of fraud, comma separated: {', '.join(FRAUD_TYPES)}.", show_default="all")
    ] = None,
    customers: Annotated[int | None, typer.Option(help="People.", show_default="rows / 45, up to 20,000")] = None,
    days: Annotated[float | None, typer.Option(help="Time span.", show_default="1.5 transactions a day each")] = None,
    start: Annotated[datetime, typer.Option(help="Time of the first possible transaction, UTC.")] = _DEFAULTS.start,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document instead of text.")] = False,
) -> None:
    """Make labelled card transactions with injected fraud and write them to a CSV or Parquet file.

    Memory does not grow with the number of rows. Exit codes: 0 done, 1 failed, 2 bad input.
    """
    try:
        config = GeneratorConfig(
            rows=rows,
            seed=seed,
            fraud_rate=fraud_rate,
            fraud=fraud,
            fraud_types=tuple(name.strip() for name in types.split(",")) if types else FRAUD_TYPES,
            customers=customers,
            days=days,
            start=start,
        )
    except ValueError as error:
        refuse("generate", error)
    to_screen = out is not None and str(out) == "-"
    if to_screen and (as_json or format not in (None, "csv")):
        refuse("generate", "--out - prints CSV; it goes with neither --json nor --format parquet")
    target = out or Path(f"transactions.{format or 'parquet'}")
    chosen = _format("generate", target, "csv" if to_screen else format)
    if to_screen:
        _print(Generator(config))
        return
    checked_target("generate", target)
    began = time.perf_counter()
    generator = Generator(config)
    seen: Counter[tuple[str, str]] = Counter()
    with progress("transactions") as bar:
        task = bar.add_task(f"Generating {target.name}", total=rows)

        def count(frame: pl.DataFrame) -> None:
            bar.advance(task, frame.height)
            found = frame.filter("is_fraud").group_by("fraud_type", "severity").len()
            seen.update({(str(kind), str(severity)): int(number) for kind, severity, number in found.iter_rows()})

        try:
            write(generator, target, format=chosen, on_frame=count)
        except (OSError, pl.exceptions.PolarsError) as error:
            refuse("generate", f"{target}: it cannot be written ({error})", FAILED)
    _report(generator, target, chosen, seen, time.perf_counter() - began, as_json=as_json)


def _format(command: str, target: Path, format: str | None) -> Format:
    if format is not None and format not in ("parquet", "csv"):
        refuse(command, f"unknown format {format!r}; use parquet or csv")
    try:
        return "csv" if format == "csv" else "parquet" if format == "parquet" else format_of(target)
    except ValueError as error:
        refuse(command, error)


def _print(generator: Generator) -> None:
    for index, frame in enumerate(generator.frames()):
        sys.stdout.write(frame.write_csv(include_header=index == 0, datetime_format="%Y-%m-%dT%H:%M:%S%.3f"))
    sys.stdout.flush()


def _report(
    generator: Generator, target: Path, format: Format, seen: Counter[tuple[str, str]], seconds: float, *, as_json: bool
) -> None:
    config = generator.config
    by_type, by_severity = Counter[str](), Counter[str]()
    for (kind, severity), number in seen.items():
        by_type[kind] += number
        by_severity[severity] += number
    document: dict[str, Any] = {
        "path": str(target),
        "format": format,
        "bytes": target.stat().st_size,
        "rows": config.rows,
        "fraud": seen.total(),
        "fraud_rate": seen.total() / config.rows,
        "by_type": dict(sorted(by_type.items())),
        "by_severity": dict(by_severity.most_common()),
        "seed": config.seed,
        "customers": generator.population.customers,
        "cards": generator.population.cards,
        "merchants": generator.population.merchants,
        "seconds": round(seconds, 3),
        "rows_per_second": round(config.rows / seconds),
    }
    if as_json:
        emit(document)
        return
    screen.print(
        f"[bold]{target}[/]: {config.rows:,} transactions of {document['customers']:,} customers, {seen.total():,} "
        f"fraudulent, {document['bytes'] / 1e6:,.1f} MB in {seconds:.1f} s ({document['rows_per_second']:,} a second)",
        soft_wrap=True,
    )
    if seen:
        screen.print("  " + ", ".join(f"{name} {number:,}" for name, number in sorted(by_type.items())), soft_wrap=True)
