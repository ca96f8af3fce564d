"""P6: one scrape of several processes, the dead ones included."""

from __future__ import annotations

from benchmarks import series
from benchmarks.host import WORKERS, Host, host
from benchmarks.lab import Lab
from benchmarks.results import Goal, Measure, Row
from benchmarks.spread import Spread
from benchmarks.suites import Suite

__all__ = ["SUITE"]

UNIT = "ms CPU a scrape"
DEAD = 257
DEAD_SERIES = 1_000
TEXT = f"""\
{WORKERS} processes have the same {series.SERIES:,} series each; another one scrapes them: Bedplate's registry over
memory-mapped cells, and prometheus_client's multiprocess mode as its documentation sets it up (a directory, a
`MultiProcessCollector` in a fresh registry for each scrape, `livesum` gauges). Both expose {series.SERIES:,} merged
series, and the workers change every one before each scrape.

Beside a second set of workers, {DEAD} processes with {DEAD_SERIES:,} of the same series each are started and die
without a word (`os._exit`); prometheus_client is told of each death with `mark_process_dead`, as its documentation
asks. The first scrape after that, in which Bedplate folds the dead into one file, is reported apart. **Flat** means: a
scrape costs at most 1.2 × of what it costs where nobody died."""


def run(lab: Lab) -> list[Row]:
    """Measure all rows."""
    lab.say("P6: a scrape of four workers, and of four after others died")
    rounds = lab.scale(12, 4)
    with host(lab, "registry") as ours, host(lab, "registry") as bereaved, host(lab, "peer") as peer:
        first = {"ours": ours.scrape(), "peer": peer.scrape()}
        bereaved.scrape()
        bereaved.bury(DEAD, DEAD_SERIES)
        folding = {"ours": bereaved.scrape()}
        taken = _in_turns({"none dead": ours, "dead": bereaved, "peer": peer}, rounds)
        peer.bury(DEAD, DEAD_SERIES)
        folding["peer"] = peer.scrape()
        taken |= _in_turns({"peer, dead": peer}, lab.scale(5, 2))
    mine, theirs = Measure("Bedplate", UNIT, taken["none dead"]), Measure("prometheus_client", UNIT, taken["peer"])
    return [
        Row(
            "P6a",
            f"Scrape merged from {WORKERS} workers, against multiprocess mode",
            mine,
            (theirs,),
            Goal("ratio", ">=", 15, "≥ 15 × faster"),
            theirs.value / mine.value,
            (_took("The first scrape", first),),
        ),
        Row(
            "P6b",
            f"The same where {DEAD} workers have died, against none",
            Measure(f"Bedplate, {DEAD} dead", UNIT, taken["dead"]),
            (
                Measure("Bedplate, none dead", UNIT, taken["none dead"]),
                Measure(f"prometheus_client, {DEAD} dead", UNIT, taken["peer, dead"]),
            ),
            Goal("ratio", "<=", 1.2, "≤ 1.2 × (flat)"),
            taken["dead"].median / taken["none dead"].median,
            (_took("The first scrape after the deaths, which folds them,", folding),),
        ),
    ]


def _took(what: str, milliseconds: dict[str, float]) -> str:
    return f"{what} took Bedplate {milliseconds['ours']:.0f} ms and prometheus_client {milliseconds['peer']:.0f} ms."


def _in_turns(hosts: dict[str, Host], rounds: int) -> dict[str, Spread]:
    taken: dict[str, list[float]] = {name: [] for name in hosts}
    for _ in range(rounds):
        for name, one in hosts.items():
            taken[name].append(one.scrape())
    return {name: Spread.of(values) for name, values in taken.items()}


SUITE = Suite("Scrape of several processes", ("P6a", "P6b"), TEXT, run)
