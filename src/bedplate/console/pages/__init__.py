"""The pages of the console: a module and a template a noun."""

from __future__ import annotations

from collections.abc import Sequence

from bedplate.console.interfaces import Sources
from bedplate.console.page import Page
from bedplate.console.pages import home, sign_in

__all__ = ["all_pages"]


def all_pages(sources: Sources) -> Sequence[Page]:
    """Return every page, each over what the service has."""
    return (*sign_in.pages(sources), *home.pages(sources))
