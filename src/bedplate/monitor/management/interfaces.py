"""What the management API asks of those whose data it shows."""

from __future__ import annotations

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

    def search(self, **filters: Any) -> list[dict[str, Any]]:
        """Return matching groups, the latest first; each has ``fingerprint`` and ``last_seen``."""
        ...

    def get(self, fingerprint: str, /) -> dict[str, Any] | None:
        """Return one group with its occurrences, or None."""
        ...


class LogSource(Protocol):
    """The tail of the log; thread-safe."""

    def search(
        self,
        *,
        level: str = ...,
        logger: str = ...,
        text: str = ...,
        request_id: str = ...,
        trace_id: str = ...,
        user_id: str = ...,
        since: float = ...,
        after: int = ...,
        before: int | None = ...,
        limit: int = ...,
    ) -> list[dict[str, Any]]:
        """Return matching records, the latest first; ``seq`` numbers them as they arrived.

        :param level: this level and graver ones. :param after: only records with a greater number, :param before: only
            with a smaller one.
        """
        ...
