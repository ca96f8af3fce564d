"""A degradation is said once: the gauge, the alert, the panel and the runbook's section follow from it."""

from __future__ import annotations

import pytest

from bedplate.component import Spec
from bedplate.declarations import Alert, Panel, Runbook
from bedplate.degradation import Degradation
from bedplate.metric import Gauge
from bedplate.problems import DeclarationError

REACHED = Gauge("shop_prices_reached", "Whether every process reaches its store (1) or not (0).", merge="min")
ALONE = Gauge("shop_prices_alone", "Whether a process does without its store (1).", merge="max")
OTHER = Panel(title="Prices", expr="shop_prices", row="Market")
OWN = Runbook(text="# Prices\n\nThey move.\n\n## PricesAway\n\nTell the traders.\n\n## PricesOld\n\nWait.\n")


def _spec(degradation: Degradation, runbook: Runbook | None = None) -> Spec:
    return Spec(kind="prices", summary="Has prices.", degradation=degradation, panels=(OTHER,), runbook=runbook)


def _told(gauge: Gauge) -> Degradation:
    return Degradation(policy="refuse", summary="Orders are refused.", gauge=gauge, alert="PricesAway")


def test_a_gauge_and_a_name_are_all_that_a_component_says() -> None:
    spec = _spec(_told(REACHED), OWN)
    assert spec.metrics == (REACHED,)
    (alert,) = spec.alerts
    assert (alert.name, alert.expr, alert.severity) == ("PricesAway", "min(shop_prices_reached) == 0", "critical")
    assert alert.summary == "The store is away. Orders are refused."
    panel, other = spec.panels
    assert (panel.expr, panel.row, other) == ("min(shop_prices_reached)", "Market", OTHER)
    assert spec.runbook is not None
    sections = spec.runbook.sections()
    assert "Orders are refused." in sections["PricesAway"] and sections["PricesAway"].endswith("Tell the traders.")
    assert sections["PricesOld"] == "Wait."


def test_a_gauge_that_counts_who_is_alone_is_read_the_other_way() -> None:
    told = _told(ALONE)
    (alert,) = _spec(told).alerts
    assert alert.expr == "max(shop_prices_alone) == 1"
    assert (alert.fires[0].values, alert.quiet[0].values) == ("0 1x10", "0 0 1 0x20")
    assert (told.value(available=True), told.value(available=False)) == (0.0, 1.0)
    assert (_told(REACHED).value(available=True), _told(REACHED).value(available=False)) == (1.0, 0.0)


def test_who_goes_on_for_everybody_only_warns() -> None:
    told = Degradation(policy="serve", summary="Old prices serve.", gauge=REACHED, alert="PricesAway")
    assert _spec(told).alerts[0].severity == "warning"


def test_a_spec_made_of_another_has_it_once() -> None:
    spec = _spec(_told(REACHED), OWN)
    again = Spec(
        kind="prices",
        summary="Has prices.",
        degradation=spec.degradation,
        metrics=spec.metrics,
        alerts=spec.alerts,
        panels=spec.panels,
        runbook=spec.runbook,
    )
    assert again == spec


def test_without_a_gauge_nothing_is_added() -> None:
    own = Alert(name="PricesOld", expr="shop_prices_age > 9", summary="They are old.")
    spec = Spec(
        kind="prices",
        summary="Has prices.",
        degradation=Degradation(policy="serve", summary="Old prices serve."),
        alerts=(own,),
        runbook=OWN,
    )
    assert (spec.metrics, spec.alerts, spec.panels, spec.runbook) == ((), (own,), (), OWN)


def test_half_a_declaration_and_a_gauge_that_hides_one_of_many_are_refused() -> None:
    with pytest.raises(DeclarationError, match="both or none"):
        Degradation(policy="serve", summary="Old prices serve.", alert="PricesAway")
    summed = Gauge("shop_prices_sum", "Processes that reach the store.")
    with pytest.raises(DeclarationError, match="merges by sum"):
        Degradation(policy="serve", summary="Old prices serve.", gauge=summed, alert="PricesAway")
