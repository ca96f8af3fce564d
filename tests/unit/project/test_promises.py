"""What the pages promise in numbers."""

from __future__ import annotations

import pytest

from tools.finding import ROOT
from tools.markdown import Page


def block(page: str, first_line: str) -> list[str]:
    """Return the lines of the first block of a page that begins so, without that line."""
    found = (block.text.splitlines() for block in Page(ROOT / page).blocks if block.text.startswith(first_line))
    return next(found)[1:]


@pytest.mark.parametrize(
    ("page", "file", "most"),
    [
        ("docs/tutorial.md", "# file: rates.py", 30),
        ("README.md", "# file: payments.py", 15),
    ],
)
def test_code_is_as_short_as_the_page_says(page: str, file: str, most: int) -> None:
    lines = block(page, f"{file}\n")
    assert 5 < len(lines) <= most
    assert max(map(len, lines)) <= 120


def test_the_tutorials_component_is_listed_nowhere_but_in_its_service() -> None:
    service = block("docs/tutorial.md", "# file: fx.py\n")
    assert [line.strip() for line in service if "rates]" in line] == [
        'return Service("fx", app, [rates], settings=settings)'
    ]
