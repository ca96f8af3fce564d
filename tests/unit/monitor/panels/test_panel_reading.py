"""What panels take from expressions and alerts: bounds, lines, colours, legends, and panels for what none shows."""

from __future__ import annotations

import pytest

from bedplate.component import Spec
from bedplate.declarations import Alert, Panel, Threshold
from bedplate.metric import Counter, Gauge, Histogram, Summary
from bedplate.monitor.panels import bad_value, bounds, default_panels, grouped_by, related_alerts, same, thresholds_of
from bedplate.promql.selectors import metric_references


@pytest.mark.parametrize(
    ("expr", "found"),
    [
        ("rate(a[5m]) > 0.1", [("rate(a[5m])", ">", 0.1)]),
        ("( a / b ) >= -2e-3", [("a / b", ">=", -0.002)]),
        ("90 > score", [("score", "<", 90.0)]),
        ("a < 5 and on (job) b == 0", [("a", "<", 5.0), ("b", "==", 0.0)]),
        ("(a > 1 and b < 2) and c != 3", [("a", ">", 1.0), ("b", "<", 2.0), ("c", "!=", 3.0)]),
        ("a > 1 unless b > 2", [("a", ">", 1.0)]),
        ('sum(rate(a{x="> 3"}[5m])) > 4', [('sum(rate(a{x="> 3"}[5m]))', ">", 4.0)]),
        ("a > 1 or b > 2", []),
        ("a > b", []),
        ("sum(a > 1)", []),
        ("absent(a)", []),
        ("a", []),
    ],
)
def test_bounds_are_what_must_hold_for_an_alert_to_fire(expr: str, found: list[tuple[str, str, float]]) -> None:
    assert [(bound.expr, bound.operator, bound.value) for bound in bounds(expr)] == found


def test_expressions_are_the_same_but_for_white_space_and_brackets_around_them() -> None:
    assert same("sum by(a)(rate(b[5m]))", "( sum  by (a) (rate(b[5m])) )  # the sum")
    assert not same("sum(a) + b", "sum(a + b)")
    assert not same("(a) / (b)", "a / b")


@pytest.mark.parametrize(
    ("expr", "labels"),
    [
        ("sum by (route, code) (rate(a[5m]))", ("route", "code")),
        ("sum(rate(a[5m])) by (route)", ("route",)),
        ("histogram_quantile(0.5, sum by (le, route) (rate(a_bucket[5m])))", ("route",)),
        ("topk(5, sum by (route) (a))", ("route",)),
        ("sum(a) / sum(b)", ()),
        ("sum without (route) (a)", None),
        ("rate(a[5m])", None),
    ],
)
def test_legends_name_what_an_expression_is_grouped_by(expr: str, labels: tuple[str, ...] | None) -> None:
    assert grouped_by(expr) == labels


def alert(expr: str, severity: str = "warning", name: str = "TooMuch") -> Alert:
    return Alert(name=name, expr=expr, summary="Too much.", severity=severity)  # type: ignore[arg-type]


def test_a_panel_takes_its_lines_from_alerts_on_the_same_expression() -> None:
    panel = Panel(title="Errors", expr="sum(rate(a[5m]))", thresholds=(Threshold(value=7),))
    alerts = [
        alert("sum( rate(a[5m]) ) > 5 and b > 1", "critical"),
        alert("sum(rate(a[5m])) < 1"),
        alert("sum(rate(other[5m])) > 3"),
        alert("sum(rate(a[5m])) == 4"),
    ]
    lines = [(line.value, line.severity, line.above) for line in thresholds_of(panel, alerts)]
    assert lines == [(1, "warning", False), (5, "critical", True), (7, "warning", True)]
    assert related_alerts(panel, alerts) == (alerts[0], alerts[1], alerts[3])


def test_a_panel_of_yes_and_no_knows_which_is_bad() -> None:
    ready = Panel(title="Ready", expr="min(ready)")
    assert bad_value(ready, [alert("ready == 0")]) == 0
    assert bad_value(Panel(title="Degraded", expr="max by (c) (degraded)"), [alert("degraded == 1")]) == 1
    assert bad_value(Panel(title="Degraded", expr="degraded"), [alert("max(degraded) != 0")]) == 1
    assert bad_value(Panel(title="Sum", expr="sum(ready)"), [alert("ready == 0")]) is None
    assert bad_value(ready, [alert("ready == 2"), alert("min(other) == 0")]) is None


METRICS = (
    Counter("app_jobs_done_total", "Jobs.", {"outcome": ("ok", "failed"), "user": 5000}),
    Counter("app_sent_bytes_total", "Bytes.", unit="bytes"),
    Gauge("app_queue_length", "Queue.", merge="max"),
    Gauge("app_share_ratio", "Share.", {"kind": ("a", "b")}, unit="ratio", merge="ratio"),
    Gauge("app_start_time_seconds", "Start.", unit="seconds", merge="min"),
    Gauge("app_build_info", "Build.", {"version": 5}),
    Histogram("app_wait_seconds", "Wait.", unit="seconds"),
    Summary("app_size_bytes", "Size.", {"kind": ("a",)}, unit="bytes"),
)


def test_every_metric_that_no_panel_shows_gets_one_that_suits_its_type() -> None:
    found = default_panels([Spec(kind="app", summary="An app.", metrics=METRICS)])["app"]
    assert {panel.title: (panel.expr, panel.unit, panel.kind) for panel in found} == {
        "Jobs done": ((("{{outcome}}", "sum by (outcome) (rate(app_jobs_done_total[5m]))"),), "ops", "line"),
        "Sent": ("sum(rate(app_sent_bytes_total[5m]))", "Bps", "line"),
        "Queue length": ("max(app_queue_length)", "short", "stat"),
        "Share": ((("{{kind}}", "avg by (kind) (app_share_ratio)"),), "percentunit", "line"),
        "Since start": ("time() - min(app_start_time_seconds)", "s", "stat"),
        "Build info": ("app_build_info", "", "table"),
        "Wait": (
            (
                ("p50", "histogram_quantile(0.5, sum by (le) (rate(app_wait_seconds_bucket[5m])))"),
                ("p95", "histogram_quantile(0.95, sum by (le) (rate(app_wait_seconds_bucket[5m])))"),
                ("p99", "histogram_quantile(0.99, sum by (le) (rate(app_wait_seconds_bucket[5m])))"),
            ),
            "s",
            "line",
        ),
        "Size, mean": (
            (
                (
                    "{{kind}}",
                    "sum by (kind) (rate(app_size_bytes_sum[5m])) / sum by (kind) (rate(app_size_bytes_count[5m]))",
                ),
            ),
            "bytes",
            "line",
        ),
    }


def test_a_metric_that_any_component_shows_gets_no_panel_more() -> None:
    app = Spec(kind="app", summary="An app.", metrics=METRICS)
    shown = f"rate({METRICS[6].name}_count[5m])"  # type: ignore[attr-defined]
    other = Spec(kind="other", summary="Another.", panels=(Panel(title="Waits", expr=shown),))
    read = {
        name
        for panel in default_panels([app, other])["app"]
        for expr in panel.exprs
        for name, _ in metric_references(expr)
    }
    assert "app_wait_seconds_bucket" not in read
    assert "app_queue_length" in read
