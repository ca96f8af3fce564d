"""The pages of the console: a module and a template a noun."""

from __future__ import annotations

from collections.abc import Sequence

from bedplate.console.interfaces import Sources
from bedplate.console.page import Page
from bedplate.console.pages import (
    actions,
    alerts,
    audit,
    components,
    errors,
    health,
    home,
    live,
    logs,
    metrics,
    oidc,
    panels,
    search,
    settings,
    sign_in,
    traces,
)

__all__ = ["all_pages"]


def all_pages(sources: Sources) -> Sequence[Page]:
    """Return every page, each over what the service has."""
    modules = (
        sign_in,
        oidc,
        live,
        home,
        alerts,
        errors,
        metrics,
        panels,
        traces,
        logs,
        actions,
        components,
        health,
        settings,
        search,
        audit,
    )
    return [page for module in modules for page in module.pages(sources)]
