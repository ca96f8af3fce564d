"""How alerts come, wait, fire and go, as Prometheus does it; promtool judges the same rules over random series."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import pytest
import yaml
from hypothesis import given, settings

from bedplate.component import Sample, Spec
from bedplate.declarations import Series
from bedplate.monitor.alerts.rules import rules
from bedplate.monitor.alerts.state import DuplicateLabelsError, advanced, digest, identity
from bedplate.monitor.alerts.trial import trial
from tests.prometheus import promtool

from .alert_shapes import LEVEL, tank

A, B = {"__name__": "tank_level_ratio", "tank": "a"}, {"__name__": "tank_level_ratio", "tank": "b"}


class Rule:
    """The alerts of one rule, evaluated a minute apart."""

    def __init__(self, hold: float = 0.0, keep: float = 0.0) -> None:
        self.hold, self.keep, self.at = hold, keep, 0.0
        self.active: Any = {}

    def see(self, *found: dict[str, str], **options: Any) -> list[tuple[str, str]]:
        self.at += 60
        samples = [Sample(labels, 0.05) for labels in found]
        options = {
            "name": "TankEmpty",
            "rule": {"severity": "critical"},
            "hold": self.hold,
            "keep": self.keep,
        } | options
        step = advanced(self.active, samples, self.at, **options)
        self.active = step.active
        return [(before, alert.state) for before, alert in step.changes]

    @property
    def states(self) -> list[str]:
        return sorted(alert.state for alert in self.active.values())


def test_without_for_it_fires_at_once() -> None:
    rule = Rule()
    assert rule.see(A) == [("inactive", "firing")]
    (alert,) = rule.active.values()
    assert alert.since == alert.fired_at == 60
    assert alert.labels == (("alertname", "TankEmpty"), ("severity", "critical"), ("tank", "a"))


def test_it_waits_for_its_time_and_begins_anew_after_a_gap() -> None:
    rule = Rule(hold=120)
    assert rule.see(A) == [("inactive", "pending")]
    assert rule.see(A) == []
    assert rule.see() == [("pending", "inactive")] and rule.active == {}
    assert rule.see(A) == [("inactive", "pending")]
    assert rule.see(A) == []
    assert rule.see(A) == [("pending", "firing")]
    assert rule.see() == [("firing", "resolved")]


def test_a_resolved_one_is_kept_a_while_and_comes_back_as_a_new_one() -> None:
    rule = Rule(hold=60)
    rule.see(A), rule.see(A), rule.see()
    assert rule.states == ["resolved"]
    assert rule.see(A) == [("inactive", "pending")]
    assert rule.see() == [("pending", "inactive")]
    rule.see(A), rule.see(A), rule.see()
    for _ in range(15):
        assert rule.see() == [] and rule.states == ["resolved"]
    assert rule.see() == [] and rule.states == []


def test_it_keeps_firing_and_a_return_in_that_time_is_no_new_one() -> None:
    rule = Rule(keep=120)
    rule.see(A)
    assert rule.see() == [] and rule.see() == [] and rule.states == ["firing"]
    assert rule.see(A) == []
    assert rule.see() == [] and rule.see() == []
    assert rule.see() == [("firing", "resolved")]
    assert next(iter(rule.active.values())).fired_at == 60


def test_label_sets_are_alerts_of_their_own() -> None:
    rule = Rule(hold=60)
    rule.see(A)
    assert rule.see(A, B) == [("pending", "firing"), ("inactive", "pending")]
    assert rule.see(B) == [("firing", "resolved"), ("pending", "firing")]


def test_two_samples_of_one_label_set_are_a_fault_and_change_nothing() -> None:
    rule = Rule(hold=60)
    rule.see(A)
    with pytest.raises(DuplicateLabelsError, match='tank="a"'):
        rule.see(A, {**A, "__name__": "other_ratio"})
    assert rule.states == ["pending"]


def test_labels_of_the_rule_win_and_empty_ones_are_none() -> None:
    assert identity({"severity": "low", "tank": "", "__name__": "x"}, {"severity": "critical"}, "T") == (
        ("alertname", "T"),
        ("severity", "critical"),
    )


def test_a_held_alert_stays_until_more_is_known() -> None:
    rule = Rule()
    rule.see(A)
    assert rule.see(held=lambda labels: True) == [] and rule.states == ["firing"]
    assert rule.see() == [("firing", "resolved")]


def test_a_digest_is_of_the_labels_alone_and_can_leave_one_out() -> None:
    one = [("a", "1"), ("instance", "x")]
    assert digest(one) == digest(reversed(one)) != digest([("a", "1"), ("instance", "y")])
    assert digest(one, without="instance") == digest([("a", "1")])
    assert digest([("a", "b\xffc")]) != digest([("a", "b"), ("c", "")])


_values = st.lists(st.sampled_from(["0.05", "0.5", "_", "stale"]), min_size=1, max_size=14).map(" ".join)


@settings(max_examples=12)
@given(series=st.tuples(_values, _values), hold=st.sampled_from([0, 1, 2, 3]), keep=st.sampled_from([0, 1, 2]))
def test_promtool_has_the_same_alerts_at_every_moment(
    tmp_path_factory: pytest.TempPathFactory, series: tuple[str, str], hold: int, keep: int
) -> None:
    folder: Path = tmp_path_factory.mktemp("promtool")
    alert = tank(for_=f"{hold}m", keep_firing_for=f"{keep}m")
    given_ = [Series(f'{LEVEL}{{tank="{name}"}}', values) for name, values in zip("ab", series, strict=True)]
    (rule,) = rules("plant", [Spec(kind="tank", summary="Holds.", metrics=(LEVEL,), alerts=(alert,))])
    result = trial(rule, given_, interval=60, dialect=2)
    document = {
        "alert": alert.name,
        "expr": rule.expr,
        "for": alert.for_,
        "keep_firing_for": alert.keep_firing_for,
        "labels": rule.labels,
        "annotations": {"summary": alert.summary},
    }
    if not keep:
        del document["keep_firing_for"]
    (folder / "rules.yml").write_text(yaml.safe_dump({"groups": [{"name": "g", "rules": [document]}]}))
    expected = [
        {
            "eval_time": f"{int(moment.at)}s",
            "alertname": alert.name,
            "exp_alerts": [
                {
                    "exp_labels": {k: v for k, v in firing.labels.items() if k != "alertname"},
                    "exp_annotations": {"summary": firing.summary},
                }
                for firing in moment.firing
            ],
        }
        for moment in result.moments
    ]
    test = {
        "interval": "1m",
        "input_series": [
            {"series": f'tank_level_ratio{{tank="{name}",job="plant"}}', "values": values}
            for name, values in zip("ab", series, strict=True)
        ],
        "alert_rule_test": expected,
    }
    whole = {"rule_files": ["rules.yml"], "evaluation_interval": "1m", "tests": [test]}
    (folder / "test.yml").write_text(json.dumps(whole))
    promtool("test", "rules", folder / "test.yml")
