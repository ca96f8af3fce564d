"""H1: series that a hostile client can add."""

from __future__ import annotations

import random
import string
from collections.abc import Callable

from benchmarks import series
from benchmarks.driver import Driver
from benchmarks.lab import Lab
from benchmarks.results import Goal, Measure, Row
from benchmarks.spread import Spread
from benchmarks.stacks import STACKS, build
from benchmarks.stacks.app import path
from benchmarks.suites import Suite

__all__ = ["SUITE", "make"]

UNIT = "series added"

TEXT = """\
One request of each kind first: a route, a path that no route has, a method that a route does not have, a method that
HTTP does not have, on both. Then hostile ones, all different: random methods, random paths, random methods on a route's
path. What counts is how many samples `/metrics` has more afterwards."""

_KNOWN = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "QUERY")


def run(lab: Lab) -> list[Row]:
    """Attack all stacks that expose metrics."""
    lab.say("H1: hostile methods and paths")
    requests = lab.scale(10_000, 2_000)
    stacks = ("ours", "modern", "usual")
    with lab.contestants({stack: (f"{__name__}:make", {"stack": stack}) for stack in stacks}) as contestants:
        added = {stack: Spread.of([contestants[stack](requests=requests)]) for stack in stacks}
    return [
        Row(
            "H1",
            f"Series added by {requests:,} hostile methods and paths",
            Measure(STACKS["ours"], UNIT, added["ours"]),
            tuple(Measure(STACKS[stack], UNIT, added[stack]) for stack in ("modern", "usual")),
            Goal("ours", "<=", 0, "0"),
        )
    ]


def make(stack: str) -> Callable[..., int]:
    """Make a contestant: an application that is attacked."""
    driver = Driver(build(stack, 1))

    def count() -> int:
        return series.lines(driver.loop.run_until_complete(driver.fetch("/metrics")))

    def send(method: str, target: str) -> None:
        driver.loop.run_until_complete(driver.request(method, target))

    def carry_out(requests: int) -> int:
        for target in (path(0), "/nowhere", "/section-0/items/not-a-number"):
            for method in (*_KNOWN, "BREW"):
                send(method, target)
        count()  # the scrape itself is a request, and a series
        before = count()
        source = random.Random(1)
        for number in range(requests):
            word = "".join(source.choices(string.ascii_letters + "%/._-é", k=source.randint(3, 24)))
            letters = "".join(source.choices(string.ascii_uppercase, k=source.randint(3, 12)))
            kind = number % 3
            send(source.choice(_KNOWN) if kind == 0 else letters, path(0, number) if kind == 2 else f"/{word}{number}")
        return count() - before

    return carry_out


SUITE = Suite("Hostile requests", ("H1",), TEXT, run)
