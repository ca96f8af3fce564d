"""From a fault in the demo to its cause, by a browser: what somebody does who has just been woken."""

from __future__ import annotations

import re
import shutil

from playwright.sync_api import expect, sync_playwright

from tools.screenshots import demo

#: Milliseconds; the alert waits for its condition to hold, and the machine may be busy with other tests.
PATIENCE = 90_000


def test_three_clicks_lead_from_the_home_page_to_the_log_line_and_two_to_the_runbook() -> None:
    with demo(["--calm"]) as (link, _), sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_page()
        page.goto(link)
        origin = link.partition("/console/")[0].removesuffix("/synfinance")
        base, home = f"{origin}/synfinance/console", f"{origin}/console/"
        page.goto(f"{base}/components/trouble/default/actions/begin")
        page.get_by_label("Fault").select_option("bank-fails")
        page.get_by_role("button", name="Go on").click()
        page.get_by_role("button", name="Begin").click()
        expect(page.get_by_role("heading", name="Done: begin")).to_be_visible()

        page.goto(home)
        fault = page.locator("article", has_text="of the requests fail")
        expect(fault.first).to_be_visible(timeout=PATIENCE)  # it appears by itself: the page is live
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
        browser.close()
