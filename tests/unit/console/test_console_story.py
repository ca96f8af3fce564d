"""What the home page makes of many things that are not well at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import pytest

from bedplate import Service
from bedplate.component import ComponentView, Spec
from bedplate.console import story
from bedplate.console.story import findings
from bedplate.monitor.alerts.notices import AlertView
from bedplate.monitor.health.status import Reason


@dataclass
class Part:
    """A component that is only declared."""

    spec: Spec

    def lifespan(self, host: Any) -> Any:
        raise NotImplementedError


def parts(*needs: tuple[str, Sequence[str]]) -> dict[str, Part]:
    made: dict[str, Part] = {}
    for kind, on in needs:
        made[kind] = Part(Spec(kind=kind, summary="A part.", needs=tuple(made[one] for one in on)))
    return made


def reason(component: str, since: float, meaning: str = "") -> Reason:
    return Reason(component, "store", "degraded", since, "no answer", meaning or f"{component} does without.")


def views(made: dict[str, Part]) -> list[ComponentView]:
    return [ComponentView(part, part.spec, "running") for part in made.values()]


def test_what_stands_on_something_that_is_not_well_follows_from_it_before_any_alert_fires() -> None:
    made = parts(("store", ()), ("near", ("store",)), ("cache", ("near",)), ("disk", ()))
    told = findings([reason("cache", 1.0), reason("store", 2.0), reason("disk", 3.0)], (), views(made))
    assert [(one.component, [each.component for each in one.follows]) for one in told] == [
        ("store", ["cache"]), ("disk", []),
    ]  # fmt: skip


def test_alerts_that_say_what_the_health_report_says_are_declared_by_every_service() -> None:
    declared = {alert.name for component in Service("shop", None, []).components for alert in component.spec.alerts}
    assert set(story._SAME) <= declared


def probe_down(component: str) -> AlertView:
    return AlertView(
        key=f"key-{component}",
        fingerprint="f",
        name="HealthProbeDown",
        service="shop",
        source="health",
        group="",
        severity="warning",
        state="firing",
        labels={"component": component, "probe": "store"},
        summary=f"The probe store of {component} is down.",
        value=0.0,
        since=1.0,
        fired_at=2.0,
    )


@pytest.mark.parametrize("fires", [False, True])
def test_what_many_have_alike_is_told_once_and_names_the_others(fires: bool) -> None:
    made = parts(*((f"limit{number}", ()) for number in range(5)), ("disk", ()))
    reasons = [reason(f"limit{number}", number, "It counts alone.") for number in range(5)] + [reason("disk", 9.0)]
    alerts = [probe_down(one.component) for one in reasons] if fires else []
    told = findings(reasons, alerts, views(made))
    assert [(one.component, len(one.alike)) for one in told] == [("limit0", 4), ("disk", 0)]
    few = findings(reasons[:2], alerts[:2], views(made))
    assert [(one.component, len(one.alike)) for one in few] == [("limit0", 0), ("limit1", 0)]


def test_a_trouble_is_loud_while_its_alert_is_on_any_instance() -> None:
    one = probe_down("disk")
    other = replace(one, key="key-other", instance="b", silenced_by=("silence",))
    for alerts in ([one, other], [other, one]):
        told = next(each for each in findings([reason("disk", 1.0)], alerts, views(parts(("disk", ())))) if each.error)
        assert told.quiet == "" and told.path == "/alerts/key-disk"


def test_what_follows_from_many_alike_is_still_told() -> None:
    stores, users = [f"store{number}" for number in range(4)], [f"user{number}" for number in range(4)]
    made = parts(*((one, ()) for one in stores), *((user, (store,)) for user, store in zip(users, stores, strict=True)))
    reasons = [reason(one, 1.0, "It refuses.") for one in stores] + [reason(one, 2.0) for one in users]
    (told,) = findings(reasons, (), views(made))
    assert sorted(each.component for each in (told, *told.alike)) == stores
    assert sorted(each.component for each in told.follows) == users


def test_several_troubles_of_one_component_are_one_card() -> None:
    made = parts(
        ("database", ()),
    )
    state = Reason("database", "", "degraded", 1.0, "refused", "Its users are refused.")
    probe = Reason("database", "ping", "unhealthy", 2.0, "refused", "No requests are taken.")
    (one,) = findings([state, probe], (), views(made))
    assert one.probe == "ping" and [each.title for each in one.follows] == ["database is degraded"]
