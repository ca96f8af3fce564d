"""One group of errors: how often, since when, an example, and how it develops."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

__all__ = ["ErrorGroup", "Status"]

Status = Literal["open", "resolved", "muted"]

TREND_MINUTES = 60


@dataclass(slots=True)
class ErrorGroup:
    """Errors with the same fingerprint; times are Unix seconds.

    :ivar count: occurrences since it is kept. :ivar unhandled: those that nobody caught.
    :ivar sample: what is told of the latest example: message, stack, frames, trace, request, log record …
    :ivar minutes: occurrences by minute since 1970, of the last hour.
    :ivar regressed: whether it came back after it was resolved.
    """

    fingerprint: str
    type: str
    culprit: str
    first_seen: float
    last_seen: float
    sample: dict[str, Any]
    service: str = ""
    count: int = 0
    unhandled: int = 0
    status: Status = "open"
    muted_until: float | None = None
    regressed: bool = False
    minutes: dict[int, int] = field(default_factory=dict)
    routes: dict[str, int] = field(default_factory=dict)
    #: What a drain has told already: count, unhandled, and the counts of minutes and routes.
    told: dict[str, Any] = field(default_factory=dict)
    sampled_at: float = 0.0
    size: int = 0

    def happened(self, now: float, count: int = 1) -> None:
        """Count occurrences."""
        self.count += count
        self.first_seen = min(self.first_seen, now)
        self.last_seen = max(self.last_seen, now)
        if self.status == "resolved":
            self.status, self.regressed = "open", True
        elif self.status == "muted" and self.muted_until is not None and now >= self.muted_until:
            self.status, self.muted_until = "open", None

    def tally(self, minute: int, count: int) -> None:
        """Count occurrences in a minute, and forget minutes that are long gone."""
        self.minutes[minute] = self.minutes.get(minute, 0) + count
        newest = max(self.minutes)
        for old in [other for other in self.minutes if other <= newest - TREND_MINUTES]:
            del self.minutes[old]

    def at_route(self, route: str, count: int = 1) -> None:
        """Count occurrences on a route; some routes are enough to tell where to look."""
        if route and (route in self.routes or len(self.routes) < 20):
            self.routes[route] = self.routes.get(route, 0) + count

    def trend(self, now: float) -> list[int]:
        """Return the counts of the last hour by minute, the present minute last."""
        minute = int(now // 60)
        return [self.minutes.get(minute - back, 0) for back in range(TREND_MINUTES - 1, -1, -1)]

    def summary(self, now: float) -> dict[str, Any]:
        """Return what a list shows."""
        return {
            "fingerprint": self.fingerprint,
            "type": self.type,
            "message": self.sample.get("message", ""),
            "culprit": self.culprit,
            "service": self.service,
            "status": self.status,
            "regressed": self.regressed,
            "count": self.count,
            "unhandled": self.unhandled,
            "first_seen": self.first_seen,
            "last_seen": self.last_seen,
            "trace_id": self.sample.get("trace_id"),
            "request_id": self.sample.get("request_id"),
            "route": self.sample.get("route", ""),
            "routes": dict(self.routes),
            "trend": self.trend(now),
        }

    def detail(self, now: float) -> dict[str, Any]:
        """Return all that is known."""
        return {**self.summary(now), **self.sample, "muted_until": self.muted_until}

    def delta(self) -> dict[str, Any] | None:
        """Return what happened since the last delta as plain data, None when nothing did."""
        told = self.told
        new = self.count - told.get("count", 0)
        unhandled = self.unhandled - told.get("unhandled", 0)
        if not new and not unhandled:
            return None
        routes = _since(self.routes, told.get("routes", {}))
        minutes = _since(self.minutes, told.get("minutes", {}))
        self.told = {
            "count": self.count,
            "unhandled": self.unhandled,
            "routes": dict(self.routes),
            "minutes": dict(self.minutes),
        }
        return {
            "fingerprint": self.fingerprint,
            "type": self.type,
            "culprit": self.culprit,
            "service": self.service,
            "count": new,
            "unhandled": unhandled,
            "first_seen": self.first_seen,
            "last_seen": self.last_seen,
            "sample": dict(self.sample),
            "routes": routes,
            "minutes": {str(minute): count for minute, count in minutes.items()},
        }

    def merge(self, delta: Mapping[str, Any]) -> None:
        """Add what another process told."""
        self.happened(float(delta["last_seen"]), int(delta["count"]))
        self.first_seen = min(self.first_seen, float(delta["first_seen"]))
        self.unhandled += int(delta["unhandled"])
        for minute, count in delta["minutes"].items():
            self.tally(int(minute), int(count))
        for route, count in delta["routes"].items():
            self.at_route(str(route), int(count))


def _since(now: Mapping[Any, int], before: Mapping[Any, int]) -> dict[Any, int]:
    return {key: count - before.get(key, 0) for key, count in now.items() if count > before.get(key, 0)}
