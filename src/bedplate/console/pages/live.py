"""The stream that keeps pages up to date."""

from __future__ import annotations

from collections.abc import Sequence

from bedplate.console.interfaces import Sources
from bedplate.console.live.stream import stream
from bedplate.console.page import Page

__all__ = ["pages"]


def pages(sources: Sources) -> Sequence[Page]:
    """Return the address of the stream."""
    return (Page("/live", "live", stream),)
