"""The pages of a service: one that begins with what matters first, those that it declares, and its runbook."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from bedplate.component import Spec
from bedplate.declarations import Dashboard, Panel, Threshold, Variable
from bedplate.monitor.alerts import Rule
from bedplate.monitor.alerts.burn import burn_panels
from bedplate.monitor.panels import default_panels, label_of, related_alerts
from bedplate.promql.selectors import metric_references
from bedplate.render.expressions import duration
from bedplate.render.grafana.charts import LOGS, PROMETHEUS, Chart, Special
from bedplate.render.grafana.drawing import Drawing
from bedplate.render.grafana.layout import Row, arranged
from bedplate.render.options import Options
from bedplate.render.subject import Subject
from bedplate.render.texts import readable
from bedplate.telemetry.http.metrics import DURATION

__all__ = ["OVERVIEW", "Page", "address", "pages"]

OVERVIEW = Dashboard(name="overview", title="Overview", summary="What matters first, then every component.")
RUNBOOK = Dashboard(name="runbook", title="Runbook", summary="What each alert means and what to do about it.")

_REFRESH = ("5s", "10s", "30s", "1m", "5m", "15m")
_WORDS = {"http": "HTTP", "slo": "SLO"}


@dataclass(frozen=True)
class Page:
    """A dashboard as Grafana reads it.

    :ivar numbers: the number of each of its panels by the panel's key.
    """

    service: str
    name: str
    uid: str
    document: Mapping[str, Any] = field(repr=False)
    numbers: Mapping[str, int] = field(repr=False)

    @property
    def text(self) -> str:
        """The file."""
        return json.dumps(self.document, indent=2, ensure_ascii=False) + "\n"

    def url(self, grafana: str, key: str = "") -> str:
        """Return its address, or that of one of its panels."""
        number = self.numbers.get(key)
        return f"{grafana.rstrip('/')}/d/{self.uid}" + (f"?viewPanel=panel-{number}" if number is not None else "")


def pages(subject: Subject, options: Options) -> tuple[Page, ...]:
    """Return the pages of a service: the overview, its own dashboards, the runbook."""
    runbook = _page(subject, options, RUNBOOK, _runbook_rows(subject))
    # Links inside Grafana lead there wherever it is.
    within = replace(options, grafana_url="")
    runbooks = {(rule.source, rule.name): runbook_url(rule, runbook, within) for rule in subject.rules}
    drawing = Drawing(subject, options, runbooks)
    own = [_page(subject, options, dashboard, _declared_rows(drawing, dashboard)) for dashboard in subject.dashboards]
    return (_page(subject, options, OVERVIEW, _overview_rows(drawing)), *own, runbook)


def runbook_url(rule: Rule, runbook: Page, options: Options) -> str:
    """Return where an alert's section of the runbook is."""
    if options.runbook_url:
        return f"{options.runbook_url.rstrip('/')}/{rule.service}.md#{rule.name.lower()}"
    return runbook.url(options.grafana_url, _runbook_key(rule))


def address(rule: Rule, subject: Subject, found: Sequence[Page], options: Options) -> str:
    """Return the address of the panel that shows what an alert is about, or of the page nearest to it."""
    read = {name for name, _ in metric_references(rule.alert.expr)}
    exact: list[tuple[str, Dashboard]] = []
    near: list[tuple[str, Dashboard]] = []
    for spec in subject.specs:
        for panel in spec.panels:
            place = (f"{subject.name} {spec.label} {panel.title}", panel.dashboard or OVERVIEW)
            if related_alerts(panel, [rule.alert]):
                exact.append(place)
            elif spec.label == rule.source and read & {n for e in panel.exprs for n, _ in metric_references(e)}:
                near.append(place)
    by_name = {page.name: page for page in found}
    # A page made for the purpose tells more than the overview.
    for key, dashboard in sorted(exact or near, key=lambda place: place[1] == OVERVIEW):
        return by_name[dashboard.name].url(options.grafana_url, key)
    return by_name[OVERVIEW.name].url(options.grafana_url)


