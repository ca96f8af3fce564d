"""Which drawing shows a chart."""

from __future__ import annotations

from collections.abc import Mapping

from markupsafe import Markup

from bedplate.console.charts.bands import bands_drawn
from bedplate.console.charts.data import Chart
from bedplate.console.charts.drawing import lines_drawn
from bedplate.console.charts.heat import heat_drawn

__all__ = ["drawn"]

_HIGH, _TALL = 172, 300


def drawn(chart: Chart, title: str, *, tall: bool = False, tones: Mapping[str, str] | None = None) -> Markup:
    """Return the chart as SVG, with what it shows in words for those who do not see it.

    :param tones: the tones of words for states, ``good``, ``warn``, ``bad`` …
    """
    height = _TALL if tall else _HIGH
    if chart.look == "state":
        return bands_drawn(chart, title, tones or {}, height=height)
    if chart.look == "heatmap":
        return heat_drawn(chart, title, height=height)
    return lines_drawn(chart, title, tall=tall)
