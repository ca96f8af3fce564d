"""A few people with a client each, who come and go together."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Generic, Protocol, TypeVar

from demo.client import Client

__all__ = ["Crowd"]


class _Member(Protocol):
    client: Client

    async def go_on(self) -> None: ...


M = TypeVar("M", bound=_Member)
C = TypeVar("C", bound="Crowd[Any]")


class Crowd(Generic[M]):
    """All of them; an async context, in which their clients are open."""

    def __init__(self, members: Sequence[M]) -> None:
        self.members = members

    @property
    def requests(self) -> int:
        """How often they have asked for something."""
        return sum(one.client.requests for one in self.members)

    @property
    def failed(self) -> int:
        """How often the service failed to answer."""
        return sum(one.client.failed for one in self.members)

    async def __aenter__(self: C) -> C:
        return self

    async def __aexit__(self, *error: object) -> None:
        for one in self.members:
            await one.client.http.aclose()

    def go_on(self, group: asyncio.TaskGroup) -> None:
        """Let each of them go on until the group ends."""
        for one in self.members:
            group.create_task(one.go_on())
