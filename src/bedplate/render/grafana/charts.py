"""Charts as Grafana draws them, and their JSON. The forms are those of ``@grafana/schema`` 13, which a test checks."""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from bedplate.declarations import PanelKind, Threshold

__all__ = ["LOGS", "PROMETHEUS", "Chart", "Link", "Query", "Special", "steps_of"]

PROMETHEUS = {"type": "prometheus", "uid": "prometheus"}
LOGS = {"type": "loki", "uid": "loki"}

_COLORS = {"critical": "red", "warning": "orange", "info": "blue"}
_RANK = {"info": 1, "warning": 2, "critical": 3}
_GOOD, _NEUTRAL = "green", "transparent"
_HAIR = 1e-9
#: Series whose value is always 1: what they say is in their labels.
_ALWAYS_1 = re.compile(r"(?:\w+_info|ALERTS)\b")

#: Grafana's own names of units; anything else is a word to put behind the number.
_UNITS = frozenset(
    "short none percent percentunit s ms µs ns m h d bytes decbytes bits Bps binBps bps ops reqps rps wps iops eps cps "
    "opm rpm wpm currencyUSD currencyEUR currencyGBP celsius dateTimeAsIso bool string locale hertz".split()
)


@dataclass(frozen=True, slots=True)
class Query:
    """One expression of a chart. A legend may hold ``{{label}}``."""

    expr: str
    legend: str


