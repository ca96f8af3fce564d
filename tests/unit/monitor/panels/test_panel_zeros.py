"""Charts of what has not happened yet."""

from __future__ import annotations

import pytest

from bedplate.declarations import Series
from bedplate.metric import Counter, Gauge, Histogram
from bedplate.monitor.panels import zeroed
from bedplate.promql import compiled
from bedplate.promql.notation import load

LOST = Counter("shop_lost_total", "Parcels that were lost.", {"why": 5})
STOCK = Gauge("shop_stock", "Parcels that are there.", {"shelf": 5})
WAIT = Histogram("shop_wait_seconds", "How long people wait.", unit="seconds")
METRICS = {name: metric for metric in (LOST, STOCK, WAIT) for name in metric.sample_names}


@pytest.mark.parametrize(
    "expr",
    [f"sum by (why) (rate({LOST}[5m]))", f"sum(increase(({LOST}[1h])))", f"topk(3, sum by (why) (rate({LOST}[5m])))"],
)
def test_events_that_never_happened_are_0_and_others_as_they_are(expr: str) -> None:
    shown = compiled(zeroed(expr, METRICS))
    assert [sample.value for sample in shown.value(load([]), 600)] == [0.0]

    lost = load([Series(str(LOST(why="rain")), "0+60x10")])
    assert shown.value(lost, 600) == compiled(expr).value(lost, 600)
    assert len(shown.value(lost, 600)) == 1


@pytest.mark.parametrize(
    "expr",
    [
        f"sum by (shelf) ({STOCK})",
        f"sum by (le) (rate({WAIT.bucket}[5m]))",
        f"max(rate({LOST}[5m]))",
        f"sum(rate({LOST}[5m])) / sum(rate({WAIT.count}[5m]))",
        f"rate({LOST}[5m])",
        "sum(rate(unknown_total[5m]))",
    ],
)
def test_what_is_no_sum_of_events_stays_as_it_is(expr: str) -> None:
    assert zeroed(expr, METRICS) == expr
