"""The reference pages are what the code says, and the writer misses nothing that it should describe."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools.reference import FOLDER, PAGES, outdated, python, write
from tools.reference.subjects import services
from tools.reference.text import markdown, one_line, table


def test_the_pages_are_what_the_code_says() -> None:
    assert outdated() == [], "The reference is out of date. If the change is meant: make docs"


def test_a_page_that_is_missing_wrong_or_nobodys_is_named(tmp_path: Path) -> None:
    write(tmp_path)
    assert outdated(tmp_path) == []
    assert write(tmp_path) == []
    (tmp_path / "metrics.md").unlink()
    (tmp_path / "http.md").write_text("# HTTP\n")
    (tmp_path / "stray.md").write_text("# Who wrote this?\n")
    assert outdated(tmp_path) == ["http.md", "metrics.md", "stray.md"]
    assert write(tmp_path) == ["http.md", "metrics.md"]


def test_every_metric_alert_and_setting_of_every_service_is_there() -> None:
    text = {name: (FOLDER / name).read_text(encoding="utf-8") for name in PAGES}
    for service in services().values():
        for component in service.components:
            for metric in component.spec.metrics:
                assert f"`{metric.name}`" in text["metrics.md"]
            for alert in component.spec.alerts:
                assert f"### {alert.name}\n" in text["alerts.md"]
            for slo in component.spec.slos:
                assert f"### Objective: {slo.name}\n" in text["alerts.md"]
            for panel in component.spec.panels:
                assert f"| {panel.title} |" in text["dashboards.md"]
            for dashboard in component.spec.dashboards:
                assert f"### {dashboard.title}\n" in text["dashboards.md"]
        for setting in service.settings.values():
            assert all(f"`{variable}`" in text["settings.md"] for variable in setting.declared.env)


@pytest.mark.parametrize(
    ("docstring", "expected"),
    [
        ("One ``x``, and :class:`~a.b.Thing`.", "One `x`, and `Thing`."),
        (
            "Does it.\n\n:param a: the first. :param b: the\n    second;\n:returns: 3.\n:raises ValueError: when not.",
            "Does it.\n\n- `a`: the first.\n- `b`: the second\n- Returns 3.\n- Raises `ValueError` when not.",
        ),
        (
            "As here::\n\n    x = 1\n\n    y = 2\n\nAnd on.",
            "As here:\n\n```python no-run\nx = 1\n\ny = 2\n```\n\nAnd on.",
        ),
        ("So:\n\n.. code-block:: console\n\n    $ ls\n", "So:\n\n```console no-run\n$ ls\n```"),
        ("", ""),
    ],
)
def test_docstrings_become_markdown(docstring: str, expected: str) -> None:
    assert markdown(docstring) == expected


def test_the_first_paragraph_is_one_line() -> None:
    assert one_line("First\n  and ``more``.\n\nNot this.") == "First and `more`."


def test_cells_keep_the_table_whole() -> None:
    assert table(("A", "B"), [("a|b", "c\nd")]) == "| A | B |\n| --- | --- |\n| a\\|b | c d |\n"


def test_names_that_differ_in_case_alone_have_one_order() -> None:
    text = python.page()
    assert text.index("### Matcher\n") < text.index("### matcher\n")
