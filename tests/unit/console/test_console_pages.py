"""Pages over a service in which something went wrong, told with words that somebody else chose."""

from __future__ import annotations

import html
import logging
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Literal

import pytest
from fastapi import FastAPI
from pydantic import BaseModel, SecretStr

from bedplate import Service
from bedplate.component import Host, Spec
from bedplate.declarations import Action, Actor, Alert, Panel, Probe, Runbook, Series
from bedplate.metric import Counter
from bedplate.testing import Harness, running, settings
from tests.unit.console.site import LISTED, SAME, form_token, sign_in

HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(2)>\"'`{{7*7}}"
HITS = Counter("shelf_hits_total", "Hits.", {"shelf": 50})


class Tidy(BaseModel):
    """What is tidied."""

    shelf: str
    depth: int = 2
    how: Literal["gently", "firmly"] = "gently"
    names: tuple[str, ...] = ()
    dry: bool = False
    password: SecretStr = SecretStr("")


class Shelf:
    """A component that has everything, and says it in hostile words."""

    def __init__(self) -> None:
        self.tidied: list[tuple[Tidy, Actor]] = []
        self.refused: str | None = None
        self.broken = False
        self.result: dict[str, Any] = {"said": HOSTILE}

    @property
    def spec(self) -> Spec:
        return Spec(
            kind="shelf",
            name="top",
            summary=f"Holds things {HOSTILE}",
            metrics=(HITS,),
            probes=(Probe(name="level", check=self._level, summary=HOSTILE, critical=False, interval=1.0, failures=1),),
            alerts=(
                Alert(
                    name="ShelfEmpty",
                    expr=f"sum(rate({HITS}[5m])) > 5",
                    summary=f"Nothing is left {HOSTILE}",
                    fires=(Series(str(HITS(shelf="a")), "0+600x20"),),
                    quiet=(Series(str(HITS(shelf="a")), "0x20"),),
                ),
            ),
            panels=(Panel(title=f"Hits {HOSTILE}", expr=f"sum by (shelf) (rate({HITS}[5m]))"),),
            runbook=Runbook(text=f"# Shelf\n\n## ShelfEmpty\nFill it. {HOSTILE}\n\n[bad](javascript:alert(3)) ![p](x)"),
        )

    @asynccontextmanager
    async def lifespan(self, host: Host) -> AsyncIterator[None]:
        host.bind(HITS, shelf=HOSTILE).inc(3)
        yield

    async def _level(self) -> str | None:
        if self.broken:
            raise RuntimeError(HOSTILE)
        return None

    def actions(self) -> Sequence[Action]:
        async def tidy(parameters: Tidy, actor: Actor) -> dict[str, Any]:
            self.tidied.append((parameters, actor))
            return self.result

        return (
            Action(
                name="tidy",
                summary=f"Put it in order {HOSTILE}",
                run=tidy,
                parameters=Tidy,
                danger=True,
                refused=lambda: self.refused,
            ),
        )


@pytest.fixture
async def site() -> AsyncIterator[Harness]:
    app = FastAPI()

    @app.get("/things/{name}")
    async def things(name: str) -> None:
        logging.getLogger("shop.things").warning("Looking for %s", HOSTILE)
        raise ValueError(HOSTILE)

    shelf = Shelf()
    service = Service("shop", app, [shelf], settings=settings(auth={"tokens": LISTED}))
    async with running(service, headers={}) as harness:
        harness.client.base_url = "https://localhost"  # type: ignore[assignment]
        harness.client.headers["accept"] = "text/html"
        harness.shelf = shelf  # type: ignore[attr-defined]
        await harness.client.get("/things/1")
        await harness.clock.advance(30)
        yield harness


def links(page: str) -> list[str]:
    return [html.unescape(link) for link in re.findall(r'href="([^"]+)"', page)]


