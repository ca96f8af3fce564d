"""The command line: ``synfinance generate | train | score | quality``."""

from __future__ import annotations

import os

# Idle OpenMP threads sleep instead of spinning: on a busy machine training is several times faster. The runtime reads
# this once, when scikit-learn is first imported.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import typer

from synfinance.cli.generate import generate
from synfinance.cli.output import run
from synfinance.cli.quality import quality
from synfinance.cli.score import score
from synfinance.cli.train import train

app = typer.Typer(
    name="synfinance",
    help="Synthetic card transactions, fraud detection and data quality.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
app.command("generate")(generate)
app.command("train")(train)
app.command("score")(score)
app.command("quality")(quality)


def main() -> None:
    """Run the command line; the process exits with 0 for done, 1 for failed or findings, 2 for bad input."""
    run(app)