def _overview_rows(drawing: Drawing) -> Iterator[Row]:
    subject = drawing.subject
    yield Row("Now", tuple(drawing.chart("overview", panel) for panel in _glance(subject)))
    alerts = [drawing.chart("overview", panel) for panel in _ALERTS]
    fired = [replace(each, binary=1, words=("quiet", "firing")) if each.kind == "state" else each for each in alerts]
    yield Row("Alerts", tuple(fired))
    objectives = [(spec, panel) for spec in subject.specs for slo in spec.slos for panel in burn_panels(slo)]
    yield from _by_row(drawing, [(spec, panel, panel.row) for spec, panel in objectives])
    first = [spec for spec in subject.specs if spec.kind == "http"]
    own = [spec for spec in subject.specs if spec.key in subject.own and spec not in first]
    rest = [spec for spec in subject.specs if spec not in first and spec not in own]
    yield from _component_rows(drawing, [*first, *own])
    yield Row("Log", (_log(subject),), collapsed=True)
    for row in _component_rows(drawing, rest):
        yield Row(row.title, row.items, collapsed=True)


def _component_rows(drawing: Drawing, specs: Sequence[Spec]) -> Iterator[Row]:
    defaults = default_panels(drawing.subject.specs)
    found = [
        (spec, panel, panel.row or _title(spec))
        for spec in specs
        for panel in (*spec.panels, *defaults[spec.label])
        if panel.dashboard is None
    ]
    yield from _by_row(drawing, found)


def _declared_rows(drawing: Drawing, dashboard: Dashboard) -> Iterator[Row]:
    found = [(spec, panel, panel.row) for spec, panel in _panels_of(drawing.subject, dashboard)]
    yield from _by_row(drawing, found, dashboard.rows, dashboard.variables)


def _by_row(
    drawing: Drawing,
    panels: Sequence[tuple[Spec, Panel, str]],
    order: Sequence[str] = (),
    variables: Sequence[Variable] = (),
) -> Iterator[Row]:
    rows: dict[str, list[Chart]] = {title: [] for title in order}
    for spec, panel, title in panels:
        rows.setdefault(title, []).append(drawing.chart(spec.label, panel, variables))
    for title, charts in rows.items():
        yield Row(title, tuple(charts))


def _panels_of(subject: Subject, dashboard: Dashboard) -> list[tuple[Spec, Panel]]:
    return [(spec, panel) for spec in subject.specs for panel in spec.panels if panel.dashboard == dashboard]


def _glance(subject: Subject) -> Iterator[Panel]:
    """Yield what is asked first: is it up, does it take requests, does it fail, is it slow."""
    down = Threshold(value=1, severity="critical", above=False)
    yield Panel(title="Instances up", expr="sum(up)", kind="stat", thresholds=(down,), summary="Scraped of late.")
    if "bedplate_health_ready" in subject.metrics:
        ready = "min(bedplate_health_ready)"
        yield Panel(title="Takes requests", expr=ready, kind="stat", summary="Whether every process is ready.")
    firing = 'count(ALERTS{alertstate="firing"}) or vector(0)'
    yield Panel(title="Alerts firing", expr=firing, kind="stat", thresholds=(Threshold(value=1),))
    if DURATION.count not in subject.metrics:
        return
    total = f"sum(rate({DURATION.count}[5m]))"
    failed = f'sum(rate({DURATION.count}{{http_response_status_code=~"5.."}}[5m]))'
    share = f"({failed} or {total} * 0) / {total}"
    p95 = f"histogram_quantile(0.95, sum by (le) (rate({DURATION.bucket}[5m])))"
    yield Panel(title="Requests", expr=total, unit="reqps", kind="stat")
    yield Panel(
        title="Failing requests", expr=share, unit="percentunit", kind="stat", thresholds=(
            Threshold(value=0.01), Threshold(value=0.05, severity="critical"),
        ),
    )  # fmt: skip
    yield Panel(title="Slowest in 20 take over", expr=p95, unit="s", kind="stat", summary="The 95th percentile.")


_ALERTS = (
    Panel(
        title="Alerts that wait or fire",
        expr=(("{{alertname}} {{alertstate}} {{severity}} {{source}}", "ALERTS"),),
        kind="table",
        width=14,
        summary="Their pages in the runbook say what to do.",
    ),
    Panel(
        title="When alerts fired",
        expr=(("{{alertname}}", 'max by (alertname) (ALERTS{alertstate="firing"})'),),
        kind="state",
        width=10,
    ),
)


def _log(subject: Subject) -> Special:
    query = f'{{service="{subject.name}", level=~"WARNING|ERROR|CRITICAL"}}'
    return Special(
        key=f"{subject.name} log",
        title="Warnings and errors",
        body={
            "type": "logs",
            "datasource": LOGS,
            "targets": [{"refId": "A", "datasource": LOGS, "expr": query, "queryType": "range", "maxLines": 200}],
            "options": {
                "dedupStrategy": "none",
                "enableLogDetails": True,
                "prettifyLogMessage": False,
                "showCommonLabels": False,
                "showLabels": False,
                "showLogContextToggle": False,
                "showTime": True,
                "sortOrder": "Descending",
                "wrapLogMessage": True,
            },
        },
        height=10,
    )


