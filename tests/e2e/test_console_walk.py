"""A browser walks the console: every page, light and dark, on a desk and on a phone, with scripts and without."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from tests.serving import Running, run

ROOT = Path(__file__).parents[2]

SHOP = '''
import logging
from contextlib import asynccontextmanager
from fastapi import FastAPI
from pydantic import BaseModel
from bedplate.component import Spec
from bedplate.declarations import Action, Alert, AlertGroup, Panel, Probe, Runbook, Series
from bedplate.metric import Counter
from bedplate.service import Process, Service
from bedplate.settings import Settings
from bedplate.telemetry.traces import traced

SOLD = Counter("shop_sold_total", "Things sold.", {"thing": ("tea", "cups")})
BROKEN = Counter("shop_broken_total", "Things broken.")
app = FastAPI()

@traced("look on the shelf")
async def look(thing: str) -> None:
    logging.getLogger("shop.shelf").warning("The shelf with %s is empty <b>now</b>", thing)
    raise LookupError(f"no {thing} <script>alert(1)</script>")

@app.get("/things/{thing}")
async def things(thing: str) -> dict[str, str]:
    shop.sold(thing)
    if thing == "ghosts":
        await look(thing)
    return {"thing": thing}

class Stocking(BaseModel):
    """How much."""
    thing: str
    amount: int = 10

class Shop:
    @property
    def spec(self):
        return Spec(
            kind="shelf", summary="Keeps things.", metrics=(SOLD, BROKEN),
            probes=(Probe(name="level", check=self.level, summary="There is something left.", critical=False),),
            alerts=(Alert(
                name="ShelfBroken", expr=f"sum({BROKEN}) > 0", for_="0s", severity="critical",
                summary="Things break, and customers get errors.",
                group=AlertGroup(name="shelf", interval="1s"),
                fires=(Series(str(BROKEN), "0 1x20"),), quiet=(Series(str(BROKEN), "0x20"),),
            ),),
            panels=(
                Panel(title="Sold", expr=(("{{thing}}", f"sum by (thing) (rate({SOLD}[5m]))"),), unit="ops"),
                Panel(title="Broken", expr=f"sum({BROKEN})", kind="stat"),
            ),
            runbook=Runbook(text="## ShelfBroken\\n**What to do.** Mend the shelf with `glue`."),
        )

    @asynccontextmanager
    async def lifespan(self, host):
        self._sold = {thing: host.bind(SOLD, thing=thing) for thing in ("tea", "cups")}
        self._broken = host.bind(BROKEN)
        yield

    def sold(self, thing):
        if thing in self._sold:
            self._sold[thing].inc()
        else:
            self._broken.inc()

    async def level(self):
        return "full"

    def actions(self):
        async def stock(parameters, actor):
            return {"stocked": parameters.amount}
        return (Action(name="stock", summary="Put more on the shelf.", run=stock, parameters=Stocking),)

shop = Shop()

def build(settings: Settings) -> Process:
    return Process([Service("shop", app, [shop], settings=settings), Service("mill", settings=settings)])
'''
PAGES = (
    "/", "/alerts", "/alerts?show=rules", "/alerts?show=silences", "/alerts?show=history", "/rules/ShelfBroken",
    "/errors", "/errors?show=all", "/metrics", "/metrics?q=shop_sold_total&range=5m",
    "/metrics?q=sum(rate(shop_sold_total[1m]))&q=up&show=table", "/metrics?q=broken(", "/traces", "/traces?show=failed",
    "/logs", "/logs?level=WARNING", "/components", "/components?show=score", "/components/shelf/default",
    "/components/shelf/default/panels", "/components/shelf/default/declares",
    "/components/console/default/configuration", "/components/shelf/default/runbook",
    "/components/shelf/default/actions", "/components/shelf/default/actions/stock", "/health", "/settings", "/audit",
    "/search?q=shelf", "/nowhere",
)  # fmt: skip
#: The pages of the console that tells of all services of the process.
OF_ALL = ("/", "/search?q=shelf", "/nowhere")
SIZES = {"desk": {"width": 1360, "height": 900}, "phone": {"width": 390, "height": 844}}
#: Where a page's first line leads: a trace, an error, an alert.
FOLLOWED = ("/traces?show=failed", "/errors", "/alerts")


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("shop")
    (folder / "stall.py").write_text(SHOP)
    environment = {"BEDPLATE_SAMPLES__INTERVAL": "0.5", "BEDPLATE_AUTH__TOKENS": ""}
    with run(folder, target="stall:build", **environment) as running:
        running.ready()
        for thing in ("tea", "cups", "ghosts", "ghosts", "tea"):
            running.get(f"/shop/things/{thing}")
        running.eventually(lambda: "ShelfBroken" in running.get("/shop/monitoring/unified/alerts").text)
        yield running


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    subprocess.run([ROOT / "tools" / "servers.sh", "chromium"], check=True)
    expect.set_options(timeout=30_000)  # a page of a loaded machine takes its time
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-dev-shm-usage"]
        )
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def axe() -> str:
    found = subprocess.run([ROOT / "tools" / "axe.sh"], check=True, capture_output=True, text=True)
    return Path(found.stdout.strip()).read_text()


@pytest.fixture(scope="module")
def entered(shop: Running, chromium: Browser) -> dict[str, Any]:
    """Sign in with the link of the terminal; return the cookies."""
    [link] = re.findall(r"http://\S+/console/enter\?key=\S+", shop.log)
    context = chromium.new_context()
    page = context.new_page()
    page.goto(link)
    expect(page).to_have_url(re.compile(r"\d/console/$"))
    state = context.storage_state()
    page.goto(link)
    expect(page).to_have_url(re.compile(r"/console/$"))  # used up, but we are in
    context.close()
    return dict(state)


class Walker:
    """A browser's window, and everything that it complains of."""

    def __init__(self, context: BrowserContext, base: str) -> None:
        self.page: Page = context.new_page()
        self.base = base
        self.complaints: list[str] = []
        self.page.on("console", self._said)
        self.page.on("pageerror", lambda error: self.complaints.append(f"{self.page.url}: {error}"))

    def _said(self, message: Any) -> None:
        wanted = message.type in ("error", "warning") or "Content Security Policy" in message.text
        # The browser itself reports what is not found or not allowed; those pages are asked for on purpose.
        if wanted and not re.search(r"status of (404|403|409)", message.text):
            self.complaints.append(f"{self.page.url}: {message.text}")

    def visit(self, path: str) -> Page:
        self.page.goto(f"{self.base}{path}")
        return self.page


