"""What a module of pages gives to the site."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from starlette.responses import Response

from bedplate.console.visit import Visit
from bedplate.declarations import AccessRole

__all__ = ["NAVIGATION", "Entry", "Page", "missing"]


@dataclass(frozen=True, slots=True)
class Page:
    """One address of the console.

    :ivar name: what metrics call it. :ivar role: the least role that may see it, None for everybody.
    """

    path: str
    name: str
    show: Callable[[Visit], Awaitable[Response]]
    role: AccessRole | None = "viewer"
    methods: tuple[str, ...] = ("GET",)


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the navigation; ``key`` is what is pressed after ``g``."""

    name: str
    title: str
    path: str
    key: str
    group: str = ""
    role: AccessRole = "viewer"


NAVIGATION = (
    Entry("home", "Home", "/", "h"),
    Entry("alerts", "Alerts", "/alerts", "a"),
    Entry("errors", "Errors", "/errors", "e"),
    Entry("metrics", "Metrics", "/metrics", "m", "Look into"),
    Entry("traces", "Traces", "/traces", "t", "Look into"),
    Entry("logs", "Logs", "/logs", "l", "Look into"),
    Entry("components", "Components", "/components", "c", "Service"),
    Entry("health", "Health", "/health", "p", "Service"),
    Entry("settings", "Settings", "/settings", "s", "Service", "operator"),
    Entry("audit", "Audit", "/audit", "u", "Service"),
)


def missing(visit: Visit, what: str, mend: str = "") -> Response:
    """Return the page for something that is not there."""
    return visit.show("missing.html", status=404, what=what, mend=mend)
