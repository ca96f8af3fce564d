"""What a run leaves behind: ``docs/benchmarks.md`` for people, ``benchmarks/results.json`` for programs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

import orjson

from benchmarks import machine
from benchmarks.contestant import ROOT
from benchmarks.results import Measure, Row
from benchmarks.suites import Suite

__all__ = ["DOCUMENT", "RESULTS", "page", "table", "write"]

DOCUMENT = ROOT / "docs" / "benchmarks.md"
RESULTS = ROOT / "benchmarks" / "results.json"

_INTRODUCTION = """\
# Benchmarks

Bedplate and its peers, measured side by side in one run. This page and `benchmarks/results.json` are written by that
run, and by nothing else.

**Read the ratios.** All times depend on the machine and on what else it does; how two contestants compare in one run
depends on it much less."""

_RULES = """\
## How it is measured

- Every contestant is a Python process of its own, so that patches, global providers and caches of one never meet
  another. All are started first; then they take turns, A B C, C B A, …, for several rounds, on one core, where the
  system lets a process choose it.
- Costs are CPU times of the process with all its threads, so waiting costs nothing and hiding work in a thread gains
  nothing. The median of all rounds counts; the least and the greatest are shown beside it.
- Peers are set up as their own documentation shows it, and where that recommends a faster way, in that way; exporters
  and log sinks cost nothing. A contestant that writes to the standard error, or answers a request with anything but
  200, ends the run.
- Goals compare, wherever there is something to compare with; absolute goals stand only where there is no peer."""

_REPEAT = """\
## Repeat it

```console no-run
$ make bench                          # all of it: installs wrk if need be, takes some minutes
$ make bench ARGS=--quick             # all of it, with fewer rounds
$ .venv/bin/python -m benchmarks P1   # one question; writes nothing
```

## What this does not say

- A real handler waits for databases. A stack that costs 300 µs a request is felt on a busy core, not in the latency of
  one request.
- The peers' exporters do nothing here. In production, OpenTelemetry encodes and sends its spans, which costs more the
  more are sampled.
- The stacks do not do exactly the same. Bedplate also counts errors by type, guards log lines against secrets and adds
  security and rate-limit headers; the peers' limiter sends no headers, and their traces of all requests can be
  searched, where Bedplate keeps the sampled, the slow and the failed ones.
- The machines of these runs are shared. A whole run on a quiet machine of yours is worth more than these numbers."""


def write(suites: Sequence[Suite], rows: Sequence[Row], *, quick: bool, seconds: float) -> None:
    """Write both reports of a whole run."""
    DOCUMENT.parent.mkdir(exist_ok=True)
    DOCUMENT.write_text(page(suites, rows, quick=quick, seconds=seconds), encoding="utf-8")
    option = orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE
    RESULTS.write_bytes(orjson.dumps([row.to_json() for row in rows], option=option))


def page(suites: Sequence[Suite], rows: Sequence[Row], *, quick: bool, seconds: float) -> str:
    """Return the page for people."""
    met = sum(row.met for row in rows)
    kind = "A quick run, with fewer rounds than the numbers deserve" if quick else "A whole run"
    when = f"{kind}, {datetime.now(UTC):%Y-%m-%d}, {seconds / 60:.0f} min. {met} of {len(rows)} goals were met."
    facts = [f"{name}: {value}" for name, value in machine.facts().items()]
    packages = [f"{name} {version}" for name, version in machine.versions().items()]
    parts = [_INTRODUCTION, when, table(rows), *_missed(rows), _RULES]
    for suite in suites:
        notes = [f"- {row.id}: {note}" for row in rows if row.id in suite.ids for note in row.notes]
        parts += [f"### {suite.title} ({', '.join(suite.ids)})", suite.text]
        if notes:
            parts += ["Seen in this run:", "\n".join(notes)]
        parts.append(_spreads([row for row in rows if row.id in suite.ids]))
    parts += ["## Measured on", _bullets(facts), f"With {', '.join(packages)}.", _REPEAT]
    return "\n\n".join(parts) + "\n"


def table(rows: Iterable[Row]) -> str:
    """Return the table of thresholds, in Markdown."""
    lines = ["| id | what | ours | peer | ratio | goal | met |", "|---|---|--:|--:|--:|---|---|"]
    for row in rows:
        peer = _value(row.peers[0]) if row.peers else "–"
        ratio = "–" if row.ratio is None else _ratio(row)
        met = "yes" if row.met else "**no**"
        lines.append(f"| {row.id} | {row.what} | {_value(row.ours)} | {peer} | {ratio} | {row.goal.text} | {met} |")
    return "\n".join(lines)


def _missed(rows: Sequence[Row]) -> list[str]:
    missed = [row for row in rows if not row.met]
    return [f"Missed: {'; '.join(f'{row.id}, {_gap(row)}' for row in missed)}."] if missed else []


def _gap(row: Row) -> str:
    measured = row.ours.value if row.goal.of == "ours" else row.ratio
    return f"{measured:.3g} where {row.goal.text} was wanted" if measured is not None else "not known"


def _spreads(rows: Sequence[Row]) -> str:
    lines = ["| | unit | least | median | greatest | rounds |", "|---|---|--:|--:|--:|--:|"]
    seen: set[tuple[str, float]] = set()
    for row in rows:
        for measure in (row.ours, *row.peers):
            key = (measure.name, measure.value)
            if key in seen:
                continue
            seen.add(key)
            spread = measure.spread
            numbers = f"{number(spread.least)} | {number(spread.median)} | {number(spread.greatest)} | {spread.rounds}"
            lines.append(f"| {row.id} {measure.name} | {measure.unit} | {numbers} |")
    return "\n".join(lines)


def _ratio(row: Row) -> str:
    assert row.ratio is not None
    if row.goal.op == "<=" and row.goal.value < 1:
        return f"1/{1 / row.ratio:.1f}" if row.ratio > 0 else "0"
    return f"{row.ratio:.0%}" if row.goal.value < 1 else f"{number(row.ratio)} ×"


def _value(measure: Measure) -> str:
    return f"{number(measure.value)} {measure.unit.split(' ')[0]}" if measure.unit else number(measure.value)


def number(value: float) -> str:
    """A number as people read it: three digits, thousands set apart."""
    if abs(value) >= 1_000:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def _bullets(items: Iterable[str]) -> str:
    return "\n".join(f"- {item}" for item in items)
