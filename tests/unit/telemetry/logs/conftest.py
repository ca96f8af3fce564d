"""What the tests of logs share."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import pytest


class Collector(logging.Handler):
    """Keeps records; shows what handlers that are not Bedplate's see."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[Any] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)


@pytest.fixture
def records() -> Iterator[list[Any]]:
    """Return the list that every record of the test comes to, whatever its level."""
    collector = Collector()
    root = logging.getLogger()
    before = root.level
    root.setLevel(logging.DEBUG)
    root.addHandler(collector)
    yield collector.records
    root.removeHandler(collector)
    root.setLevel(before)
