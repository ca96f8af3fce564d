"""Summaries filled in as Prometheus fills them in, which promtool judges; the rest is refused by name."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from bedplate.monitor.alerts.annotations import TemplateError, template
from tests.prometheus import promtool

FORMS = [
    "{{ $value }}",
    "{{$value|humanize}}",
    "{{ $value | humanize1024 }}",
    "{{ humanizeDuration $value }}",
    "{{ $value | humanizePercentage }}",
    '{{ printf "%.2f" $value }}',
    '{{ $value | printf "%.3g up to %%" }}',
    '{{ printf "%8.1f|" $value }}',
    '{{ printf "%e" $value }}',
    '{{ printf "%v" $value }}',
    "{{ $labels.x }}-{{ $labels.missing }}-{{ $labels.x | humanize }}",
    '{{ printf "%s!" $labels.x }}',
]
VALUES = ["0", "1", "20", "-3", "0.5", "999.95", "1000", "1234567", "100000", "98765", "0.000012345", "0.0001", "1e21"]
VALUES += ["+Inf", "-Inf", "NaN", "1024", "3600", "59.5", "86399", "-90061.5", "123456789012", "1e-9", "0.99999"]


def test_promtool_fills_in_the_same(tmp_path: Path) -> None:
    text = " ~ ".join(FORMS)
    # A comparison would drop NaN, and a duration beyond what an int64 of nanoseconds holds overflows in Go.
    rule = {"alert": "A", "expr": "m", "annotations": {"summary": text}}
    (tmp_path / "rules.yml").write_text(yaml.safe_dump({"groups": [{"name": "g", "rules": [rule]}]}))
    values = [value for value in VALUES if value != "1e21"]
    expected = [
        {
            "exp_labels": {"x": str(index)},
            "exp_annotations": {"summary": template(text).render({"x": str(index)}, float(value))},
        }
        for index, value in enumerate(values)
    ]
    test = {
        "interval": "1m",
        "input_series": [{"series": f'm{{x="{index}"}}', "values": value} for index, value in enumerate(values)],
        "alert_rule_test": [{"eval_time": "0m", "alertname": "A", "exp_alerts": expected}],
    }
    (tmp_path / "test.yml").write_text(json.dumps({"rule_files": ["rules.yml"], "tests": [test]}))
    promtool("test", "rules", tmp_path / "test.yml")


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("{{ $value | title }}", "title"),
        ("{{ $labels }}", r"\$labels"),
        ("{{ $externalLabels.x }}", r"\$externalLabels"),
        ("{{ if $value }}x{{ end }}", "cannot be read|uses if"),
        ("{{ query `up` | first }}", "`up`"),
        ("{{ $value", "does not close"),
        ("{{ }}", "cannot be read"),
        ("{{ $value | }}", "missing after"),
        ('{{ printf "%d" $value }}', "printf '%d'"),
        ('{{ printf "%.2f and %.2f" $value }}', "printf"),
        ("{{ humanize }}", "cannot be read"),
        ("{{ $value $value }}", "cannot be read"),
    ],
)
def test_what_is_not_kept_of_its_templates_is_refused(text: str, complaint: str) -> None:
    with pytest.raises(TemplateError, match=complaint) as caught:
        template(text)
    assert caught.value.mend


def test_text_without_gaps_stays() -> None:
    assert template("100 % of {braces} stay").render({}, 1.0) == "100 % of {braces} stay"
