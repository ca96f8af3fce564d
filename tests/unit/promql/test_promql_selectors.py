"""Selectors: which words are metrics, and narrowing all of them, judged by promql-parser."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import promql_parser
import pytest
from hypothesis import given, reject
from hypothesis import strategies as st

from bedplate.promql import PromqlSyntaxError, Selector, metric_references, narrowed, rescaled, scoped, selectors


def names(expr: str) -> list[str]:
    return [name for name, _ in metric_references(expr)]


@pytest.mark.parametrize(
    ("expr", "expected"),
    [
        ("up", ["up"]),
        ("sum by (job, instance) (rate(http_total[5m]))", ["http_total"]),
        ("sum(http_total) without (job)", ["http_total"]),
        ("a / on (b, c) group_left (d) e", ["a", "e"]),
        ("a * ignoring (b) group_right e", ["a", "e"]),
        ("a > bool b", ["a", "b"]),
        ("a and b or c unless d atan2 e", ["a", "b", "c", "d", "e"]),
        ("a offset 5m + b @ start() - c @ 1e9 offset -1h", ["a", "b", "c"]),
        ("a[1h:5m] ", ["a"]),
        ("max_over_time(rate(a[5m])[1h:30s] @ end())", ["a"]),
        ("absent(a{b='c'})", ["a"]),
        ('{"http.requests", "k.v"="x"}', ["http.requests"]),
        ('{__name__="a", b="c"}', ["a"]),
        ('{b="c", __name__=`a`}', ["a"]),
        ('{__name__=~"a.*"}', []),
        ('{"a", __name__!="b"}', ["a"]),
        ('count_values("version", build_info)', ["build_info"]),
        ('label_replace(a, "b", "$1", "c", "(.*)")', ["a"]),
        ("histogram_quantile(0.9, sum by (le) (rate(a_bucket[5m])))", ["a_bucket"]),
        ("quantile(.5, a) - -b ^ +c", ["a", "b", "c"]),
        ("topk(3, a) by (x)", ["a"]),
        ("job:a:rate5m", ["job:a:rate5m"]),
        ("vector(1) + time() + pi()", []),
        ("1 + 0x1F + inf + NaN + 5m", []),
        ('"a"', []),
        ("a # + b\n + c", ["a", "c"]),
        ("SUM BY (x) (a) AND b", ["a", "b"]),
        ("rate(a[5m + 1m])", ["a"]),
        ("a offset (5m * 2)", ["a"]),
        ("rate(a[step() * 2:max(5m, range())])", ["a"]),
        ("a + on (b) fill (0) c", ["a", "c"]),
        ("a anchored", ["a"]),
    ],
)
def test_metrics_are_told_from_other_words(expr: str, expected: list[str]) -> None:
    assert names(expr) == expected


@pytest.mark.parametrize(
    "word",
    "by without offset and or unless start end sum topk quantile limitk step rate absent time vector fill info "
    "group avg bool_ on_ nan_total infinity By".split(),
)
def test_keywords_and_functions_are_good_metric_names(word: str) -> None:
    assert names(word) == [word]
    assert names(f"sum by (x) ({word}) + {word}[5m:1m] offset 5m") == [word, word]
    assert names(f'{word}{{{word.lower()}="{word}"}} and {word}') == [word, word]


def test_positions_are_those_of_the_text() -> None:
    expr = 'sum(a) / on(x) {y="z" ,"ü b",} > c{ d!~\'e\' }'
    found = selectors(expr)
    assert [expr[item.start : item.end] for item in found] == ["a", '{y="z" ,"ü b",}', "c{ d!~'e' }"]
    assert [expr[item.name_start :][:3] for item in found] == ["a) ", '"ü ', "c{ "]
    matcher = found[2].matchers[0]
    assert (matcher.label, matcher.operator, matcher.value) == ("d", "!~", "e")
    assert expr[matcher.start : matcher.end] == "d!~'e'"


@pytest.mark.parametrize(
    ("expr", "expected"),
    [
        ("a", 'a{job="x"}'),
        ("a{}", 'a{job="x"}'),
        ("a{ }[5m]", 'a{job="x" }[5m]'),
        ('a{b="c"}', 'a{b="c",job="x"}'),
        ('a{b="c",}', 'a{b="c",job="x"}'),
        ('{"a.b"}', '{"a.b",job="x"}'),
        ('{__name__="a"}', '{__name__="a",job="x"}'),
        ("absent(a)", 'absent(a{job="x"})'),
        ("a[1h:5m] offset 1m @ end()", 'a{job="x"}[1h:5m] offset 1m @ end()'),
        ('a{b="c" # why\n}', 'a{b="c",job="x" # why\n}'),
        ("a # b\n/ c", 'a{job="x"} # b\n/ c{job="x"}'),
        ('up{job="postgres"} + a', 'up{job="postgres"} + a{job="x"}'),
        ('a{job=~"x|y"}', 'a{job=~"x|y",job="x"}'),
        ("sum by (job) (by) + 1", 'sum by (job) (by{job="x"}) + 1'),
        ("1 + 1", "1 + 1"),
    ],
)
def test_narrowing_touches_selectors_only(expr: str, expected: str) -> None:
    assert scoped(expr, "x") == expected
    assert scoped(expected, "x") == expected


def test_the_job_is_quoted() -> None:
    assert scoped("a", 'l"e\\d\n') == 'a{job="l\\"e\\\\d\\n"}'
    (selector,) = selectors(scoped("a", 'l"e\\d\n'))
    assert selector.matchers[0].value == 'l"e\\d\n'


def test_variables_of_grafana_on_demand() -> None:
    expr = 'rate(a{b=~"$b"}[$__rate_interval]) > $limit'
    assert scoped(expr, "x", variables=True) == 'rate(a{b=~"$b",job="x"}[$__rate_interval]) > $limit'


def test_narrowing_chooses_by_selector() -> None:
    def choose(selector: Selector) -> dict[str, str]:
        return {"fraud_type": '=~"$fraud_type"', "x": '!="y"'} if selector.name == "frauds_total" else {}

    expr = 'sum(rate(frauds_total[$__rate_interval])) / rate(frauds_total{a="b", }[5m]) + other # frauds_total'
    assert narrowed(expr, choose, variables=True) == (
        'sum(rate(frauds_total{fraud_type=~"$fraud_type",x!="y"}[$__rate_interval]))'
        ' / rate(frauds_total{a="b",fraud_type=~"$fraud_type",x!="y" }[5m]) + other # frauds_total'
    )


@pytest.mark.parametrize(
    ("expr", "factor", "expected"),
    [
        ("rate(a[5m])", 0.02, "rate(a[6s])"),
        ("rate(a[5m])", 1, "rate(a[5m])"),
        ("rate(a[1h30m]) > 5", 0.5, "rate(a[45m]) > 5"),
        ("rate(a[90])", 2, "rate(a[3m])"),
        ("a offset 1m - a offset -2m", 0.1, "a offset 6s - a offset -12s"),
        ("a offset 0s", 0.1, "a offset 0s"),
        ("max_over_time(rate(a[5m] @ 1m)[1h:30s])", 0.01, "max_over_time(rate(a[3s] @ 1m)[36s:300ms])"),
        ("rate(a[1s])", 1e-9, "rate(a[1ms])"),
        ("a[1d]", 7.5, "a[1w12h]"),
        ("rate(a[$__rate_interval]) + b[2m] # [5m]", 0.5, "rate(a[$__rate_interval]) + b[1m] # [5m]"),
    ],
)
def test_rescaling_touches_durations_only(expr: str, factor: float, expected: str) -> None:
    assert rescaled(expr, factor, variables=True) == expected


def test_rescaling_refuses_to_calculate() -> None:
    with pytest.raises(PromqlSyntaxError, match="Write the duration") as caught:
        rescaled("rate(a[5m * 2])", 0.5)
    assert caught.value.position == 7


@pytest.mark.parametrize(
    ("expr", "position"),
    [
        ("", 0),
        ("a b", 2),
        ("a +", 3),
        ("(a", 2),
        ("a)", 1),
        ("sum(a", 5),
        ("sum by a", 4),
        ("sum by (", 8),
        ("sum by (a b) (c)", 10),
        ("sum by (1) (c)", 8),
        ("a{b", 3),
        ("a{b=", 4),
        ("a{b=c}", 4),
        ('a{b="c" d="e"}', 8),
        ('a{b=="c"}', 3),
        ('a{1="c"}', 2),
        ('a{"b"}', 2),
        ('a{__name__="b"}', 2),
        ('a{__name__=~"b"}', 2),
        ("{}", 0),
        ("a{,}", 2),
        ("a[5m", 4),
        ("a[]", 2),
        ("a[b]", 2),
        ("a offset b", 9),
        ("a @ b", 4),
        ("a @ start", 9),
        ("on", 0),
        ("a + ignoring", 12),
        ("bool b", 0),
        ("rate(a, )", 8),
        ("a = b", 2),
        ("a fill b", 2),
        ("a + fill(b) c", 9),
        ("a and", 5),
    ],
)
def test_what_is_no_promql_is_refused_where_it_goes_wrong(expr: str, position: int) -> None:
    with pytest.raises(PromqlSyntaxError) as caught:
        selectors(expr)
    assert caught.value.position == position


@pytest.mark.parametrize("expr", ["(" * 5000, "a[" + "(" * 5000, "sum(" * 5000])
def test_depth_is_bounded(expr: str) -> None:
    with pytest.raises(PromqlSyntaxError, match="brackets are open"):
        selectors(expr)


def test_length_is_not() -> None:
    assert len(selectors("-" * 10_000 + " + ".join(["a"] * 5000))) == 5000


# --- judged by promql-parser -----------------------------------------------------------------------------------------

Node = Any
Seen = frozenset[tuple[str, str, str]]

_OPERATORS = {"Equal": "=", "NotEqual": "!=", "Re": "=~", "NotRe": "!~"}


def judged(node: Node) -> Iterator[Seen]:
    """Yield the conditions of every selector in the parser's tree, in the order of the text."""
    kind = type(node).__name__
    if kind == "VectorSelector":
        found = [(item.name, str(item.op).rpartition(".")[2], item.value) for item in node.matchers.matchers]
        conditions = {(label, _OPERATORS[operator], value) for label, operator, value in found}
        yield frozenset(conditions | ({("__name__", "=", node.name)} if node.name else set()))
    elif kind == "MatrixSelector":
        yield from judged(node.vector_selector)
    elif kind == "BinaryExpr":
        yield from judged(node.lhs)
        yield from judged(node.rhs)
    elif kind == "AggregateExpr":
        if node.param is not None:
            yield from judged(node.param)
        yield from judged(node.expr)
    elif kind == "Call":
        for argument in node.args:
            yield from judged(argument)
    elif kind in ("ParenExpr", "UnaryExpr", "SubqueryExpr"):
        yield from judged(node.expr)


