"""P5: one scrape of one process."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Callable
from typing import Any

from benchmarks import series
from benchmarks.lab import Lab
from benchmarks.results import Goal, Measure, Row
from benchmarks.spread import Spread
from benchmarks.suites import Suite

__all__ = ["SUITE", "ours", "peer"]

UNIT = "ms CPU a scrape"

TEXT = f"""\
One process with {series.SERIES:,} series (sample lines): counters and gauges with two labels, and histograms with
OpenTelemetry's 14 boundaries. Every series changes before each scrape. prometheus_client exposes the same lines: its
`_created` series are off. Both render text format 0.0.4; the first scrape, which also lays out what later ones reuse,
is reported apart."""


def run(lab: Lab) -> list[Row]:
    """Scrape both in turns."""
    lab.say("P5: a scrape of 10,000 series")
    with lab.contestants({"ours": (f"{__name__}:ours", {}), "peer": (f"{__name__}:peer", {})}) as contestants:
        first = {name: contestant(scrapes=1)[0] for name, contestant in contestants.items()}
        taken = lab.interleave(contestants, lab.scale(10, 4), scrapes=lab.scale(5, 3))
    spread = {name: Spread.of(value * 1e3 for batch in values for value in batch) for name, values in taken.items()}
    mine = Measure("Bedplate", UNIT, spread["ours"])
    theirs = Measure("prometheus_client.generate_latest", UNIT, spread["peer"])
    return [
        Row(
            "P5",
            f"Scrape of {series.SERIES:,} series, against generate_latest",
            mine,
            (theirs,),
            Goal("ratio", ">=", 25, "≥ 25 × faster"),
            theirs.value / mine.value,
            (_first(first["ours"] * 1e3, first["peer"] * 1e3),),
        )
    ]


def _first(mine: float, theirs: float) -> str:
    return f"The first scrape took Bedplate {mine:.0f} ms and prometheus_client {theirs:.0f} ms."


def ours() -> Callable[..., list[float]]:
    """Make a contestant: our registry."""
    registry, updates = series.ours(None)
    loop = asyncio.new_event_loop()
    return _scraped(updates, lambda: loop.run_until_complete(registry.render()))


def peer() -> Callable[..., list[float]]:
    """Make a contestant: prometheus_client's registry."""
    from prometheus_client import generate_latest

    registry, updates = series.peers()
    return _scraped(updates, lambda: generate_latest(registry))


def _scraped(updates: list[series.Update], scrape: Callable[[], bytes]) -> Callable[..., list[float]]:
    state: dict[str, Any] = {"seed": 0}

    def carry_out(scrapes: int) -> list[float]:
        taken = []
        for _ in range(scrapes):
            state["seed"] += 1
            series.shake(updates, state["seed"])
            gc.collect()
            before = time.process_time()
            text = scrape()
            taken.append(time.process_time() - before)
            if (count := series.lines(text)) != series.SERIES:
                raise RuntimeError(f"the scrape has {count:,} samples, not {series.SERIES:,}")
        return taken

    return carry_out


SUITE = Suite("Scrape", ("P5",), TEXT, run)
