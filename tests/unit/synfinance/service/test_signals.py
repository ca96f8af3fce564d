"""The dashboards and alerts that SynFinance must have, by the names that operators know them by."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from bedplate.component import Spec
from bedplate.declarations import AlertGroup, Panel, Series
from bedplate.monitor.alerts.rules import Rule, rules
from bedplate.monitor.alerts.trial import trial_refusals
from bedplate.monitor.panels.thresholds import thresholds_of
from bedplate.promql.selectors import metric_references, scoped
from bedplate.testing import Harness
from synfinance.components import Traffic
from synfinance.service import build
from tests.prometheus import promtool

from .conftest import small_settings

#: As MISSION.md lists them; a service has as many of each group in all, among them Bedplate's own ServiceDown.
ALERTS = {
    ("critical", "30s", 12): """HighErrorRate HighMemoryUsage HighCPUUsage HighDiskUsage CriticalFraudDetected
        HighFraudRate HighRequestLatency HighPredictionLatency""",
    ("warning", "1m", 11): """ElevatedErrorRate ElevatedMemoryUsage ElevatedCPUUsage ElevatedFraudRate
        LowFraudConfidence HighAnomalyRate ElevatedRequestLatency ElevatedFeatureEngineeringTime LowCacheHitRate
        LowGenerationRate""",
    ("data-quality", "5m", 5): """HighMissingValueRate HighOutlierRate SchemaValidationFailures
        DistributionDriftDetected LowDataQualityScore""",
    ("availability", "1m", 3): "ServiceDown HighActiveRequests NoTrafficDetected",
}
PANELS = {"system-overview": 12, "fraud-detection": 12, "performance-analytics": 11, "data-quality": 11}
VARIABLES = {
    "system-overview": {"http_route"},
    "fraud-detection": {"fraud_type", "severity"},
    "performance-analytics": {"cache_type"},
    "data-quality": {"field"},
}

# A model that is wanted, so that its absence is alerted.
SERVICE = build(small_settings(training=True))
SPECS: list[Spec] = [component.spec for component in SERVICE.components]
RULES = rules("synfinance", SPECS)
OWN = {"traffic", "system", "fraud_detection", "generation", "card_history", "compute", "data_quality"}


def panels() -> Iterator[Panel]:
    for spec in SPECS:
        yield from (panel for panel in spec.panels if panel.dashboard is not None)


def _pairs(panel: Panel) -> tuple[tuple[str, str], ...]:
    return (("", panel.expr),) if isinstance(panel.expr, str) else panel.expr


@pytest.mark.parametrize(("group", "interval", "count"), ALERTS)
def test_each_group_has_the_alerts_of_the_mission(group: str, interval: str, count: int) -> None:
    found = [rule.name for rule in RULES if rule.group == AlertGroup(name=group, interval=interval)]
    assert set(ALERTS[group, interval, count].split()) <= set(found)
    assert len(found) == count
    assert [rule.name for rule in RULES if rule.group.name == group] == found, "one group has two intervals"


def test_each_dashboard_has_its_panels_and_variables() -> None:
    counts = Counter(panel.dashboard.name for panel in panels() if panel.dashboard)
    assert set(counts) == set(PANELS)
    assert all(counts[name] >= least for name, least in PANELS.items()), counts
    assert counts.total() >= 46
    boards = {panel.dashboard for panel in panels() if panel.dashboard}
    assert len(boards) == 4, "two dashboards of one name differ"
    for board in boards:
        assert {variable.label for variable in board.variables} == VARIABLES[board.name]
        assert board.refresh == "10s"
        used = {panel.row for panel in panels() if panel.dashboard == board}
        assert used == set(board.rows)


def test_each_variable_narrows_something() -> None:
    families = {metric.name: metric for spec in SPECS for metric in spec.metrics}
    samples = {sample: metric for metric in families.values() for sample in metric.sample_names}
    for panel_board, labels in VARIABLES.items():
        exprs = [
            expr
            for panel in panels()
            if panel.dashboard and panel.dashboard.name == panel_board
            for expr in panel.exprs
        ]
        used = {name for expr in exprs for name, _ in metric_references(expr)}
        assert labels <= {label for name in used for label in samples[name].label_names}


def test_panels_ask_a_question_and_titles_are_told_apart() -> None:
    titles = [(panel.dashboard, panel.title) for panel in panels()]
    assert len(set(titles)) == len(titles)
    assert all(panel.summary for panel in panels())
    lines = [panel for panel in panels() if panel.kind == "line"]
    assert all(legend for panel in lines for legend, _ in _pairs(panel))


def test_durations_are_held_against_the_sla_and_the_score_against_its_bands() -> None:
    lines = {panel.title: [threshold.value for threshold in panel.thresholds] for panel in panels()}
    assert lines["Request duration"] == lines["Prediction of a batch"] == [0.1]
    assert lines["Quality score"] == lines["Quality score over time"] == [90, 70]


def test_the_service_may_start_with_them() -> None:
    assert SERVICE.refusals() == []


def test_every_metric_of_its_own_has_a_panel() -> None:
    shown = {name for panel in panels() for expr in panel.exprs for name, _ in metric_references(expr)}
    own = [metric for spec in SPECS if spec.kind in OWN for metric in spec.metrics]
    assert [metric.name for metric in own if not shown & set(metric.sample_names)] == []


@pytest.mark.parametrize("rule", [rule for rule in RULES if rule.source in OWN], ids=lambda rule: rule.name)
def test_each_alert_says_what_to_do(rule: Rule) -> None:
    assert rule.alert.fires and rule.alert.quiet
    for part in ("**What it means.**", "**What to look at.**", "**Likely causes.**", "**What to do.**"):
        assert part in rule.section, part
    assert "{{ $value" in rule.alert.summary or rule.name in ("FraudModelMissing", "NoTrafficDetected")


def test_prometheus_judges_the_series_as_the_alerts_say(tmp_path: Path) -> None:
    own = [rule for rule in RULES if rule.source in OWN]
    for word in ("fires", "quiet"):
        tests = [one for rule in own for one in _tests(rule, word)]
        (tmp_path / f"{word}.yml").write_text(yaml.safe_dump({"rule_files": ["rules.yml"], "tests": tests}))
    groups = [
        {"name": rule.name, "interval": rule.group.interval,
         "rules": [{"alert": rule.name, "expr": rule.expr, "for": rule.alert.for_},
                   {"record": f"fired:{rule.name}", "expr": f'ALERTS{{alertname="{rule.name}",alertstate="firing"}}'}]}
        for rule in own
    ]  # fmt: skip
    (tmp_path / "rules.yml").write_text(yaml.safe_dump({"groups": groups}))
    promtool("check", "rules", "rules.yml", folder=tmp_path)
    promtool("test", "rules", "fires.yml", folder=tmp_path)
    promtool("test", "rules", "quiet.yml", folder=tmp_path)


def _tests(rule: Rule, word: str) -> Iterator[dict[str, object]]:
    series: tuple[Series, ...] = getattr(rule.alert, word)
    last = max(_samples(one.values) for one in series) - 1
    fired = [{"labels": "{}", "value": 1}] if word == "fires" else []
    yield {
        "name": f"{rule.name} {word}",
        "interval": "1m",
        "input_series": [{"series": scoped(one.series, "synfinance"), "values": one.values} for one in series],
        "promql_expr_test": [
            # Whether it fires, and whether it has fired at any evaluation so far.
            {
                "expr": f"max(max_over_time(fired:{rule.name}[{last + 1}m]))",
                "eval_time": f"{last}m",
                "exp_samples": fired,
            }
        ],
    }


def _samples(values: str) -> int:
    repeats = [re.fullmatch(r".*x(\d+)", part) for part in values.split()]
    return sum(int(repeat[1]) + 1 if repeat else 1 for repeat in repeats)


def test_a_management_api_elsewhere_is_left_out_as_well() -> None:
    exprs = [alert.expr for alert in Traffic("/ops.x").spec.alerts]
    assert any(r"/ops\\.x(/.*)?" in expr for expr in exprs)
    assert all(metric_references(expr) for expr in exprs)


async def test_after_some_work_every_panel_has_something_to_show(harness: Harness) -> None:
    await harness.client.post("/simulate", json={"rows": 300})
    detection = next(c for c in harness.service.components if c.spec.kind == "fraud_detection")
    detector, detection._model._detector = detection._model._detector, None  # type: ignore[attr-defined]
    assert (await harness.client.post("/simulate", json={"rows": 10})).status_code == 500
    detection._model._detector = detector  # type: ignore[attr-defined]
    exposed = {name.partition("{")[0] for name in await harness.samples()}
    wanted = {(panel.title, name) for panel in panels() for expr in panel.exprs for name, _ in metric_references(expr)}
    assert [pair for pair in sorted(wanted) if pair[1] not in exposed] == []


def test_the_engine_of_the_process_judges_the_series_as_the_alerts_say() -> None:
    assert list(trial_refusals(RULES)) == []


def test_lines_in_panels_are_those_of_the_alerts_and_no_line_is_drawn_at_the_least_traffic() -> None:
    drawn = {
        panel.title: [(line.value, line.label) for line in thresholds_of(panel, [rule.alert for rule in RULES])]
        for panel in panels()
    }
    assert drawn["Failing requests"] == [(0.05, "HighErrorRate")]
    assert drawn["Request duration"] == [(0.1, "SLA: 100 ms"), (1.0, "HighRequestLatency")]
    assert drawn["CPU"] == [(0.75, "ElevatedCPUUsage"), (0.9, "HighCPUUsage")]
    assert drawn["Requests a second"] == []
