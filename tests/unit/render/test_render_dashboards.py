"""Dashboards: what matters first, a place for every panel, choices that reach every query, lines from alerts."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bedplate.declarations import Panel, PanelKind, Threshold
from bedplate.metric import Gauge
from bedplate.promql.selectors import selectors
from bedplate.render import Options, render
from bedplate.render.grafana import pages
from bedplate.render.grafana.charts import Chart, Query, steps_of
from bedplate.render.grafana.layout import Row, arranged
from tests.rendering import CACHE, shop, synfinance

Document = dict[str, Any]


def documents(name: str = "shop") -> dict[str, Document]:
    subject = synfinance() if name == "synfinance" else shop(name)
    return {page.name: json.loads(page.text) for page in pages(subject, Options())}


def panels(document: Document) -> Iterator[Document]:
    for panel in document["panels"]:
        yield panel
        yield from panel.get("panels", ())


def titled(document: Document, title: str) -> Document:
    return next(panel for panel in panels(document) if panel["title"] == title)


def exprs(document: Document) -> Iterator[str]:
    for panel in panels(document):
        for target in panel.get("targets", ()):
            if target["datasource"]["type"] == "prometheus":
                yield target["expr"]


def chart(kind: PanelKind, width: int, title: str) -> Chart:
    return Chart(key=title, title=title, kind=kind, queries=(Query("up", "up"),), width=width)


KINDS = st.sampled_from(["line", "stat", "gauge", "bar", "table", "heatmap", "state"])
CHARTS = st.lists(st.tuples(KINDS, st.sampled_from([0, 0, 0, 6, 12, 24])), max_size=14)
ROWS = st.lists(st.tuples(CHARTS, st.booleans(), st.sampled_from(["", "Row", "Other"])), max_size=4)


@given(ROWS)
def test_panels_stand_on_the_page_and_never_on_each_other(rows: list[Any]) -> None:
    made = [
        Row(title, tuple(chart(kind, width, f"{title}{n}") for n, (kind, width) in enumerate(charts)), collapsed)
        for charts, collapsed, title in rows
    ]
    found, numbers = arranged(made)
    visible = [panel["gridPos"] for panel in found]
    for group in (visible, *([p["gridPos"] for p in panel["panels"]] for panel in found if panel.get("panels"))):
        taken: set[tuple[int, int]] = set()
        for place in group:
            assert place["x"] >= 0 and place["x"] + place["w"] <= 24
            cells = {(x, y) for x in range(place["x"], place["x"] + place["w"])
                     for y in range(place["y"], place["y"] + place["h"])}  # fmt: skip
            assert taken.isdisjoint(cells)
            taken |= cells
    drawn = [panel for panel in panels({"panels": found}) if panel["type"] != "row"]
    assert len(drawn) == sum(len(charts) for charts, _, _ in rows)
    assert len(set(numbers.values())) == len(numbers) == len(list(panels({"panels": found})))


@given(st.integers(1, 14), st.integers(3, 14))
def test_lines_are_filled_to_the_edge(lines: int, numbers: int) -> None:
    for kind, count in (("line", lines), ("stat", numbers)):
        found, _ = arranged([Row("", tuple(chart(kind, 0, str(n)) for n in range(count)))])  # type: ignore[arg-type]
        widths: dict[int, int] = {}
        for panel in found:
            place = panel["gridPos"]
            widths[place["y"]] = widths.get(place["y"], 0) + place["w"]
        assert set(widths.values()) == {24}


def test_what_is_read_at_a_glance_stands_first_and_a_lone_number_beside_its_chart() -> None:
    row = Row("", (chart("line", 0, "a"), chart("stat", 0, "b"), chart("line", 0, "c")))
    places = {panel["title"]: panel["gridPos"] for panel in arranged([row])[0]}
    assert places["b"] == {"x": 0, "y": 0, "w": 6, "h": 8}
    assert places["a"] == {"x": 6, "y": 0, "w": 18, "h": 8}
    assert places["c"] == {"x": 0, "y": 8, "w": 24, "h": 8}


@pytest.mark.parametrize(
    ("thresholds", "steps"),
    [
        ((), [("green", None)]),
        ((Threshold(value=5), Threshold(value=9, severity="critical")), [("green", None), ("orange", 5), ("red", 9)]),
        (
            (Threshold(value=90, above=False), Threshold(value=70, above=False, severity="critical")),
            [("red", None), ("orange", 70), ("green", 90)],
        ),
        (
            (Threshold(value=1, above=False, severity="info"), Threshold(value=3)),
            [("blue", None), ("green", 1), ("orange", 3)],
        ),
        ((Threshold(value=2, severity="critical"), Threshold(value=4)), [("green", None), ("red", 2), ("red", 4)]),
        ((Threshold(value=0),), [("green", None), ("orange", 1e-9)]),
    ],
)
def test_colours_are_those_of_the_worst_threshold_that_is_crossed(
    thresholds: tuple[Threshold, ...], steps: list[tuple[str, float | None]]
) -> None:
    assert [(step["color"], step["value"]) for step in steps_of(thresholds, "green")] == steps


def test_a_service_has_an_overview_its_own_dashboards_and_its_runbook() -> None:
    found = documents()
    assert list(found) == ["overview", "caches", "runbook"]
    assert [page["title"] for page in found.values()] == ["Shop: Overview", "Shop: Caches", "Shop: Runbook"]
    assert {page["refresh"] for page in found.values()} == {"10s"}
    assert found["overview"]["tags"] == ["bedplate", "shop"]
    rows = [panel["title"] for panel in found["overview"]["panels"] if panel["type"] == "row"]
    assert rows == ["Now", "Alerts", "Cache", "Log"]
    # What no panel shows has one there; what its own dashboard shows is not shown twice.
    assert {p["title"] for p in panels(found["overview"])} >= {"Hits", "Lag"}
    assert {p["title"] for p in panels(found["overview"])}.isdisjoint({"Misses", "Filled"})


def test_identities_last_and_differ_between_services() -> None:
    first, again, other = documents(), documents(), documents("outlet")
    assert first == again
    for name, page in first.items():
        assert page["uid"] != other[name]["uid"]
        assert len(page["uid"]) <= 40
        ids = [panel["id"] for panel in panels(page)]
        assert len(set(ids)) == len(ids)


def test_a_choice_reaches_every_query_whose_metric_has_the_label() -> None:
    page = documents()["caches"]
    (choice,) = page["templating"]["list"]
    assert (choice["name"], choice["label"], choice["multi"], choice["includeAll"]) == ("cache", "Cache", True, True)
    assert choice["query"]["query"] == 'label_values(shop_cache_misses_total{job="shop"}, cache)'
    assert titled(page, "Misses")["targets"][0]["expr"] == (
        'sum by (cache)  (rate(shop_cache_misses_total{cache=~"$cache",job="shop"}[5m])) or on () vector(0)'
    )
    assert titled(page, "Filled")["targets"][0]["expr"] == 'shop_cache_filled_ratio{job="shop"}'


def test_rows_come_in_the_order_that_the_dashboard_gives() -> None:
    page = documents()["caches"]
    assert [panel["title"] for panel in page["panels"] if panel["type"] == "row"] == ["Is it well?", "Why?"]


def test_a_panel_has_its_unit_its_question_its_lines_and_the_runbook_of_its_alert() -> None:
    found = documents()
    misses = titled(found["caches"], "Misses")
    defaults = misses["fieldConfig"]["defaults"]
    assert (defaults["unit"], misses["description"]) == ("ops", "Why is it slow?")
    assert defaults["thresholds"]["steps"] == [{"color": "green", "value": None}, {"color": "red", "value": 0.5}]
    assert defaults["custom"]["thresholdsStyle"] == {"mode": "dashed"}
    assert misses["targets"][0]["legendFormat"] == "{{cache}}"
    (link,) = misses["links"]
    assert link["title"] == "Runbook: CacheMisses"
    section = titled(found["runbook"], "CacheMisses")
    assert link["url"] == f"/d/{found['runbook']['uid']}?viewPanel=panel-{section['id']}"
    assert "Look at what was deployed." in section["options"]["content"]


def test_alerts_are_drawn_into_every_page() -> None:
    for page in documents().values():
        (annotation,) = page["annotations"]["list"]
        assert annotation["target"]["expr"] == 'ALERTS{job="shop",alertstate="firing"}'


def test_every_query_of_every_page_asks_for_its_own_service_alone() -> None:
    for page in documents("synfinance").values():
        for expr in exprs(page):
            for selector in selectors(expr, variables=True):
                jobs = [m.value for m in selector.matchers if m.label == "job" and m.operator == "="]
                assert jobs == ["synfinance"], expr


def test_synfinance_has_its_four_dashboards_with_a_question_for_every_row() -> None:
    found = documents("synfinance")
    own = {name: page for name, page in found.items() if name not in ("overview", "runbook")}
    counts = {name: sum(p["type"] != "row" for p in panels(page)) for name, page in own.items()}
    assert {name: count >= least for (name, count), least in zip(sorted(counts.items()), (11, 12, 11, 12), strict=True)}
    assert len(own) == 4 and sum(counts.values()) >= 46, counts
    for page in own.values():
        assert all(row["title"].endswith("?") for row in page["panels"] if row["type"] == "row")
        for panel in panels(page):
            if panel["type"] != "row":
                assert panel["fieldConfig"]["defaults"]["unit"]


def test_every_metric_is_shown_somewhere() -> None:
    shown = {
        selector.name
        for page in documents("synfinance").values()
        for expr in exprs(page)
        for selector in selectors(expr, variables=True)
    }
    missing = [m.name for spec in synfinance().specs for m in spec.metrics if shown.isdisjoint(m.sample_names)]
    assert missing == []


def test_files_are_the_same_each_time() -> None:
    first, again = render([shop(), shop("outlet")]), render([shop(), shop("outlet")])
    assert first == again
    assert list(first) == sorted(first)
    assert not any(re.search(r"0x[0-9a-f]{9,}", text) for text in first.values()), "no address of an object"


def test_a_table_has_a_column_for_what_tells_rows_apart_and_none_for_a_value_that_is_always_1() -> None:
    info = Gauge("app_build_info", "The build.", {"version": 5})
    load = Gauge("app_load_ratio", "The load.", {"queue": ("a", "b")}, unit="ratio")
    shown = Panel(title="Load", expr=f"max by (queue) ({load})", kind="table")
    spec = replace(CACHE, metrics=(info, load), alerts=(), panels=(shown,), runbook=None)
    page = next(page for page in pages(shop("shop", spec), Options()) if page.name == "overview")
    build, table = (
        titled(json.loads(page.text), title)["transformations"][0]["options"] for title in ("Build info", "Load")
    )
    assert build["excludeByName"].keys() == {"Time", "__name__", "job", "Value"}
    assert build["indexByName"] == {"version": 0, "instance": 1}
    assert table["excludeByName"].keys() == {"Time", "__name__", "job", "instance"}


def test_an_alert_that_fires_is_red_in_the_timeline_and_a_component_that_runs_is_green() -> None:
    page = documents("synfinance")["overview"]

    def colors(title: str) -> dict[str, str]:
        (mapping,) = titled(page, title)["fieldConfig"]["defaults"]["mappings"]
        return {option["text"]: option["color"] for option in mapping["options"].values()}

    assert colors("When alerts fired") == {"quiet": "green", "firing": "red"}
    assert colors("Takes requests") == {"no": "red", "yes": "green"}
    assert colors("Component degraded") == {"no": "green", "yes": "red"}
