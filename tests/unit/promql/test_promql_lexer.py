"""Tokens: what they are, where they stand, and what is none."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bedplate.problems import BedplateError
from bedplate.promql.lexer import PromqlSyntaxError, duration_seconds, number, tokenize, unquote


def kinds(expr: str) -> list[tuple[str, str]]:
    return [(token.kind, token.text) for token in tokenize(expr)[:-1]]


def test_every_token_stands_where_it_says() -> None:
    expr = 'sum by (job) (rate(x:y{a=~"1"}[5m:30s] offset 1h30m)) / 2e-3 >= bool "é" # rest\n+ .5'
    tokens = tokenize(expr)
    assert all(expr[token.start : token.end] == token.text for token in tokens)
    assert [token.text for token in tokens] == [
        *("sum", "by", "(", "job", ")", "(", "rate", "(", "x:y", "{", "a", "=~", '"1"', "}"),
        *("[", "5m", ":", "30s", "]", "offset", "1h30m", ")", ")", "/", "2e-3", ">=", "bool", '"é"', "+", ".5", ""),
    ]
    assert (tokens[-1].kind, tokens[-1].start) == ("end", len(expr))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1", 1),
        ("1.", 1),
        (".5", 0.5),
        ("1e3", 1000),
        ("1E+3", 1000),
        ("2.5e-1", 0.25),
        ("0x1F", 31),
        ("0X_1f", 31),
        ("1_000_000", 1e6),
        ("010", 8),
        ("08", 8),
        ("0", 0),
        ("inf", math.inf),
        ("INF", math.inf),
    ],
)
def test_numbers(text: str, value: float) -> None:
    assert kinds(text) == [("number", text)]
    assert number(text) == value


def test_not_a_number_is_a_number() -> None:
    assert kinds("NaN") == [("number", "NaN")]
    assert math.isnan(number("NaN"))
    assert kinds("nan_total infinity") == [("name", "nan_total"), ("name", "infinity")]


@pytest.mark.parametrize(
    ("text", "value"),
    [("5m", 300), ("1h30m", 5400), ("500ms", 0.5), ("1m500ms", 60.5), ("1y2w3d", 365 * 86400 + 17 * 86400), ("0s", 0)],
)
def test_durations(text: str, value: float) -> None:
    assert kinds(text) == [("duration", text)]
    assert duration_seconds(text) == value


@pytest.mark.parametrize("text", ["1h30", "5x", "1m1h", "5m5m", "1.5m", "0xg", "1e", "5M", "1__s", "12abc"])
def test_what_begins_like_a_number_and_is_none(text: str) -> None:
    with pytest.raises(PromqlSyntaxError, match="neither a number nor a duration"):
        tokenize(f"x + {text}")


@pytest.mark.parametrize(
    ("literal", "value"),
    [
        ('"plain"', "plain"),
        ("'it\"s'", 'it"s'),
        (r'"a\"b\\c\nd"', 'a"b\\c\nd'),
        (r"'\''", "'"),
        (r'"\x41\101A\U0001F600"', "AAA😀"),
        (r'"\xc3\xa9"', "é"),
        ("`raw\\n\n`", "raw\\n\n"),
        ('""', ""),
    ],
)
def test_strings(literal: str, value: str) -> None:
    (token, _) = tokenize(literal)
    assert token.kind == "string"
    assert unquote(token) == value


@given(st.text())
def test_any_text_can_be_written_as_a_string(text: str) -> None:
    literal = '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'
    (token, _) = tokenize(literal)
    assert unquote(token) == text.encode(errors="replace").decode() if "\\" in literal else unquote(token) == text


@pytest.mark.parametrize(
    ("expr", "position"),
    [
        (r'x{a="\d"}', 5),
        (r"x{a='\"'}", 5),
        (r'x{a="\x4"}', 5),
        (r'x{a="\400"}', 5),
        (r'x{a="\ud800"}', 5),
    ],
)
def test_escapes_that_go_does_not_know(expr: str, position: int) -> None:
    with pytest.raises(PromqlSyntaxError, match="Unknown escape") as caught:
        tokenize(expr)
    assert caught.value.position == position


@pytest.mark.parametrize(
    ("expr", "position", "what"),
    [
        ('x{a="b}', 4, "no end"),
        ("x{a='b\n'}", 4, "no end"),
        ("x ; y", 2, "begins nothing"),
        ("x ! y", 2, "begins nothing"),
        ("rate(x[$__rate_interval])", 7, "begins nothing"),
        ("x + é", 4, "begins nothing"),
        ("x + ٣", 4, "begins nothing"),
    ],
)
def test_faults_say_where_they_are(expr: str, position: int, what: str) -> None:
    with pytest.raises(PromqlSyntaxError, match=what) as caught:
        tokenize(expr)
    assert caught.value.position == position


def test_the_fault_is_pointed_at() -> None:
    with pytest.raises(BedplateError) as caught:
        tokenize("sum(\n  rate(x[5q])\n)")
    assert str(caught.value).splitlines()[:3] == [
        "'5q' is neither a number nor a duration. (line 2, column 10)",
        "    rate(x[5q])",
        "           ^",
    ]


def test_variables_of_grafana_on_demand() -> None:
    expr = 'rate(x{a="$b"}[$__rate_interval]) > ${limit:raw}'
    found = [token.text for token in tokenize(expr, variables=True) if token.kind == "variable"]
    assert found == ["$__rate_interval", "${limit:raw}"]


def test_a_colon_parts_range_and_step_but_is_part_of_a_name() -> None:
    assert kinds("a:b[5m:step()]")[0] == ("name", "a:b")
    assert ("operator", ":") in kinds("a:b[5m:step()]")


@given(st.text(alphabet="ab1.5m_:{}[]()\"'`\\ \n#=!~<>+-*/%^@,x0e$éµ", max_size=30))
def test_no_text_breaks_the_lexer(text: str) -> None:
    try:
        tokens = tokenize(text)
    except PromqlSyntaxError as error:
        assert 0 <= error.position <= len(text)
    else:
        assert all(text[token.start : token.end] == token.text for token in tokens)
        assert [token.start for token in tokens] == sorted(token.start for token in tokens)
