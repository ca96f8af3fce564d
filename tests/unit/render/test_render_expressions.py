"""Expressions as files need them: the scale of time, the service, the choices at the top of a dashboard."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bedplate.declarations import Variable, seconds
from bedplate.metric import Counter
from bedplate.promql.selectors import selectors
from bedplate.render.expressions import chosen, duration, scaled

HITS = Counter("hits_total", "Hits.", {"cache": 5, "kind": 5})
KNOWN = {"hits_total": HITS}
CHOICES = (Variable(label="cache"), Variable(label="kind"))


def test_every_duration_is_scaled_and_nothing_else() -> None:
    expr = 'max_over_time(rate(a{x="5m"}[5m] offset 1h)[30m:1m]) > 5 and b[1h30m] # 5m'
    assert scaled(expr, 0.02) == 'max_over_time(rate(a{x="5m"}[6s] offset 1m12s)[36s:1s200ms]) > 5 and b[1m48s] # 5m'
    assert scaled(expr, 1) == expr


@given(st.integers(0, 10**6), st.sampled_from([0.001, 0.02, 0.5, 3.0]))
def test_a_scaled_duration_is_one_that_prometheus_reads_and_right_to_the_millisecond(count: int, factor: float) -> None:
    text = duration(f"{count}s", factor)
    assert seconds(text) == pytest.approx(count * factor, abs=0.001)
    assert text == "0s" if count == 0 else seconds(text) > 0


def test_selectors_whose_metric_has_the_label_are_narrowed_to_the_choice() -> None:
    assert chosen("sum(rate(hits_total[5m])) / other", "shop", CHOICES, KNOWN) == (
        'sum(rate(hits_total{cache=~"$cache",kind=~"$kind",job="shop"}[5m])) / other{job="shop"}'
    )
    assert chosen("hits_total", "shop", (), KNOWN) == 'hits_total{job="shop"}'


def test_a_selector_that_fixes_a_label_keeps_it() -> None:
    expr = chosen('hits_total{cache="prices",kind!="x"}', "shop", CHOICES, KNOWN)
    assert expr == 'hits_total{cache="prices",kind!="x",kind=~"$kind",job="shop"}'
    (selector,) = selectors(expr, variables=True)
    assert selector.name == "hits_total"
