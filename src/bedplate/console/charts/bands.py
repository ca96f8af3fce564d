"""States over time as bands: one row where each state has a word that everybody knows, else one for each thing.

Colour is never all that tells: a band has its word in it or above it, and the graver a state, the higher its band.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from bedplate.console.charts.data import MOST, Chart, Floats, Line
from bedplate.console.charts.drawing import BELOW, rounded, stretches, times_below
from bedplate.console.words import duration, iso, number

__all__ = ["bands_drawn", "told_of_bands"]

#: How much of its row a band fills.
_HIGH: Mapping[str, float] = {"idle": 0.4, "good": 0.55, "info": 0.65, "warn": 0.8, "bad": 1.0}
#: Pixels of a row at most, of the only one, and of the word above it; of the narrowest plot, which tells what fits.
_ROW, _ONE_ROW, _WORD, _NARROW = 44, 76, 15, 330
_LEAST_WORD, _LETTER = 11.0, 7.0
#: Rows up to which each is shown, whether it ever was so or not.
_FEW = 4


def bands_drawn(chart: Chart, title: str, tones: Mapping[str, str], *, height: int) -> Markup:
    """Return the chart as SVG.

    :param tones: the tone of each word that is known: ``good``, ``warn``, ``bad`` …
    """
    inner = height - BELOW - 10
    worded = _worded(chart.lines, tones)
    rows = [list(chart.lines)] if worded else [[line] for line in _rows(chart.lines)]
    size = min(_ONE_ROW if worded else _ROW, inner / max(1, len(rows)))
    above = (inner - size * len(rows)) / 2 if worded else 0.0
    parts = [Markup('<svg role="img" aria-label="{}">').format(f"{title}. {told_of_bands(chart)}")]
    for number_, row in enumerate(rows):
        top = 10 + above + number_ * size
        word = 0.0 if worded else min(_WORD, max(_LEAST_WORD, size - 5))
        if not worded:
            parts.append(Markup('<text class="row-name" x="0" y="{}">{}</text>').format(rounded(top + 11), row[0].name))
        box = (top + word, max(3.0, size - word - 4))
        parts += _row(chart.times, row, tones if worded else {}, box)
    if worded and (now := next((line.name for line in chart.lines if _on(line)[-1:].any()), "")):
        y = rounded(10 + above - 8)
        parts.append(Markup('<text class="row-name" x="100%" y="{}" text-anchor="end">now {}</text>').format(y, now))
    parts += [times_below(chart.times, height), Markup("</svg>")]
    return Markup("").join(parts)


def told_of_bands(chart: Chart) -> str:
    """Return what the chart shows in words: what is so now, and for how long each was."""
    step = float(chart.times[1] - chart.times[0]) if len(chart.times) > 1 else 0.0
    told = []
    for line in chart.lines:
        on = _on(line)
        spent = duration(float(on.sum()) * step) if on.any() else "never"
        told.append(f"{line.name}: {'now, ' if len(on) and on[-1] else ''}{spent} of the time shown")
    return "; ".join(told) if told else "No values."


def _worded(lines: Sequence[Line], tones: Mapping[str, str]) -> bool:
    return all(line.name.lower() in tones for line in lines)


def _rows(lines: Sequence[Line]) -> Sequence[Line]:
    """Return the lines that get a row: of many, those that were so at all, in the order in which they came about."""
    if len(lines) <= _FEW:
        return lines
    since = {line.name: int(_on(line).argmax()) for line in lines if _on(line).any()}
    came = sorted((line for line in lines if line.name in since), key=lambda line: since[line.name])
    return (came or lines)[-MOST:]


def _on(line: Line) -> NDArray[np.bool_]:
    on: NDArray[np.bool_] = np.nan_to_num(line.values, nan=0.0) != 0.0
    return on


def _row(times: Floats, lines: Sequence[Line], tones: Mapping[str, str], box: tuple[float, float]) -> Iterator[Markup]:
    top, size = box
    width = 100.0 / max(1, len(times))
    yield Markup('<rect class="rail" x="0" y="{}" width="100%" height="{}"/>').format(
        rounded(top + size - 2), rounded(2.0)
    )
    for line in lines:
        tone = tones.get(line.name.lower(), "")
        high = size * _HIGH.get(tone, 1.0)
        for start, end in _bands(line):
            value = float(line.values[start])
            word = line.name if tone else ("" if value == 1.0 else number(value))
            left, share = start * width, (end - start) * width
            since, until = iso(float(times[start]))[11:19], iso(float(times[end - 1]))[11:19]
            said = f"{line.name}{'' if value == 1.0 else f' {number(value)}'}, {since} to {until} UTC"
            shape = Markup('<rect class="band {}" x="{}%" y="{}" width="{}%" height="{}"><title>{}</title></rect>')
            yield shape.format(
                f"tone-{tone}" if tone else "c1",
                rounded(left),
                rounded(top + size - high),
                rounded(max(share, 0.3)),
                rounded(high),
                said,
            )
            if word and share / 100 * _NARROW > _LETTER * len(word) + 10:
                x, y = rounded(left + share / 2), rounded(top + size - high / 2 + 4)
                yield Markup('<text class="band-word tone-{}" x="{}%" y="{}" text-anchor="middle">{}</text>').format(
                    tone, x, y, word
                )


def _bands(line: Line) -> Iterator[tuple[int, int]]:
    """Return where the line has one value that is not 0."""
    on = np.where(_on(line), line.values, np.nan)
    for start, end in stretches(on):
        edges = [start, *(np.flatnonzero(np.diff(on[start:end])) + start + 1).tolist(), end]
        yield from pairwise(edges)
