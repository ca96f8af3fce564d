from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.unit.monitor.management.api import HITS, Api
from tests.unit.monitor.monitor_fakes import running, view


@pytest.fixture
async def api() -> AsyncIterator[Api]:
    made = Api()
    async with running(made.management, made.host):
        yield made


FACES = ["", "health/detailed", "metrics", "components", "traces", "errors", "logs", "components/cache/reports"]
ROOT_FACES = ["/healthz", "/metrics"]


@pytest.mark.parametrize("path", [*FACES, *ROOT_FACES])
async def test_every_face_answers_a_viewer(api: Api, path: str) -> None:
    answer = await api.get(path, headers={"Accept": "application/json"})
    assert answer.status_code in (200, 503) if "health" in path else 200
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["cache-control"] == "no-store"
    assert isinstance(answer.json(), dict)


def concrete(path: str) -> str:
    for name, value in {"kind": "cache", "name": "reports", "action": "peek"}.items():
        path = path.replace(f"{{{name}}}", value)
    return path.replace("{", "").replace("}", "")


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "BREW"])
async def test_nothing_but_the_bare_health_answers_without_credentials(api: Api, method: str) -> None:
    paths = [concrete(route.path) for route in api.app.routes]  # type: ignore[attr-defined]
    assert len(paths) >= 15
    paths += ["/monitoring/unknown", "/monitoring/health/x", "/monitoring//metrics", "/monitoring/traces/"]
    for path in paths:
        for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": "Basic dTpw"}):
            answer = await api.ask(method, path, role="", headers=headers)
            if path == "/monitoring/health" and method == "OPTIONS":
                assert answer.status_code == 204
            elif path == "/monitoring/health" and not headers and method in ("GET", "HEAD"):
                assert answer.status_code == 503
            else:
                assert 400 <= answer.status_code < 500, (method, path, headers)


async def test_a_scraper_reads_metrics_and_nothing_else(api: Api) -> None:
    for route in api.app.routes:
        path = concrete(route.path)  # type: ignore[attr-defined]
        answer = await api.get(path, role="metrics")
        if path.endswith("/metrics"):
            assert answer.status_code == 200
        elif path == "/monitoring/health":
            assert "reasons" not in answer.json()
        else:
            assert answer.status_code in (403, 405), path


async def test_component_routes_need_a_viewer_to_read_and_an_operator_to_change(api: Api) -> None:
    assert (await api.get("cache/stats")).text == "component"
    assert (await api.ask("DELETE", "cache/k")).status_code == 403
    assert (await api.ask("DELETE", "cache/k", "operator")).text == "component"
    assert (await api.get("/cache/stats")).status_code == 403
    assert (await api.get("/cache/stats", "operator")).text == "component"


async def test_the_index_links_to_what_there_is(api: Api) -> None:
    for path in ("/monitoring", "/monitoring/"):
        index = (await api.get(path)).json()
        assert index["service"] == "ledger"
        for link in index["links"].values():
            assert (await api.get(link)).status_code in (200, 503)


async def test_health_says_its_status_to_everybody_and_its_reasons_to_a_viewer(api: Api) -> None:
    bare = await api.get("health", role="")
    assert bare.json() == {"status": "unhealthy", "ready": False, "phase": "starting"}
    assert bare.status_code == 503
    told = (await api.get("health")).json()
    assert told["reasons"][0]["meaning"]
    assert (await api.get("health", role="", headers={"Authorization": "Bearer wrong"})).status_code == 401


async def test_health_is_degraded_with_a_reason_once_it_runs(api: Api) -> None:
    async with running(api.health, api.host):
        await api.host.clock.advance(1)
        answer = await api.get("health")
        assert (answer.status_code, answer.json()["status"]) == (200, "degraded")
        reason = answer.json()["reasons"][0]
        assert (reason["component"], reason["meaning"]) == ("cache:reports", "Serves from memory.")
        detailed = (await api.get("health/detailed?history=true")).json()
        cache = next(part for part in detailed["components"] if part["label"] == "cache:reports")
        assert cache["probes"][0]["status"] == "up"
        assert cache["probes"][0]["runs"][0]["text"] == "PONG"
        assert (await api.get("/healthz")).json()["components"][1]["probes"][0].get("runs") is None
        assert "hunter2" not in str(detailed)


