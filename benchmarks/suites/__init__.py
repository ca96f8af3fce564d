"""The suites: each measures the rows of one question, and says in words what it does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.lab import Lab
from benchmarks.results import Row

__all__ = ["Suite"]


@dataclass(frozen=True, slots=True)
class Suite:
    """Rows that are measured together.

    :param ids: the rows, as they are asked for. :param text: how it is measured and why so, in Markdown.
    """

    title: str
    ids: tuple[str, ...]
    text: str
    run: Callable[[Lab], list[Row]]
