"""`make faults` runs every test that has a long form, and its table tells what was lost."""

from __future__ import annotations

from pathlib import PurePath

from tools.faults import suites, table
from tools.finding import ROOT


def test_every_test_with_a_long_form_is_run_once() -> None:
    named = [PurePath(name) for name in suites()]
    assert len(set(named)) == len(named)
    assert [name for name in named if not (ROOT / name).exists()] == []
    long = [
        path.relative_to(ROOT)
        for path in (ROOT / "tests").rglob("test_*.py")
        if "from tests.endurance import" in path.read_text() and path.name != "test_faults_run.py"
    ]
    assert len(long) > 20
    for path in long:
        assert sum(path == name or name in path.parents for name in named) == 1, path


def test_the_table_tells_of_each_test_what_was_lost() -> None:
    told = {"what": "a cutover", "writes": 70, "kills": 3, "missing": 1, "stale": 2, "again": 4}
    rows = [
        {"test": "faults/a.py::one", "passed": False, "seconds": 61.4, "told": told},
        {"test": "unit/b.py::two", "passed": True, "seconds": 1.0, "told": {}},
        {"test": "unit/b.py::three", "passed": True, "seconds": 2.0, "told": {}},
        {"test": "unit/b.py::four", "passed": False, "seconds": 0.0, "told": {}},
    ]
    lines = [line.split() for line in table(rows)]
    assert lines == [
        ["seconds", "writes", "kills", "lost", "what"],
        ["61", "70", "3", "3", "FAILED", "a", "cutover:", "again", "4"],
        ["0", "FAILED", "unit/b.py::four"],
        ["3", "2", "passed", "in", "unit/b.py"],
    ]