@pytest.mark.timeout(200)
@pytest.mark.parametrize("scripts", [True, False], ids=["scripts", "none"])
def test_every_page_is_whole_and_accessible(
    shop: Running, chromium: Browser, entered: dict[str, Any], axe: str, scripts: bool
) -> None:
    """Each page is loaded once and looked at in light and dark, on a desk and on a phone."""
    context = chromium.new_context(java_script_enabled=scripts, storage_state=entered)  # type: ignore[arg-type]
    walker = Walker(context, f"http://127.0.0.1:{shop.port}")
    judging = chromium.new_context(storage_state=entered)  # type: ignore[arg-type]
    bare = judging.new_page()
    bare.route("**/*.js", lambda route: route.fulfill(body="", content_type="text/javascript"))
    addresses = [f"/shop/console{path}" for path in (*PAGES, *(f"{page} →" for page in FOLLOWED))]
    faults: list[str] = []
    for path in (*addresses, *(f"/console{path}" for path in OF_ALL)):
        page = walker.visit(path.removesuffix(" →"))
        if path.endswith(" →"):
            page.locator("main .row-link").first.click()
            page.wait_for_load_state()
        expect(page.locator("h1")).to_be_visible()
        assert page.locator("main").inner_text().strip(), path
        if scripts:
            page.evaluate(axe)
        for size, viewport in SIZES.items():
            page.set_viewport_size(viewport)  # type: ignore[arg-type]
            wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
            assert wide <= 0, f"{path} is {wide} px too wide on a {size}"
            for theme in ("light", "dark") if scripts else ():
                page.emulate_media(color_scheme=theme)
                # Colours are all that the theme changes.
                found = judged(page, ALL_RULES if theme == "light" else COLOURS)
                faults += [f"{path} on a {size}, {theme}: {fault}" for fault in found]
        if not scripts:
            # Nothing can judge a page that runs no scripts, so another one is judged that gets none of its own.
            bare.goto(page.url)
            bare.evaluate(axe)
            faults += [f"{path} without scripts: {fault}" for fault in judged(bare, STRUCTURE)]
    assert not faults, "\n".join(sorted(set(faults)))
    assert not walker.complaints, "\n".join(walker.complaints)
    context.close()
    judging.close()