def _runbook_rows(subject: Subject) -> Iterator[Row]:
    titles = {spec.label: _title(spec) for spec in subject.specs}
    for source, title in titles.items():
        items = tuple(_runbook_panel(rule) for rule in subject.rules if rule.source == source)
        yield Row(title, items)


def _runbook_panel(rule: Rule) -> Special:
    text = (
        f"**{rule.alert.severity}**, after {rule.alert.for_}. {readable(rule.alert.summary)}\n\n"
        f"{rule.section}\n\n```promql\n{rule.expr}\n```\n"
    )
    body = {"type": "text", "options": {"mode": "markdown", "content": text}}
    lines = sum(1 + len(line) // 110 for line in text.splitlines())
    return Special(key=_runbook_key(rule), title=rule.name, body=body, height=max(5, lines + 2))


def _runbook_key(rule: Rule) -> str:
    # Components of one kind have alerts of one name.
    return f"{rule.service} runbook {rule.source} {rule.name}"


def _title(spec: Spec) -> str:
    words = _WORDS.get(spec.kind) or spec.kind.replace("_", " ").capitalize()
    return words if spec.name == "default" else f"{words}: {spec.name}"


def _page(
    subject: Subject,
    options: Options,
    dashboard: Dashboard,
    rows: Iterable[Row],
) -> Page:
    panel_documents, numbers = arranged(rows)
    uid = _uid(subject.name, dashboard.name)
    variables = [
        _variable(subject, variable, series)
        for variable in dashboard.variables
        if (series := label_of(variable.label, dashboard, subject.specs)) is not None
    ]
    document = {
        "uid": uid,
        "title": _heading(subject, dashboard),
        **({"description": dashboard.summary} if dashboard.summary else {}),
        "tags": ["bedplate", subject.name],
        "schemaVersion": 42,
        "version": 1,
        "editable": False,
        "graphTooltip": 1,
        "refresh": dashboard.refresh,
        "time": {"from": f"now-{duration(dashboard.window, max(options.time_scale, 0.1))}", "to": "now"},
        "timepicker": {"refresh_intervals": list(_REFRESH)},
        "timezone": "browser",
        "links": [_others(subject)],
        "templating": {"list": variables},
        "annotations": {"list": [_firing(subject)]},
        "panels": panel_documents,
    }
    return Page(subject.name, dashboard.name, uid, document, numbers)


def _heading(subject: Subject, dashboard: Dashboard) -> str:
    named = dashboard.title.lower().replace(" ", "").startswith(subject.title.lower().replace(" ", ""))
    return dashboard.title if named else f"{subject.title}: {dashboard.title}"


def _uid(service: str, name: str) -> str:
    digest = hashlib.sha256(f"{service}/{name}".encode()).hexdigest()[:8]
    return f"{f'{service}-{name}'[:31]}-{digest}"


def _variable(subject: Subject, variable: Variable, series: str) -> dict[str, Any]:
    query = f'label_values({series}{{job="{subject.name}"}}, {variable.label})'
    return {
        "name": variable.label,
        "label": variable.title or variable.label.replace("_", " ").capitalize(),
        "type": "query",
        "datasource": PROMETHEUS,
        "query": {"query": query, "refId": "values"},
        "refresh": 2,
        "sort": 1,
        "multi": True,
        "includeAll": True,
        "allValue": ".*",
        "current": {"text": ["All"], "value": ["$__all"], "selected": True},
        "options": [],
    }


def _firing(subject: Subject) -> dict[str, Any]:
    return {
        "name": "Alerts",
        "datasource": PROMETHEUS,
        "enable": True,
        "iconColor": "red",
        "target": {"refId": "alerts", "expr": f'ALERTS{{job="{subject.name}",alertstate="firing"}}'},
        "titleFormat": "{{alertname}}",
        "textFormat": "{{severity}}, {{source}}",
        "tagKeys": "severity,source",
        "useValueForTime": False,
    }


def _others(subject: Subject) -> dict[str, Any]:
    return {
        "title": f"{subject.title}: other dashboards",
        "type": "dashboards",
        "tags": [subject.name],
        "asDropdown": True,
        "icon": "external link",
        "includeVars": False,
        "keepTime": True,
        "targetBlank": False,
        "tooltip": "",
        "url": "",
    }