@pytest.mark.parametrize("path", ["health", "metrics", "traces", "errors", "logs", "/healthz", "/metrics"])
async def test_what_needs_no_component_answers_before_the_start(path: str) -> None:
    api = Api()
    assert (await api.get(path)).status_code == (503 if "health" in path else 200)


async def test_components_cannot_be_told_before_the_start() -> None:
    answer = await Api().get("components")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize(
    ("query", "accept", "media_type"),
    [
        ("", "", "text/plain; version=0.0.4; charset=utf-8"),
        ("", "*/*", "text/plain; version=0.0.4; charset=utf-8"),
        ("", "text/html", "text/plain; version=0.0.4; charset=utf-8"),
        ("", "application/json", "application/json"),
        ("", "application/json;q=0.5, text/plain", "text/plain; version=0.0.4; charset=utf-8"),
        ("", "application/json;q=0", "text/plain; version=0.0.4; charset=utf-8"),
        (
            "",
            "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
            "application/openmetrics-text; version=1.0.0; charset=utf-8",
        ),
        ("?format=json", "text/plain", "application/json"),
        ("?format=prometheus", "application/json", "text/plain; version=0.0.4; charset=utf-8"),
        ("?format=openmetrics", "", "application/openmetrics-text; version=1.0.0; charset=utf-8"),
    ],
)
async def test_metrics_come_as_they_are_wanted(api: Api, query: str, accept: str, media_type: str) -> None:
    api.registry.bind(HITS, cache="reports").inc(3)
    answer = await api.get(f"metrics{query}", role="metrics", headers={"Accept": accept})
    assert answer.headers["content-type"] == media_type
    assert answer.headers["vary"] == "Accept"
    assert b"cache_hits" in answer.content
    assert answer.content.rstrip().endswith(b"# EOF") == media_type.startswith("application/openmetrics")


@pytest.mark.parametrize("path", ["metrics?format=xml", "logs?level=LOUD", "traces?limit=0", "traces?limit=9999"])
async def test_a_wrong_parameter_is_a_problem_that_names_it(api: Api, path: str) -> None:
    answer = await api.get(path)
    assert (answer.status_code, answer.headers["content-type"]) == (422, "application/problem+json")
    assert answer.json()["errors"][0]["at"] in path


async def test_unknown_and_repeated_parameters_are_refused(api: Api) -> None:
    for query in ("stauts=500", "limit=1&limit=2", "follow=maybe"):
        assert (await api.get(f"logs?{query}")).status_code == 422
    assert (await api.get("traces?cursor=garbage")).status_code == 400


async def test_components_are_listed_in_start_order_a_page_at_a_time(api: Api) -> None:
    first = (await api.get("components?limit=2")).json()
    assert [item["label"] for item in first["items"]] == ["health", "cache:reports"]
    second = (await api.get(f"components?limit=2&cursor={first['next']}")).json()
    assert [item["label"] for item in second["items"]] == ["management"]
    assert second["next"] is None
    assert [i["label"] for i in (await api.get("components?state=degraded")).json()["items"]] == ["cache:reports"]
    assert [i["label"] for i in (await api.get("components?kind=health")).json()["items"]] == ["health"]


