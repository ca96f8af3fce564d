"""Dashboards and groups that clash are refused before the start, by name."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

from bedplate.component import Host, Spec
from bedplate.declarations import Alert, AlertGroup, Dashboard, Panel, Variable
from bedplate.metric import Counter
from bedplate.monitor.panels.soundness import idle_choices
from bedplate.service import Service
from bedplate.settings import Settings

SALES = Counter("till_sales_total", "Sales.", {"country": 5})
PAGE = Dashboard(name="sales", title="Sales", variables=(Variable(label="country"),))
SPEC = Spec(
    kind="till",
    summary="Takes money.",
    metrics=(SALES,),
    panels=(Panel(title="Sales", expr=f"rate({SALES}[5m])", dashboard=PAGE),),
)


class Part:
    def __init__(self, spec: Spec) -> None:
        self.spec = spec

    @asynccontextmanager
    async def lifespan(self, host: Host) -> AsyncIterator[None]:
        yield


def refused(*specs: Spec) -> list[str]:
    service = Service("shop", None, [Part(spec) for spec in specs], settings=Settings())
    return [str(refusal) for refusal in service.refusals()]


def test_what_does_not_clash_is_not_refused() -> None:
    panels = (Panel(title="More", expr=f"sum({SALES})", dashboard=replace(PAGE)),)
    assert refused(SPEC, replace(SPEC, kind="booth", panels=panels)) == []


def test_a_choice_that_no_metric_of_the_panels_has_is_told_and_keeps_nothing_from_starting() -> None:
    page = replace(PAGE, variables=(Variable(label="colour"),))
    spec = replace(SPEC, panels=(replace(SPEC.panels[0], dashboard=page),))
    assert refused(spec) == []
    (refusal,) = idle_choices([spec])
    assert "the dashboard sales lets people choose 'colour', which no metric of its panels has" in str(refusal)


def test_a_choice_may_come_from_a_panel_of_another_component() -> None:
    page = replace(PAGE)
    other = replace(SPEC, kind="clock", metrics=(), panels=(Panel(title="Up", expr="sum(up)", dashboard=page),))
    assert refused(other, SPEC) == []
    assert list(idle_choices([other, SPEC])) == []


def test_two_dashboards_of_one_name_are_refused() -> None:
    other = replace(SPEC, kind="booth", panels=(replace(SPEC.panels[0], dashboard=replace(PAGE, title="Other sales")),))
    (refusal,) = refused(SPEC, other)
    assert "the dashboard sales is declared differently by till" in refusal


def test_one_group_with_two_intervals_is_refused() -> None:
    def alert(name: str, interval: str) -> Alert:
        group = AlertGroup(name="fast", interval=interval)
        return Alert(name=name, expr=f"{SALES} > 5", summary="Much.", group=group)

    found = refused(replace(SPEC, alerts=(alert("TillBusy", "30s"),)),
                    replace(SPEC, kind="booth", panels=(), alerts=(alert("BoothBusy", "1m"),)))  # fmt: skip
    (refusal,) = (each for each in found if "group" in each)
    assert "the group of alerts fast is evaluated every 1m, by till every 30s" in refusal
