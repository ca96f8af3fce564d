"""The demo's faults fire their alerts, in the process and in a Prometheus that scrapes it, and all resolve; and lead
whoever is woken by them to their cause."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest
from playwright.sync_api import Page, expect, sync_playwright

from bedplate.declarations import seconds
from bedplate.service.loading import load
from bedplate.service.runner import services_of
from demo.process import SAMPLED_EVERY, TIME_SCALE
from demo.trouble import FAULTS, Fault
from tests.prometheus import Server, prometheus
from tests.serving import free_port

#: Seconds that a fault may take to show, and to be over: windows and waits of a quarter of an hour, scaled.
PATIENCE = 150.0
#: Prometheus scrapes every 15 seconds, scaled.
SCRAPED_EVERY = 15 * TIME_SCALE


#: Gauges of what the demo does not have: secrets from files, numbers that are changed while it runs, and events that
#: wait on its disk.
NOT_IN_THE_DEMO = {"bedplate_settings_value", "bedplate_settings_secret_unreadable", "bedplate_events_outbox"}
#: What Ledger declares and has no use for there: on SQLite nothing moves to partitions; no sockets, no leaders.
NOT_OF_LEDGER = re.compile(r"bedplate_(cutover|http_websocket|locks_(leading|led|candidates)).*job=\"ledger\"")


@dataclass
class Demo:
    """A demo without faults of its own accord, watched by itself and by Prometheus."""

    base: str
    process: subprocess.Popen[bytes]
    output: Path
    prometheus: Server
    client: httpx2.Client

    def get(self, path: str, **params: Any) -> Any:
        return self.client.get(f"{self.base}/synfinance/monitoring{path}", params=params).raise_for_status().json()

    def press(self, button: str, fault: Fault) -> None:
        path = f"/synfinance/monitoring/components/trouble/default/actions/{button}"
        self.client.post(f"{self.base}{path}", json={"fault": fault.name}).raise_for_status()

    def alerts(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.get("/prometheus/api/v1/alerts")["data"]["alerts"]
        return found

    def firing(self) -> set[str]:
        return {alert["labels"]["alertname"] for alert in self.alerts() if alert["state"] == "firing"}

    def quiet(self, names: set[str]) -> bool:
        """Say whether none of these alerts is pending or fires in either evaluator, as their samples know by now."""
        query = f'ALERTS{{alertname=~"{"|".join(names)}"}}'
        sampled = self.get("/prometheus/api/v1/query", query=query)["data"]["result"]
        known = (*self.alerts(), *self.prometheus.alerts())
        return not sampled and names.isdisjoint(one["labels"]["alertname"] for one in known)

    def until(self, condition: Callable[[], Any], what: str) -> None:
        end = time.monotonic() + PATIENCE
        while not condition():
            assert self.process.poll() is None, f"The demo ended, waiting for {what}:\n{self.output.read_text()}"
            assert time.monotonic() < end, (
                f"Waited in vain for {what}; in the process {self.firing()}, in Prometheus {self.prometheus.firing()}:"
                f"\n{self.output.read_text()}"
            )
            time.sleep(0.25)  # each question costs the demo some milliseconds, and it has little time


@contextmanager
def running(folder: Path) -> Iterator[Demo]:
    port, output, deploy = free_port(), folder / "output", folder / "deploy"
    with output.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "demo", "--calm", "--port", str(port)], stdout=file, stderr=file, cwd=folder
        )
    try:
        rendering = ["-m", "bedplate.cli", "render", "demo.process:build_process", "--out", str(deploy)]
        rendering += ["--time-scale", str(TIME_SCALE), "--scrape-target", f"127.0.0.1:{port}"]
        subprocess.run([sys.executable, *rendering, "--scrape-token-file", ""], check=True, cwd=folder)
        config = deploy / "prometheus" / "prometheus.yml"
        with prometheus(folder, config=config) as server, httpx2.Client(timeout=30) as client:
            demo = Demo(f"http://127.0.0.1:{port}", process, output, server, client)
            server.scraped("synfinance")
            demo.until(lambda: "Traffic goes on" in output.read_text(), "the end of the opening scene")
            yield demo
    finally:
        process.terminate()
        process.wait(60)


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    with running(tmp_path_factory.mktemp("demo-alerts")) as found:
        yield found


@pytest.mark.timeout(240)
def test_three_clicks_lead_from_the_home_page_to_the_log_line_and_two_to_the_runbook(demo: Demo) -> None:
    """By a browser: what somebody does who has just been woken. The first test: no other alert stands beside."""
    link = re.search(r"http://\S+/enter\?key=\S+", demo.output.read_text())
    assert link is not None
    origin = link[0].partition("/console/")[0].removesuffix("/synfinance")
    try:
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
            _from_a_fault_to_its_cause(browser.new_page(), link[0], origin)
            browser.close()
    finally:
        demo.press("end", FAULTS[0])


def _from_a_fault_to_its_cause(page: Page, link: str, origin: str) -> None:
    base, home = f"{origin}/synfinance/console", f"{origin}/console/"
    page.goto(link)
    page.goto(f"{base}/components/trouble/default/actions/begin")
    page.get_by_label("Fault").select_option("bank-fails")
    page.get_by_role("button", name="Go on").click()
    page.get_by_role("button", name="Begin").click()
    expect(page.get_by_role("heading", name="Done: begin")).to_be_visible()

    page.goto(home)
    fault = page.locator("article", has_text="of the requests fail")
    expect(fault.first).to_be_visible(timeout=PATIENCE * 1000)  # it appears by itself: the page is live
    expect(page.locator("h1")).to_contain_text("is not well")
    fault.first.get_by_role("link", name="Failed traces").click()
    page.locator("main .row-link", has_text="exchange-rate").first.click()
    expect(page.locator("main")).to_contain_text("RateSourceError")
    page.get_by_role("link", name="Its log lines").click()
    expect(page).to_have_url(re.compile(r"/logs\?trace_id="))
    expect(page.locator(".log")).to_contain_text("RateSourceError")

    page.goto(home)
    fault.first.get_by_role("link", name="Runbook").click()
    expect(page.locator("#runbook")).to_contain_text("What to do.")


def interval(alert: str) -> float:
    """Return the seconds between two evaluations of an alert."""
    service = next(one for one in services_of(load("demo.process:build_process")) if one.name == "synfinance")
    from bedplate.monitor.alerts import rules

    found = rules(service.name, [component.spec for component in service.components])
    return seconds(next(rule.group.interval for rule in found if rule.name == alert)) * TIME_SCALE


def moment(demo: Demo, where: str, alert: str, since: float) -> float:
    """Return when an alert began to fire, by the samples of ``ALERTS`` that each evaluator writes."""
    query = f'ALERTS{{alertname="{alert}",alertstate="firing"}}'

    def moments() -> list[float]:
        span = {"start": since, "end": time.time(), "step": 0.25}
        if where == "prometheus":
            found = demo.prometheus.query_range(query, **span)
        else:
            found = demo.get("/prometheus/api/v1/query_range", query=query, **span)["data"]["result"]
        return [float(at) for series in found for at, _ in series["values"]]

    demo.until(moments, f"a sample of {alert} in {where}")  # it is written with the sample after
    return min(moments())


@pytest.mark.timeout(600)
def test_every_fault_fires_its_alert_in_both_evaluators_at_once_and_both_resolve(demo: Demo) -> None:
    # Faults that do not disturb each other come together, since a test must not take as long as a demo may; and the
    # first alerts resolve while the conditions of the others must hold.
    for turn in ((0, 1, 4), (2, 3)):
        faults = [FAULTS[number] for number in turn]
        # On a busy machine a value may hover about its threshold before the fault, where one sampler sees it above and
        # the other below, and only one begins to wait. Then the fault is made once more.
        late = [*_late(demo, faults)]
        assert not late or not [*_late(demo, faults)], late
    for alert in (fault.alert for fault in FAULTS):
        demo.until(lambda alert=alert: alert not in demo.firing(), f"the end of {alert}")
        demo.until(lambda alert=alert: alert not in demo.prometheus.firing(), f"the end of {alert} in Prometheus")


def _late(demo: Demo, faults: list[Fault]) -> Iterator[str]:
    """Make faults, see their alerts come in both evaluators, end them, and yield those that came too far apart."""
    names = {fault.alert for fault in faults}
    demo.until(lambda: demo.quiet(names), "quiet before the faults")
    begun = time.time()
    for fault in faults:
        demo.press("begin", fault)
    for alert in names:
        demo.until(lambda alert=alert: alert in demo.firing(), f"{alert} in the process")
        demo.until(lambda alert=alert: alert in demo.prometheus.firing(), f"{alert} in Prometheus")
    for alert in names:
        apart = abs(moment(demo, "process", alert, begun) - moment(demo, "prometheus", alert, begun))
        # Each sees a fault with its next sample, and says so at its next evaluation.
        if apart > interval(alert) + SCRAPED_EVERY + SAMPLED_EVERY:
            yield f"{alert}: {apart:.1f} s"
    for fault in faults:
        demo.press("end", fault)


def queries(dashboard: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield each panel's title with the expression of each of its targets, every choice at *All*."""
    for panel in dashboard["panels"]:
        for target in (*panel.get("targets", ()), *(t for p in panel.get("panels", ()) for t in p.get("targets", ()))):
            if "expr" in target and target["datasource"]["type"] == "prometheus":
                yield (
                    panel["title"],
                    re.sub(r"\$\{?\w+(:\w+)?\}?", ".*", target["expr"].replace("$__rate_interval", "15s")),
                )