def parsed(expr: str) -> Node:
    """Return the parser's tree; an expression that has a wrong type, and no wrong syntax, is left out."""
    try:
        return promql_parser.parse(expr)
    except ValueError as error:
        if "only allowed between" in str(error):
            reject()
        raise


def ours(expr: str) -> list[Seen]:
    result = []
    for item in selectors(expr):
        conditions = {(matcher.label, matcher.operator, matcher.value) for matcher in item.matchers}
        result.append(frozenset(conditions | ({("__name__", "=", item.name)} if item.name else set())))
    return result


blank = st.sampled_from(["", " ", "  ", "\n", "\t", " # a } comment {\n"])
gap = st.sampled_from([" ", "\n", " # sum by (x)\n"])
metric = st.sampled_from(
    "up http_requests_total job:rate5m by without and or unless sum offset start end topk rate nan_x _a".split()
)
label = st.sampled_from("job instance le by on bool sum offset code __a a_1 and".split())
text = st.text(alphabet="ab.*\\\"'`{},$ é#\n", max_size=6)
duration = st.sampled_from("5m 1h30m 30s 90s 1d 2w 100ms".split())


@st.composite
def strings(draw: st.DrawFn) -> str:
    content, quote = draw(text), draw(st.sampled_from("\"'`"))
    if quote == "`":
        # promql-parser reads escapes in raw strings, Prometheus does not: no backslash here.
        return f"`{content.replace('`', '').replace(chr(92), '')}`"
    escaped = content.replace("\\", "\\\\").replace(quote, f"\\{quote}").replace("\n", "\\n")
    return f"{quote}{escaped}{quote}"


