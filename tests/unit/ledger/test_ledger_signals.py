"""What Ledger tells operators: metrics, alerts, panels, pages for the person on call."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from bedplate.component import Component, HasOverview, Spec
from bedplate.database import Database
from bedplate.monitor.alerts.rules import Rule, rules
from bedplate.monitor.alerts.trial import trial_refusals
from bedplate.promql.selectors import metric_references
from bedplate.state.cache import Cache
from bedplate.state.locks import Locks
from bedplate.state.memory import Memory
from bedplate.testing import CASES
from bedplate.testing.conformance import survives_cancellation_at_any_moment
from ledger.components import Books, Imports, Rehearsal, Reports, Tokens
from ledger.service import build

from .conftest import ledger_settings, office_of

OWN = ("books", "tokens", "reports", "imports", "rehearsal")
SERVICE = build(ledger_settings())
SPECS: dict[str, Spec] = {one.spec.kind: one.spec for one in SERVICE.components if one.spec.kind in OWN}
RULES = [rule for rule in rules("ledger", [one.spec for one in SERVICE.components]) if rule.source in OWN]


def test_all_components_are_there_and_the_service_may_start() -> None:
    assert set(SPECS) == set(OWN)
    assert SERVICE.refusals() == []
    assert isinstance(next(one for one in SERVICE.components if one.spec.kind == "books"), HasOverview)


def test_every_metric_says_what_it_is_bounds_its_labels_and_is_on_a_panel() -> None:
    shown = {name for spec in SPECS.values() for panel in spec.panels for expr in panel.exprs
             for name, _ in metric_references(expr)}  # fmt: skip
    for spec in SPECS.values():
        for metric in spec.metrics:
            assert metric.name.startswith("ledger_") and len(metric.help) > 20
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


async def test_after_some_work_every_panel_has_something_to_show() -> None:
    async with office_of() as office:
        ada = await office.bookkeeper()
        await ada.earn("1.00")
        await ada.upload("day,kind,account,amount\n2025-11-01,revenue,4000,1.00\n")
        for path in ("/balances", "/trial-balance", "/summary", "/reports/monthly", "/reports/yearly/2025"):
            await ada.get(path)
        exposed = {name.partition("{")[0] for name in await office.harness.samples()}
        wanted = {(panel.title, name) for spec in SPECS.values() for panel in spec.panels for expr in panel.exprs
                  for name, _ in metric_references(expr)}  # fmt: skip
        assert [pair for pair in sorted(wanted) if pair[1] not in exposed] == []


def _component(kind: str, folder: Path) -> Component:
    """Return a component as the service has it, with a database that is not opened until it is used."""
    shared = Memory()
    database = Database(f"sqlite:///{folder / 'ledger.sqlite3'}", lazy=True)
    books = Books(database=database, cache=Cache(shared, "reports"))
    reports = Reports(books=books)
    made: dict[str, Component] = {
        "books": books, "reports": reports, "tokens": Tokens(books=books),
        "imports": Imports(books=books, locks=Locks(shared)), "rehearsal": Rehearsal(books=books, reports=reports),
    }  # fmt: skip
    return made[kind]


#: Those that start tasks; the others only bind metrics, and would take as long to be cancelled at any moment.
WORKING = ("books", "rehearsal")
CONFORMING = [(kind, case) for kind in OWN for case in CASES
              if kind in WORKING or case is not survives_cancellation_at_any_moment]  # fmt: skip


@pytest.mark.parametrize(("kind", "case"), CONFORMING, ids=lambda one: getattr(one, "__name__", one))
async def test_every_component_conforms(case: Any, kind: str, tmp_path: Path) -> None:
    await case(lambda: _component(kind, tmp_path))
