"""``metrics.md``: every family that components declare."""

from __future__ import annotations

from collections.abc import Sequence

from bedplate.metric import Gauge, Histogram, Label, Metric
from tools.reference.subjects import components, services
from tools.reference.text import GENERATED, code, table

__all__ = ["page"]

_INTRODUCTION = """# Metrics

Every family that a component declares. Labels are bounded: by the values listed, or by a number of distinct values
(`≤ 100`); what is beyond the bound is counted under `_other`, and each new value that is in
`bedplate_metrics_label_overflow_total`. Of gauges, the way in which the values of several processes become one stands
in parentheses. Counters end in `_total`; histograms expose `_bucket`, `_sum` and `_count`, summaries `_sum` and
`_count`.
"""


def page() -> str:
    """Return the page."""
    parts = [GENERATED, _INTRODUCTION]
    for title, service in services().items():
        parts.append(f"## {title}\n")
        for component in components(service):
            spec = component.spec
            if spec.metrics:
                parts.append(f"### {spec.kind}\n\n{spec.summary}\n")
                parts.append(table(("Name", "Type", "Unit", "Labels", "What it says"), map(_row, spec.metrics)))
    return "\n".join(parts)


def _row(metric: Metric) -> Sequence[str]:
    labels = "; ".join(_label(label) for label in metric.labels)
    return code(metric.name), _type(metric), metric.unit, labels, metric.help


def _type(metric: Metric) -> str:
    if isinstance(metric, Gauge):
        return f"gauge ({metric.merge})"
    if isinstance(metric, Histogram):
        bounds = ", ".join(f"{bound:g}" for bound in metric.buckets)
        return f"histogram with exemplars: {bounds}" if metric.exemplars else f"histogram: {bounds}"
    return metric.type


def _label(label: Label) -> str:
    if label.values is None:
        return f"`{label.name}` ≤ {label.limit}"
    return f"`{label.name}`: {', '.join(label.values)}"