async def test_a_component_is_told_whole_and_without_secrets(api: Api) -> None:
    answer = await api.get("components/cache/reports")
    document = answer.json()
    assert document["needs"] == ["redis"]
    assert document["state"] == "degraded"
    assert document["settings"]["ttl"] == 300.0
    assert document["degradation"] == {"policy": "serve", "summary": "Serves from memory."}
    assert [metric["name"] for metric in document["metrics"]] == [HITS.name, "cache_age_seconds", "cache_size_bytes"]
    assert document["metrics"][0]["labels"] == {"cache": ["reports", "balances"]}
    assert document["metrics"][1]["buckets"] == [1, 10]
    assert document["metrics"][2]["merge"] == "max"
    cold, big = document["alerts"]
    assert cold["expr"] == '<job="ledger">rate(cache_hits_total[5m]) < 1'
    assert (cold["runbook"], big["runbook"]) == ("Warm it.", None)
    assert document["panels"][0]["queries"] == [
        {"legend": "{{cache}}", "expr": '<job="ledger">rate(cache_hits_total[5m])'}
    ]
    assert document["checks"][0]["path"] == "/cache/stats"
    flush, peek, erase = document["actions"]
    assert flush["parameters"]["required"] == ["pattern"]
    assert (peek["role"], peek["parameters"]) == ("viewer", None)
    assert (erase["role"], erase["danger"]) == ("admin", True)
    assert document["runbook"].startswith("# Cache")
    assert "hunter2" not in answer.text


async def test_a_reason_to_refuse_is_shown_even_when_asking_for_it_fails(api: Api) -> None:
    api.cache.refused = "A rollout is under way."
    flush = (await api.get("components/cache/reports")).json()["actions"][0]
    assert flush["refused"] == "A rollout is under way."
    del api.cache.refused
    flush = (await api.get("components/cache/reports")).json()["actions"][0]
    assert "AttributeError" in flush["refused"]


@pytest.mark.parametrize("path", ["components/cache/nothing", "traces/0000", "errors/0000", "nothing", "logs/x"])
async def test_what_is_not_there_is_a_404_problem(api: Api, path: str) -> None:
    answer = await api.get(path)
    assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json")
    assert answer.json()["detail"]


async def test_methods(api: Api) -> None:
    wrong = await api.ask("POST", "components", "operator")
    assert (wrong.status_code, wrong.headers["allow"]) == (405, "GET, HEAD, OPTIONS")
    assert wrong.headers["content-type"] == "application/problem+json"
    options = await api.ask("OPTIONS", "components/cache/reports/actions/flush")
    assert (options.status_code, options.headers["allow"]) == (204, "OPTIONS, POST")
    for path in (*FACES, *ROOT_FACES):
        head = await api.ask("HEAD", path)
        whole = await api.get(path)
        assert head.content == b""
        assert head.status_code == whole.status_code
        assert head.headers["content-type"] == whole.headers["content-type"]
        assert head.headers.get("content-length") in (None, whole.headers["content-length"])


async def test_it_works_below_another_root(api: Api) -> None:
    from starlette.routing import Mount, Router

    from tests.unit.monitor.management.api import TOKENS
    from tests.unit.monitor.monitor_fakes import client

    process = Router([Mount("/ledger", app=api.app)])
    async with client(process, token=TOKENS["viewer"]) as http:
        index = (await http.get("/ledger/monitoring")).json()
        assert index["links"]["metrics"] == "/ledger/monitoring/metrics"
        assert (await http.get("/ledger/monitoring/components/cache/reports")).status_code == 200
        assert (await http.get("/monitoring")).status_code == 404


async def test_one_page_renders_no_more_than_its_components(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    api.host.components = [view(api.cache) for _ in range(500)]
    rendered: list[str] = []
    probes = api.health.probes
    monkeypatch.setattr(api.health, "probes", lambda label, **how: [rendered.append(label), *probes(label, **how)][1:])
    page = (await api.get("components?limit=10")).json()
    assert len(page["items"]) == len(rendered) == 10


def test_the_spec_is_stable_and_has_a_check_for_every_face() -> None:
    management = Api().management
    assert management.spec == management.spec
    assert {check.path.removeprefix("/monitoring/") for check in management.spec.checks} >= {
        "health",
        "health/detailed",
        "metrics",
        "components",
        "traces",
        "errors",
        "logs",
    }


async def test_development_needs_no_token_on_this_machine() -> None:
    from tests.unit.monitor.monitor_fakes import client

    api = Api("development")
    async with client(api.app, peer="127.0.0.1", host="localhost:8000") as http:
        assert (await http.get("/monitoring/logs")).status_code == 200
        assert "reasons" in (await http.get("/monitoring/health")).json()
    answer: Any = await api.get("logs", role="")
    assert answer.status_code == 401