@dataclass(frozen=True, slots=True)
class Link:
    """A link at the corner of a chart."""

    title: str
    url: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """A chart, with everything decided but its place.

    :param key: tells it from the others of its service, whatever page it is on; its number is made of it.
    :param binary: whether the values are 0 and 1, and which of the two is bad; None for any number. :param words: how
        the two are called.
    :param single: whether there is one line, whose name would only repeat the title.
    """

    key: str
    title: str
    kind: PanelKind
    queries: tuple[Query, ...]
    unit: str = ""
    summary: str = ""
    thresholds: tuple[Threshold, ...] = ()
    links: tuple[Link, ...] = ()
    low: float | None = None
    high: float | None = None
    width: int = 0
    stacked: bool = False
    binary: int | None = None
    words: tuple[str, str] = ("no", "yes")
    single: bool = False

    def document(self, number: int, place: Mapping[str, int]) -> dict[str, Any]:
        """Return the panel's JSON."""
        types = {"line": "timeseries", "bar": "bargauge", "state": "state-timeline"}
        return {
            "id": number,
            "type": types.get(self.kind, self.kind),
            "title": self.title,
            **({"description": self.summary} if self.summary else {}),
            "datasource": PROMETHEUS,
            "gridPos": dict(place),
            **({"links": [_link(link) for link in self.links]} if self.links else {}),
            "targets": [self._target(index, query) for index, query in enumerate(self.queries)],
            "fieldConfig": {"defaults": self._defaults(), "overrides": []},
            "options": _OPTIONS[self.kind](self),
            **({"transformations": _table_of(self.queries)} if self.kind == "table" else {}),
        }

    def _target(self, index: int, query: Query) -> dict[str, Any]:
        now = self.kind in ("table", "bar", "gauge")
        forms = {"table": "table", "heatmap": "heatmap"}
        return {
            "refId": _letter(index),
            "datasource": PROMETHEUS,
            "expr": query.expr,
            "legendFormat": query.legend,
            "editorMode": "code",
            "format": forms.get(self.kind, "time_series"),
            "instant": now,
            "range": not now,
            "exemplar": False,
        }

    def _defaults(self) -> dict[str, Any]:
        found: dict[str, Any] = {"unit": unit_of(self.unit), "color": {"mode": self._color_mode()}}
        if self.low is not None:
            found["min"] = self.low
        if self.high is not None:
            found["max"] = self.high
        if self.binary is not None:
            found["mappings"] = [_two_values(self.words, bad=self.binary)]
        if self.kind == "stat":
            found["noValue"] = "no data"
        found["thresholds"] = {"mode": "absolute", "steps": steps_of(self.thresholds, _base(self))}
        if custom := self._custom():
            found["custom"] = custom
        return found

    def _color_mode(self) -> str:
        if self.kind in ("stat", "gauge", "table") and (self.thresholds or self.binary is not None):
            return "thresholds"
        return "thresholds" if self.kind in ("gauge", "state") else "palette-classic"

    def _custom(self) -> dict[str, Any]:
        if self.kind == "line":
            below = any(not each.above for each in self.thresholds)
            style = ("area" if below else "dashed") if self.thresholds else "off"
            return {
                "drawStyle": "line",
                "lineInterpolation": "linear",
                "lineWidth": 1,
                "fillOpacity": 30 if self.stacked else 8,
                "gradientMode": "none",
                "showPoints": "never",
                "spanNulls": False,
                "stacking": {"mode": "normal" if self.stacked else "none", "group": "A"},
                "thresholdsStyle": {"mode": style},
            }
        if self.kind == "table":
            colored = self.binary is not None or bool(self.thresholds)
            cell = {"type": "color-text"} if colored else {"type": "auto"}
            return {"align": "left", "cellOptions": cell, "inspect": False, "filterable": True}
        if self.kind == "state":
            return {"fillOpacity": 70, "lineWidth": 0}
        return {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Special:
    """A panel of another kind, whose JSON is given but for its number and place: a text, a list of logs."""

    key: str
    title: str
    body: Mapping[str, Any]
    width: int = 24
    height: int = 8

    def document(self, number: int, place: Mapping[str, int]) -> dict[str, Any]:
        """Return the panel's JSON."""
        return {"id": number, "title": self.title, "gridPos": dict(place), **self.body}


def unit_of(unit: str) -> str:
    """Return Grafana's unit; one that it does not know is put behind the number."""
    return unit if unit in _UNITS else f"suffix: {unit}" if unit else "short"


def steps_of(thresholds: Sequence[Threshold], good: str) -> list[dict[str, Any]]:
    """Return colours by value: from each step on, the colour of the worst threshold that is crossed there."""
    # A step begins at its value, and 0 is not above 0: a hair further up is where that begins.
    thresholds = [replace(each, value=_HAIR) if each.above and each.value == 0 else each for each in thresholds]
    values = sorted({each.value for each in thresholds})
    inner = [(a + b) / 2 for a, b in itertools.pairwise(values)]
    probes = [values[0] - 1, *inner, values[-1] + 1] if values else [0.0]
    colors = [_color(thresholds, probe, good) for probe in probes]
    # Steps of one colour stay apart: each is a line of its own in a chart.
    return [{"color": color, "value": value} for color, value in zip(colors, [None, *values], strict=True)]


def _color(thresholds: Sequence[Threshold], value: float, good: str) -> str:
    crossed = [each for each in thresholds if (value > each.value if each.above else value < each.value)]
    return _COLORS[max(crossed, key=lambda each: _RANK[each.severity]).severity] if crossed else good


def _base(chart: Chart) -> str:
    # An area behind lines is coloured only where it is bad; a number is green where it is good.
    return _NEUTRAL if chart.kind == "line" and any(not each.above for each in chart.thresholds) else _GOOD


def _two_values(words: tuple[str, str], *, bad: int) -> dict[str, Any]:
    colors = ("red", "green") if bad == 0 else ("green", "red")
    options = {
        str(value): {"text": word, "color": color, "index": value}
        for value, (word, color) in enumerate(zip(words, colors, strict=True))
    }
    return {"type": "value", "options": options}


def _letter(index: int) -> str:
    return chr(ord("A") + index) if index < 26 else f"Q{index}"


def _link(link: Link) -> dict[str, Any]:
    return {
        "title": link.title,
        "type": "link",
        "url": link.url,
        "icon": "doc",
        "tooltip": "",
        "tags": [],
        "asDropdown": False,
        "includeVars": False,
        "keepTime": False,
        "targetBlank": True,
    }


def _table_of(queries: Sequence[Query]) -> list[dict[str, Any]]:
    """Return how a table is made of series: a column a label in the order of the legend, without what says nothing."""
    found: list[dict[str, Any]] = [{"id": "merge", "options": {}}] if len(queries) > 1 else []
    names = {"Value": "value"} | {f"Value #{_letter(index)}": query.legend for index, query in enumerate(queries)}
    labels = list(dict.fromkeys(label for query in queries for label in re.findall(r"\{\{(\w+)\}\}", query.legend)))
    hidden = {"Time": True, "__name__": True, "job": True, **({} if "instance" in labels else {"instance": True})}
    if all(_ALWAYS_1.match(query.expr) for query in queries):
        hidden["Value"] = True
    order = {label: place for place, label in enumerate(labels)}
    return [
        *found,
        {"id": "organize", "options": {"excludeByName": hidden, "indexByName": order, "renameByName": names}},
    ]


def _reduced() -> dict[str, Any]:
    return {"calcs": ["lastNotNull"], "fields": "", "values": False}


def _legend(chart: Chart) -> dict[str, Any]:
    many = len(chart.queries) == 1 and not chart.single
    return {
        "showLegend": not chart.single,
        "displayMode": "table" if many else "list",
        "placement": "bottom",
        "calcs": ["lastNotNull", "max"] if many else [],
    }


def _line(chart: Chart) -> dict[str, Any]:
    return {"legend": _legend(chart), "tooltip": {"mode": "multi", "sort": "desc"}}


def _stat(chart: Chart) -> dict[str, Any]:
    judged = bool(chart.thresholds) or chart.binary is not None
    return {
        "reduceOptions": _reduced(),
        "orientation": "auto",
        "colorMode": "value" if judged else "none",
        "graphMode": "none" if chart.binary is not None else "area",
        "justifyMode": "auto",
        "textMode": "value" if chart.single else "value_and_name",
        "wideLayout": True,
        "showPercentChange": False,
        "percentChangeColorMode": "standard",
    }


def _gauge(chart: Chart) -> dict[str, Any]:
    return {
        "reduceOptions": _reduced(),
        "orientation": "auto",
        "showThresholdLabels": False,
        "showThresholdMarkers": True,
        "sizing": "auto",
        "minVizWidth": 75,
        "minVizHeight": 75,
        "shape": "gauge",
        "barShape": "flat",
        "barWidthFactor": 0.5,
        "segmentCount": 1,
        "segmentSpacing": 0.3,
        "effects": {},
    }


def _bar(chart: Chart) -> dict[str, Any]:
    return {
        "reduceOptions": _reduced(),
        "orientation": "horizontal",
        "displayMode": "basic",
        "valueMode": "color",
        "namePlacement": "auto",
        "showUnfilled": True,
        "sizing": "auto",
        "minVizWidth": 8,
        "minVizHeight": 16,
        "maxVizHeight": 300,
        "legend": {"showLegend": False, "displayMode": "list", "placement": "bottom", "calcs": []},
    }


def _table(chart: Chart) -> dict[str, Any]:
    return {"showHeader": True, "cellHeight": "sm", "frameIndex": 0}


def _heatmap(chart: Chart) -> dict[str, Any]:
    return {
        "calculate": False,
        "color": {
            "mode": "scheme", "scheme": "Oranges", "fill": "dark-orange", "scale": "exponential", "exponent": 0.5,
            "steps": 64, "reverse": False,
        },
        "cellGap": 1,
        "exemplars": {"color": "rgba(255,0,255,0.7)"},
        "legend": {"show": True},
        "showValue": "never",
        "tooltip": {"mode": "single", "yHistogram": False, "showColorScale": True},
        "yAxis": {"axisPlacement": "left", "unit": unit_of(chart.unit)},
    }  # fmt: skip


def _state(chart: Chart) -> dict[str, Any]:
    return {
        "mergeValues": True,
        "showValue": "auto",
        "alignValue": "left",
        "rowHeight": 0.9,
        "legend": {"showLegend": False, "displayMode": "list", "placement": "bottom", "calcs": []},
        "tooltip": {"mode": "single", "sort": "none"},
    }


_OPTIONS = {
    "line": _line, "stat": _stat, "gauge": _gauge, "bar": _bar, "table": _table, "heatmap": _heatmap, "state": _state,
}  # fmt: skip
