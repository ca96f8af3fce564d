"""The page of an application's interface: all that is answered, and nothing that runs or is loaded."""

from __future__ import annotations

import re
from typing import Annotated

import httpx2
import pytest
from fastapi import FastAPI, Query
from pydantic import BaseModel, Field

from bedplate.service.api_docs import api_docs


class Loaf(BaseModel):
    """What is baked; `rye` is dark."""

    flour: str = Field(description="Of <what>.", min_length=1)
    grams: int = 500


@pytest.fixture
def app() -> FastAPI:
    app = FastAPI(title="Bakery", version="2", summary="Bread.", docs_url=None, redoc_url=None)
    api_docs(app)

    @app.post("/loaves", status_code=201)
    async def bake(loaf: Loaf) -> list[Loaf]:
        """Bake one."""
        return [loaf]

    @app.get("/loaves/{number}")
    async def loaf(number: int, warm: Annotated[bool, Query(description="Whether it is warm.")] = False) -> Loaf:
        """Fetch one."""
        return Loaf(flour="rye")

    return app


async def test_each_path_parameter_field_and_answer_is_told(app: FastAPI) -> None:
    async with httpx2.AsyncClient(
        transport=httpx2.ASGITransport(app, root_path="/shop"), base_url="http://x"
    ) as client:
        answer = await client.get("/docs")
    page = answer.text
    assert answer.status_code == 200 and "<h1>Bakery 2</h1>" in page
    for told in (
        "Bake one.",
        "<code>/loaves/{number}</code>",
        "Whether it is warm.",
        "by default 500",
        "from 1 characters",
    ):
        assert told in page, told
    assert "Of &lt;what&gt;." in page, "what a description says is text"
    assert re.search(r'<a href="#schema-Loaf">Loaf</a>', page) and 'id="schema-Loaf"' in page
    assert 'href="/shop/openapi.json"' in page
    assert "curl &quot;$SERVICE/shop/loaves&quot; --json @body.json" in page
    assert set(re.findall(r'href="#([^"]+)"', page)) <= set(re.findall(r'id="([^"]+)"', page)), "links lead somewhere"


async def test_nothing_runs_in_it_and_nothing_is_loaded(app: FastAPI) -> None:
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://x") as client:
        answer = await client.get("/docs")
    assert "<script" not in answer.text and "://" not in answer.text
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert app.docs_url == "/docs", "whoever links to it finds it"
