"""Panels for the metrics that no panel shows, so that nothing is measured in vain."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from bedplate.component import Spec
from bedplate.declarations import Panel, PanelKind
from bedplate.metric import Counter, Gauge, Histogram, Label, Metric, Summary
from bedplate.promql.selectors import metric_references

__all__ = ["default_panels"]

#: A label with more values than this makes a chart that nobody can read; it is summed away.
MANY = 30

_UNITS = {"seconds": "s", "bytes": "bytes", "ratio": "percentunit", "per_second": "ops", "celsius": "celsius"}
_MERGES = {"sum": "sum", "max": "max", "min": "min", "last": "max", "ratio": "avg"}


def default_panels(specs: Sequence[Spec]) -> dict[str, tuple[Panel, ...]]:
    """Return, for each component's label, a panel for every metric of its that no panel of the service shows."""
    shown = {name for spec in specs for panel in spec.panels for expr in panel.exprs for name in _names(expr)}
    return {
        spec.label: tuple(_panel(metric, spec.kind) for metric in spec.metrics if shown.isdisjoint(metric.sample_names))
        for spec in specs
    }


def _names(expr: str) -> Iterable[str]:
    return (name for name, _ in metric_references(expr, variables=True))


def _panel(metric: Metric, kind: str) -> Panel:
    unit = _UNITS.get(metric.unit, "short")
    labels = _readable(metric.labels)
    title = _title(metric, kind)
    match metric:
        case Counter():
            expr = f"{_by('sum', labels)}(rate({metric}[5m]))"
            return Panel(title=title, expr=_legend(labels, expr), unit=_rate_unit(metric), summary=metric.help)
        case Histogram():
            shares = tuple(
                (name, f"histogram_quantile({share}, sum by (le) (rate({metric.bucket}[5m])))")
                for name, share in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99))
            )
            return Panel(title=title, expr=shares, unit=unit, summary=metric.help, low=0)
        case Summary():
            pair = _by("sum", labels)
            expr = f"{pair}(rate({metric.sum}[5m])) / {pair}(rate({metric.count}[5m]))"
            return Panel(title=f"{title}, mean", expr=_legend(labels, expr), unit=unit, summary=metric.help)
        case _:
            return _gauge(metric, title, unit, labels)


def _gauge(metric: Metric, title: str, unit: str, labels: Sequence[str]) -> Panel:
    if metric.name.endswith("_info"):
        return Panel(title=title, expr=str(metric), kind="table", summary=metric.help)
    merge = _MERGES[metric.merge] if isinstance(metric, Gauge) else "max"
    expr = f"{_by(merge, labels)}({metric})"
    if metric.name.endswith(("_timestamp_seconds", "_start_time_seconds")):
        title = title.removesuffix(" timestamp").removesuffix(" time")
        return Panel(
            title=f"Since {_small(title)}", expr=f"time() - {expr}", unit="s", kind="stat", summary=metric.help
        )
    kind: PanelKind = "line" if labels else "stat"
    low = 0.0 if unit in ("bytes", "percentunit", "s") else None
    return Panel(title=title, expr=_legend(labels, expr), unit=unit, kind=kind, summary=metric.help, low=low)


def _readable(labels: Sequence[Label]) -> list[str]:
    """Return the labels to tell apart: in their order, as long as there are not too many combinations."""
    kept: list[str] = []
    lines = 1
    for label in labels:
        lines *= max(1, len(label.values) if label.values is not None else label.limit)
        if lines > MANY and (label.values is not None or kept):
            break
        kept.append(label.name)
        if lines > MANY:
            break
    return kept


def _by(operator: str, labels: Sequence[str]) -> str:
    return f"{operator} by ({', '.join(labels)}) " if labels else operator


def _legend(labels: Sequence[str], expr: str) -> str | tuple[tuple[str, str], ...]:
    return ((" ".join(f"{{{{{label}}}}}" for label in labels), expr),) if labels else expr


def _rate_unit(metric: Metric) -> str:
    # Seconds a second are a share of the time; with several at work it may be more than one.
    return {"bytes": "Bps", "seconds": "percentunit"}.get(metric.unit, "ops")


def _title(metric: Metric, kind: str) -> str:
    """Return the name in words: without the unit, and without the component and package that the row names."""
    words = metric.stem.removesuffix(f"_{metric.unit}") if metric.unit else metric.stem
    first = words.partition("_")[0]
    for prefix in (f"bedplate_{kind}_", f"{kind}_server_", f"{first}_{kind}_", f"{first}_"):
        if words.startswith(prefix) and words != prefix:
            words = words.removeprefix(prefix)
            break
    text = words.replace("_", " ")
    return text[:1].upper() + text[1:]


def _small(text: str) -> str:
    return text[:1].lower() + text[1:]
