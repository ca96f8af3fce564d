"""Panels beyond their declaration: what each is called and drawn with, whoever draws it, Grafana or we ourselves."""

from bedplate.monitor.panels.defaults import default_panels
from bedplate.monitor.panels.reading import Bound, bounds, grouped_by, same
from bedplate.monitor.panels.soundness import clashes, label_of
from bedplate.monitor.panels.thresholds import bad_value, related_alerts, thresholds_of
from bedplate.monitor.panels.zeros import zeroed

__all__ = [
    "Bound",
    "bad_value",
    "bounds",
    "clashes",
    "default_panels",
    "grouped_by",
    "label_of",
    "related_alerts",
    "same",
    "thresholds_of",
    "zeroed",
]
