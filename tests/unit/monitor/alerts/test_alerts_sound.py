"""What `bedplate check` refuses of alerts, and that ours pass."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bedplate.component import Spec
from bedplate.declarations import SLO, Runbook, Series
from bedplate.monitor.alerts.rules import rules
from bedplate.monitor.alerts.soundness import unsound
from bedplate.monitor.alerts.trial import trial
from bedplate.service import Service
from bedplate.settings import Sources
from bedplate.testing import settings
from synfinance.service import build
from synfinance.settings import SynFinanceSettings

from .alert_shapes import LEVEL, tank


def said(*alerts: Any, runbook: str | None = None, **spec: Any) -> list[str]:
    text = "".join(f"## {alert.name}\nFill it.\n" for alert in alerts) if runbook is None else runbook
    declared = Spec(kind="tank", summary="Holds.", metrics=(LEVEL,), alerts=alerts, runbook=Runbook(text=text), **spec)
    return [str(refusal) for refusal in unsound("plant", [declared])]


def test_a_good_alert_passes() -> None:
    assert said(tank()) == []


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"fires": ()}, "has no `fires` series"),
        ({"quiet": ()}, "has no `quiet` series"),
        ({"summary": "At {{ $value | title }}."}, "uses title"),
        ({"expr": f"predict_linear({LEVEL}[1h], 3600) < 0 and sort_by_label({LEVEL}, 'tank')"}, "sort_by_label"),
        ({"summary": "Tank {{ $labels.tnak }} is empty."}, "$labels.tnak in its summary, which what fires on its"),
        ({"expr": f"sum({LEVEL}) < 0.1"}, "$labels.tank in its summary"),
        ({"fires": (Series(str(LEVEL(tank="a")), "1x10"),)}, "its condition never holds"),
        ({"for_": "30m"}, "it is pending, but not for 30m"),
        ({"quiet": (Series(str(LEVEL(tank="a")), "1 1 0x10"),)}, "fires on its `quiet` series after 150 s with"),
    ],
)  # fmt: skip
def test_what_cannot_be_trusted_is_refused(changes: dict[str, Any], complaint: str) -> None:
    (refusal,) = said(tank(**changes))
    assert complaint in refusal


def test_an_alert_without_its_section_is_refused() -> None:
    (refusal,) = said(tank(), runbook="## TankFull\nDrain it.\n")
    assert "TankEmpty has no section" in refusal and "## TankEmpty" in refusal


def test_two_of_one_name_are_refused_but_not_of_one_kind() -> None:
    one = Spec(
        kind="tank", summary="Holds.", metrics=(LEVEL,), alerts=(tank(),), runbook=Runbook(text="## TankEmpty\nx")
    )
    two = Spec(kind="tank", name="b", summary="Holds.", alerts=(tank(),), runbook=Runbook(text="## TankEmpty\nx"))
    other = Spec(kind="pool", summary="Holds.", alerts=(tank(),), runbook=Runbook(text="## TankEmpty\nx"))
    assert [str(refusal) for refusal in unsound("plant", [one, two])] == []
    (refusal,) = unsound("plant", [one, other])
    assert "declared by tank already" in str(refusal)


def test_the_alerts_of_an_objective_are_tried_too() -> None:
    slo = SLO(name="levels", objective=0.99, good="good_total", total="all_total", summary="Levels are right.")
    assert any("has no `fires` series" in refusal for refusal in said(slos=(slo,)))


@pytest.mark.parametrize("name", ["plain", "synfinance"])
def test_our_own_alerts_are_sound(name: str, tmp_path: Path) -> None:
    if name == "plain":
        service = Service("plant", None, [], settings=settings())
    else:
        service = build(SynFinanceSettings(environment="test", _sources=Sources.none()))
    specs = [component.spec for component in service.components]
    assert [str(refusal) for refusal in unsound(service.name, specs)] == []
    assert len(rules(service.name, specs)) > 10


def test_a_trial_says_when_it_fires_with_which_labels_and_value() -> None:
    declared = Spec(kind="tank", summary="Holds.", metrics=(LEVEL,), alerts=(tank(keep_firing_for="1m"),))
    (rule,) = rules("plant", [declared])
    result = trial(rule, [Series(str(LEVEL(tank="a")), "1 1 0.05x3 0.9x5"), Series(str(LEVEL(tank="b")), "0.5x10")])
    assert result.first is not None and result.last is not None
    assert result.first.at == 150, "two minutes until it is empty, and 30 s of `for`"
    (firing,) = result.first.firing
    assert firing.value == 0.05 and firing.summary == "Tank a is at 5%."
    assert firing.labels == {
        "alertname": "TankEmpty",
        "tank": "a",
        "job": "plant",
        "severity": "critical",
        "source": "tank",
    }
    assert result.last.at == 410, "empty until 350 s, then a minute of `keep_firing_for`"
    assert result.at(149) == () and result.at(151) == (firing,)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("ServiceComponentDown", "The component redis does not run; what needs it fails."),
        ("ServiceComponentDegraded", "The component cache works with less than it should."),
        ("ServiceTaskCrashing", "The task poll of feed crashes again and again."),
    ],
)
def test_what_concerns_one_component_names_it(name: str, says: str) -> None:
    service = Service("plant", None, [], settings=settings())
    (rule,) = [one for one in rules("plant", [part.spec for part in service.components]) if one.name == name]
    first = trial(rule, rule.alert.fires).first
    assert first is not None and [one.summary for one in first.firing] == [says]
