"""From a declared panel to a chart: expressions narrowed, legends made, lines and colours taken from alerts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from bedplate.component import Spec
from bedplate.declarations import Alert, Panel, Variable
from bedplate.monitor.panels import bad_value, grouped_by, related_alerts, thresholds_of, zeroed
from bedplate.promql.selectors import selectors
from bedplate.render.expressions import chosen, scaled
from bedplate.render.grafana.charts import Chart, Link, Query
from bedplate.render.options import Options
from bedplate.render.recordings import Recording, recordings
from bedplate.render.subject import Subject

__all__ = ["Drawing"]

#: Labels that a legend names; more make it unreadable.
_LEGEND_LABELS = 3


@dataclass(frozen=True)
class Drawing:
    """Draws the panels of one service.

    :param runbooks: the link to each alert's page by the alert's source and name.
    """

    subject: Subject
    options: Options
    runbooks: Mapping[tuple[str, str], str]

    @property
    def alerts(self) -> Sequence[Alert]:
        """Every alert of the service."""
        return [rule.alert for rule in self.subject.rules]

    def chart(self, source: str, panel: Panel, variables: Sequence[Variable] = ()) -> Chart:
        """Return the chart of a panel.

        :param source: the label of the component that declares it. :param variables: those of its page.
        """
        pairs = [("", panel.expr)] if isinstance(panel.expr, str) else list(panel.expr)
        legends = [legend or self._legend(panel, expr) for legend, expr in pairs]
        return Chart(
            key=f"{self.subject.name} {source} {panel.title}",
            title=panel.title,
            kind=panel.kind,
            queries=tuple(
                Query(self._expr(expr, variables), legend) for legend, (_, expr) in zip(legends, pairs, strict=True)
            ),
            unit=panel.unit,
            summary=panel.summary,
            thresholds=thresholds_of(panel, self.alerts),
            links=self._links(source, panel),
            low=panel.low,
            high=panel.high,
            width=panel.width,
            stacked=panel.stacked,
            binary=bad_value(panel, self.alerts),
            single=len(pairs) == 1 and "{{" not in legends[0],
        )

    def charts(self, spec: Spec, panels: Sequence[Panel], variables: Sequence[Variable] = ()) -> list[Chart]:
        """Return the charts of a component's panels."""
        return [self.chart(spec.label, panel, variables) for panel in panels]

    def _links(self, source: str, panel: Panel) -> tuple[Link, ...]:
        found: dict[str, str] = {}
        for rule in self.subject.rules:
            # Of components of one kind, whose alerts have one name, the panel's own goes first.
            if related_alerts(panel, [rule.alert]) and (rule.name not in found or rule.source == source):
                found[rule.name] = self.runbooks[rule.source, rule.name]
        return tuple(Link(f"Runbook: {name}", url) for name, url in found.items())

    @cached_property
    def _recorded(self) -> Mapping[str, Recording]:
        return recordings(self.subject)

    def _expr(self, expr: str, variables: Sequence[Variable]) -> str:
        recorded = self._recorded.get(expr)
        if recorded is not None and not variables:
            return recorded.selector
        narrowed = chosen(expr, self.subject.name, variables, self.subject.metrics)
        return scaled(zeroed(narrowed, self.subject.metrics), self.options.time_scale)

    def _legend(self, panel: Panel, expr: str) -> str:
        if panel.kind == "heatmap":
            return "{{le}}"
        labels = grouped_by(expr)
        if labels is None:
            # No aggregation decides: there is a series for every instance and every label of the metric.
            found = selectors(expr, variables=True)
            metric = self.subject.metrics.get(found[0].name) if found else None
            if metric is None:
                return panel.title
            fixed = {matcher.label for matcher in found[0].matchers if matcher.operator == "="}
            free = [name for name in metric.label_names if name not in fixed]
            labels = tuple(free) or ("instance",)
            if panel.kind == "table":
                return " ".join(f"{{{{{label}}}}}" for label in dict.fromkeys((*labels, "instance")))
        if not labels:
            return panel.title
        return " ".join(f"{{{{{label}}}}}" for label in labels[:_LEGEND_LABELS])
