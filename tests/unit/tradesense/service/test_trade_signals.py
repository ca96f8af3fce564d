"""What TradeSense tells operators: metrics, alerts, panels, pages for the person on call."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml

from bedplate.component import Component, Spec
from bedplate.database import Database
from bedplate.monitor.alerts.rules import Rule, rules
from bedplate.monitor.alerts.trial import trial_refusals
from bedplate.promql.selectors import metric_references, scoped
from bedplate.state.cache import Cache
from bedplate.state.confirmations import Confirmations
from bedplate.state.events import Events
from bedplate.state.limits import RateLimit
from bedplate.state.locks import Locks
from bedplate.state.memory import Memory
from bedplate.state.sessions import Sessions
from bedplate.testing import CASES
from tests.prometheus import promtool
from tradesense.components import (
    Accounts,
    Analytics,
    Deletion,
    Deletions,
    Imported,
    Imports,
    Live,
    MadeUpQuotes,
    Market,
    Records,
)
from tradesense.samples import generic_csv, made_up
from tradesense.service import build

from .conftest import Desk, desk_of, quick_settings

OWN = ("trade_records", "accounts", "imports", "analytics", "market", "live", "deletions")
SERVICE = build(quick_settings())
SPECS: dict[str, Spec] = {one.spec.kind: one.spec for one in SERVICE.components if one.spec.kind in OWN}
RULES = [rule for rule in rules("tradesense", [one.spec for one in SERVICE.components]) if rule.source in OWN]


def test_all_components_are_there_and_the_service_may_start() -> None:
    assert set(SPECS) == set(OWN)
    assert SERVICE.refusals() == []


def test_every_metric_says_what_it_is_bounds_its_labels_and_is_on_a_panel() -> None:
    shown = {name for spec in SPECS.values() for panel in spec.panels for expr in panel.exprs
             for name, _ in metric_references(expr)}  # fmt: skip
    for spec in SPECS.values():
        for metric in spec.metrics:
            assert metric.name.startswith("tradesense_") and len(metric.help) > 20
            assert all(label.values is not None for label in metric.labels), metric.name
            assert shown & set(metric.sample_names), metric.name


def test_panels_ask_questions_in_rows_of_their_dashboards() -> None:
    panels = [panel for spec in SPECS.values() for panel in spec.panels]
    assert all(panel.summary.endswith((".", "?")) and panel.dashboard for panel in panels)
    titles = Counter((panel.dashboard and panel.dashboard.name, panel.title) for panel in panels)
    assert max(titles.values()) == 1
    for board in {panel.dashboard for panel in panels if panel.dashboard}:
        assert {panel.row for panel in panels if panel.dashboard == board} == set(board.rows)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_each_alert_says_what_to_do(rule: Rule) -> None:
    assert rule.alert.fires and rule.alert.quiet
    for part in ("**What it means.**", "**What to look at.**", "**Likely causes.**", "**What to do.**"):
        assert part in rule.section, part
    assert "{{ $value" in rule.alert.summary


def test_the_engine_of_the_process_judges_the_series_as_the_alerts_say() -> None:
    assert list(trial_refusals(RULES)) == []


def test_prometheus_judges_the_series_as_the_alerts_say(tmp_path: Path) -> None:
    groups = [
        {"name": rule.name, "interval": rule.group.interval,
         "rules": [{"alert": rule.name, "expr": rule.expr, "for": rule.alert.for_},
                   {"record": f"fired:{rule.name}", "expr": f'ALERTS{{alertname="{rule.name}",alertstate="firing"}}'}]}
        for rule in RULES
    ]  # fmt: skip
    (tmp_path / "rules.yml").write_text(yaml.safe_dump({"groups": groups}))
    tests = [_test(rule, word) for rule in RULES for word in ("fires", "quiet")]
    (tmp_path / "tests.yml").write_text(yaml.safe_dump({"rule_files": ["rules.yml"], "tests": tests}))
    promtool("check", "rules", "rules.yml", folder=tmp_path)
    promtool("test", "rules", "tests.yml", folder=tmp_path)


def _test(rule: Rule, word: str) -> dict[str, object]:
    series = getattr(rule.alert, word)
    last = max(_samples(one.values) for one in series) - 1
    samples = [{"labels": "{}", "value": 1}] if word == "fires" else []
    return {
        "name": f"{rule.name} {word}",
        "interval": "1m",
        "input_series": [{"series": scoped(one.series, "tradesense"), "values": one.values} for one in series],
        "promql_expr_test": [
            {"expr": f"max(max_over_time(fired:{rule.name}[{last + 1}m]))", "eval_time": f"{last}m",
             "exp_samples": samples}
        ],
    }  # fmt: skip


def _samples(values: str) -> int:
    repeats = [re.fullmatch(r".*x(\d+)", part) for part in values.split()]
    return sum(int(repeat[1]) + 1 if repeat else 1 for repeat in repeats)


async def test_after_some_work_every_panel_has_something_to_show() -> None:
    async with desk_of() as desk:
        await _work(desk)
        exposed = {name.partition("{")[0] for name in await desk.harness.samples()}
        wanted = {(panel.title, name) for spec in SPECS.values() for panel in spec.panels for expr in panel.exprs
                  for name, _ in metric_references(expr)}  # fmt: skip
        assert [pair for pair in sorted(wanted) if pair[1] not in exposed] == []


async def _work(desk: Desk) -> None:
    ada = await desk.trader()
    await ada.sign_in()
    await ada.upload(generic_csv(made_up(20)))
    for path in ("/analytics", "/analytics/equity", "/portfolio"):
        await ada.get(path)


def _component(kind: str, folder: Path) -> Component:
    """Return a component as the service has it, with a database that is not opened until it is used."""
    shared = Memory()
    records = Records(database=Database(f"sqlite:///{folder / 'records.sqlite3'}", lazy=True))
    if kind == "trade_records":
        return records
    locks, events, cache = Locks(shared), Events(shared), Cache(shared)
    limits = [RateLimit(shared, name, limits="9/s", paths=()) for name in ("a", "b", "c")]
    sessions = Sessions(shared)
    imported = events.stream("imported", Imported)
    imports = Imports(records=records, locks=locks, events=events, imported=imported)
    analytics = Analytics(records=records, cache=cache, events=events, imported=imported)
    market = Market(MadeUpQuotes(), events=events, locks=locks)
    if kind == "accounts":
        by_address, by_account, opening = limits
        return Accounts(records=records, sessions=sessions, cache=cache, by_address=by_address, by_account=by_account,
                        opening=opening)  # fmt: skip
    if kind == "deletions":
        asking = Confirmations(shared, Deletion)
        return Deletions(records=records, sessions=sessions, imports=imports, confirmations=asking)
    if kind == "live":
        return Live(records=records, analytics=analytics, market=market, events=events)
    return {"imports": imports, "analytics": analytics, "market": market}[kind]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
@pytest.mark.parametrize("kind", OWN)
async def test_every_component_conforms(case: Any, kind: str, tmp_path: Path) -> None:
    await case(lambda: _component(kind, tmp_path))