@st.composite
def matchers(draw: st.DrawFn) -> str:
    name = draw(label) if draw(st.booleans()) else '"' + draw(st.sampled_from(["my.label", "é", "job"])) + '"'
    operator = draw(st.sampled_from(["=", "!=", "=~", "!~"]))
    value = draw(strings()) if operator in ("=", "!=") else draw(st.sampled_from(['"a|b"', "'.+'", "`x.`"]))
    return draw(blank).join((name, operator, value))


@st.composite
def vectors(draw: st.DrawFn) -> str:
    inner = draw(st.lists(matchers(), max_size=3))
    form = draw(st.sampled_from(["plain", "braces", "quoted", "label"]))
    if form == "plain":
        return draw(metric)
    if form == "braces":
        comma = "," if inner and draw(st.booleans()) else ""
        pad = draw(blank)
        return f"{draw(metric)}{pad}{{{pad}{f'{pad},{pad}'.join(inner)}{comma}{pad}}}"
    named = '"my.metric"' if form == "quoted" else '__name__="up"'
    inner.insert(draw(st.integers(0, len(inner))), named)
    return "{" + ", ".join(inner) + "}"


@st.composite
def timed(draw: st.DrawFn, base: str) -> str:
    for modifier in draw(
        st.sampled_from([(), ("offset 5m",), ("@ end()",), ("@ 1.5e9", "offset -1h"), ("OFFSET 1d",)])
    ):
        base = f"{base}{draw(gap)}{modifier}"
    return base


