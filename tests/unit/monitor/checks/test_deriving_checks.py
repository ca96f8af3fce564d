"""Which checks follow from what components declare."""

from __future__ import annotations

import itertools
from dataclasses import asdict, replace
from typing import Any

import orjson
import pytest

from bedplate.component import Environment, Spec
from bedplate.declarations import Alert, Check, Panel, Probe, Series
from bedplate.metric import Counter, Gauge
from bedplate.monitor.checks import Item, Listing, derived_checks, in_suite, item_of, listing_of
from bedplate.problems import BedplateError
from bedplate.telemetry.http import HttpSettings


async def well() -> None:
    return None


SALES = Counter("shop_sales_total", "Sales.")
STOCK = Gauge("shop_stock", "Stock.", ("shelf",))
SHOP = Spec(
    kind="shop",
    name="north",
    summary="Sells.",
    metrics=(SALES, STOCK),
    probes=(Probe(name="till", check=well), Probe(name="scales", check=well, critical=False)),
    alerts=(
        Alert(name="ShopIdle", expr=f"rate({SALES}[5m]) == 0", summary="Nobody buys.", fires=(Series("a", "1"),)),
        Alert(name="ShopBurnt", expr="up == 0", summary="It is gone.", external=True),
    ),
    panels=(Panel(title='Sales of "north"', expr=f"rate({SALES}[5m])"),),
    checks=(
        Check(name="door", path="/door", within=0.5, fields=("open",)),
        Check(name="books", path="/books", role="operator", suite="observability", contains=("total",)),
    ),
)
HEALTH = Spec(kind="health", summary="Health.", checks=(Check(name="healthz", path="/healthz", role="viewer"),))


def derive(*specs: Spec, environment: Environment = "production") -> dict[str, Item]:
    found = derived_checks(specs, prefix="/ops", environment=environment)
    names = [item.name for item in found]
    assert len(set(names)) == len(names)
    return {item.name: item for item in found}


def test_a_components_own_checks_are_among_them_as_declared() -> None:
    items = derive(SHOP)
    door = items["shop:north/door"]
    assert (door.path, door.within, door.fields, door.role, door.group) == ("/door", 0.5, ("open",), None, "shop")
    assert items["shop:north/books"].suite == "observability"
    assert door == item_of(SHOP.checks[0], SHOP)


def test_a_component_runs_and_its_probes_pass() -> None:
    items = derive(SHOP)
    runs = items["shop:north.runs"]
    assert (runs.path, runs.role, runs.suite) == ("/ops/components/shop/north", "viewer", "smoke")
    assert [(value.equals, value.tolerated) for value in runs.values] == [("running", ("degraded",))]
    till, scales = items["shop:north.probe-till"], items["shop:north.probe-scales"]
    assert till.values[0].path == "components.{label=shop:north}.probes.{name=till}.status"
    assert (till.optional, scales.optional) == (False, True)


def test_what_it_measures_shows_and_watches_is_there() -> None:
    items = derive(SHOP)
    metrics = items["shop:north.metrics"]
    assert metrics.contains == ("# TYPE shop_sales_total counter", "# TYPE shop_stock gauge")
    assert items["shop:north.alerts"].fields == ("alerts.{name=ShopIdle}.runbook", "alerts.{name=ShopBurnt}.runbook")
    assert items["shop:north.panels"].contains == (r'"Sales of \"north\""',)
    assert {items[f"shop:north.{name}"].suite for name in ("metrics", "alerts", "panels")} == {"observability"}


def test_alerts_are_evaluated_where_there_is_somebody_who_does_and_tells() -> None:
    assert "shop:north.rules" not in derive(SHOP)
    others = (Spec(kind="alerts", summary="Alerts."), Spec(kind="prometheus_api", summary="API."))
    rules = derive(SHOP, *others)["shop:north.rules"]
    assert rules.path == "/ops/prometheus/api/v1/rules"
    assert rules.contains == ('"ShopIdle"',), "what only Prometheus can tell is not evaluated here"


@pytest.mark.parametrize("environment", ["staging", "production"])
def test_outside_development_nobody_gets_in_without_a_token(environment: Environment) -> None:
    items = derive(SHOP, HEALTH, environment=environment)
    closed = items["shop:north/books-closed"]
    assert (closed.path, closed.expect, closed.anonymous, closed.suite) == ("/books", 401, True, "smoke")
    assert closed.contains == ()
    assert not closed.public, "it would tell a path that only this service has"
    assert items["health/healthz-closed"].public
    assert "shop:north/door-closed" not in items


def test_in_development_everything_may_be_open() -> None:
    assert [name for name in derive(SHOP, HEALTH, environment="development") if name.endswith("-closed")] == []


@pytest.mark.parametrize(
    ("settings", "names"),
    [
        (HttpSettings(), {"logs.request", "traces.request"}),
        (HttpSettings(access_log=False), {"traces.request"}),
        (HttpSettings(trust_parent=False), {"logs.request"}),
    ],
)
def test_a_request_is_looked_for_where_it_is_kept(settings: HttpSettings, names: set[str]) -> None:
    http = Spec(kind="http", summary="HTTP.", settings=settings)
    items = derive(http, Spec(kind="logs", summary="Logs."), Spec(kind="traces", summary="Traces."))
    assert {name for name, item in items.items() if item.kind != "answer"} == names


def test_checks_of_a_group_are_beside_each_other() -> None:
    groups = [item.group for item in derive(SHOP, HEALTH, replace(SHOP, name="south")).values()]
    assert [group for number, group in enumerate(groups) if group not in groups[:number]] == list(dict.fromkeys(groups))
    changes = sum(one != other for one, other in itertools.pairwise(groups))
    assert changes == len(set(groups)) - 1


def test_suites_divide_the_checks() -> None:
    items = tuple(derive(SHOP).values())
    smoke, observability = in_suite(items, "smoke"), in_suite(items, "observability")
    assert set(smoke).isdisjoint(observability)
    assert set(smoke) | set(observability) == set(in_suite(items, "all")) == set(items)


def test_a_list_of_checks_survives_the_way_and_anything_else_is_refused() -> None:
    items = tuple(derive(SHOP).values())
    listing = Listing(
        service="shop", environment="staging", prefix="/ops", grant=None, hidden={"smoke": 3}, checks=items
    )
    document: dict[str, Any] = orjson.loads(orjson.dumps(asdict(listing)))
    assert listing_of(document) == listing
    assert listing_of({**document, "of_the_future": 1}) == listing
    wrong = [
        [],
        {"service": "shop"},
        {**document, "checks": [{**document["checks"][0], "method": "DELETE"}]},
        {**document, "checks": [{**document["checks"][0], "path": "elsewhere"}]},
    ]
    for each in wrong:
        with pytest.raises(BedplateError):
            listing_of(each)
