"""The application's own lifespan, run inside the service's."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from fastapi import FastAPI
from starlette.types import Receive, Scope, Send

from bedplate.service.asgi import LifespanError, app_lifespan


async def test_state_and_order_are_the_applications() -> None:
    journal: list[str] = []

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[dict[str, Any]]:
        journal.append("start")
        yield {"pool": 7}
        journal.append("stop")

    async with app_lifespan(FastAPI(lifespan=lifespan)) as state:
        assert state == {"pool": 7}
        assert journal == ["start"]
    assert journal == ["start", "stop"]


async def test_an_application_without_lifespan_is_served() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        assert scope["type"] == "http"

    async with app_lifespan(app) as state:
        assert state == {}


async def test_a_failed_start_says_why() -> None:
    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        raise RuntimeError("no licence")
        yield

    with pytest.raises(LifespanError, match="no licence"):
        async with app_lifespan(FastAPI(lifespan=lifespan)):
            raise AssertionError("it must not be served")


async def test_a_failed_stop_is_told() -> None:
    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        yield
        raise RuntimeError("cannot flush")

    with pytest.raises(LifespanError, match="cannot flush"):
        async with app_lifespan(FastAPI(lifespan=lifespan)):
            pass
