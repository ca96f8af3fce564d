"""A failed test gets a second try by itself, and only a test that may have failed by chance."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tools.finding import ROOT
from tools.suite import FEW

CHANCE = """
import pathlib
import pytest

@pytest.mark.parametrize("number", range({number}))
def test_once(number):
    seen = pathlib.Path(f"seen{{number}}")
    if not seen.exists():
        seen.touch()
        raise AssertionError("by chance")

def test_well():
    pass
"""


def suite(folder: Path, tests: str) -> subprocess.CompletedProcess[str]:
    (folder / "test_some.py").write_text(tests)
    command = [sys.executable, "-m", "tools.suite", "--rootdir", str(folder), "-c", "/dev/null", "test_some.py"]
    environment = {"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def test_what_passes_alone_passes_and_is_named(tmp_path: Path) -> None:
    ended = suite(tmp_path, CHANCE.format(number=2))
    assert ended.returncode == 0, ended.stdout
    named = [line for line in ended.stdout.splitlines() if line.startswith("UNSTEADY")]
    assert len(named) == 2
    assert "test_some.py::test_once[0]" in named[0]
    assert suite(tmp_path, CHANCE.format(number=2)).returncode == 0


@pytest.mark.parametrize(
    "tests",
    ["def test_bad():\n    assert False\n", CHANCE.format(number=FEW + 1), "import nothing_of_this_name\n"],
    ids=["fails-twice", "too-many", "cannot-be-read"],
)
def test_what_is_no_chance_fails(tmp_path: Path, tests: str) -> None:
    assert suite(tmp_path, tests).returncode != 0
