"""Drawing charts as SVG: sharp at any width, readable without scripts, coloured by classes alone."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

import numpy as np
from markupsafe import Markup, escape

from bedplate.console.charts.data import Chart, Floats, Line
from bedplate.console.words import quantity

__all__ = ["BELOW", "extent", "lines_drawn", "rounded", "spark", "stretches", "ticks", "time_ticks", "times_below"]

#: The inner drawing's own measures; it is stretched to the page's.
_WIDE, _HIGH = 1000.0, 1000.0
#: Where the plot ends above and below, in pixels of its box; times stand below.
BELOW = 20
_TONES = {"critical": "bad", "warning": "warn", "info": "info"}
_DAYS = 86_400
_SPANS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10_800, 21_600, 43_200, _DAYS)


def lines_drawn(chart: Chart, title: str, *, tall: bool = False) -> Markup:
    """Return the chart as SVG, with what it shows in words for those who do not see it."""
    height = 300 if tall else 172
    low, high = extent(chart)
    marks = ticks(low, high, 5 if tall else 3, base=1024 if chart.unit in ("bytes", "Bps") else 10)
    low, high = min([low, *marks]), max([high, *marks])
    inner = height - BELOW - 10

    def above(value: float) -> float:
        return 10 + inner * (1 - (value - low) / (high - low))

    parts = [
        Markup('<svg role="img" aria-label="{}">').format(f"{title}. {told(chart)}"),
        Markup('<svg y="10" width="100%" height="{}" viewBox="0 0 1000 1000" preserveAspectRatio="none">').format(
            inner
        ),
    ]
    parts += [
        Markup('<path class="grid-line" d="M0 {y}H1000"/>').format(y=rounded(_HIGH * (1 - (mark - low) / (high - low))))
        for mark in marks
    ]
    parts += _lines(chart, low, high)
    for line in chart.thresholds:
        if low <= line.value <= high:
            y = rounded(_HIGH * (1 - (line.value - low) / (high - low)))
            tone = _TONES[line.severity]
            parts.append(Markup('<path class="limit tone-{}" d="M0 {y}H1000"/>').format(tone, y=y))
    parts.append(Markup("</svg>"))
    parts += [
        Markup('<text x="0" y="{}">{}</text>').format(rounded(above(mark) - 4), quantity(mark, chart.unit))
        for mark in marks
    ]
    for line in chart.thresholds:
        if low <= line.value <= high:
            text = f"{line.label or line.severity} {quantity(line.value, chart.unit)}"
            y = rounded(max(10.0, above(line.value) - 4))
            parts.append(
                Markup('<text class="limit-text tone-{}" x="100%" y="{}" text-anchor="end">{}</text>').format(
                    _TONES[line.severity], y, text
                )
            )
    parts += [times_below(chart.times, height), Markup("</svg>")]
    return Markup("").join(parts)


def times_below(times: Floats, height: int) -> Markup:
    """Return the times of day below a chart of some height in pixels."""
    return Markup("").join(
        Markup('<text x="{}%" y="{}" text-anchor="{}">{}</text>').format(rounded(100 * share), height - 4, anchor, text)
        for share, text, anchor in time_ticks(times)
    )


def spark(line: Line) -> Markup:
    """Return a small line without axes, for a number that stands beside it."""
    values = line.values
    there = values[np.isfinite(values)]
    if len(there) < 2:
        return Markup("")
    low, high = float(there.min()), float(there.max())
    if high == low:
        high = low + 1
    path = _path(_across(len(values)), _down(values, low, high))
    head = Markup('<svg viewBox="0 0 1000 1000" preserveAspectRatio="none" aria-hidden="true">')
    return head + Markup('<path class="line c1" d="{}"/></svg>').format(path)


def told(chart: Chart) -> str:
    """Return what a chart shows in words: each line with its latest value."""
    shown = [f"{line.name}: {quantity(line.last, chart.unit)}" for line in chart.lines[:6]]
    return "Latest values: " + "; ".join(shown) if shown else "No values."


def extent(chart: Chart) -> tuple[float, float]:
    """Return the least and the greatest value that the chart must hold; never the same."""
    tops = list(_stacked(chart.lines)) if chart.stacked else [line.values for line in chart.lines]
    there = [values[np.isfinite(values)] for values in tops]
    found = np.concatenate([*there, np.empty(0)])
    low = float(found.min()) if len(found) else 0.0
    high = float(found.max()) if len(found) else 1.0
    # A line that is far away says nothing but that it is far away; one that is near belongs into the picture.
    for one in chart.thresholds:
        if one.above and high < one.value <= 2.5 * high:
            high = one.value * 1.05
    if low >= 0 and (low < 0.6 * high or chart.stacked):
        low = 0.0
    low = chart.low if chart.low is not None else low
    high = chart.high if chart.high is not None else high
    if not high > low:
        margin = abs(low) * 0.1 or 1.0
        low, high = (0.0, low + margin) if low >= 0 else (low - margin, low + margin)
    return low, high


def ticks(low: float, high: float, wanted: int, *, base: int = 10) -> list[float]:
    """Return round values between and around two bounds, about as many as wanted."""
    rough = (high - low) / wanted
    scale = base ** math.floor(math.log(rough, base))
    steps = (1, 2, 2.5, 5, 10) if base == 10 else (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)
    step = next((one * scale for one in steps if one * scale >= rough * 0.999), steps[-1] * scale)
    first = math.floor(low / step + 1e-9)
    last = math.ceil(high / step - 1e-9)
    return [float(f"{number * step:.12g}") for number in range(first, last + 1)]


def time_ticks(times: Floats, wanted: int = 5) -> list[tuple[float, str, str]]:
    """Return moments to write below a chart: their share of the width, their text in UTC, how the text stands."""
    if len(times) < 2:
        return []
    start, end = float(times[0]), float(times[-1])
    span = next((one for one in _SPANS if (end - start) / one <= wanted), _DAYS)
    found: list[tuple[float, str, str]] = []
    moment = math.ceil(start / span) * span
    while moment <= end:
        share = (moment - start) / (end - start)
        if 0.03 < share < 0.97:
            form = "%H:%M:%S" if span < 60 else "%H:%M" if span < _DAYS and end - start < 2 * _DAYS else "%b %d"
            found.append((share, datetime.fromtimestamp(moment, UTC).strftime(form), "middle"))
        moment += span
    return found


def _lines(chart: Chart, low: float, high: float) -> Iterator[Markup]:
    x = _across(len(chart.times))
    if chart.stacked:
        below = np.zeros(len(chart.times))
        drawings = []
        for number, top in enumerate(_stacked(chart.lines)):
            area = _area(x, _down(below, low, high), _down(top, low, high))
            drawings.append(Markup('<path class="area full c{}" d="{}"/>').format(number % 8 + 1, area))
            below = top
        yield from drawings
        return
    if len(chart.lines) == 1:
        line = chart.lines[0]
        floor = np.full(len(x), _HIGH)
        filled = np.where(np.isnan(line.values), np.nan, line.values)
        yield Markup('<path class="area c1" d="{}"/>').format(_area(x, floor, _down(filled, low, high)))
    for number, line in enumerate(chart.lines):
        path = _path(x, _down(line.values, low, high))
        yield Markup('<path class="line c{}" d="{}"/>').format(number % 8 + 1, path)


def _stacked(lines: Sequence[Line]) -> Iterator[Floats]:
    total: Floats | None = None
    for line in lines:
        values = np.nan_to_num(line.values, nan=0.0, posinf=0.0, neginf=0.0)
        total = values if total is None else total + values
        yield total


def _across(count: int) -> Floats:
    return np.linspace(0.0, _WIDE, count) if count > 1 else np.array([_WIDE / 2] * count)


def _down(values: Floats, low: float, high: float) -> Floats:
    with np.errstate(invalid="ignore"):
        return np.clip(_HIGH * (1 - (values - low) / (high - low)), -_HIGH, 2 * _HIGH)


def _path(x: Floats, y: Floats) -> str:
    """Return a path through the points; NaN interrupts it, and a lonely point is a short line."""
    return "".join(
        _steps(x[start:end], y[start:end]) if end - start > 1 else f"{_steps(x[start:end], y[start:end])}h2"
        for start, end in stretches(y)
    )


def _area(x: Floats, below: Floats, above: Floats) -> str:
    return "".join(
        _steps(np.r_[x[start:end], x[start:end][::-1]], np.r_[above[start:end], below[start:end][::-1]]) + "z"
        for start, end in stretches(above)
    )


def stretches(values: Floats) -> list[tuple[int, int]]:
    """Return where values are without a gap."""
    there = np.isfinite(values).astype(np.int8)
    edges = np.flatnonzero(np.diff(np.concatenate(([0], there, [0])))).tolist()
    return list(zip(edges[::2], edges[1::2], strict=True))


def _steps(x: Floats, y: Floats) -> str:
    """Return a path in whole steps from point to point: a third of the text that places need, once compressed."""
    across, down = np.rint(x).astype(np.int64), np.rint(y).astype(np.int64)
    steps = np.stack((np.diff(across), np.diff(down)), axis=1).ravel().tolist()
    start = f"M{across[0]} {down[0]}"
    return f"{start}l{' '.join(map(str, steps))}" if steps else start


def rounded(value: float) -> str:
    """Return a number for a drawing, with one digit behind the point at most."""
    return escape(f"{value:.1f}".removesuffix(".0"))