ALL_RULES = {"type": "tag", "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]}
COLOURS = {"type": "rule", "values": ["color-contrast", "link-in-text-block"]}
#: What colours are has been judged with scripts, and takes longest.
STRUCTURE = {**ALL_RULES, "without": {"color-contrast": {"enabled": False}}}


def judged(page: Page, rules: dict[str, Any]) -> list[str]:
    """Return what axe, which is in the page already, finds wrong."""
    found = page.evaluate(
        "rules => axe.run({ runOnly: rules, rules: rules.without ?? {}, resultTypes: ['violations'] })", rules
    )
    return [
        f"{one['impact']} {one['id']}: {one['nodes'][0]['html'][:200]} {one['nodes'][0]['failureSummary'][:300]}"
        for one in found["violations"]
    ]


@pytest.fixture
def walker(shop: Running, chromium: Browser, entered: dict[str, Any]) -> Iterator[Walker]:
    context = chromium.new_context(storage_state=entered, viewport={"width": 1360, "height": 900})  # type: ignore[arg-type]
    walker = Walker(context, f"http://127.0.0.1:{shop.port}/shop/console")
    yield walker
    assert not walker.complaints, "\n".join(walker.complaints)
    context.close()


def test_from_a_fault_to_its_log_line_in_three_clicks_and_to_the_runbook_in_one(walker: Walker) -> None:
    page = walker.visit("/")
    fault = page.locator("article", has_text="Things break, and customers get errors.")
    fault.get_by_role("link", name="Failed traces").click()
    page.locator("main .row-link").first.click()
    expect(page.locator(".waterfall")).to_contain_text("look on the shelf")
    page.get_by_role("link", name="Its log lines").click()
    expect(page.locator(".log")).to_contain_text("The shelf with ghosts is empty")
    page = walker.visit("/")
    fault.get_by_role("link", name="Runbook").click()
    expect(page.locator("#runbook")).to_contain_text("Mend the shelf with glue.")


def test_somebody_looks_after_an_alert_and_silences_it(walker: Walker) -> None:
    page = walker.visit("/alerts")
    page.get_by_role("link", name="ShelfBroken").first.click()
    page.get_by_label("Note").fill("I have glue")
    page.get_by_role("button", name="Acknowledge").click()
    expect(page.get_by_text("You look after it now.")).to_be_visible()
    expect(page.get_by_text("I have glue")).to_be_visible()
    page.get_by_text("Silence it").click()
    page.get_by_label("Because").fill("for the test")
    page.get_by_role("button", name="Silence", exact=True).click()
    expect(page.locator("#notes")).to_contain_text("Nobody is told")
    page = walker.visit("/alerts?show=silences")
    expect(page.get_by_text("for the test")).to_be_visible()
    page.get_by_role("button", name="End it").first.click()
    expect(page.locator("#notes")).to_contain_text("The silence has ended.")


def test_an_action_is_pressed_and_is_in_the_audit_log(walker: Walker) -> None:
    page = walker.visit("/components/shelf/default/actions")
    page.get_by_role("link", name="stock").click()
    page.get_by_label("Thing").fill("tea")
    page.get_by_role("button", name="Go on").click()
    expect(page.get_by_role("heading", name="Confirm: stock")).to_be_visible()
    page.get_by_role("button", name="Stock").click()
    expect(page.get_by_role("heading", name="Done: stock")).to_be_visible()
    page.get_by_role("link", name="Audit log").click()
    expect(page.locator("main")).to_contain_text("stock")


def press(page: Page, *keys: str) -> None:
    """Press keys that lead to another page, and wait until that one listens to keys, too."""
    with page.expect_navigation(wait_until="load"):
        for key in keys:
            page.keyboard.press(key)


def test_keys_lead_everywhere(walker: Walker) -> None:
    page = walker.visit("/")
    press(page, "g", "t")
    expect(page).to_have_url(re.compile("/traces$"))
    page.keyboard.press("/")
    expect(page.get_by_role("dialog")).to_be_visible()
    page.get_by_role("combobox").fill("ShelfBroken")
    expect(page.get_by_role("option").first).to_contain_text("ShelfBroken")
    press(page, "Enter")
    expect(page).to_have_url(re.compile("/rules/ShelfBroken$"))
    page.keyboard.press("?")
    expect(page.get_by_role("dialog", name="Keys")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)


def test_one_goes_from_a_service_to_another_and_to_all_of_them(walker: Walker, shop: Running) -> None:
    page = walker.visit("/logs")
    press(page, "g", "2")
    expect(page).to_have_url(re.compile(r"/mill/console/logs$"))
    press(page, "g", "o")
    expect(page).to_have_url(re.compile(r"\d/console/$"))
    expect(page.locator("h1")).to_contain_text("shop is not well; mill is well.")
    expect(page.locator(".nav-wide [data-live].is-live")).to_be_visible()
    page.get_by_label("shop", exact=True).get_by_role("link", name="Failed traces").first.click()
    expect(page).to_have_url(re.compile(r"/shop/console/traces\?show=failed$"))
    page.locator(".nav-wide .switch summary").click()
    page.locator(".nav-wide .switch").get_by_role("link", name="mill").click()
    expect(page).to_have_url(re.compile(r"/mill/console/traces$"))


def test_pages_are_live_and_charts_become_so(walker: Walker, shop: Running) -> None:
    page = walker.visit("/")
    expect(page.locator(".nav-wide [data-live].is-live")).to_be_visible()
    page = walker.visit("/components/shelf/default")
    expect(page.locator(".plot.is-live canvas").first).to_be_visible()
    page = walker.visit("/metrics?q=shop_sold_total&range=5m")
    expect(page.locator(".plot canvas")).to_be_visible()
    with page.expect_event("console", predicate=lambda said: said.text == "drawn again"):
        page.evaluate("bedplate.on(document.querySelector('[data-topic^=values]'), () => console.log('drawn again'))")
    page = walker.visit("/logs?text=fresh-line")
    page.get_by_role("button", name="Follow").click()
    shop.get("/shop/things/fresh-line")
    expect(page.locator(".log")).to_contain_text("fresh-line", timeout=10_000)


def test_expressions_are_completed(walker: Walker) -> None:
    page = walker.visit("/metrics")
    field = page.locator("#q1")
    field.press_sequentially("sum(shop_so")
    expect(page.get_by_role("option").first).to_contain_text("shop_sold_total")
    field.press("Enter")
    expect(field).to_have_value("sum(shop_sold_total")
    field.press_sequentially('{thing="')
    expect(page.get_by_role("option").first).to_contain_text("tea")
    field.press("Enter")
    field.press_sequentially('"})')
    field.press("Enter")
    expect(page.locator(".plot canvas")).to_be_visible()


def test_light_and_dark_are_a_choice_that_stays(walker: Walker) -> None:
    page = walker.visit("/")
    page.locator(".nav-wide .person summary").click()
    page.locator(".nav-wide").get_by_role("button", name="dark").click()
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    page = walker.visit("/errors")
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")


def test_a_page_of_another_origin_can_do_nothing(shop: Running, chromium: Browser, entered: dict[str, Any]) -> None:
    context = chromium.new_context(storage_state=entered)  # type: ignore[arg-type]
    page = context.new_page()
    base = f"http://127.0.0.1:{shop.port}/shop/console"
    hostile = f"""
      <form id="f" method="post" action="{base}/errors/0123"><input name="change" value="resolve"></form>
      <iframe id="i" src="{base}/"></iframe>
      <img id="p" src="{base}/enter?key=x"><script id="s" src="{base}/values.json?q=up"></script>"""
    page.route("http://evil.example/**", lambda route: route.fulfill(body=hostile, content_type="text/html"))
    page.goto("http://evil.example/")
    read = page.evaluate(
        """async base => {
          try { return (await (await fetch(base + '/', {credentials: 'include'})).text()).length } catch { return 'no' }
        }""",
        base,
    )
    assert read == "no"
    frame = page.frame(url=re.compile("/console"))
    assert frame is None or "shop" not in frame.content()
    with page.expect_navigation():
        page.evaluate("document.getElementById('f').submit()")
    assert "Another site" in page.content()
    context.close()


def test_pages_are_live_again_after_a_restart_and_tell_when_somebody_is_signed_out(
    chromium: Browser, tmp_path: Path
) -> None:
    (tmp_path / "stall.py").write_text(SHOP)
    context = chromium.new_context(viewport=SIZES["desk"])  # type: ignore[arg-type]
    page = context.new_page()
    live = page.locator(".nav-wide [data-live]")
    with run(tmp_path, target="stall:build") as first:
        first.ready()
        page.goto(first.eventually(lambda: re.findall(r"http://\S+/console/enter\?key=\S+", first.log))[0])
        page.goto(f"http://127.0.0.1:{first.port}/mill/console/")
        expect(live).to_have_class(re.compile("is-live"))
    expect(live).to_contain_text("Not live: reconnecting")
    with run(tmp_path, target="stall:build", port=str(first.port)) as second:
        expect(live).to_have_class(re.compile("is-live"), timeout=40_000)
        expect(page.locator("main")).to_contain_text("mill started")
        other = context.new_page()
        other.goto(f"http://127.0.0.1:{first.port}/shop/console/")
        other.locator(".nav-wide .person summary").click()
        other.locator(".nav-wide").get_by_role("button", name="Sign out").click()
        expect(other).to_have_url(re.compile("/sign-in"))
        second.get("/shop/things/ghosts")
        page.get_by_role("link", name="Sign in again").click(timeout=40_000)
        expect(page).to_have_url(re.compile(r"/mill/console/sign-in"))
    context.close()