async def test_every_page_shows_hostile_words_as_words(site: Harness) -> None:
    await sign_in(site, "admin")
    site.shelf.broken = True  # type: ignore[attr-defined]
    await site.clock.advance(10)
    [trace] = site.service.builtins.traces.store.search(error=True)
    [error] = site.service.builtins.errors.store.search(type="ValueError")
    panel = next(ref for ref in site.service.builtins.console.site.charting.all() if ref.source == "shelf:top")
    base = "/console/components/shelf/top"
    paths = [
        "/console",
        "/console/alerts",
        "/console/traces",
        f"/console/traces/{trace['trace_id']}",
        "/console/logs",
        "/console/errors",
        f"/console/errors/{error['fingerprint']}",
        "/console/components",
        "/console/components?show=score",
        *(f"{base}{tab}" for tab in ("", "/panels", "/declares", "/configuration", "/runbook", "/actions")),
        f"{base}/actions/tidy",
        f"/console/panels/{panel.id}",
        "/console/health",
        "/console/settings",
        "/console/metrics",
        "/console/metrics?q=shelf_hits_total",
        "/console/metrics?q=shelf_hits_total&show=table",
    ]
    shown = 0
    for path in paths:
        answer = await site.client.get(path)
        assert answer.status_code == 200, (path, answer.text[-500:])
        assert "<script>alert" not in answer.text and "<img" not in answer.text, path
        assert "49" not in re.findall(r"'`(\d+)", answer.text), path
        assert not re.search(r'href="\s*javascript:', answer.text), path
        assert not re.search(r"\sstyle=|\son\w+=\"", re.sub(r"&[^;]+;", "", answer.text)), path
        shown += "&lt;script&gt;alert(1)" in answer.text
    assert shown >= 12, "the words did not get there at all"
    for query in ("text", "route", "q", "show", "range", "level", "logger", "trace_id", "find", "name"):
        for page in ("traces", "logs", "errors", "metrics", "search", "settings", "alerts"):
            answer = await site.client.get(f"/console/{page}", params={query: HOSTILE})
            assert answer.status_code in (200, 409), (page, query)
            assert "<script>alert" not in answer.text, (page, query)


async def test_from_an_error_to_its_trace_to_its_log_line_is_a_click_each(site: Harness) -> None:
    await sign_in(site)
    errors = await site.client.get("/console/errors")
    [trace_link] = {link for link in links(errors.text) if link.startswith("/console/traces/")}
    trace = await site.client.get(trace_link)
    assert "Looking for" in trace.text, "the line is on the trace's page already"
    [log_link] = {link for link in links(trace.text) if link.startswith("/console/logs?trace_id=")}
    log = await site.client.get(log_link)
    assert "Looking for" in log.text
    assert trace_link in links(log.text), "and back"


async def test_a_trace_shows_its_spans_and_the_group_of_its_error(site: Harness) -> None:
    await sign_in(site)
    [found] = site.service.builtins.traces.store.search(error=True)
    page = await site.client.get(f"/console/traces/{found['trace_id']}")
    assert "GET /things/{name}" in page.text
    assert any(link.startswith("/console/errors/") for link in links(page.text))
    assert 'class="span is-bad"' in page.text


async def test_filters_narrow_and_stay_in_the_address(site: Harness) -> None:
    await sign_in(site)
    assert "No trace matches" in (await site.client.get("/console/traces?text=nowhere-to-be-found")).text
    page = await site.client.get("/console/traces?show=failed&status=5xx&text=things")
    assert "/things/{name}" in page.text and 'value="5xx"' in page.text
    assert "Write the least duration" in (await site.client.get("/console/traces?over=quick")).text
    assert "No trace matches" in (await site.client.get("/console/traces?over=10m")).text
    assert "Looking for" in (await site.client.get("/console/logs?logger=shop.things")).text
    assert "Looking for" not in (await site.client.get("/console/logs?logger=shop.other")).text
    assert "No error matches" in (await site.client.get("/console/errors?show=muted")).text


async def test_what_is_not_there_is_said_not_to_be(site: Harness) -> None:
    await sign_in(site)
    for path in (
        "traces/0123",
        "errors/0123",
        "components/no/such",
        "components/shelf/top/nothing",
        "components/shelf/top/actions/none",
        "panels/0123",
        "alerts/0123",
        "rules/Nothing",
    ):
        answer = await site.client.get(f"/console/{path}")
        assert answer.status_code == 404, path
        assert "Nothing here" in answer.text


