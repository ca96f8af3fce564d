"""The one console of a process with several services: signed in once, a role for each, a home that tells of all."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import httpx2

from bedplate import Service
from bedplate.service import Process
from bedplate.settings import Settings, Sources
from bedplate.testing import settings
from tests.unit.console.site import CALM, SAME, form_token

BOTH, ONE = "good-everywhere-0123456789", "good-in-the-shop-0123456789"


class Town:
    """Two services in one process, a browser, and the links that were written to the terminal."""

    def __init__(self, process: Process, links: list[str]) -> None:
        self.process = process
        self.links = links
        transport = httpx2.ASGITransport(app=process, client=("127.0.0.1", 1))
        self.client = httpx2.AsyncClient(
            transport=transport, base_url="https://localhost", headers={"accept": "text/html"}
        )

    async def enter(self, token: str, path: str = "/console/sign-in") -> httpx2.Response:
        self.client.cookies.clear()
        return await self.client.post(path, data={"token": token}, headers=SAME)


@asynccontextmanager
async def a_town(*, environment: str = "test") -> AsyncIterator[Town]:
    tokens = {"shop": f"ann:operator:{BOTH},bob:viewer:{ONE}", "mill": f"ann:viewer:{BOTH}"}
    services = []
    links: list[str] = []
    for name, listed in tokens.items():
        values: dict[str, Any] = {"auth": {"tokens": listed}, "health": CALM}
        if environment != "test":
            values |= {"logs": {"stream": "off"}, "console": {"outlast": False}}
        given = (
            settings(**values)
            if environment == "test"
            else Settings(environment=environment, _sources=Sources.none(), **values)
        )
        service = Service(name, None, settings=given)
        service.builtins.console.announce = links.append
        service.addresses = (f"http://localhost:8000/{name}",)
        services.append(service)
    process = Process(services)
    async with AsyncExitStack() as stack:
        for service in services:
            await stack.enter_async_context(service.running())
        town = Town(process, links)
        await stack.enter_async_context(town.client)
        yield town


async def test_who_is_signed_in_once_is_so_with_every_service_that_knows_them_each_by_its_own_role() -> None:
    async with a_town() as town:
        asked = await town.client.get("/console/")
        assert (asked.status_code, asked.headers["location"]) == (303, "/console/sign-in")
        entered = await town.enter(BOTH)
        assert (entered.status_code, entered.headers["location"]) == (303, "/console/")
        assert "Path=/;" in entered.headers["set-cookie"] and "Secure" in entered.headers["set-cookie"]
        home = (await town.client.get("/console/")).text
        assert "Both services are well." in home
        assert 'href="/shop/console/"' in home and 'href="/mill/console/"' in home
        assert (await town.client.get("/shop/console/settings")).status_code == 200
        assert (await town.client.get("/mill/console/settings")).status_code == 403, "a viewer there"


async def test_a_service_that_does_not_know_somebody_is_neither_open_to_them_nor_told_of() -> None:
    async with a_town() as town:
        await town.enter(ONE)
        home = (await town.client.get("/console/")).text
        assert "shop is well." in home and "mill" not in home
        assert (await town.client.get("/mill/console/")).status_code == 303
        refused = await town.client.get("/console/live?topic=service:mill&topic=lately:shop,mill")
        assert refused.status_code == 400
        assert (await town.enter(ONE, "/mill/console/sign-in")).status_code == 401
        scripts = {"authorization": f"Bearer {ONE}"}
        town.client.cookies.clear()
        assert "mill" not in (await town.client.get("/console/", headers=scripts)).text


async def test_signing_out_of_one_is_signing_out_of_all() -> None:
    async with a_town() as town:
        await town.enter(BOTH, "/mill/console/sign-in")
        page = await town.client.get("/shop/console/")
        data = {"form_token": form_token(page.text)}
        other = {"form_token": form_token((await town.client.get("/mill/console/")).text)}
        assert (await town.client.post("/shop/console/sign-out", data=other, headers=SAME)).status_code == 403
        kept = {name: value for name, value in town.client.cookies.items() if name != "bedplate_theme"}
        assert (await town.client.post("/shop/console/sign-out", data=data, headers=SAME)).status_code == 303
        carried = {"cookie": "; ".join(f"{name}={value}" for name, value in kept.items())}
        for path in ("/console/", "/mill/console/", "/shop/console/"):
            assert (await town.client.get(path, headers=carried)).status_code == 303


async def test_every_page_leads_to_the_other_services_and_keeps_what_is_looked_at() -> None:
    async with a_town() as town:
        await town.enter(BOTH)
        logs = (await town.client.get("/shop/console/logs")).text
        assert 'href="/mill/console/logs" data-go="2"' in logs
        assert 'href="/console/" data-go="o"' in logs
        found = (await town.client.get("/shop/console/search?part=1&q=mill")).text
        assert 'href="/mill/console/"' in found
        everywhere = (await town.client.get("/console/search?part=1&q=health")).text
        assert "component · shop" in everywhere and "component · mill" in everywhere


async def test_one_link_is_written_and_lets_into_all() -> None:
    async with a_town(environment="development") as town:
        [link] = town.links
        assert link.startswith("http://localhost:8000/console/enter?key=")
        entered = await town.client.get(link.removeprefix("http://localhost:8000"))
        assert entered.headers["location"] == "/console/"
        assert (await town.client.get("/mill/console/settings")).status_code == 200
        assert (await town.client.get("/shop/console/settings")).status_code == 200
        page = await town.client.post("/mill/console/link", headers=SAME)
        assert page.status_code == 200 and len(town.links) == 2 and "8000/console/enter" in town.links[1]


async def test_guesses_at_the_root_are_held_up_whichever_service_a_token_is_of() -> None:
    async with a_town() as town:
        limit = town.process.services[0].builtins.auth.settings.failures
        for number in range(limit):
            assert (await town.enter(f"wrong-{number}")).status_code == 401
        assert (await town.enter("wrong")).status_code == 429
        assert (await town.enter(ONE)).status_code == 429


async def test_the_page_of_all_is_live() -> None:
    async with a_town() as town:
        await town.enter(BOTH)
        root = town.process.services[0].builtins.console.hosted[0]
        request = asyncio.ensure_future(
            town.client.get("/console/live?topic=verdict:shop,mill&topic=service:mill&topic=lately:mill")
        )
        async with asyncio.timeout(60):
            while not root.feed.watchers:
                await asyncio.sleep(0)
            await root.feed.refresh()
            for _ in range(50):
                await asyncio.sleep(0)  # what was made is sent
            root.access.sessions.clear()
            town.process.services[1].builtins.console.site.timeline.note("settings", "The mill changed")
            await root.feed.refresh()
            answer = await request
        assert "Both services are well." in answer.text and "mill</a> is well." in answer.text


async def test_another_sites_page_can_do_nothing_at_the_root() -> None:
    async with a_town() as town:
        await town.enter(BOTH)
        data = {"form_token": form_token((await town.client.get("/console/")).text)}
        hostile = {"sec-fetch-site": "cross-site", "origin": "https://evil.example"}
        assert (await town.client.post("/console/sign-out", data=data, headers=hostile)).status_code == 403
        assert (await town.client.get("/console/")).status_code == 200


async def test_a_process_with_one_service_has_its_console_at_the_root() -> None:
    async with httpx2.AsyncClient(
        transport=httpx2.ASGITransport(app=Process([Service("shop", settings=settings())])), base_url="http://localhost"
    ) as client:
        answer = await client.get("/console")
        assert (answer.status_code, answer.headers["location"]) == (307, "/shop/console/")
