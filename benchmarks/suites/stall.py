"""P6: what scraping does to the event loop of the process that scrapes."""

from __future__ import annotations

from benchmarks import series
from benchmarks.host import WORKERS, host
from benchmarks.lab import Lab
from benchmarks.results import Goal, Measure, Row
from benchmarks.spread import Spread
from benchmarks.suites import Suite

__all__ = ["SUITE"]

STALL = 5.0
DEAD = 8

TEXT = f"""\
A service of role `ops` observes {WORKERS} processes with {series.SERIES:,} series each. A callback that does nothing
but come again watches its event loop: the **stall** is the longest time between two of its turns, over the first
scrapes, when nothing is laid out yet, the ones after, and those that fold {DEAD} dead workers with as many series. It
is the thread's own CPU time, for a shared machine also stops it; but where the thread gave the processor away by itself
to wait for something (`ru_nvcsw`), the whole time counts. The same loop without scrapes tells what else the service
does. The greatest of all counts, not a median."""


def run(lab: Lab) -> list[Row]:
    """Watch the loop of several such processes, each from its first scrape on."""
    lab.say("P6: the event loop during scrapes")
    seconds = lab.scale(2, 1)
    seen: list[dict[str, float]] = []
    idle: list[dict[str, float]] = []
    for _ in range(lab.scale(3, 1)):
        with host(lab, "service") as watched:
            watched.change()
            idle.append(watched.scraper(scraping=False, seconds=seconds))
            seen.append(watched.scraper(scraping=True, seconds=seconds))
            watched.bury(DEAD, series.SERIES)
            seen.append(watched.scraper(scraping=True, seconds=seconds))
    stalls = sorted(one["stall"] for one in seen)
    worst = Spread(stalls[0], stalls[-1], stalls[-1], len(stalls))

    def most(of: list[dict[str, float]], what: str) -> str:
        return f"{max(one[what] for one in of):.1f} ms"

    return [
        Row(
            "P6c",
            "Longest stall of the event loop in the scraping process",
            Measure("Bedplate, the worst of all", "ms", worst),
            (Measure("the same loop without scrapes", "ms", Spread.of(one["stall"] for one in idle)),),
            Goal("ours", "<=", STALL, f"≤ {STALL:g} ms"),
            None,
            (
                f"{sum(int(one['scrapes']) for one in seen)} scrapes were watched.",
                f"Longest garbage collection: {most(seen, 'collection')}, {most(idle, 'collection')} without scrapes.",
                f"With the machine's own pauses: {most(seen, 'wall')}, {most(idle, 'wall')} without scrapes.",
            ),
        )
    ]


SUITE = Suite("The event loop during scrapes", ("P6c",), TEXT, run)