@pytest.mark.timeout(300)
def test_every_panel_has_data_from_a_prometheus_that_scraped_the_demo(demo: Demo) -> None:
    files = sorted((demo.output.parent / "deploy" / "grafana" / "dashboards").rglob("*.json"))
    asked = [(file.stem, title, expr) for file in files for title, expr in queries(json.loads(file.read_text()))]
    assert len(asked) > 100

    def empty() -> list[str]:
        """Return what has had no value for as long as the demo has run: charts show stretches of time."""
        now = time.time()
        return [
            f"{name} | {title} | {expr}"
            for name, title, expr in asked
            if not NOT_IN_THE_DEMO & set(re.findall(r"\w+", expr))
            # No fault of the demo is TradeSense's or Ledger's: nobody need be told. SynFinance has the same panels.
            and not (re.search(r'job="(tradesense|ledger)"', expr) and re.search(r"ALERTS|bedplate_notify_", expr))
            and not NOT_OF_LEDGER.search(expr)
            and not demo.prometheus.query_range(expr, now - 600, now, 1)
        ]

    # Charts of alerts need one, which the test before has left, and some things happen once a minute only.
    now = time.time()
    if not demo.prometheus.query_range('ALERTS{alertstate="firing"}', now - 600, now, 1):
        demo.press("begin", FAULTS[4])
        demo.until(lambda: FAULTS[4].alert in demo.prometheus.firing(), "an alert")
        demo.press("end", FAULTS[4])
    end = time.monotonic() + 120
    while (missing := empty()) and time.monotonic() < end:
        time.sleep(3)
    assert not missing, "\n".join(missing)
