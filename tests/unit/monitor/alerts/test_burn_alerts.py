"""Alerts and panels of an objective, as promtool judges them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from bedplate.clock import SystemClock
from bedplate.component import Spec, Vector
from bedplate.declarations import SLO, Series, seconds
from bedplate.metric import Counter
from bedplate.monitor.alerts.burn import burn_alerts, burn_panels, burns
from bedplate.monitor.alerts.engine import Engine
from bedplate.monitor.alerts.rules import rules
from bedplate.problems import DeclarationError
from bedplate.promql.selectors import metric_references, scoped
from bedplate.telemetry.http import Http, HttpSettings
from tests.prometheus import promtool

DONE = Counter("app_done_total", "What was done.", {"outcome": ("ok", "failed")})
OK, FAILED = (f'{DONE.name}{{job="shop",outcome="{outcome}"}}' for outcome in ("ok", "failed"))


def objective(objective: float = 0.999, **changes: Any) -> SLO:
    return SLO(
        **{
            "name": "orders-done",
            "objective": objective,
            "good": str(DONE(outcome="ok")),
            "total": str(DONE),
            "summary": "Orders are done.",
            **changes,
        }
    )


def judged(folder: Path, slo: SLO, cases: Iterable[tuple[Sequence[Series], str, Iterable[str]]]) -> None:
    """Let promtool evaluate the rules of an objective over series, and say which alerts fire at a moment."""
    found = rules("shop", [Spec(kind="orders", summary="Orders.", metrics=(DONE,), slos=(slo,))])
    groups = [
        {
            "name": rule.group.name,
            "rules": [{"alert": rule.name, "expr": rule.expr, "labels": {"severity": rule.alert.severity}}],
        }
        for rule in found
    ]
    (folder / "rules.yml").write_text(yaml.safe_dump({"groups": groups}))
    promtool("check", "rules", "rules.yml", folder=folder)
    tests = [
        {
            "interval": "1m",
            "input_series": [{"series": one.series, "values": one.values} for one in series],
            "alert_rule_test": [
                {
                    "eval_time": at,
                    "alertname": rule.name,
                    "exp_alerts": [{"exp_labels": {"severity": rule.alert.severity}}]
                    if rule.name in set(firing)
                    else [],
                }
                for rule in found
            ],
        }
        for series, at, firing in cases
    ]
    # They have no memory: evaluations before the one that is asked for only take time.
    document = {"rule_files": ["rules.yml"], "evaluation_interval": "10m", "tests": tests}
    (folder / "tests.yml").write_text(yaml.safe_dump(document))
    promtool("test", "rules", "tests.yml", folder=folder)


def events(good: str, bad: str) -> tuple[Series, Series]:
    return Series(OK, good), Series(FAILED, bad)


def test_the_faster_the_budget_burns_the_sooner_somebody_is_told(tmp_path: Path) -> None:
    hour, six, day, three = (f"OrdersDoneBudgetBurn{window}" for window in ("1h", "6h", "1d", "3d"))
    judged(
        tmp_path,
        objective(),
        [
            (events("0+1000x500", "0x500"), "8h", []),
            (events("0+1000x500", "0+0.9x500"), "8h", []),  # within the budget
            (events("0+1000x500", "0+2x500"), "8h", [three]),  # twice too fast
            (events("0+1000x500", "0+5x500"), "8h", [day, three]),
            (events("0+1000x500", "0+10x500"), "8h", [six, day, three]),
            (events("0+1000x500", "0+20x500"), "8h", [hour, six, day, three]),
            # It was bad for an hour, and is not any more: what looks at the last minutes is quiet again.
            (events("0+1000x500", "0x430 0+100x60 6000x10"), "500m", [six, day, three]),
        ],
    )


def test_nothing_good_at_all_is_all_bad_and_nothing_at_all_is_no_alert(tmp_path: Path) -> None:
    every = [alert.name for alert in burn_alerts(objective())]
    judged(
        tmp_path,
        objective(),
        [
            ([Series(FAILED, "0+10x500")], "8h", every),
            ([Series(OK, "0+10x500")], "8h", []),
            ([Series(OK, "5x500"), Series(FAILED, "5x500")], "8h", []),
            ([], "8h", []),
        ],
    )


def test_few_events_tell_little(tmp_path: Path) -> None:
    every = [alert.name for alert in burn_alerts(objective())]
    judged(
        tmp_path,
        objective(),
        [
            # One bad one of 300 is more than 0.1 %, and no trend.
            (events("0+1x500", "0x470 1x30"), "8h", []),
            (events("0+1x500", "0x470 1 2 3 4 5 6x30"), "480m", every[1:]),
            # Ten in all are too few, even if all of them are bad.
            (events("0x500", "0x480 1 2 3 4 5 6 7 8 9 10x20"), "490m", []),
        ],
    )
    judged(
        tmp_path,
        objective(least=5),
        [(events("0x500", "0x480 1 2 3 4 5 6 7 8 9 10x20"), "490m", every)],
    )


@pytest.mark.parametrize("window", ["1d", "7d", "28d", "30d", "90d"])
@pytest.mark.parametrize("share", [0.9, 0.999])
def test_an_outage_fires_and_a_kept_promise_does_not_over_any_window(tmp_path: Path, window: str, share: float) -> None:
    slo = objective(share, window=window)
    every = [alert.name for alert in burn_alerts(slo)]
    assert every
    judged(
        tmp_path,
        slo,
        [(events("0x2000", "0+30x2000"), "30h", every), (events("0+30x2000", "0x2000"), "30h", [])],
    )


def test_windows_and_rates_follow_the_objectives_window() -> None:
    def table(window: str) -> list[tuple[str, str, float]]:
        slo = objective(window=window)
        return [(burn.long, burn.short, round(burn.rate(slo), 2)) for burn in burns(slo)]

    assert table("30d") == [("1h", "5m", 14.4), ("6h", "30m", 6.0), ("1d", "2h", 3.0), ("3d", "6h", 1.0)]
    assert table("28d") == [("1h", "5m", 13.44), ("6h", "30m", 5.6), ("1d", "2h", 2.8), ("3d", "6h", 1.0)]
    assert table("7d") == [("15m", "2m", 13.44), ("1h", "5m", 8.4), ("6h", "30m", 2.8), ("12h", "1h", 1.4)]


def test_speeds_that_not_even_an_outage_reaches_are_left_out() -> None:
    assert [burn.long for burn in burns(objective(0.9))] == ["6h", "1d", "3d"]
    assert all(burn.rate(objective(0.5)) * 0.5 < 1 for burn in burns(objective(0.5)))


def test_an_objective_over_less_than_a_day_is_refused() -> None:
    with pytest.raises(DeclarationError, match="Give a day or more"):
        objective(window="12h")


def test_long_windows_are_looked_at_less_often() -> None:
    intervals = [seconds(alert.group.interval) for alert in burn_alerts(objective()) if alert.group]
    assert intervals == [30, 60, 300, 300]


def test_an_objective_has_panels_with_the_lines_of_its_alerts() -> None:
    slo = objective()
    left, rate, bad = burn_panels(slo)
    assert [(line.value, line.above) for line in left.thresholds] == [(0.25, False), (0.0, False)]
    assert [line.value for line in rate.thresholds] == [14.4, 6.0, 3.0, 1.0]
    assert [legend for legend, _ in rate.expr if isinstance(rate.expr, tuple)] == [
        "over 1h",
        "over 6h",
        "over 1d",
        "over 3d",
    ]
    assert {panel.row for panel in (left, rate, bad)} == {"Objective: Orders are done"}
    for panel in (left, rate, bad):
        for expr in panel.exprs:
            assert {name for name, _ in metric_references(expr)} == {DONE.name}
            assert scoped(expr, "shop").count('job="shop"') == len(metric_references(expr))


def test_panels_of_the_budget_show_what_is_left_of_it(tmp_path: Path) -> None:
    slo = objective(0.99, window="1d")
    left, rate, bad = burn_panels(slo)
    assert isinstance(rate.expr, tuple)
    series = events("0+995x2000", "0+5x2000")
    tests = [
        {
            "interval": "1m",
            "input_series": [{"series": one.series, "values": one.values} for one in series],
            "promql_expr_test": [
                {"expr": f"round({expr}, 0.001)", "eval_time": "30h", "exp_samples": [{"value": value, "labels": "{}"}]}
                for expr, value in (
                    (left.exprs[0], 0.5),
                    *((expr, 0.5) for expr in rate.exprs),
                    *zip(bad.exprs, (0.083, 16.667), strict=True),
                )
            ],
        }
    ]
    (tmp_path / "tests.yml").write_text(yaml.safe_dump({"tests": tests}))
    promtool("test", "rules", "tests.yml", folder=tmp_path)


@pytest.mark.parametrize("share", [0.9999, 0.999, 0.95, 0.5])
def test_the_objective_that_every_service_has_fires_and_stays_quiet_on_its_own_series(
    tmp_path: Path, share: float
) -> None:
    (slo,) = Http(HttpSettings(availability=share)).spec.slos
    fires, quiet = ([Series(scoped(one.series, "shop"), one.values) for one in told] for told in (slo.fires, slo.quiet))
    judged(tmp_path, slo, [(fires, "30m", [alert.name for alert in burn_alerts(slo)]), (quiet, "30m", [])])


async def nothing(expr: str, at: float) -> Vector:
    return ()


@pytest.mark.parametrize(
    ("kept", "scale", "evaluated"),
    [
        (86_400.0, 1.0, ["1h", "6h"]),
        (7 * 86_400.0, 1.0, ["1h", "6h", "1d", "3d"]),
        (86_400.0, 0.01, ["1h", "6h", "1d", "3d"]),
        (1800.0, 1.0, []),
        (None, 1.0, ["1h", "6h", "1d", "3d"]),
    ],
)
def test_a_process_leaves_windows_that_its_samples_do_not_fill_to_prometheus(
    kept: float | None, scale: float, evaluated: list[str]
) -> None:
    found = rules("shop", [Spec(kind="orders", summary="Orders.", metrics=(DONE,), slos=(objective(),))])
    engine = Engine(found, ask=nothing, clock=SystemClock(), time_scale=scale, kept=kept)
    windows = [state.rule.name.removeprefix("OrdersDoneBudgetBurn") for state in engine.states.values()]
    assert windows == evaluated
    assert len(windows) + len(engine.external) == 4
