"""Rendered files as Prometheus' and Alertmanager's own tools judge them, of services that share a component too."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from bedplate.render import Options, render
from tests.prometheus import alertmanager, amtool, prometheus, promtool
from tests.rendering import CACHE, MISSES, shop, synfinance, written
from tools.finding import ROOT
from tools.rendering import FOLDER


def test_promtool_accepts_every_rule_of_what_is_committed_and_passes_every_test(tmp_path: Path) -> None:
    rules = sorted((FOLDER / "prometheus" / "rules").glob("*/*.yml"))
    tests = sorted((FOLDER / "prometheus" / "tests").glob("*/*.yml"))
    assert len(rules) >= len(tests) > 10
    promtool("check", "rules", *rules)
    said = promtool("test", "rules", *tests)
    assert said.count("SUCCESS") == len(tests)


def test_a_test_of_a_rule_can_fail(tmp_path: Path) -> None:
    folder = written(render([shop()]), tmp_path) / "prometheus"
    rules = folder / "rules" / "shop" / "speed.yml"
    promtool("test", "rules", folder / "tests" / "shop" / "speed.yml")
    rules.write_text(rules.read_text().replace("> 0.5", "> 1.5"))
    with pytest.raises(AssertionError, match=r"alertname: ?CacheMisses"):
        promtool("test", "rules", folder / "tests" / "shop" / "speed.yml")
    rules.write_text(rules.read_text().replace("> 1.5", "> 0.05"))
    with pytest.raises(AssertionError, match=r"count_over_time.ALERTS"):
        promtool("test", "rules", folder / "tests" / "shop" / "speed.yml")


def test_components_of_one_kind_pass_their_tests_together(tmp_path: Path) -> None:
    twins = [replace(CACHE, name=name) for name in ("first", "second")]
    folder = written(render([shop("shop", *twins)]), tmp_path) / "prometheus"
    tests = sorted((folder / "tests" / "shop").iterdir())
    assert promtool("test", "rules", *tests).count("SUCCESS") == len(tests) == 3


def test_both_tools_accept_the_configuration(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("secret")
    folder = written(render([synfinance(), shop()], Options(token_file=str(token))), tmp_path / "deploy")
    said = promtool("check", "config", folder / "prometheus" / "prometheus.yml")
    assert "rule files found" in said
    amtool("check-config", folder / "alertmanager" / "alertmanager.yml")
    scaled = written(render([synfinance()], Options(time_scale=0.02, token_file="")), tmp_path / "scaled")
    promtool("check", "config", scaled / "prometheus" / "prometheus.yml")
    amtool("check-config", scaled / "alertmanager" / "alertmanager.yml")


def test_services_that_share_a_component_do_not_fire_for_each_other(tmp_path: Path) -> None:
    folder = written(render([shop("ledger"), shop("midas")]), tmp_path) / "prometheus"
    rules = sorted((folder / "rules").glob("*/*.yml"))
    promtool("check", "rules", *rules)
    # Both have the component; only Midas' cache misses, and only Ledger says how full its cache is.
    series = [
        {"series": str(MISSES(cache="prices"))[:-1] + ',job="midas"}', "values": "0+60x20"},
        {"series": str(MISSES(cache="prices"))[:-1] + ',job="ledger"}', "values": "0+6x20"},
        {"series": 'shop_cache_filled_ratio{job="ledger"}', "values": "0.5x20"},
    ]
    cases = [
        {
            "expr": f'count by (job) (ALERTS{{alertname="{name}",alertstate="firing"}})',
            "eval_time": "20m",
            "exp_samples": [{"labels": '{job="midas"}', "value": 1}],
        }
        for name in ("CacheMisses", "CacheGone")
    ]
    test = {
        "rule_files": [str(path) for path in rules],
        "evaluation_interval": "30s",
        "tests": [{"interval": "1m", "input_series": series, "promql_expr_test": cases}],
    }
    (tmp_path / "both.yml").write_text(yaml.safe_dump(test))
    promtool("test", "rules", tmp_path / "both.yml")


def test_a_service_that_is_down_is_told_of_whether_it_fails_or_was_never_there(tmp_path: Path) -> None:
    names = {rule.name: rule for rule in synfinance().rules}
    rule = names["ServiceDown"]
    assert rule.alert.external
    rules = FOLDER / "prometheus" / "rules" / "synfinance" / f"{rule.group.name}.yml"
    count = 'count(ALERTS{alertname="ServiceDown",alertstate="firing",job="synfinance"})'

    def case(series: list[dict[str, str]], firing: bool) -> dict[str, Any]:
        samples = [{"labels": "{}", "value": 1}] if firing else []
        looks = [{"expr": count, "eval_time": "9m", "exp_samples": samples}]
        return {"interval": "1m", "input_series": series, "promql_expr_test": looks}

    up = [{"series": f'up{{job="synfinance",instance="{name}"}}', "values": "1x10"} for name in "ab"]
    down = {"series": 'up{job="synfinance",instance="c"}', "values": "1 0x10"}
    other = {"series": 'up{job="other",instance="a"}', "values": "0x10"}
    test = {
        "rule_files": [str(rules)],
        "evaluation_interval": "1m",
        "tests": [case([*up, other], False), case([*up, down], True), case([other], True)],
    }
    (tmp_path / "down.yml").write_text(yaml.safe_dump(test))
    promtool("test", "rules", tmp_path / "down.yml")


def test_alertmanager_says_what_is_worst_and_holds_back_what_follows_from_it(tmp_path: Path) -> None:
    folder = written(render([shop()], Options(time_scale=0.02)), tmp_path / "deploy")
    common = {"job": "shop", "source": "cache"}
    with alertmanager(tmp_path, folder / "alertmanager" / "alertmanager.yml") as server:
        server.send(
            {"labels": {"alertname": "CacheMisses", "severity": "critical", **common}},
            {"labels": {"alertname": "CacheSlow", "severity": "warning", **common}},
            {"labels": {"alertname": "CacheSlow", "severity": "warning", "job": "other", "source": "cache"}},
        )

        def states() -> dict[tuple[str, str], str]:
            return {(a["labels"]["alertname"], a["labels"]["job"]): a["status"]["state"] for a in server.alerts()}

        wanted = {
            ("CacheMisses", "shop"): "active",
            ("CacheSlow", "shop"): "suppressed",
            ("CacheSlow", "other"): "active",
        }
        server.until(lambda: states() == wanted, "inhibition")
        receivers = {a["labels"]["alertname"]: a["receivers"][0]["name"] for a in server.alerts()}
        assert receivers == {"CacheMisses": "critical", "CacheSlow": "warning"}
        server.send(
            {"labels": {"alertname": "ServiceDown", "severity": "critical", "job": "shop", "source": "service"}}
        )
        server.until(lambda: states()[("CacheMisses", "shop")] == "suppressed", "silence while it is down")
        assert states()[("ServiceDown", "shop")] == "active"


def test_prometheus_starts_with_the_configuration_and_reads_it_anew(tmp_path: Path) -> None:
    folder = written(render([shop()], Options(token_file="")), tmp_path / "deploy")
    with prometheus(tmp_path, config=folder / "prometheus" / "prometheus.yml") as server:
        assert {rule["name"] for rule in server.rules()} == {"CacheMisses", "CacheGone"}
        rules = folder / "prometheus" / "rules" / "shop" / "speed.yml"
        rules.write_text(rules.read_text().replace("CacheMisses", "Renamed"))
        server.reload()
        assert {rule["name"] for rule in server.rules()} == {"Renamed", "CacheGone"}
        jobs = {"prometheus", "shop"}
        server.until(lambda: {target["labels"]["job"] for target in server.targets()} == jobs, "the targets")


def test_what_is_committed_is_what_git_has() -> None:
    listed = (FOLDER / "rendered.txt").read_text().split()
    known = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "deploy"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    ).stdout.split()  # fmt: skip
    assert sorted(f"deploy/{path}" for path in listed) == sorted(known), (
        "nothing rendered is ignored, nothing else lies there"
    )
