"""Summaries of alerts as pages show them, where no alert fills them in."""

from __future__ import annotations

import re

__all__ = ["readable"]

_GAP = re.compile(r"\{\{\s*\$(?:labels\.(\w+)|(value))[^}]*\}\}")


def readable(summary: str) -> str:
    """Return a summary in Markdown, with the name of each label in the place of its value."""
    return _GAP.sub(lambda gap: f"*{gap[1] or gap[2]}*", summary)
