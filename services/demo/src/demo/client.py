"""A client of the demo's own port that keeps account of what it was answered."""

from __future__ import annotations

import time
from collections import deque
from typing import Any

import httpx2

__all__ = ["Client"]


class Client:
    """Asks a service over real HTTP, as one browser does.

    :param base: ``http://127.0.0.1:8000``. :param path: where the service is.
    """

    def __init__(self, base: str, path: str = "/synfinance") -> None:
        self.http = httpx2.AsyncClient(base_url=f"{base}{path}", timeout=60.0)
        self.requests = 0
        self.failed = 0
        self._recent: deque[float] = deque(maxlen=500)

    async def ask(self, method: str, path: str, **options: Any) -> httpx2.Response:
        """Send a request; count it, its failure on the server's side, and its time."""
        begun = time.perf_counter()
        response = await self.http.request(method, path, **options)
        self._recent.append(time.perf_counter() - begun)
        self.requests += 1
        self.failed += response.status_code >= 500
        return response

    async def json(self, method: str, path: str, **options: Any) -> Any:
        """Send a request that should succeed, and return its JSON.

        :raises httpx2.HTTPStatusError: when it does not succeed.
        """
        return (await self.ask(method, path, **options)).raise_for_status().json()

    @property
    def p95(self) -> float:
        """Seconds within which 95 % of the latest requests were answered."""
        recent = sorted(self._recent)
        return recent[int(0.95 * (len(recent) - 1))] if recent else 0.0