async def test_a_component_has_its_page_without_code_of_its_own(site: Harness) -> None:
    await sign_in(site)
    page = (await site.client.get("/console/components/shelf/top/declares")).text
    assert "shelf_hits_total" in page and "ShelfEmpty" in page
    runbook = (await site.client.get("/console/components/shelf/top/runbook")).text
    assert 'id="ShelfEmpty"' in runbook and "Fill it." in runbook
    overview = (await site.client.get("/console/components/shelf/top")).text
    assert "level" in overview and "Scorecard" in overview


async def test_the_home_page_says_what_is_wrong_and_what_to_do(site: Harness) -> None:
    await sign_in(site)
    assert "shop is well." in (await site.client.get("/console")).text
    site.shelf.broken = True  # type: ignore[attr-defined]
    await site.clock.advance(10)
    page = (await site.client.get("/console")).text
    assert "shop is degraded." in page
    assert "The probe level of shelf:top is down" in page
    assert "/console/components/health/default/runbook#HealthProbeDown" in links(page)
    assert "/console/components/shelf/top" in links(page)


async def press(site: Harness, path: str, **fields: str) -> str:
    page = await site.client.get(path)
    answer = await site.client.post(path, data={"form_token": form_token(page.text), **fields}, headers=SAME)
    return answer.text


async def test_an_action_is_typed_says_what_it_will_do_and_asks_first(site: Harness) -> None:
    await sign_in(site, "operator")
    path = "/console/components/shelf/top/actions/tidy"
    form = (await site.client.get(path)).text
    assert '<select id="f-how"' in form and 'name="password"' not in form
    missing = await press(site, path, shelf="", step="review")
    assert "Fill this in." in missing
    review = await press(site, path, shelf="a", depth="3", how="firmly", names="x\n y \n\n", dry="1", step="review")
    assert "Confirm: tidy" in review and "This cannot be undone." in review and "firmly" in review
    assert 'type="password"' in review
    assert site.shelf.tidied == []  # type: ignore[attr-defined]
    done = await press(
        site, path, shelf="a", depth="3", how="firmly", names="x\n y", dry="1", password="hunter22222", step="do"
    )
    assert "Done: tidy" in done
    [(parameters, actor)] = site.shelf.tidied  # type: ignore[attr-defined]
    assert parameters == Tidy(
        shelf="a", depth=3, how="firmly", names=("x", "y"), dry=True, password=SecretStr("hunter22222")
    )
    assert actor == Actor("operator", "operator")
    [record] = site.service.builtins.logs.tail.search(logger="bedplate.audit", limit=1)
    assert record["outcome"] == "done" and "hunter22222" not in str(record)


async def test_what_an_action_changed_is_shown_without_secrets(site: Harness) -> None:
    await sign_in(site, "operator")
    site.shelf.result = {  # type: ignore[attr-defined]
        "before": {"depth": 1, "password": "the-old-one", "ways": {"token": "one"}},
        "after": {"depth": 2, "password": "the-new-one", "ways": {"token": "two"}},
    }
    done = await press(site, "/console/components/shelf/top/actions/tidy", shelf="a", step="do")
    assert "1 →" in done and done.count("[redacted]") == 4
    assert "the-old-one" not in done and "the-new-one" not in done


async def test_what_is_wrong_with_a_form_stands_beside_its_field(site: Harness) -> None:
    await sign_in(site, "operator")
    path = "/console/components/shelf/top/actions/tidy"
    again = await press(site, path, shelf="a", depth="deep", step="do")
    assert "valid integer" in again and 'value="deep"' in again
    assert site.shelf.tidied == []  # type: ignore[attr-defined]


async def test_an_action_that_is_refused_now_says_why(site: Harness) -> None:
    await sign_in(site, "operator")
    site.shelf.refused = "It is locked."  # type: ignore[attr-defined]
    path = "/console/components/shelf/top/actions/tidy"
    assert "It is locked." in (await site.client.get(path)).text
    assert "It is locked." in await press(site, path, shelf="a", step="do")
    assert site.shelf.tidied == []  # type: ignore[attr-defined]


