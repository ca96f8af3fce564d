"""Panels as charts: who asks which expressions, and what a page needs to draw the answers."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from bedplate.component import ComponentView
from bedplate.console.charts.data import MOST, MOST_BUCKETS, Chart, Line, Look
from bedplate.console.charts.heat import bound_of
from bedplate.console.charts.keeping import RANGES, Grid, Keeper
from bedplate.console.interfaces import Sources
from bedplate.declarations import Alert, Panel
from bedplate.monitor.panels import default_panels, thresholds_of
from bedplate.problems import BedplateError

__all__ = ["Charting", "PanelRef", "Shown"]

_LOOKS: dict[str, Look] = {"state": "state", "heatmap": "heatmap"}


@dataclass(frozen=True, slots=True)
class PanelRef:
    """A panel and whose it is. :ivar id: a short name of it, the same in every process."""

    id: str
    source: str
    panel: Panel

    @property
    def queries(self) -> list[tuple[str, str]]:
        """Its legends and expressions."""
        expr = self.panel.expr
        return [("", expr)] if isinstance(expr, str) else list(expr)


@dataclass(frozen=True, slots=True)
class Shown:
    """A panel with its values, ready to be put into a page."""

    ref: PanelRef
    chart: Chart
    window: str

    @property
    def topic(self) -> str:
        """What keeps it up to date."""
        return f"chart:{self.ref.id}:{self.window}"

    @property
    def latest(self) -> list[tuple[str, float, Line]]:
        """The latest value of every line, the greatest first."""
        found = [(line.name, line.last, line) for line in self.chart.lines]
        return sorted(found, key=lambda one: -one[1] if one[1] == one[1] else 0.0)


class Charting:
    """Knows every panel of the service, and asks for its values."""

    def __init__(self, sources: Sources) -> None:
        self._sources = sources
        self.keeper = Keeper(lambda: sources.querier)
        self._known: tuple[tuple[ComponentView, ...], dict[str, PanelRef], dict[str, list[PanelRef]]] | None = None

    def of(self, label: str) -> Sequence[PanelRef]:
        """Return the panels of a component: its own, then one for each metric that none shows."""
        return self._panels()[1].get(label, ())

    def find(self, id: str) -> PanelRef | None:
        """Return a panel by its id."""
        return self._panels()[0].get(id)

    def all(self) -> Iterable[PanelRef]:
        """Return every panel of the service."""
        return self._panels()[0].values()

    def grid(self, window: str, now: float) -> Grid:
        """Return the moments of a window such as ``1h``."""
        return Grid.of(float(RANGES.get(window, RANGES["1h"])), now)

    async def shown(self, refs: Sequence[PanelRef], window: str, now: float) -> list[Shown]:
        """Return panels with their values over a window that ends now."""
        grid = self.grid(window, now)
        alerts = [alert for view in self._sources.views() for alert in view.spec.alerts]
        return [Shown(ref, await self._panel(ref, grid, alerts), window) for ref in refs]

    async def chart(self, queries: Sequence[tuple[str, str]], grid: Grid, **looks: Any) -> Chart:
        """Return a chart of expressions; what cannot be evaluated is said in it."""
        if self._sources.querier is None:
            return Chart(times=grid.times, fault="No samples are kept in this process.", **looks)
        lines: list[Line] = []
        hidden = 0
        most = MOST if looks.get("look", "line") == "line" else MOST_BUCKETS
        try:
            for form, expr in queries:
                found, more = await self.keeper.lines(expr, grid, form, most)
                lines += found
                hidden += more
        except BedplateError as error:
            return Chart(times=grid.times, fault=f"{error.what} {error.mend}".strip(), **looks)
        except Exception as error:
            # A fault of ours in one chart must not cost the page, which may be what somebody was woken for.
            self._sources.capture(error, "chart")
            return Chart(times=grid.times, fault="It could not be drawn. The page of errors has why.", **looks)
        if looks.get("look") == "heatmap":
            lines.sort(key=bound_of)
        return Chart(times=grid.times, lines=_apart(lines), hidden=hidden, **looks)

    async def _panel(self, ref: PanelRef, grid: Grid, alerts: Sequence[Alert]) -> Chart:
        panel = ref.panel
        look = _LOOKS.get(panel.kind, "line")
        looks = {"unit": panel.unit, "low": panel.low, "high": panel.high, "stacked": panel.stacked, "look": look}
        chart = await self.chart(ref.queries, grid, **looks)
        await asyncio.sleep(0)
        return replace(chart, thresholds=thresholds_of(panel, alerts))

    def _panels(self) -> tuple[dict[str, PanelRef], dict[str, list[PanelRef]]]:
        views = tuple(self._sources.views())
        labels = tuple(view.spec.label for view in views)
        if self._known is None or tuple(view.spec.label for view in self._known[0]) != labels:
            specs = [view.spec for view in views]
            defaults = default_panels(specs)
            refs: dict[str, PanelRef] = {}
            by_label: dict[str, list[PanelRef]] = {}
            for spec in specs:
                for panel in (*spec.panels, *defaults.get(spec.label, ())):
                    ref = PanelRef(_id(spec.label, panel), spec.label, panel)
                    refs[ref.id] = ref
                    by_label.setdefault(spec.label, []).append(ref)
            self._known = (views, refs, by_label)
        return self._known[1], self._known[2]


def _id(label: str, panel: Panel) -> str:
    text = "\0".join((label, panel.title, *panel.exprs))
    return hashlib.blake2b(text.encode(), digest_size=6).hexdigest()


def _apart(lines: list[Line]) -> list[Line]:
    """Return lines whose names differ; those that do not are told by a number."""
    seen: dict[str, int] = {}
    result = []
    for line in lines:
        seen[line.name] = seen.get(line.name, 0) + 1
        result.append(line if seen[line.name] == 1 else replace(line, name=f"{line.name} ({seen[line.name]})"))
    return result