@st.composite
def ranges(draw: st.DrawFn, vector: st.SearchStrategy[str]) -> str:
    if draw(st.booleans()):
        return draw(timed(f"{draw(vectors())}[{draw(duration)}]"))
    step = draw(st.sampled_from(["", "1m", " 30s "]))
    return draw(timed(f"({draw(vector)})[{draw(duration)}:{step}]"))


def grown(vector: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    labels = st.lists(label, max_size=3).map(lambda items: "(" + ", ".join(items) + ")")

    @st.composite
    def aggregations(draw: st.DrawFn) -> str:
        operator = draw(st.sampled_from(["sum", "MAX", "count", "topk", "count_values", "quantile"]))
        parameter = {"topk": "3, ", "count_values": '"by", ', "quantile": "0.9, "}.get(operator, "")
        body, grouping = f"({parameter}{draw(vector)})", f"{draw(st.sampled_from(['by', 'WITHOUT']))} {draw(labels)}"
        return draw(
            st.sampled_from(
                [
                    f"{operator}{body}",
                    f"{operator} {grouping}{draw(blank)}{body}",
                    f"{operator}{body}{draw(gap)}{grouping}",
                ]
            )
        )

    @st.composite
    def calls(draw: st.DrawFn) -> str:
        function = draw(st.sampled_from(["rate", "max_over_time", "absent_over_time", "abs", "absent", "label_join"]))
        if function in ("rate", "max_over_time", "absent_over_time"):
            return f"{function}{draw(blank)}({draw(ranges(vector))})"
        if function == "label_join":
            return f'label_join({draw(vector)}, "by", ",", "on")'
        return f"{function}({draw(vector)})"

    @st.composite
    def operations(draw: st.DrawFn) -> str:
        left, right = draw(vector), draw(vector)
        if draw(st.booleans()):
            operator = draw(st.sampled_from(["and", "or", "UNLESS"]))
            modifier = draw(st.sampled_from(["", f"on {draw(labels)}", f"ignoring{draw(labels)}"]))
            return f"{left}{draw(gap)}{operator} {modifier} {right}"
        operator = draw(st.sampled_from(["+", "-", "*", "/", "%", "^", "==", "!=", "<", ">=", "atan2"]))
        flag = draw(st.sampled_from(["", "bool"])) if operator in ("==", "!=", "<", ">=") else ""
        modifier = draw(st.sampled_from(["", "on(x)", "on (a) group_left", "ignoring(b) group_right(c, d)", "on()"]))
        if modifier.endswith("group_left") and right.startswith("("):
            modifier += " ()"  # or the operand would be read as the list of labels
        return f"{left} {operator} {flag} {modifier} {right}"

    scalars = st.sampled_from(["1", "-0x1f", "1e3", "time()", "scalar(up)", "Inf"])
    return st.one_of(
        aggregations(),
        calls(),
        operations(),
        vector.map(lambda item: f"({item})"),
        vector.map(lambda item: f"-{item}"),
        st.tuples(vector, scalars).map(lambda pair: f"({pair[0]} * {pair[1]})"),
    )


expressions = st.recursive(vectors().flatmap(timed), grown, max_leaves=6)


@given(expressions)
def test_the_parser_sees_the_selectors_that_we_see(expr: str) -> None:
    assert ours(expr) == list(judged(parsed(expr)))


@given(expressions, st.sampled_from(["ledger", 'a"b', "x\\y"]))
def test_the_parser_sees_the_job_in_every_selector(expr: str, job: str) -> None:
    expected = []
    for conditions in judged(parsed(expr)):
        elsewhere = any(condition[:2] == ("job", "=") for condition in conditions)
        expected.append(conditions if elsewhere else conditions | {("job", "=", job)})
    narrowed = scoped(expr, job)
    assert list(judged(promql_parser.parse(narrowed))) == expected
    assert scoped(narrowed, job) == narrowed


@given(expressions, st.data())
def test_what_the_parser_takes_after_a_change_we_read_alike(expr: str, data: st.DataObject) -> None:
    """Cut a piece out of a good expression: whatever the parser still takes, we take and read alike."""
    start = data.draw(st.integers(0, len(expr)))
    broken = expr[:start] + expr[start + data.draw(st.integers(1, 4)) :]
    try:
        tree = promql_parser.parse(broken)
    except ValueError:
        return
    assert ours(broken) == list(judged(tree))
