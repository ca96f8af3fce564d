"""What every page has: a strict policy, no cache, small size, honest errors."""

from __future__ import annotations

import re

import pytest

from bedplate.console.interfaces import Sources
from bedplate.console.page import Page
from bedplate.console.visit import Visit
from tests.unit.console.site import TOKENS, a_site, send, sign_in


async def test_pages_forbid_all_that_they_do_not_need() -> None:
    async with a_site() as site:
        await sign_in(site)
        for path in ("/console", "/console/sign-in", "/console/nowhere"):
            headers = (await site.client.get(path)).headers
            policy = headers["content-security-policy"]
            assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'")
            assert "unsafe" not in policy and "frame-ancestors 'none'" in policy and "base-uri 'none'" in policy
            assert headers["cache-control"] == "no-store"
            assert headers["x-frame-options"] == "DENY"


async def test_no_page_has_scripts_or_styles_within() -> None:
    async with a_site() as site:
        await sign_in(site, "admin")
        for path in ("/console", "/console/nowhere"):
            text = (await site.client.get(path)).text
            assert not re.search(r"<style|\sstyle=|\son[a-z]+=|<script(?! src=)|javascript:", text), path


async def test_files_are_kept_for_ever_under_an_address_of_their_content() -> None:
    async with a_site() as site:
        page = (await site.client.get("/console/sign-in")).text
        address = re.search(r'href="(/console/static/[0-9a-f]{12}/console\.css)"', page)
        assert address is not None
        answer = await site.client.get(address[1])
        assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
        assert answer.headers["content-encoding"] == "gzip"
        assert answer.headers["content-type"].startswith("text/css")
        other = re.sub("/static/[0-9a-f]{12}/", "/static/000000000000/", address[1])
        assert (await site.client.get(other)).status_code == 404
        assert (await site.client.get("/console/static/000000000000/..%2Fcomponent.py")).status_code == 404


async def test_the_first_page_is_small() -> None:
    async with a_site() as site:
        await sign_in(site)
        page = await site.client.get("/console")
        sizes = [len(page.text.encode())]
        total = int(page.headers["content-length"])
        for address in re.findall(r'(?:href|src)="(/console/static/[^"]+)"', page.text):
            answer = await site.client.get(address)
            total += int(answer.headers["content-length"])
            sizes.append(total)
        assert total < 60_000, sizes


async def test_a_page_that_does_not_exist_is_said_not_to() -> None:
    async with a_site() as site:
        await sign_in(site)
        answer = await site.client.get("/console/nowhere")
        assert answer.status_code == 404
        assert "There is no such page." in answer.text


async def test_a_page_that_fails_says_so_and_is_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(visit: Visit) -> None:
        raise RuntimeError("<script>alert(1)</script>")

    def pages(sources: Sources) -> tuple[Page, ...]:
        return (Page("/broken", "broken", broken),)  # type: ignore[arg-type]

    monkeypatch.setattr("bedplate.console.pages.home.pages", pages)
    async with a_site() as site:
        await sign_in(site)
        answer = await site.client.get("/console/broken")
        assert answer.status_code == 500
        assert "This page could not be made." in answer.text
        assert "alert(1)" not in answer.text
        assert answer.headers["x-request-id"] in answer.text
        assert await site.value("bedplate_console_views_total", page="broken", outcome="failed") == 1
        [group] = site.service.builtins.errors.store.search(type="RuntimeError")
        assert group["count"] == 1


async def test_light_and_dark_are_remembered() -> None:
    async with a_site() as site:
        await sign_in(site)
        answer = await send(site, "/console/theme", theme="dark", next="/")
        assert "bedplate_theme=dark" in answer.headers["set-cookie"]
        site.client.cookies.set("bedplate_theme", "dark")
        assert 'data-theme="dark"' in (await site.client.get("/console")).text


async def test_the_environment_is_always_said() -> None:
    async with a_site() as site:
        assert 'class="environment environment-test"' in (await site.client.get("/console/sign-in")).text


async def test_it_works_below_another_path() -> None:
    from bedplate import Process, Service
    from bedplate.testing import settings

    service = Service("shop", None, settings=settings())
    from bedplate.testing.harness import _client

    process = Process([service])
    async with service.running(), _client(process, {"authorization": "Bearer " + settings_token()}) as client:
        text = (await client.get("/shop/console")).text
        links = set(re.findall(r'(?:href|src|action)="(/[^"]*)"', text))
        assert links and all(link.startswith("/shop/console") for link in links)


def settings_token() -> str:
    from bedplate.testing.harness import TOKEN

    return TOKEN


async def test_what_is_asked_for_is_counted_by_page() -> None:
    async with a_site() as site:
        bearer = {"authorization": f"Bearer {TOKENS['viewer']}"}
        for _ in range(3):
            await site.client.get("/console", headers=bearer)
        assert await site.value("bedplate_console_views_total", page="home", outcome="shown") == 3
        assert await site.value("bedplate_console_render_duration_seconds_count", page="home") == 3
