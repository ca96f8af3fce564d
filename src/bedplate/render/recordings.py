"""Recording rules: what a panel asks of many hours is computed once a minute, and not at every look at the page."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bedplate.component import Spec
from bedplate.declarations import Panel
from bedplate.monitor.alerts.burn import burn_panels
from bedplate.promql import compiled
from bedplate.promql.selectors import scoped
from bedplate.render.expressions import duration, scaled
from bedplate.render.options import Options
from bedplate.render.subject import Subject
from bedplate.render.yaml_text import Block, yaml_text

__all__ = ["Recording", "panels_of", "recording_file", "recordings"]

#: Seconds of the past from which an expression is recorded.
REACH = 6 * 3600.0
#: The name of their group, and with an underscore before it, which no declared group can have, of their file.
GROUP = "recordings"


@dataclass(frozen=True, slots=True)
class Recording:
    """An expression that is recorded.

    :ivar name: the series' name, ``job:burn_rate_availability:over_6h``. :ivar expr: narrowed to the service.
    """

    name: str
    job: str
    expr: str

    @property
    def selector(self) -> str:
        """What a panel asks for instead."""
        return f'{self.name}{{job="{self.job}"}}'


def panels_of(spec: Spec) -> tuple[Panel, ...]:
    """Return the panels of a component, those of its objectives included."""
    return (*spec.panels, *(panel for slo in spec.slos for panel in burn_panels(slo)))


def recordings(subject: Subject) -> Mapping[str, Recording]:
    """Return what is recorded of a service, by the expression as it is declared."""
    found: dict[str, Recording] = {}
    names: set[str] = set()
    for spec in subject.specs:
        for panel in panels_of(spec):
            pairs = [("value", panel.expr)] if isinstance(panel.expr, str) else panel.expr
            for legend, expr in pairs:
                if "$" in expr or expr in found or compiled(expr).reach < REACH:
                    continue
                name = _free(f"job:{_words(panel.title)}:{_words(legend)}", names)
                found[expr] = Recording(name, subject.name, scoped(expr, subject.name))
    return found


def recording_file(subject: Subject, options: Options) -> str | None:
    """Return the file of a service's recording rules; None when it needs none."""
    found = recordings(subject).values()
    rules: list[dict[str, Any]] = [
        {"record": each.name, "expr": Block(scaled(each.expr, options.time_scale)), "labels": {"job": each.job}}
        for each in found
    ]
    if not rules:
        return None
    interval = duration("1m", options.time_scale)
    return yaml_text({"groups": [{"name": f"{subject.name}-{GROUP}", "interval": interval, "rules": rules}]})


def _words(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_") or "value"


def _free(name: str, taken: set[str]) -> str:
    free, number = name, 2
    while free in taken:
        free, number = f"{name}_{number}", number + 1
    taken.add(free)
    return free
