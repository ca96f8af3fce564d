"""A service with a console, and people who look at it."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import httpx2

from bedplate import Service
from bedplate.component import Component
from bedplate.settings import Settings, Sources
from bedplate.testing import Harness, running, settings

TOKENS = {
    "metrics": "a-scraper-token-0123456789",
    "viewer": "a-viewer-token-01234567890",
    "operator": "an-operator-token-0123456",
    "admin": "an-admin-token-0123456789",
}
LISTED = ",".join(f"{role}:{role}:{token}" for role, token in TOKENS.items())
#: How full or busy the machine is must not matter.
CALM = {"disk_paths": (), "loop_lag": 60.0, "memory_share": 1.0, "memory_available_share": 0.0}
#: What a browser says of a click on a page of the console itself.
SAME = {"sec-fetch-site": "same-origin", "origin": "https://localhost"}


@asynccontextmanager
async def a_site(
    components: Sequence[Component] = (), *, environment: str = "test", **values: Any
) -> AsyncIterator[Harness]:
    """Run a service with a console; the client carries nothing."""
    values.setdefault("auth", {"tokens": LISTED})
    given = settings(**values)
    if environment != "test":
        values = {"logs": {"stream": "off"}, "health": CALM, "console": {"outlast": False}, **values}
        given = Settings(environment=environment, _sources=Sources.none(), **values)
    service = Service("shop", None, components, settings=given)
    links: list[str] = []
    service.builtins.console.announce = links.append
    async with running(service, headers={}) as harness:
        harness.client.base_url = httpx2.URL("https://localhost")
        harness.client.headers["accept"] = "text/html"
        harness.links = links  # type: ignore[attr-defined]
        yield harness


async def sign_in(harness: Harness, role: str = "viewer") -> httpx2.Response:
    """Sign in as a person with a role."""
    harness.client.cookies.clear()
    answer = await harness.client.post("/console/sign-in", data={"token": TOKENS[role]}, headers=SAME)
    assert answer.status_code == 303, answer.text
    return answer


def form_token(page: str) -> str:
    """Return what a form of the page must carry."""
    found = re.search(r'name="form_token" value="([0-9a-f]+)"', page)
    assert found is not None
    return found[1]


async def send(harness: Harness, path: str, **fields: str) -> httpx2.Response:
    """Send a form of the console as its own page does."""
    page = await harness.client.get("/console")
    data = {"form_token": form_token(page.text), **fields}
    return await harness.client.post(path, data=data, headers=SAME)
