"""Pictures of the console over the running demo: ``python -m tools.screenshots`` writes ``docs/images/console/``.

The demo makes its own trouble, so that there is something to see: pictures are taken once an alert fires. Those of a
cutover under way and of an outage with what follows need real servers: ``--production``.
"""

from __future__ import annotations

import argparse
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page, sync_playwright

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "docs" / "images" / "console"

#: What is taken: the picture's name, the page, and where it may be followed to a page that is worth more.
PAGES = (
    ("services", "/../../console/", ""),
    ("home", "/", ""),
    ("alerts", "/alerts", ""),
    ("alert", "/alerts", "main .row-link"),
    ("metrics", "/metrics?q=sum+by+(http_route)+(rate(http_server_request_duration_seconds_count[1m]))&range=15m", ""),
    ("traces", "/traces?show=failed", ""),
    ("trace", "/traces?show=failed", "main .row-link"),
    ("logs", "/logs", ""),
    ("errors", "/errors", ""),
    ("error", "/errors", "main .row-link"),
    ("components", "/components", ""),
    ("component", "/components/http/default", ""),
    ("health", "/health", ""),
    ("settings", "/settings", ""),
    ("audit", "/audit", ""),
)
#: What is pressed on real servers.
CUTOVER = "/components/cutover/transactions"
SIZES = {"desktop": (1360, 860), "phone": (390, 844)}


@contextmanager
def demo(extra: Sequence[str] = (), until: str = "") -> Iterator[tuple[str, list[str]]]:
    """Run the demo; yield the one-time link of its console, and what it has printed.

    :param until: what a line has once all is printed that is wanted; the link's own by default.
    """
    command = [sys.executable, "-u", "-m", "demo", "--port", "0", *extra]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=ROOT) as process:
        output = process.stdout
        assert output is not None
        said: list[str] = []
        try:
            link = _link(output, said)
            while until and until not in said[-1]:
                said.append(next(output))
            # What it goes on to say must be read, or it waits for us.
            reader = threading.Thread(target=lambda: deque(output, maxlen=1), daemon=True)
            reader.start()
            yield link, said
        finally:
            process.terminate()
            process.wait(timeout=120)
        reader.join(timeout=5)


def _link(output: Iterable[str], said: list[str]) -> str:
    for line in output:
        said.append(line)
        found = re.search(r"http://\S+/enter\?key=\S+", line)
        if found:
            return found[0]
    raise SystemExit("The demo ended before it was ready:\n" + "".join(said))


@contextmanager
def browser() -> Iterator[Browser]:
    """Start Debian's Chromium."""
    with sync_playwright() as playwright:
        options: dict[str, Any] = {"executable_path": "/usr/bin/chromium", "args": ["--no-sandbox"]}
        made = playwright.chromium.launch(**options)
        try:
            yield made
        finally:
            made.close()


def take(page: Page, base: str, names: set[str], suffix: str, folder: Path, *, whole: bool) -> None:
    """Take the pictures of one size and theme."""
    for name, path, follow in PAGES:
        if names and name not in names:
            continue
        page.goto(f"{base}{path}", wait_until="load")
        if follow and page.locator(follow).count():
            page.locator(follow).first.click()
            page.wait_for_load_state("load")
        page.wait_for_timeout(900)
        page.screenshot(path=folder / f"{name}{suffix}.png", full_page=whole)
        print(f"{name}{suffix}.png")


def take_production(chromium: Browser, folder: Path, wait: float) -> None:
    """Take the pictures of a cutover that copies rows, and of an outage of Redis.

    :param wait: seconds until there are enough rows.
    """
    with demo(("--calm", "--production"), until="by a command") as (link, said):
        base = f"{link.partition('/console/')[0]}/ledger/console"
        page = chromium.new_page(viewport={"width": SIZES["desktop"][0], "height": SIZES["desktop"][1]})
        page.set_default_timeout(180_000)
        page.goto(link)
        time.sleep(wait)
        _press(page, f"{base}{CUTOVER}", "throttle", {"percent": "5"}, after="start")
        page.goto(f"{base}{CUTOVER}")
        page.get_by_text(re.compile(r"[1-9]\S* of about .* rows copied")).first.wait_for()
        page.screenshot(path=folder / "cutover.png")
        pid = next(line.split()[-1] for line in said if line.strip().startswith("redis of ledger"))
        os.kill(int(pid), signal.SIGKILL)
        page.goto(f"{base}/")
        card = page.locator("article", has_text=re.compile(r"redis.*more follow", re.IGNORECASE | re.DOTALL)).first
        card.wait_for()
        page.context.set_offline(True)  # else the card changes under the click
        card.locator("details.follows summary").last.click()
        card.screenshot(path=folder / "outage.png")
        print("cutover.png, outage.png")


def _press(page: Page, path: str, name: str, fields: dict[str, str], *, after: str) -> None:
    """Press a button without parameters, then one with some."""
    for action, given in ((after, {}), (name, fields)):
        page.goto(f"{path}/actions/{action}")
        for field, value in given.items():
            page.fill(f"#f-{field}", value)
        if given:
            page.get_by_role("button", name="Go on").click()
        page.locator("button[value=do]").click()
        page.get_by_role("heading", name=f"Done: {action}").wait_for()


def main(arguments: Sequence[str] | None = None) -> int:
    """Take the pictures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="which pages; all by default")
    parser.add_argument("--wait", type=float, default=75.0, help="seconds of traffic before the pictures")
    parser.add_argument("--whole", action="store_true", help="the whole height of each page")
    parser.add_argument("--production", action="store_true", help="those that need real servers, and no others")
    parser.add_argument("--themes", default="light,dark")
    parser.add_argument("--sizes", default="desktop,phone")
    parser.add_argument("--folder", type=Path, default=FOLDER)
    given = parser.parse_args(arguments)
    given.folder.mkdir(parents=True, exist_ok=True)
    if given.production:
        with browser() as chromium:
            take_production(chromium, given.folder, given.wait)
        return 0
    with demo() as (link, _), browser() as chromium:
        # The link is of the one console of all services, where there are several.
        base = f"{link.partition('/console/')[0].removesuffix('/synfinance')}/synfinance/console"
        first = chromium.new_context()
        entrance = first.new_page()
        entrance.goto(link)
        state = first.storage_state()
        time.sleep(given.wait)
        for size in given.sizes.split(","):
            width, height = SIZES[size]
            for theme in given.themes.split(","):
                context = chromium.new_context(
                    viewport={"width": width, "height": height},
                    device_scale_factor=2 if size == "phone" else 1.5,
                    color_scheme=theme,
                    storage_state=state,
                )
                suffix = ("" if size == "desktop" else "-phone") + ("" if theme == "light" else "-dark")
                take(context.new_page(), base, set(given.names), suffix, given.folder, whole=given.whole)
                context.close()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
