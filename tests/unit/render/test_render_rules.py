"""Prometheus' and Alertmanager's files: rules narrowed to their service, tests of every alert, who hears of what."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
import yaml

from bedplate.declarations import SLO, Alert, AlertGroup, Panel, Series
from bedplate.problems import BedplateError
from bedplate.promql.selectors import selectors
from bedplate.render import Container, Options, render
from tests.rendering import CACHE, FILLED, HITS, MISSES, shop, synfinance, synfinance_files


def load(files: Mapping[str, str], path: str) -> Any:
    return yaml.safe_load(files[path])


def rules(files: dict[str, str], service: str = "shop") -> dict[str, Any]:
    groups = [
        group
        for path in files
        if path.startswith(f"prometheus/rules/{service}/")
        for group in load(files, path)["groups"]
    ]
    return {rule["alert"]: {**rule, "group": group["name"], "interval": group["interval"]} for group in groups
            for rule in group["rules"]}  # fmt: skip


def test_a_rule_says_everything_that_its_alert_declares() -> None:
    files = render([shop()])
    rule = rules(files)["CacheMisses"]
    assert rule.pop("annotations").keys() == {"summary", "runbook_url", "dashboard_url"}
    assert rule == {
        "alert": "CacheMisses",
        "expr": 'sum by (cache) (rate(shop_cache_misses_total{job="shop"}[5m])) > 0.5',
        "for": "2m",
        "keep_firing_for": "3m",
        "labels": {"job": "shop", "severity": "critical", "source": "cache"},
        "group": "shop-speed",
        "interval": "1m",
    }
    gone = rules(files)["CacheGone"]
    assert gone["expr"] == 'absent(shop_cache_filled_ratio{job="shop"})'
    assert "for" not in gone and "keep_firing_for" not in gone


def test_links_lead_to_the_panel_and_the_page_of_the_runbook() -> None:
    annotations = rules(render([shop()]))["CacheMisses"]["annotations"]
    assert annotations["summary"] == "The cache {{ $labels.cache }} misses {{ $value | humanize }} times a second."
    assert "/d/shop-caches-" in annotations["dashboard_url"] and "viewPanel=panel-" in annotations["dashboard_url"]
    options = Options(grafana_url="https://grafana.example/", runbook_url="https://wiki.example/runbooks/")
    annotations = rules(render([shop()], options))["CacheMisses"]["annotations"]
    assert annotations["runbook_url"] == "https://wiki.example/runbooks/shop.md#cachemisses"
    assert annotations["dashboard_url"].startswith("https://grafana.example/d/shop-caches-")


def test_the_runbook_has_a_section_for_every_alert() -> None:
    page = synfinance_files()["runbooks/synfinance.md"]
    for rule in synfinance().rules:
        assert f"### {rule.name}\n" in page
        assert rule.section.splitlines()[0] in page
        assert rule.expr in page


def test_every_alert_has_a_test_that_it_fires_and_one_that_it_does_not() -> None:
    files = synfinance_files()
    named = [
        case["name"] for path in files if path.startswith("prometheus/tests/") for case in load(files, path)["tests"]
    ]
    assert sorted(named) == sorted(
        f"{rule.name} {word}" for rule in synfinance().rules for word in ("fires", "is quiet")
    )


def test_a_test_expects_labels_and_texts_filled_in() -> None:
    fires, quiet = load(render([shop()]), "prometheus/tests/shop/speed.yml")["tests"]
    assert fires["input_series"] == [
        {"series": 'shop_cache_misses_total{cache="prices",job="shop"}', "values": "0+60x10"}
    ]
    (expected,) = fires["alert_rule_test"][0]["exp_alerts"]
    assert expected["exp_labels"] == {"cache": "prices", "job": "shop", "severity": "critical", "source": "cache"}
    assert expected["exp_annotations"]["summary"] == "The cache prices misses 1 times a second."
    assert quiet["promql_expr_test"][0]["exp_samples"] == []


def test_an_alert_that_does_not_keep_to_its_series_is_refused() -> None:
    silent = Alert(
        name="Never", expr=f"{FILLED} > 1", summary="Never.", for_="0s", fires=(Series(str(FILLED), "0.5x5"),)
    )
    with pytest.raises(BedplateError, match="Never does not fire on its `fires` series"):
        render([shop("shop", replace(CACHE, alerts=(silent,)))])
    loud = replace(silent, name="Always", fires=(), quiet=(Series(str(FILLED), "2x5"),))
    with pytest.raises(BedplateError, match="Always fires on its `quiet` series"):
        render([shop("shop", replace(CACHE, alerts=(loud,)))])


def test_groups_of_one_name_and_two_intervals_are_refused() -> None:
    first, second = CACHE.alerts
    changed = replace(second, group=AlertGroup(name="speed", interval="5m"))
    with pytest.raises(BedplateError, match="the group of alerts speed is evaluated every 5m, by cache every 1m"):
        render([shop("shop", replace(CACHE, alerts=(first, changed)))])


def test_services_that_share_a_component_share_no_series_and_no_group() -> None:
    files = render([shop("ledger"), shop("midas")])
    for service in ("ledger", "midas"):
        for rule in rules(files, service).values():
            jobs = {m.value for s in selectors(rule["expr"]) for m in s.matchers if m.label == "job"}
            assert jobs == {service}
            assert rule["labels"]["job"] == service
            assert rule["group"].startswith(f"{service}-")


def test_components_of_one_kind_have_alerts_of_one_name_and_are_told_apart() -> None:
    twins = [
        replace(CACHE, name=name, metrics=CACHE.metrics if name == "first" else ()) for name in ("first", "second")
    ]
    files = render([shop("shop", *twins)])
    (group,) = load(files, "prometheus/rules/shop/speed.yml")["groups"]
    sources = {rule["labels"]["source"]: rule["annotations"]["runbook_url"] for rule in group["rules"]}
    assert sources.keys() == {"cache:first", "cache:second"}
    assert len(set(sources.values())) == 2
    fires, _, _, quiet = load(files, "prometheus/tests/shop/speed.yml")["tests"]
    expected = fires["alert_rule_test"][0]["exp_alerts"]
    assert [alert["exp_labels"]["source"] for alert in expected] == ["cache:first", "cache:second"]
    assert [alert["exp_annotations"]["runbook_url"] for alert in expected] == list(sources.values())
    assert 'source="cache:second"' in quiet["promql_expr_test"][0]["expr"]


def test_one_factor_scales_every_time() -> None:
    files = render([shop()], Options(time_scale=0.02))
    rule = rules(files)["CacheMisses"]
    assert rule["expr"] == 'sum by (cache) (rate(shop_cache_misses_total{job="shop"}[6s])) > 0.5'
    assert (rule["for"], rule["keep_firing_for"], rule["interval"]) == ("2s400ms", "3s600ms", "1s200ms")
    config = load(files, "prometheus/prometheus.yml")
    assert config["global"]["scrape_interval"] == config["global"]["evaluation_interval"] == "500ms"
    assert "[6s]" in files["grafana/dashboards/shop/caches.json"]
    assert not any(path.startswith("prometheus/tests/") for path in files), "a rate a second is not scaled"


@pytest.mark.parametrize("scale", [0.0, -1.0, float("nan"), float("inf")])
def test_a_scale_that_is_no_factor_is_refused(scale: float) -> None:
    with pytest.raises(BedplateError, match="is no factor"):
        Options(time_scale=scale)


def test_each_service_is_scraped_by_its_own_job() -> None:
    inside = replace(shop("midas"), root="/midas", container=Container(name="both", target="both:build"))
    options = Options(targets={"shop": ("a:1", "b:2"), "": ("c:3",)}, token_file="/tokens/scraper")
    config = load(render([shop(), inside], options), "prometheus/prometheus.yml")
    jobs = {job["job_name"]: job for job in config["scrape_configs"]}
    assert jobs["shop"] == {
        "job_name": "shop",
        "metrics_path": "/metrics",
        "authorization": {"credentials_file": "/tokens/scraper"},
        "static_configs": [{"targets": ["a:1", "b:2"]}],
    }
    assert jobs["midas"]["metrics_path"] == "/midas/metrics"
    assert jobs["midas"]["static_configs"] == [{"targets": ["c:3"]}]
    default = load(render([inside], Options(token_file="")), "prometheus/prometheus.yml")["scrape_configs"][1]
    assert "authorization" not in default
    assert default["static_configs"] == [{"targets": ["both:8000"]}]


def test_a_service_that_is_named_twice_is_refused() -> None:
    with pytest.raises(BedplateError, match="Two services are called shop"):
        render([shop(), shop()])
    with pytest.raises(BedplateError, match="No service is named"):
        render([])


def test_expressions_are_blocks_that_people_can_read() -> None:
    text = render([shop()])["prometheus/rules/shop/speed.yml"]
    assert text.startswith("# Rendered by `bedplate render`.")
    assert '        expr: |-\n          sum by (cache) (rate(shop_cache_misses_total{job="shop"}[5m])) > 0.5\n' in text


def test_what_looks_back_over_many_hours_is_recorded_and_panels_ask_for_that() -> None:
    budget = SLO(name="sold", objective=0.99, good=str(HITS), total=str(MISSES), least=1)
    long = Panel(title="Hits of a day", expr=f"sum by (cache) (increase({HITS}[1d]))")
    files = render([shop("shop", replace(CACHE, alerts=(), slos=(budget,), panels=(long,)))])
    (group,) = load(files, "prometheus/rules/shop/_recordings.yml")["groups"]
    recorded = {rule["record"]: rule["expr"] for rule in group["rules"]}
    assert recorded["job:hits_of_a_day:value"] == 'sum by (cache) (increase(shop_cache_hits_total{job="shop"}[1d]))'
    assert {rule["labels"]["job"] for rule in group["rules"]} == {"shop"}
    assert "job:error_budget_left_sold:value" in recorded
    assert "job:burn_rate_sold:over_6h" in recorded and "job:burn_rate_sold:over_1h" not in recorded
    page = json.loads(files["grafana/dashboards/shop/overview.json"])
    asked = {
        target["expr"]: target.get("legendFormat")
        for row in page["panels"]
        for panel in (row, *row.get("panels", ()))
        for target in panel.get("targets", ())
    }
    assert asked['job:hits_of_a_day:value{job="shop"}'] == "{{cache}}"
    assert asked['job:burn_rate_sold:over_6h{job="shop"}'] == "over 6h"
    assert "prometheus/rules/shop/_recordings.yml" not in render([shop()]), "nothing is recorded for nothing"