async def test_a_viewer_can_change_nothing(site: Harness) -> None:
    await sign_in(site, "viewer")
    [error] = site.service.builtins.errors.store.search(type="ValueError")
    token = form_token((await site.client.get("/console")).text)
    posts = {
        "components/shelf/top/actions/tidy": {"shelf": "a", "step": "do"},
        "components/settings/default/actions/reload": {"step": "do"},
        f"errors/{error['fingerprint']}": {"change": "resolve"},
        "silences": {"matchers": 'alertname="ShelfEmpty"'},
        "alerts/some-key/acknowledge": {"note": "mine"},
        "silences/some-id/end": {},
    }
    for path, fields in posts.items():
        answer = await site.client.post(f"/console/{path}", data={"form_token": token, **fields}, headers=SAME)
        assert answer.status_code == 403, path
    assert site.shelf.tidied == []  # type: ignore[attr-defined]
    [after] = site.service.builtins.errors.store.search(type="ValueError")
    assert after["status"] == "open"
    page = (await site.client.get("/console/components/shelf/top/actions")).text
    assert "<button disabled>tidy</button>" in page


async def test_an_operator_resolves_an_error_and_that_is_recorded_with_before_and_after(site: Harness) -> None:
    await sign_in(site, "operator")
    [error] = site.service.builtins.errors.store.search(type="ValueError")
    path = f"/console/errors/{error['fingerprint']}"
    await press(site, path, change="resolve")
    assert "The error is resolved now." in (await site.client.get(path)).text
    [record] = site.service.builtins.logs.tail.search(logger="bedplate.audit", limit=1)
    assert record["before"] == {"status": "open"} and record["after"] == {"status": "resolved"}
    [kept] = await site.service.builtins.audit.latest(1)
    assert record["audit"] == kept["hash"] and kept["actor"] == "operator"


async def test_secrets_in_settings_stay_masked(site: Harness) -> None:
    await sign_in(site, "operator")
    page = (await site.client.get("/console/settings")).text
    assert "BEDPLATE_CONSOLE__IDLE" in page
    assert "a-viewer-token" not in page
    await sign_in(site, "viewer")
    assert (await site.client.get("/console/settings")).status_code == 403


async def test_search_finds_pages_components_metrics_alerts_and_ids(site: Harness) -> None:
    await sign_in(site)
    for text, address in (
        ("shelf", "/console/components/shelf/top"),
        ("ShelfEmpty", "/console/rules/ShelfEmpty"),
        ("shelf_hits", "/console/metrics?q=sum%28rate%28shelf_hits_total%5B5m%5D%29%29"),
        ("traces", "/console/traces"),
    ):
        page = await site.client.get("/console/search", params={"q": text, "part": "1"})
        assert address in links(page.text), text
    [trace] = site.service.builtins.traces.store.search(error=True)
    page = await site.client.get("/console/search", params={"q": trace["trace_id"]})
    assert f"/console/traces/{trace['trace_id']}" in links(page.text)


async def test_expressions_are_evaluated_and_faults_in_them_are_explained(site: Harness) -> None:
    await sign_in(site)
    page = (await site.client.get("/console/metrics?q=shelf_hits_total&show=table")).text
    assert "&lt;script&gt;" in page and ">3</td>" in page
    assert "<svg" in (await site.client.get("/console/metrics?q=shelf_hits_total&range=5m")).text
    fault = (await site.client.get("/console/metrics", params={"q": "sum(rate("})).text
    assert 'role="alert"' in fault
    values = (await site.client.get("/console/values.json?q=shelf_hits_total&range=5m")).json()
    assert values["lines"][0]["values"][-1] == 3.0
    completion = (await site.client.get("/console/completion.json")).json()
    assert any(one["name"] == "shelf_hits_total" and one["labels"] == ["shelf"] for one in completion["metrics"])


async def test_a_number_leads_to_the_requests_behind_it(site: Harness) -> None:
    headers = {"traceparent": f"00-{'ab' * 16}-{'cd' * 8}-01"}
    await site.client.get("/things/1", headers=headers)
    await sign_in(site)
    query = "sum(rate(http_server_request_duration_seconds_count[5m]))"
    page = await site.client.get("/console/metrics", params={"q": query})
    assert "Requests behind these numbers" in page.text
    assert f"/console/traces/{'ab' * 16}" in links(page.text)
    assert "Requests behind" not in (await site.client.get("/console/metrics?q=shelf_hits_total")).text
