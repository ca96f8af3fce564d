"""Series as promtool writes them, judged by promtool; and which series a selector means."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bedplate.declarations import Series
from bedplate.promql import PromqlSyntaxError, compiled, matcher, selectors
from bedplate.promql.notation import load
from bedplate.promql.source import MISSING, STALE, is_sample
from tests.unit.promql.judge import Question, agree, judged

NOTATIONS = [
    "1 2 3",
    "1x3 7",
    "0x5",
    "1+2x3 -1",
    "5-1x3",
    "-1-0.5x3",
    "1e3+.5x4 1E-2",
    ".5x2 +5",
    "_x3 1",
    "1 _ 2 _x2 3",
    "1 stale 2 stale",
    "NaN Inf -Inf +Inf",
    "nan inf -1.50",
    "Inf-1x2 NaN+1x2",
    "-2x2 3x0 4",
    "  1   2  ",
    "0.1+0.1x9",
]


def test_promtool_reads_the_same_samples(tmp_path: Path) -> None:
    series = [Series(f's{{n="{number}"}}', text) for number, text in enumerate(NOTATIONS)]
    source = load(series, 30)
    questions = [
        Question(expr, at) for at in range(0, 400, 30) for expr in ("s", "timestamp(s)", "last_over_time(s[29s])")
    ]
    for question, theirs in zip(questions, judged(tmp_path, series, 30, questions), strict=True):
        found = compiled(question.expr, dialect=2).value(source, question.at)
        mine = {tuple(sorted(sample.labels.items())): sample.value for sample in found}
        assert mine.keys() == theirs.value.keys(), question
        assert all(agree(value, theirs.value[labels]) for labels, value in mine.items()), question


def test_samples_lie_where_the_interval_puts_them() -> None:
    source = load([Series('a{b="c"}', "1 _ stale 4"), Series("d", "5")], interval=0.5, start=100)
    assert source.labels == ((("__name__", "a"), ("b", "c")), (("__name__", "d"),))
    assert source.times.tolist() == [100_000, 100_500, 101_000, 101_500]
    column = source.values[:, 0]
    assert is_sample(column).tolist() == [True, False, False, True]
    assert column.view(np.uint64).tolist()[1:3] == [np.float64(kind).view(np.uint64) for kind in (MISSING, STALE)]
    assert is_sample(source.values[:, 1]).tolist() == [True, False, False, False]
    window = source.window("", selectors('{b=~"c|"}')[0].matchers, 100_500, 101_000)
    assert (len(window.labels), window.times.tolist(), window.values.shape) == (2, [100_500, 101_000], (2, 2))


@pytest.mark.parametrize(
    ("name", "values", "position"),
    [
        ("a", "1 2x 3", 2),
        ("a", "1 x2", 2),
        ("a", "1+x2", 0),
        ("a", "1+-2x2", 0),
        ("a", "1,2", 0),
        ("a", "stalex2", 0),
        ("a", "0x1F", 0),
        ("a", "NaNx2", 0),
        ("a", "0+Infx2", 0),
        ("a", "1 {{schema:0 sum:1}}", 2),
        ("a", "1x9999999999", 0),
        ("a", "1x600000 1x600000", 9),
        ("a", "1+1x5000000", 0),
        ('a{b!="c"}', "1", 0),
        ("sum(a)", "1", 0),
        ("a b", "1", 2),
    ],
)
def test_what_is_no_series_is_refused_where_it_goes_wrong(name: str, values: str, position: int) -> None:
    with pytest.raises(PromqlSyntaxError) as caught:
        load([Series(name, values)])
    assert caught.value.position == position


def test_native_histograms_are_refused_by_name() -> None:
    with pytest.raises(PromqlSyntaxError, match=r"(?s)Native histograms.*le"):
        load([Series("a", "{{schema:0}}x3")])


def test_a_series_comes_once() -> None:
    with pytest.raises(PromqlSyntaxError, match="given twice"):
        load([Series('a{b="c",d="e"}', "1"), Series('{d="e",b="c",__name__="a"}', "2")])


# --- which series a selector means -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("selector", "labels", "meant"),
    [
        ("a", {"__name__": "a", "b": "c"}, True),
        ("a", {"__name__": "ab"}, False),
        ('{b="c"}', {"b": "c"}, True),
        ('a{b=""}', {"__name__": "a"}, True),
        ('a{b!=""}', {"__name__": "a"}, False),
        ('a{b=~"c|d"}', {"__name__": "a", "b": "d"}, True),
        ('a{b=~"c|d"}', {"__name__": "a", "b": "cd"}, False),
        ('a{b=~"c"}', {"__name__": "a", "b": "ccc"}, False),
        ('a{b!~"c.*"}', {"__name__": "a", "b": "cc"}, False),
        ('a{b!~"c.+"}', {"__name__": "a"}, True),
        ('a{b=~"c.d"}', {"__name__": "a", "b": "c\nd"}, True),
        ('a{b=~"(?i)C"}', {"__name__": "a", "b": "c"}, True),
        ('{__name__=~"a.*",__name__!="ab"}', {"__name__": "ab"}, False),
        ('{__name__=~"a.*",__name__!="ab"}', {"__name__": "ac"}, True),
        ('a{b="c",b=~"d"}', {"__name__": "a", "b": "c"}, False),
    ],
)
def test_a_selector_means_whole_values(selector: str, labels: dict[str, str], meant: bool) -> None:
    (found,) = selectors(selector)
    assert matcher(found.matchers, found.name)(tuple(sorted(labels.items()))) is meant


@given(st.text(alphabet="ab", max_size=30), st.sampled_from(["(a+)+", "(a|a)*b?", "(a*)*", "a{2,5}(b|ab)*"]))
def test_patterns_take_linear_time(text: str, pattern: str) -> None:
    (found,) = selectors(f'{{b=~"{pattern}x|none"}}')
    assert not matcher(found.matchers)((("b", text * 50),))


def test_a_pattern_that_is_none_is_refused() -> None:
    (found,) = selectors('a{b=~"(?=c)"}')
    with pytest.raises(PromqlSyntaxError, match="look-around"):
        matcher(found.matchers)
