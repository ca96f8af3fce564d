"""P21: SynFinance's generator."""

from __future__ import annotations

import resource
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.contestant import Contestant
from benchmarks.lab import Lab
from benchmarks.results import Goal, Measure, Row
from benchmarks.spread import Spread
from benchmarks.suites import Suite

__all__ = ["SUITE", "make", "writer"]

RATE = 500_000

TEXT = """\
The generator with its defaults and all columns, labels included, in a process of its own with all cores; wall time.
The rate counts frames as they are made. Memory is the greatest resident set (`ru_maxrss`) of a process that writes a
Parquet file of that many rows with `synfinance.generator.write`, as `synfinance generate` does. **Flat** means: ten
times the rows take at most 1.15 × of the memory.

There is no peer for this: the nearest, Sparkov and mimesis, make 20,000 to 40,000 rows a second."""


def run(lab: Lab) -> list[Row]:
    """Measure rate and memory."""
    rows = lab.scale(1_000_000, 300_000)
    lab.say("P21: transactions a second")
    with Contestant(f"{__name__}:make") as contestant:
        contestant(rows=100_000)
        rates = [rows / contestant(rows=rows) for _ in range(lab.scale(5, 3))]
    lab.say("P21: memory")
    small = lab.scale(1_000_000, 1_000_000)
    large = lab.scale(10_000_000, 2_000_000)
    peak: dict[int, float] = {}
    seconds: dict[int, float] = {}
    for size in (small, large):
        with Contestant(f"{__name__}:writer") as contestant:
            seconds[size], peak[size] = contestant(rows=size)
    return [
        Row(
            "P21a",
            "Transactions generated a second, all columns",
            Measure("SynFinance", "transactions/s", Spread.of(rates)),
            (),
            Goal("ours", ">=", RATE, f"≥ {RATE:,}/s"),
            None,
            (f"With writing Parquet: {large / seconds[large]:,.0f} a second.",),
        ),
        Row(
            "P21b",
            f"Peak memory of {large:,} rows, against {small:,}",
            Measure(f"SynFinance, {large:,} rows", "MiB", Spread.of([peak[large]])),
            (Measure(f"SynFinance, {small:,} rows", "MiB", Spread.of([peak[small]])),),
            Goal("ratio", "<=", 1.15, "≤ 1.15 × (flat)"),
            peak[large] / peak[small],
        ),
    ]


def make() -> Callable[..., float]:
    """Make a contestant that generates and forgets; a command returns the seconds that it took."""
    from synfinance.generator import Generator, GeneratorConfig

    def carry_out(rows: int) -> float:
        started = time.perf_counter()
        made = sum(frame.height for frame in Generator(GeneratorConfig(rows=rows, seed=7)).frames())
        taken = time.perf_counter() - started
        if made != rows:
            raise RuntimeError(f"{made:,} rows were made, not {rows:,}")
        return taken

    return carry_out


def writer() -> Callable[..., tuple[float, float]]:
    """Make a contestant that writes a file; a command returns the seconds, and the process' peak memory in MiB."""
    from synfinance.generator import Generator, GeneratorConfig, write

    def carry_out(rows: int) -> tuple[float, float]:
        with tempfile.TemporaryDirectory(prefix="bench-") as folder:
            started = time.perf_counter()
            write(Generator(GeneratorConfig(rows=rows, seed=7)), Path(folder) / "run.parquet")
            taken = time.perf_counter() - started
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return taken, peak / (2**20 if sys.platform == "darwin" else 2**10)

    return carry_out


SUITE = Suite("Generator", ("P21a", "P21b"), TEXT, run)
