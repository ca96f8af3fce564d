"""Pictures of the console over the running demo: ``python -m tools.screenshots`` writes ``docs/images/console/``.

The demo makes its own trouble, so that there is something to see: pictures are taken once an alert fires.
"""

from __future__ import annotations

import argparse
import re
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
SIZES = {"desktop": (1360, 860), "phone": (390, 844)}


@contextmanager
def demo(extra: Sequence[str] = ()) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """Run the demo; yield the one-time link of its console."""
    command = [sys.executable, "-u", "-m", "demo", "--port", "0", *extra]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=ROOT) as process:
        output = process.stdout
        assert output is not None
        said: list[str] = []
        try:
            link = _link(output, said)
            # What it goes on to say must be read, or it waits for us.
            reader = threading.Thread(target=lambda: deque(output, maxlen=1), daemon=True)
            reader.start()
            yield link, process
        finally:
            process.terminate()
            process.wait(timeout=20)
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


def main(arguments: Sequence[str] | None = None) -> int:
    """Take the pictures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="which pages; all by default")
    parser.add_argument("--wait", type=float, default=75.0, help="seconds of traffic before the pictures")
    parser.add_argument("--whole", action="store_true", help="the whole height of each page")
    parser.add_argument("--themes", default="light,dark")
    parser.add_argument("--sizes", default="desktop,phone")
    parser.add_argument("--folder", type=Path, default=FOLDER)
    given = parser.parse_args(arguments)
    given.folder.mkdir(parents=True, exist_ok=True)
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
