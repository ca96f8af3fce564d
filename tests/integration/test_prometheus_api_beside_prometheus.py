"""The query API of a served service beside a real Prometheus that scrapes it: the same questions, the same answers."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest
import yaml

from bedplate.monitor.prometheus_api.client import FleetError, Prometheus
from bedplate.monitor.prometheus_api.rules import ActiveAlert, AlertingRule, RuleGroup, alert_document, group_document
from bedplate.monitor.prometheus_api.settings import PrometheusSettings
from tests.prometheus import Server, prometheus, promtool
from tests.serving import Running, run

#: The values of these stand still once requests have stopped.
STILL = [
    'http_server_request_duration_seconds_count{http_route="/items/{item}"}',
    'sum by (le) (http_server_request_duration_seconds_bucket{job="shop",http_route!~"/monitoring.*|/metrics"})',
    'histogram_quantile(0.9, sum by (le) (http_server_request_duration_seconds_bucket{http_route=~"/items/.*"}))',
    'topk(1, http_server_request_duration_seconds_count{http_route=~"/items/.*"})',
    'up',
    'up == bool 1',
    'up * 1e30',
    'up / 3e9',
    'up / 0 - up / 0',
    '-up / 0',
    'absent(nothing{code="1"})',
    'scalar(up) + 1.5',
    '1 + 1',
    '"a text"',
    'vector(1e21)',
    'increase(http_server_request_duration_seconds_count{http_route="/items/{item}"}[3s])',
    'nothing',
]  # fmt: skip

#: Parameters that Prometheus refuses.
REFUSED = [
    ("query", {}),
    ("query", {"query": "sum("}),
    ("query", {"query": "rate(up)"}),
    ("query", {"query": "up", "time": "yesterday"}),
    ("query", {"query": "up", "timeout": "soon"}),
    ("query", {"query": 'up{job=~"("}'}),
    ("query", {"query": "label_join(up) + on (job) up"}),
    ("query", {"query": '{job="shop"} + on (job) {job="shop"}'}),
    ("query_range", {"query": "up"}),
    ("query_range", {"query": "up", "start": "1", "end": "2", "step": "-1"}),
    ("query_range", {"query": "up", "start": "1", "end": "2", "step": "1 fortnight"}),
    ("query_range", {"query": "up", "start": "2", "end": "1", "step": "1"}),
    ("query_range", {"query": "up", "start": "0", "end": "20000", "step": "1"}),
    ("query_range", {"query": "up[5m]", "start": "1", "end": "2", "step": "1"}),
    ("query_range", {"query": '"text"', "start": "1", "end": "2", "step": "1"}),
    ("series", {}),
    ("series", {"match[]": "sum(up)"}),
    ("series", {"match[]": "{}"}),
    ("label/1x/values", {}),
]


@dataclass
class Both:
    """A service, and the Prometheus that scrapes it."""

    service: Running
    server: Server

    def ours(self, call: str, **params: Any) -> httpx2.Response:
        return self.service.get(f"/monitoring/prometheus/api/v1/{call}", params=params)

    def theirs(self, call: str, **params: Any) -> httpx2.Response:
        return self.server.get(f"/api/v1/{call}", **params)


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Both]:
    folder = tmp_path_factory.mktemp("both")
    rules = folder / "rules.yml"
    alert = {"alert": "Up", "expr": "up == 1", "labels": {"severity": "info"}, "annotations": {"summary": "It is up."}}
    quiet = {"alert": "Gone", "expr": "up == 0", "for": "5m"}
    waiting = {"alert": "Soon", "expr": "up * 1.5", "for": "5m"}
    rules.write_text(yaml.safe_dump({"groups": [{"name": "all", "rules": [alert, quiet, waiting]}]}))
    with run(folder, BEDPLATE_SAMPLES__INTERVAL="1") as service:
        service.ready()
        with prometheus(folder, scrape={"shop": f"127.0.0.1:{service.port}"}, rules=[rules]) as server:
            server.scraped("shop")
            for item in range(30):
                assert service.get(f"/items/{item}").status_code == 200
            yield Both(service, server)


def comparable(answer: httpx2.Response) -> Any:
    """Return an answer without what two clocks cannot agree on: times, and the name that each gives the target."""

    def cleaned(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: cleaned(item) for key, item in value.items() if key != "instance"}
        if (
            isinstance(value, list)
            and len(value) == 2
            and isinstance(value[1], str)
            and isinstance(value[0], int | float)
        ):
            return ["at", value[1]]
        return [cleaned(item) for item in value] if isinstance(value, list) else value

    document = cleaned(answer.json())
    if document["data"].get("resultType") == "vector":
        document["data"]["result"].sort(key=repr)
    return document


def shape(value: Any) -> Any:
    """Return what kind of a thing each part of an answer is."""
    if isinstance(value, dict):
        return {key: shape(item) for key, item in value.items()}
    if isinstance(value, list):
        return [shape(value[0])] if value else []
    return "number" if isinstance(value, int | float) and not isinstance(value, bool) else type(value).__name__


@pytest.mark.parametrize("expr", STILL)
def test_values_are_what_prometheus_says_to_the_letter(both: Both, expr: str) -> None:
    seen: list[Any] = []

    def same() -> bool:
        at = time.time()
        seen[:] = [
            comparable(both.ours("query", query=expr, time=at)),
            comparable(both.theirs("query", query=expr, time=at)),
        ]
        return bool(seen[0] == seen[1])

    try:
        both.service.eventually(same, 60)
    except AssertionError:
        assert seen[0] == seen[1]
    assert both.ours("query", query=expr).headers["content-type"] == "application/json"


@pytest.mark.parametrize("expr", ["up", "1", "vector(2)", "sum by (job) (up)", "nothing"])
def test_ranges_have_the_same_form_and_the_same_points(both: Both, expr: str) -> None:
    def same() -> bool:
        end = math.floor(time.time()) - 1
        asked = {"query": expr, "start": end - 3, "end": end, "step": "1s"}
        ours, theirs = both.ours("query_range", **asked), both.theirs("query_range", **asked)
        if shape(ours.json()) != shape(theirs.json()):
            return False
        values = [[one["values"] for one in answer.json()["data"]["result"]] for answer in (ours, theirs)]
        return bool(values[0] == values[1]) and all(len(points) == 4 for points in values[0])

    both.service.eventually(same, 60)


def test_the_samples_of_a_range_selector_are_told_too(both: Both) -> None:
    answers = [ask("query", query="up[5s]").json() for ask in (both.ours, both.theirs)]
    assert shape(answers[0]) == shape(answers[1])
    assert [answer["data"]["resultType"] for answer in answers] == ["matrix", "matrix"]
    assert 4 <= len(answers[0]["data"]["result"][0]["values"]) <= 6


@pytest.mark.parametrize(("call", "params"), REFUSED, ids=str)
def test_what_prometheus_refuses_is_refused_in_the_same_form(both: Both, call: str, params: dict[str, str]) -> None:
    ours, theirs = both.ours(call, **params), both.theirs(call, **params)
    assert (ours.status_code, shape(ours.json())) == (theirs.status_code, shape(theirs.json()))
    assert (ours.json()["status"], ours.json()["errorType"]) == ("error", theirs.json()["errorType"])


@pytest.mark.parametrize(
    ("call", "params"),
    [
        ("series", {"match[]": "up"}),
        ("series", {"match[]": ["up", '{__name__=~"http_server_request.*_count",http_route="/items/{item}"}']}),
        ("series", {"match[]": "nothing"}),
        ("labels", {"match[]": "http_server_request_duration_seconds_bucket"}),
        ("label/job/values", {}),
        ("label/le/values", {"match[]": "http_server_request_duration_seconds_bucket"}),
        ("label/nothing/values", {}),
        ("label/__name__/values", {"match[]": '{__name__=~"http_server_request_duration.*"}'}),
        ("metadata", {"metric": "http_server_request_duration_seconds"}),
        ("metadata", {"metric": "nothing"}),
        ("labels", {"start": "2", "end": "1"}),
    ],
    ids=str,
)
def test_what_there_is_to_ask_for_is_told_alike(both: Both, call: str, params: dict[str, Any]) -> None:
    def same() -> bool:
        ours, theirs = both.ours(call, **params).json(), both.theirs(call, **params).json()
        if call == "series":
            nameless = [[{**one, "instance": ""} for one in each["data"]] for each in (ours, theirs)]
            ours, theirs = (sorted(each, key=repr) for each in nameless)
        return bool(ours == theirs)

    both.service.eventually(same, 60)


def test_metadata_name_counters_as_queries_do(both: Both) -> None:
    # Prometheus itself keeps them under the name of OpenMetrics, which no query can use.
    def same() -> bool:
        ours = both.ours("metadata", metric="bedplate_samples_taken_total").json()["data"]
        theirs = both.theirs("metadata", metric="bedplate_samples_taken").json()["data"]
        return bool(ours["bedplate_samples_taken_total"] == theirs["bedplate_samples_taken"])

    assert len(both.ours("metadata", limit=3).json()["data"]) == 3
    both.service.eventually(same, 60)


def test_a_query_may_be_posted(both: Both) -> None:
    form = {"query": "up", "time": "2030-01-01T00:00:00.5Z"}
    ours = both.service.client.post("/monitoring/prometheus/api/v1/query", data=form)
    theirs = both.server.post("/api/v1/query", data=form)
    assert ours.json() == theirs.json()
    for call, data in (("series", {"match[]": "up"}), ("labels", {})):
        assert both.service.client.post(f"/monitoring/prometheus/api/v1/{call}", data=data).status_code == 200


def test_rules_and_alerts_have_the_form_that_prometheus_gives_them(both: Both) -> None:
    both.server.until(lambda: len(both.server.alerts()) == 2, "both alerts")
    theirs = both.theirs("rules").json()["data"]["groups"][0]
    firing = ActiveAlert(
        labels={"alertname": "Up", "instance": "x", "job": "shop", "severity": "info"},
        annotations={"summary": "It is up."}, state="firing", active_at=time.time(), value=1.0,
    )  # fmt: skip
    pending = ActiveAlert(
        labels={"alertname": "Soon", "instance": "x", "job": "shop"},
        annotations={}, state="pending", active_at=time.time(), value=1.5,
    )  # fmt: skip
    at = {"evaluated_at": time.time(), "evaluation_seconds": 0.001}
    told = {"labels": {"severity": "info"}, "annotations": {"summary": "It is up."}}
    rules = [
        AlertingRule(name="Up", query="up == 1", duration=0, alerts=(firing,), **told, **at),  # type: ignore[arg-type]
        AlertingRule(name="Gone", query="up == 0", duration=300, **at),  # type: ignore[arg-type]
        AlertingRule(name="Soon", query="up * 1.5", duration=300, alerts=(pending,), **at),  # type: ignore[arg-type]
    ]
    group = RuleGroup(name="all", interval=1.0, rules=rules, file=theirs["file"], **at)  # type: ignore[arg-type]
    ours = group_document(group, rules)
    for mine, yours in zip(ours["rules"], theirs["rules"], strict=True):
        assert shape(mine) == shape(yours)
        still = ("state", "name", "query", "duration", "labels", "annotations", "health", "type", "keepFiringFor")
        assert {key: mine[key] for key in still} == {key: yours[key] for key in still}
        assert [alert["value"] for alert in mine["alerts"]] == [alert["value"] for alert in yours["alerts"]]
    assert {key: shape(value) for key, value in ours.items() if key != "rules"} == {
        key: shape(value) for key, value in theirs.items() if key != "rules"
    }
    listed = both.theirs("alerts").json()["data"]["alerts"]
    assert sorted(map(repr, map(shape, listed))) == sorted(
        map(repr, (shape(alert_document(a)) for a in (firing, pending)))
    )


def test_build_information_has_the_fields_that_grafana_reads(both: Both) -> None:
    assert shape(both.ours("status/buildinfo").json()) == shape(both.theirs("status/buildinfo").json())


def test_prometheus_own_client_understands_the_answers(both: Both) -> None:
    url = f"http://127.0.0.1:{both.service.port}/monitoring/prometheus"
    assert re.fullmatch(
        r'up\{instance="[^"]+", job="shop"\} => 1 @\[[\d.]+\]\n', promtool("query", "instant", url, "up")
    )
    assert "scalar: 2 @[" in promtool("query", "instant", url, "1 + 1")
    assert "=> NaN @[" in promtool("query", "instant", url, "vector(NaN)")
    start = f"--start={math.floor(time.time()) - 5}"
    lines = promtool("query", "range", url, "up", start, "--step=1s").splitlines()
    assert lines[0].endswith('job="shop"} =>')
    assert all(line.startswith("1 @[") for line in lines[1:])
    assert 'job="shop"' in promtool("query", "series", url, "--match=up")
    assert promtool("query", "labels", url, "job") == "shop\n"


async def test_the_fleet_is_asked_over_the_same_api(both: Both, tmp_path: Path) -> None:
    asked = Prometheus(PrometheusSettings(url=both.server.url))  # type: ignore[arg-type]
    [up] = await asked.vector('up{job="shop"}', time.time())
    assert (up.labels["job"], up.value) == ("shop", 1.0)
    assert [sample.value for sample in await asked.vector("1 + 1", time.time())] == [2.0]
    assert math.isnan((await asked.vector("vector(NaN)", time.time()))[0].value)
    end = time.time()
    [series] = await asked.range("vector(7)", end - 60, end, 15)
    assert (series.labels, series.values.tolist()) == ({}, [7.0] * 5)
    assert series.times[0] == pytest.approx(end - 60, abs=0.001)
    with pytest.raises(FleetError, match="does not take the expression"):
        await asked.vector("sum(", time.time())
    assert asked.fault is None, "it can be asked, and says what is wrong"
    # A service's own API can be asked in the same way.
    own = Prometheus(PrometheusSettings(url=f"http://127.0.0.1:{both.service.port}/monitoring/prometheus"))  # type: ignore[arg-type]
    [mine] = await own.vector("up", time.time())
    assert mine.value == 1.0
