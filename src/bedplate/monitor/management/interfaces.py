"""What the management API asks of those whose data it shows."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractContextManager
from typing import Any, Protocol

__all__ = ["ErrorSource", "LogSource", "MetricSource", "TraceSource"]


class MetricSource(Protocol):
    """The registry of the service."""

    async def render(self, openmetrics: bool = False) -> bytes:
        """Return the exposition: Prometheus text 0.0.4, or OpenMetrics."""
        ...

    async def to_json(self) -> dict[str, Any]:
        """Return the families with their samples as plain data."""
        ...


class TraceSource(Protocol):
    """The traces kept in memory; thread-safe."""

    def search(
        self,
        *,
        route: str = ...,
        name: str = ...,
        status: int | str | None = ...,
        min_duration: float = ...,
        reason: Any = ...,
        error: str | bool | None = ...,
        service: str = ...,
        text: str = ...,
        since: float = ...,
        limit: int = ...,
    ) -> list[dict[str, Any]]:
        """Return summaries of matching traces, the latest first; each has ``trace_id`` and ``started``."""
        ...

    def get(self, trace_id: str, /) -> dict[str, Any] | None:
        """Return one trace with its spans, or None."""
        ...


class ErrorSource(Protocol):
    """The grouped errors; thread-safe."""

    def search(
        self,
        *,
        type: str = ...,
        route: str = ...,
        service: str = ...,
        text: str = ...,
        status: str = ...,
        since: float = ...,
        limit: int = ...,
    ) -> list[dict[str, Any]]:
        """Return matching groups, the latest first; each has ``fingerprint`` and ``last_seen``."""
        ...

    def get(self, fingerprint: str, /) -> dict[str, Any] | None:
        """Return one group with its occurrences, or None."""
        ...


class LogSource(Protocol):
    """The tail of the log; thread-safe."""

    def search(self, *, limit: int = ..., **filters: Any) -> list[dict[str, Any]]:
        """Return matching records, the latest first.

        Filters: ``level`` (it and graver ones), ``logger`` (it and those below), ``text``, ``request_id``,
        ``trace_id``, ``since`` (ISO 8601).
        """
        ...

    def subscribe(self, **filters: Any) -> AbstractContextManager[AsyncIterator[dict[str, Any]]]:
        """Return matching records as they come, for as long as the context is open."""
        ...
